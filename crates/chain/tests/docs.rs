//! The table of checks in docs/semantics.md is the one of the code.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use chain::Check;

#[test]
fn the_documented_weights_are_those_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/semantics.md");
    let text = std::fs::read_to_string(path).unwrap();
    let documented: BTreeMap<&str, u32> = text
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            let name = cells.next()?.strip_suffix('`')?;
            Some((name, cells.next()?.parse().ok()?))
        })
        .collect();
    let actual: BTreeMap<&str, u32> = Check::ALL
        .iter()
        .map(|check| (check.as_str(), check.weight()))
        .collect();
    assert_eq!(documented, actual);
}
