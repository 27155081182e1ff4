//! Calls to a node that freezes, dies and comes back. The same scenarios run against the embedded node here and
//! against Bitcoin Core in `bitcoin_core`.

use std::time::{Duration, Instant};

use node::{Auth, Node, NodeError, Rpc};

use crate::processes::NodeProcess;
use crate::{PATIENCE, wait_for};

pub fn a_frozen_node_ends_calls_at_their_deadline(node: &NodeProcess) {
    let mut config = node.config();
    config.timeouts.call = Duration::from_secs(1);
    config.timeouts.submit = Duration::from_secs(1);
    let (mut kept, mut fresh) = (Rpc::new(&config), Rpc::new(&config));
    kept.get_block_count().unwrap();
    node.process().freeze();
    // Over the connection it has, and over one that the system accepts in its place.
    for rpc in [&mut kept, &mut fresh] {
        let begun = Instant::now();
        let error = rpc.submit_block(&[0; 81]).unwrap_err();
        assert!(matches!(error, NodeError::Unanswered { .. }), "{error}");
        assert!(error.may_have_executed());
        assert!(begun.elapsed() < PATIENCE);
        let error = rpc.get_block_count().unwrap_err();
        assert!(matches!(error, NodeError::Unanswered { .. }), "{error}");
    }
    node.process().thaw();
    for rpc in [&mut kept, &mut fresh] {
        wait_for("it answers again", || rpc.get_block_count().is_ok());
    }
}

pub fn a_killed_node_is_found_again_with_its_new_cookie(node: &mut NodeProcess) {
    let mut rpc = node.rpc();
    rpc.get_block_count().unwrap();
    let cookie = node.cookie();
    node.kill();
    assert_eq!(node.cookie(), cookie, "it stays behind, stale");
    let error = rpc.submit_block(&[0; 81]).unwrap_err();
    assert!(
        !error.may_have_executed() && error.is_transient(),
        "{error}"
    );
    node.start();
    assert_ne!(node.cookie(), cookie);
    rpc.get_block_count().unwrap();
}

pub fn a_cookie_file_that_goes_and_comes_back_is_read_when_it_is_needed(node: &mut NodeProcess) {
    let mut known = node.rpc();
    known.get_block_count().unwrap();
    let cookie = node.cookie();
    std::fs::remove_file(node.cookie_file()).unwrap();
    known.get_block_count().unwrap();
    let mut stranger = node.rpc();
    let error = stranger.get_block_count().unwrap_err();
    assert!(matches!(error, NodeError::Cookie { .. }), "{error}");
    assert!(error.is_transient());
    // Something that cannot be read as a file.
    std::fs::create_dir(node.cookie_file()).unwrap();
    let error = stranger.get_block_count().unwrap_err();
    assert!(matches!(error, NodeError::Cookie { .. }), "{error}");
    std::fs::remove_dir(node.cookie_file()).unwrap();
    // One of another life of the node, and then the right one.
    std::fs::write(node.cookie_file(), format!("__cookie__:{}", "0".repeat(64))).unwrap();
    let error = stranger.get_block_count().unwrap_err();
    assert!(matches!(error, NodeError::Unauthorized { .. }), "{error}");
    assert!(error.is_transient() && !error.may_have_executed());
    std::fs::write(node.cookie_file(), cookie).unwrap();
    stranger.get_block_count().unwrap();
    assert!(matches!(node.config().auth, Auth::CookieFile(_)));
}

pub fn connections_for_submissions_are_open_again_before_they_are_needed(node: &mut NodeProcess) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let link = runtime.block_on(async { Node::start(node.config()).unwrap() });
    let warmed = || {
        let metrics = link.metrics();
        let uptime = metrics.submit.get("uptime").copied().unwrap_or_default();
        uptime.calls - uptime.errors
    };
    wait_for("both connections are warm", || warmed() >= 2);
    node.kill();
    node.start();
    let before = warmed();
    wait_for("both are warm again", || warmed() >= before + 2);
    // What the node thinks of it is another matter.
    if let Err(error) = runtime.block_on(link.submit_block(vec![0; 81])) {
        assert!(error.node_answered(), "{error}");
    }
    runtime.block_on(link.shutdown(PATIENCE));
}

#[test]
fn the_embedded_node_frozen() {
    a_frozen_node_ends_calls_at_their_deadline(&NodeProcess::devnode());
}

#[test]
fn the_embedded_node_killed() {
    a_killed_node_is_found_again_with_its_new_cookie(&mut NodeProcess::devnode());
}

#[test]
fn the_embedded_nodes_cookie_file_in_every_state() {
    a_cookie_file_that_goes_and_comes_back_is_read_when_it_is_needed(&mut NodeProcess::devnode());
}

#[test]
fn connections_to_the_embedded_node_are_kept_warm() {
    connections_for_submissions_are_open_again_before_they_are_needed(&mut NodeProcess::devnode());
}
