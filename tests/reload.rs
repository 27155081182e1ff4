//! SIGHUP to `daemon`: the new configuration as a whole, or the old one and a reason.
#![allow(clippy::unwrap_used)]

mod common;

use common::manager::Manager;
use common::node::Node;
use common::program::{Home, Running};
use common::scenarios::paced;
use common::until;
use serde_json::Value;

/// A daemon that has had a block accepted.
fn mining(node: &Node, interval_s: f64) -> (Home, Manager, Running) {
    let home = Home::new(node, &paced(interval_s), true);
    let mut manager = Manager::new();
    let running = home.daemon(&manager, &[]);
    manager.until_line("READY=1");
    home.until_status("it mines", |status| {
        (status["blocks"]["accepted"].as_u64()? >= 1).then_some(())
    });
    (home, manager, running)
}

/// Sends SIGHUP and waits until the daemon is ready again; the state it tells then.
fn reload(manager: &mut Manager, running: &Running) -> String {
    running.signal("HUP");
    manager.until_line("RELOADING=1");
    manager.until("the time of the reload", |line| {
        line.strip_prefix("MONOTONIC_USEC=")
            .is_some_and(|time| time.parse::<u64>().is_ok_and(|time| time > 0))
    });
    manager.until_line("READY=1");
    manager.until_line("STATUS=")
}

fn sum(status: &Value, name: &str) -> u64 {
    let children = status["children"].as_array().unwrap();
    children.iter().map(|c| c[name].as_u64().unwrap()).sum()
}

fn stop(home: &Home, running: Running) {
    running.signal("TERM");
    assert_eq!(running.ended(), Some(0), "{}", home.log());
    let journal = home.journal();
    let open = |entry: &&Value| entry["state"] != "accepted" && entry["state"] != "sent";
    assert_eq!(journal.iter().find(open), None, "{}", home.log());
}

#[test]
fn a_good_configuration_is_taken_over_whole_and_the_run_goes_on() {
    let node = Node::devnode();
    let (home, mut manager, running) = mining(&node, 0.2);
    let before = home.status().unwrap();
    assert_eq!(before["mining"]["threads"], 1, "{before}");
    home.reconfigure("threads = 1", "threads = 3\nkernel = \"scalar\"");
    let state = reload(&mut manager, &running);
    assert!(!state.contains("not reloaded"), "{state}");
    let after = home.until_status("it mines on with three threads", |status| {
        let more =
            status["blocks"]["accepted"].as_u64()? > before["blocks"]["accepted"].as_u64()?;
        (more && status["mining"]["threads"] == 3).then(|| status.clone())
    });
    assert_eq!(after["mining"]["kernel"], "scalar", "{after}");
    assert!(
        after["uptime_s"].as_f64() > before["uptime_s"].as_f64(),
        "it is the same run: {after}"
    );
    assert!(
        after["ingest"]["tips"].as_u64() >= before["ingest"]["tips"].as_u64(),
        "{after}"
    );
    assert!(
        sum(&after, "generation") > sum(&before, "generation"),
        "{after}"
    );
    assert!(sum(&after, "restarts") >= sum(&before, "restarts"));

    // Fewer threads again, and verifying only.
    home.reconfigure("threads = 3", "enabled = false");
    reload(&mut manager, &running);
    home.until_status("it verifies only", |status| {
        (status["state"] == "switched_off" && status["tip"].is_object()).then_some(())
    });
    assert_eq!(home.status().unwrap()["blocks"]["rejected"], 0);
    stop(&home, running);
}

#[test]
fn a_configuration_with_a_mistake_changes_nothing_and_is_named() {
    let node = Node::devnode();
    let (home, mut manager, running) = mining(&node, 0.2);
    let before = home.status().unwrap();
    home.reconfigure("[mining]", "[mining]\nempty_frist = false");
    let state = reload(&mut manager, &running);
    assert!(state.contains("not reloaded"), "{state}");
    assert!(state.contains("mining.empty_frist"), "{state}");
    assert!(
        home.log().contains("the old configuration stays in force"),
        "{}",
        home.log()
    );
    // The commands read the same file, and would only name the same mistake.
    let after = until("it mines on", || {
        let status = home.status_file()?;
        let more =
            status["blocks"]["accepted"].as_u64()? > before["blocks"]["accepted"].as_u64()?;
        more.then_some(status)
    });
    assert_eq!(
        sum(&after, "generation"),
        sum(&before, "generation"),
        "no part was touched: {after}"
    );

    // Corrected, it is taken over, and the reproach is gone.
    home.reconfigure("empty_frist", "empty_first");
    let state = reload(&mut manager, &running);
    assert!(!state.contains("not reloaded"), "{state}");
    stop(&home, running);
}

