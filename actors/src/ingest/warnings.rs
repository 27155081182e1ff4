//! What the node warns of, and which of it is to be expected.

use chain::VERSION_ROLLING_MASK;

use crate::messages::NodeWarning;

/// How Bitcoin Core begins to say that a version bit it does not know is set in most blocks. Older versions
/// put "Warning: " in front.
const UNKNOWN_RULES: &str = "unknown new rules activated (versionbit ";

/// A warning in the node's own words, and why it may be expected.
///
/// A majority for a bit that BIP320 gives to miners is no new rule: they set those bits at random, so does
/// this program, and on a chain with few miners a bit can have a majority by chance. Below those bits it
/// may well be one, and the node too old to know it.
pub fn explained(text: &str) -> NodeWarning {
    let expected = unknown_bit(text)
        .is_some_and(|bit| VERSION_ROLLING_MASK & 1_u32.checked_shl(bit).unwrap_or(0) != 0)
        .then_some(
            "miners roll this version bit (BIP320), this program among them; it stands for no rule",
        );
    NodeWarning {
        text: text.to_owned(),
        expected: expected.map(str::to_owned),
    }
}

/// The version bit that unknown rules were activated with.
fn unknown_bit(text: &str) -> Option<u32> {
    let text = text.to_ascii_lowercase();
    let (_, rest) = text.split_once(UNKNOWN_RULES)?;
    rest.split_once(')')?.0.parse().ok()
}

/// Whether the node says that rules changed without its knowing.
pub fn is_of_rules(warning: &NodeWarning) -> bool {
    unknown_bit(&warning.text).is_some() && warning.expected.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_rules_are_expected_in_the_bits_that_miners_roll_and_nowhere_else() {
        for bit in 0..40 {
            let of = |text: String| explained(&text);
            let new = of(format!("Unknown new rules activated (versionbit {bit})"));
            let old = of(format!(
                "Warning: Unknown new rules activated (versionbit {bit})"
            ));
            let expected = (13..=28).contains(&bit);
            assert_eq!(new.expected.is_some(), expected, "{bit}");
            assert_eq!(old.expected.is_some(), expected, "{bit}");
            assert_eq!(is_of_rules(&new), !expected, "{bit}");
        }
    }

    #[test]
    fn other_warnings_stand_as_they_are() {
        for text in [
            "",
            "This is a pre-release test build - use at your own risk",
            "Unknown new rules activated (versionbit ?)",
            "Unknown new rules activated (versionbit 13",
            "Unknown new rules activated (versionbit 99999999999)",
        ] {
            let warning = explained(text);
            assert_eq!((warning.text.as_str(), &warning.expected), (text, &None));
            assert!(!is_of_rules(&warning));
        }
    }
}
