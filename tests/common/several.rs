//! What the whole program must do beside several nodes.

use super::node::Node;
use super::program::Home;
use super::scenarios::paced;
use super::until;

/// The preferred node stands still: mining goes on with the other one, and once the first goes on it
/// gets every block that was found meanwhile.
pub fn mines_on_when_the_preferred_node_freezes(near: &Node, far: &Node) {
    let home = Home::new(near, &paced(1.0), true);
    home.add_node("far", far);
    let running = home.start();
    home.until_status("it mines, with the preferred node", |status| {
        let used = &status["nodes"][0];
        let mines = status["blocks"]["accepted"].as_u64()? >= 2;
        (mines && used["active"] == true && status["node"]["name"] == "local").then_some(())
    });
    near.freeze();
    home.until_status("it uses the other node", |status| {
        let used = &status["nodes"][1];
        (used["active"] == true && status["node"]["name"] == "far").then_some(())
    });
    let before = far.height();
    until("the other node gets further blocks", || {
        (far.height() >= before + 2).then_some(())
    });
    let missed = far.height();
    near.thaw();
    until("the first one gets what it missed", || {
        (near.height() >= missed).then_some(())
    });
    let (status, last) = running.stop();
    assert!(status.success(), "{status}");
    assert_eq!(last["blocks_rejected"], 0, "{last}\n{}", home.log());
    let hash = |node: &Node| node.call("getblockhash", serde_json::json!([missed]));
    assert_eq!(hash(near), hash(far));
}