#[test]
fn what_cannot_change_in_a_run_is_refused_by_name() {
    let node = Node::devnode();
    let (home, mut manager, running) = mining(&node, 0.2);
    let elsewhere = tempfile::tempdir().unwrap();
    home.prepend(&format!("runtime_dir = \"{}\"", elsewhere.path().display()));
    let state = reload(&mut manager, &running);
    assert!(
        state.contains("runtime_dir cannot change while signalcore runs"),
        "{state}"
    );
    home.reconfigure(
        &format!("runtime_dir = \"{}\"", elsewhere.path().display()),
        "",
    );
    home.prepend("profile = \"development\"");
    let state = reload(&mut manager, &running);
    assert!(state.contains("profile cannot change"), "{state}");
    home.reconfigure("profile = \"development\"", "");
    home.reconfigure("network = \"regtest\"", "network = \"signet\"");
    home.reconfigure("[mining]", "[mining]\nenabled = false");
    let state = reload(&mut manager, &running);
    assert!(state.contains("chain.network cannot change"), "{state}");
    assert_eq!(home.status().unwrap()["network"], "regtest");
    stop(&home, running);
}

#[test]
fn the_http_server_comes_moves_and_goes_with_the_configuration() {
    let node = Node::devnode();
    let (home, mut manager, running) = mining(&node, 0.2);
    let address = || {
        let status = home.status().unwrap();
        status["http"].as_str().map(str::to_owned)
    };
    assert_eq!(address(), None);
    home.reconfigure("listen = \"\"", "listen = \"127.0.0.1:0\"");
    reload(&mut manager, &running);
    let first = address().unwrap();
    let live = |address: &str| ureq::get(format!("http://{address}/livez")).call().is_ok();
    assert!(live(&first));
    // The same listener serves the next tree.
    home.reconfigure("threads = 1", "threads = 2");
    reload(&mut manager, &running);
    assert_eq!(address().as_deref(), Some(&*first));
    assert!(live(&first));
    home.reconfigure("listen = \"127.0.0.1:0\"", "listen = \"\"");
    reload(&mut manager, &running);
    assert_eq!(address(), None);
    until("the port is closed", || (!live(&first)).then_some(()));
    stop(&home, running);
}

#[test]
fn a_block_found_while_the_node_is_away_is_delivered_after_a_reload() {
    let mut node = Node::devnode();
    let (home, mut manager, running) = mining(&node, 1.0);
    node.flush();
    node.stop();
    let hash = until("a block that nobody could be given", || {
        home.journal()
            .into_iter()
            .find(|entry| entry["state"] != "accepted")
            .map(|entry| entry["hash"].as_str().unwrap().to_owned())
    });
    let before = home.status().unwrap();
    home.reconfigure("threads = 1", "threads = 2");
    reload(&mut manager, &running);
    let after = home.status().unwrap();
    assert_eq!(
        after["blocks"]["found"], before["blocks"]["found"],
        "{after}"
    );
    node.start();
    home.until_entry("the block is delivered", &hash, |entry| {
        entry["state"] == "accepted"
    });
    home.until_status("it is counted as one of this run", |status| {
        let (blocks, found) = (&status["blocks"], &before["blocks"]["found"]);
        (blocks["accepted"].as_u64()? >= found.as_u64()?).then_some(())
    });
    stop(&home, running);
}

#[test]
fn many_reloads_in_a_row_lose_no_block_and_leave_nothing_behind() {
    let node = Node::devnode();
    let (home, mut manager, running) = mining(&node, 0.05);
    let threads = || {
        let tasks = format!("/proc/{}/task", running.pid());
        std::fs::read_dir(tasks).unwrap().count()
    };
    let descriptors = || {
        let open = format!("/proc/{}/fd", running.pid());
        std::fs::read_dir(open).unwrap().count()
    };
    reload(&mut manager, &running);
    let (few_threads, few_descriptors) = (threads(), descriptors());
    for _ in 0..10 {
        let accepted =
            home.until_status("it answers", |status| status["blocks"]["accepted"].as_u64());
        reload(&mut manager, &running);
        home.until_status("it mines on", |status| {
            (status["blocks"]["accepted"].as_u64()? > accepted).then_some(())
        });
    }
    until("no more threads than after the first", || {
        (threads() <= few_threads + 4).then_some(())
    });
    until("no more descriptors than after the first", || {
        (descriptors() <= few_descriptors + 8).then_some(())
    });
    let status = home.status().unwrap();
    assert_eq!(status["blocks"]["rejected"], 0, "{status}\n{}", home.log());
    stop(&home, running);
}

#[test]
fn a_daemon_that_is_told_to_stop_while_it_reloads_stops() {
    let node = Node::devnode();
    let (home, mut manager, running) = mining(&node, 0.2);
    running.signal("HUP");
    running.signal("TERM");
    manager.until_line("STOPPING=1");
    stop(&home, running);
}
