//! The link against a real Bitcoin Core: set `BITCOIND_EXE`; without it every test says `skipped`.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use node::zmq::{Payload, Settings, Subscriber, ZmqEvent};
use node::{Node, NodeError};
use serde_json::json;

use crate::processes::NodeProcess;
use crate::zmq_publisher::{lost, next, notification};
use crate::{PATIENCE, node_process, wait_for};

#[test]
fn frozen() {
    if let Some(node) = NodeProcess::bitcoin_core(&[]) {
        node_process::a_frozen_node_ends_calls_at_their_deadline(&node);
    }
}

#[test]
fn killed() {
    if let Some(mut node) = NodeProcess::bitcoin_core(&[]) {
        node_process::a_killed_node_is_found_again_with_its_new_cookie(&mut node);
    }
}

#[test]
fn the_cookie_file_in_every_state() {
    if let Some(mut node) = NodeProcess::bitcoin_core(&[]) {
        node_process::a_cookie_file_that_goes_and_comes_back_is_read_when_it_is_needed(&mut node);
    }
}

#[test]
fn connections_are_kept_warm() {
    if let Some(mut node) = NodeProcess::bitcoin_core(&[]) {
        node_process::connections_for_submissions_are_open_again_before_they_are_needed(&mut node);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_is_frozen_killed_and_started_again_is_heard_each_time() {
    let Some(mut node) = NodeProcess::bitcoin_core(&[]) else {
        return;
    };
    let (subscriber, mut events) = Subscriber::start("core", &node.zmq(), Settings::default());
    assert!(matches!(
        next(&mut events).await,
        ZmqEvent::Connected { .. }
    ));
    // When the subscriptions have arrived cannot be seen from here: mine until they have.
    let heard = async |node: &NodeProcess, events: &mut _, from: Instant| {
        loop {
            let block = node.mine();
            let wait = Duration::from_secs(1);
            if let Ok(heard) = tokio::time::timeout(wait, notification(events)).await {
                measured(&format!("heard {:.1?} after its return", from.elapsed()));
                if let Payload::HashBlock(hash) = heard.payload {
                    assert_eq!(hash.to_string(), block);
                }
                return;
            }
        }
    };
    heard(&node, &mut events, Instant::now()).await;

    let frozen = Instant::now();
    node.process().freeze();
    let reason = lost(&mut events).await;
    measured(&format!("frozen, noticed after {:.1?}", frozen.elapsed()));
    assert!(reason.contains("PING"), "{reason}");
    node.process().thaw();
    heard(&node, &mut events, Instant::now()).await;

    node.kill();
    lost(&mut events).await;
    node.start();
    let back = Instant::now();
    while !matches!(next(&mut events).await, ZmqEvent::Connected { .. }) {}
    measured(&format!(
        "connected {:.1?} after its return",
        back.elapsed()
    ));
    heard(&node, &mut events, back).await;
    let state = subscriber.state().remove(0);
    assert!(state.garbage.is_empty(), "{state:?}");
    assert!(
        state.counters.values().any(|topic| topic.resets > 0),
        "its counters began again: {state:?}"
    );
    subscriber.stop().await;
}

/// What was measured, for whoever runs the test by hand.
#[allow(clippy::print_stderr)]
fn measured(text: &str) {
    eprintln!("measured: {text}");
}

#[tokio::test]
async fn one_thread_is_told_from_several() {
    for (options, spare) in [(["-rpcthreads=1"].as_slice(), false), (&[], true)] {
        let Some(process) = NodeProcess::bitcoin_core(options) else {
            return;
        };
        let node = Node::start(process.config()).unwrap();
        assert_eq!(node.has_thread_to_spare().await.unwrap(), spare);
        // Nothing of the trial is left behind.
        node.get_block_count().await.unwrap();
        node.shutdown(PATIENCE).await;
    }
}

#[test]
fn a_full_work_queue_is_told_as_such_and_passes() {
    let options = &["-rpcthreads=1", "-rpcworkqueue=1"];
    let Some(node) = NodeProcess::bitcoin_core(options) else {
        return;
    };
    let together = Barrier::new(8);
    let busy = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut rpc = node.rpc();
                together.wait();
                for _ in 0..20 {
                    let wait = [json!(50)];
                    match rpc.call::<serde_json::Value>("waitfornewblock", &wait, PATIENCE) {
                        Err(error @ NodeError::Busy { .. }) => {
                            assert!(error.is_transient() && !error.may_have_executed());
                            busy.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        }
                        Ok(_) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
    });
    assert!(busy.into_inner() > 0, "the queue was never full");
    let mut rpc = node.rpc();
    wait_for("it answers again", || rpc.get_block_count().is_ok());
}
