//! `health-check` and the probes over HTTP, through the real program, with things going wrong around it.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::health::{check, until_checked};
use common::node::Node;
use common::program::{Home, signal};
use common::scenarios::{IDLE, paced};

/// A home whose program mines a block every half second, with HTTP on a free port and faults allowed.
/// The machine's load is not what is tested: any rate will do.
fn home(node: &Node, mining: &str) -> Home {
    let home = Home::new(node, mining, true);
    let text = fs::read_to_string(home.config()).unwrap();
    let text = text.replace("listen = \"\"", "listen = \"127.0.0.1:0\"")
        + "[health]\nperformance_min = 0.0\n[debug]\nfault_injection = true\n";
    fs::write(home.config(), text).unwrap();
    home
}

/// Asks over HTTP, at the address that `status` tells.
fn http(home: &Home, path: &str) -> (u16, String) {
    let address = home.until_status("HTTP listens", |status| {
        status["http"].as_str().map(str::to_owned)
    });
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(common::PATIENCE))
        .build()
        .into();
    let mut answer = agent.get(format!("http://{address}{path}")).call().unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), text)
}

#[test]
fn a_miner_is_well_until_its_node_goes_and_again_when_it_is_back() {
    let mut node = Node::devnode();
    let home = home(&node, &paced(0.5));
    let running = home.start();
    let well = until_checked("all is well", &home, |checked| checked.code == 0);
    assert_eq!(well.report["status"], "OK");
    assert!(
        well.component("pipeline").1.contains("verified"),
        "{}",
        well.report
    );
    assert!(well.report["components"]["miner"]["latency_s"].is_f64());
    assert!(well.report["components"]["node"]["latency_s"].is_null());
    let (code, list) = http(&home, "/readyz?verbose");
    assert_eq!(code, 200, "{list}");
    assert!(list.contains("[+]pipeline ok"), "{list}");

    node.kill();
    let ill = until_checked("the node is missed", &home, |checked| checked.code == 2);
    assert_eq!(ill.component("node").0, "CRITICAL");
    assert_eq!(ill.component("pipeline").0, "CRITICAL");
    assert_eq!(check(&home, &["--container"]).code, 1);
    assert_eq!(check(&home, &["--component", "stats"]).code, 0);
    assert_eq!(check(&home, &["--component", "node"]).code, 2);
    let (code, list) = http(&home, "/readyz");
    assert_eq!(code, 503);
    assert!(list.contains("[-]node failed"), "{list}");
    // Alive all the same: restarting it would not bring the node back.
    assert_eq!(http(&home, "/livez").0, 200);

    node.start();
    until_checked("all is well again", &home, |checked| checked.code == 0);
    assert_eq!(http(&home, "/readyz").0, 200);
    running.stop();
}

#[test]
fn an_instance_that_only_verifies_is_well_while_it_is_idle() {
    let node = Node::devnode();
    let home = home(&node, IDLE);
    let running = home.start();
    let well = until_checked("all is well", &home, |checked| checked.code == 0);
    assert!(
        well.component("miner").1.contains("mining.enabled"),
        "{}",
        well.report
    );
    home.until_status("it says that it is idle", |status| {
        let reason = status["idle_reason"].as_str()?;
        (status["state"] == "switched_off" && reason.contains("no new block to verify"))
            .then_some(())
    });
    assert_eq!(check(&home, &[]).code, 0);
    running.stop();
}

#[test]
fn without_an_instance_nobody_can_tell() {
    let node = Node::devnode();
    let home = home(&node, IDLE);
    let nobody = check(&home, &[]);
    assert_eq!(nobody.code, 3);
    assert_eq!(nobody.report["status"], "UNKNOWN");
    let message = nobody.report["message"].as_str().unwrap();
    assert!(message.contains("no instance runs"), "{message}");
    assert_eq!(check(&home, &["--container"]).code, 1);
    assert_eq!(check(&home, &["--component", "miner"]).code, 3);
    fs::write(home.config(), "no configuration").unwrap();
    assert_eq!(check(&home, &[]).code, 3);
}

#[test]
fn a_component_that_does_not_exist_is_unknown_and_the_others_are_named() {
    let node = Node::devnode();
    let home = home(&node, IDLE);
    let running = home.start();
    until_checked("it answers", &home, |checked| checked.code != 3);
    let unknown = check(&home, &["--component", "minre"]);
    assert_eq!(unknown.code, 3);
    let message = unknown.report["message"].as_str().unwrap();
    assert!(message.contains("validator"), "{message}");
    // The same for people, by the other name of the command.
    let text = home.command(&["health"]);
    let text = String::from_utf8_lossy(&text.stdout);
    assert!(
        text.lines().any(|line| line.contains("validator")),
        "{text}"
    );
    running.stop();
}

#[test]
fn a_child_that_hangs_is_named_and_recovers() {
    let node = Node::devnode();
    let home = home(&node, &paced(0.5));
    let running = home.start();
    until_checked("all is well", &home, |checked| checked.code == 0);
    let ordered = home.command(&["ops", "fault", "stats", "hang", "--for", "10"]);
    assert!(ordered.status.success(), "{ordered:?}");
    let ill = until_checked("the hang is seen", &home, |checked| {
        checked.component("stats").1.contains("hangs")
    });
    assert_eq!(ill.code, 2);
    assert_eq!(ill.component("ingest").0, "OK", "{}", ill.report);
    until_checked("it has recovered", &home, |checked| {
        checked.component("stats").0 == "OK" && checked.component("recovery").0 == "OK"
    });
    running.stop();
}

#[test]
fn a_program_that_stands_still_is_critical_and_named_as_such() {
    let node = Node::devnode();
    let home = home(&node, IDLE);
    let running = home.start();
    until_checked("all is well", &home, |checked| checked.code == 0);
    signal(running.pid(), "STOP");
    let silent = check(&home, &[]);
    signal(running.pid(), "CONT");
    assert_eq!(silent.code, 2);
    assert!(
        silent.component("api").1.contains("hangs"),
        "{}",
        silent.report
    );
    until_checked("all is well again", &home, |checked| checked.code == 0);
    running.stop();
}
