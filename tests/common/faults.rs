//! A program that may be broken on purpose, and what its status says of its children.

use std::process::Output;

use serde_json::Value;

use super::node::Node;
use super::program::Home;
use super::scenarios::paced;

/// A home of a program that mines a block every fifth of a second and lets itself be broken.
pub fn breakable(node: &Node) -> Home {
    let mining = format!("{}\n[debug]\nfault_injection = true", paced(0.2));
    Home::new(node, &mining, true)
}

/// The ids of the children, once the program mines.
pub fn children(home: &Home) -> Vec<String> {
    home.until_status("it mines", |status| {
        (status["blocks"]["accepted"].as_u64()? >= 1).then(|| {
            let children = status["children"].as_array().unwrap().iter();
            children
                .map(|child| child["id"].as_str().unwrap().to_owned())
                .collect()
        })
    })
}

/// Runs `ops fault`.
pub fn order(home: &Home, child: &str, kind: &[&str]) -> Output {
    home.command(&[&["ops", "fault", child], kind].concat())
}

/// Breaks a child, which must be done.
pub fn inject(home: &Home, child: &str, kind: &[&str]) {
    let output = order(home, child, kind);
    assert!(
        output.status.success(),
        "{child} {kind:?}: {}\n{}",
        String::from_utf8_lossy(&output.stderr),
        home.log()
    );
}

/// A child in a status document.
pub fn child<'a>(status: &'a Value, id: &str) -> &'a Value {
    let mut children = status["children"].as_array().unwrap().iter();
    children
        .find(|child| child["id"] == id)
        .unwrap_or_else(|| panic!("no {id}: {status}"))
}

/// Waits until a child was restarted more than `before` times and is up.
pub fn until_restarted(home: &Home, id: &str, before: u64) -> Value {
    home.until_status(&format!("{id} is up again"), |status| {
        let mut children = status["children"].as_array()?.iter();
        let child = children.find(|child| child["id"] == id)?;
        let again = child["restarts"].as_u64()? > before && child["state"] == "up";
        again.then(|| child.clone())
    })
}

/// Waits until two blocks more than now are accepted.
pub fn mines_on(home: &Home) {
    let accepted = home.until_status("it answers", |status| status["blocks"]["accepted"].as_u64());
    home.until_status("it mines on", |status| {
        (status["blocks"]["accepted"].as_u64()? >= accepted + 2).then_some(())
    });
}

/// What must be true of the last line of a run however often its parts were broken: every block found is
/// accepted, but for one that was found while it stopped.
pub fn nothing_was_lost(home: &Home, last: &Value) {
    assert_eq!(last["blocks_rejected"], 0, "{last}\n{}", home.log());
    let open: Vec<Value> = home
        .journal()
        .into_iter()
        .filter(|entry| entry["state"] != "accepted")
        .collect();
    assert!(open.is_empty(), "{open:?}\n{}", home.log());
}
