//! `daemon` under a service manager: what it tells, when it is ready, how it ends.
#![allow(clippy::unwrap_used)]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use common::manager::Manager;
use common::node::Node;
use common::program::Home;
use common::scenarios::paced;
use common::until;

/// The watchdog's time in the tests that have one: long enough for a loaded machine.
const WATCHDOG: Duration = Duration::from_secs(4);

fn watchdog_usec() -> String {
    WATCHDOG.as_micros().to_string()
}

#[test]
fn it_is_ready_without_a_node_and_says_what_the_node_does() {
    let mut node = Node::devnode();
    node.stop();
    let home = Home::new(&node, &paced(0.2), true);
    let mut manager = Manager::new();
    let running = home.daemon(&manager, &[]);
    manager.until_line("READY=1");
    assert!(
        home.status().is_some(),
        "the control socket answers when it says that it is ready"
    );
    manager.until_line("STATUS=node local absent: ");
    node.start();
    let state = manager.until_line("STATUS=node local on the tip, ");
    assert!(state.contains("H/s"), "{state}");
    manager.until("accepted blocks", |line| {
        line.starts_with("STATUS=node local on the tip") && line.contains(" accepted")
    });
    node.stop();
    manager.until_line("STATUS=node local absent: ");
    running.signal("TERM");
    manager.until_line("STOPPING=1");
    assert_eq!(running.ended(), Some(0), "{}", home.log());
    manager.drain(Duration::from_millis(50));
    assert_eq!(manager.count("READY=1"), 1, "{:?}", manager.heard());
    assert!(
        manager
            .heard()
            .iter()
            .any(|line| line.starts_with("EXTEND_TIMEOUT_USEC=")),
        "{:?}",
        manager.heard()
    );
    assert_eq!(manager.count("WATCHDOG=1"), 0, "none was asked for");
}

#[test]
fn the_watchdog_is_told_that_all_is_well_more_often_than_it_asks() {
    let node = Node::devnode();
    let home = Home::new(&node, &paced(0.2), true);
    let mut manager = Manager::new();
    let running = home.daemon(&manager, &[("WATCHDOG_USEC", &watchdog_usec())]);
    manager.until_line("READY=1");
    for _ in 0..3 {
        manager.until_line("WATCHDOG=1");
    }
    running.signal("TERM");
    assert_eq!(running.ended(), Some(0), "{}", home.log());
}

#[test]
fn a_watchdog_meant_for_another_process_is_left_alone() {
    let node = Node::devnode();
    let home = Home::new(&node, &paced(0.2), true);
    let mut manager = Manager::new();
    let other = [("WATCHDOG_USEC", "200000"), ("WATCHDOG_PID", "1")];
    let running = home.daemon(&manager, &other);
    manager.until("accepted blocks", |line| line.contains(" accepted"));
    assert_eq!(manager.count("WATCHDOG=1"), 0, "{:?}", manager.heard());
    running.signal("INT");
    assert_eq!(running.ended(), Some(0), "{}", home.log());
}

#[test]
fn switched_off_by_the_environment_it_ends_at_once_and_well() {
    let node = Node::devnode();
    let home = Home::new(&node, &paced(0.2), true);
    for word in ["false", "0", "No", "off"] {
        let mut manager = Manager::new();
        let running = home.daemon(&manager, &[("SIGNALCORE_ENABLED", word)]);
        assert_eq!(running.ended(), Some(0), "{word}: {}", home.log());
        // A service manager takes an end before that for a failure, and starts it again.
        manager.until_line("READY=1");
        manager.until_line("STOPPING=1");
        assert!(
            !home.data_dir().exists(),
            "{word}: nothing was opened, nothing was made"
        );
    }
    assert!(home.log().contains("SIGNALCORE_ENABLED"), "{}", home.log());
}

#[test]
fn a_switch_that_says_neither_yes_nor_no_is_a_mistake_of_configuration() {
    let node = Node::devnode();
    let home = Home::new(&node, &paced(0.2), true);
    let mut manager = Manager::new();
    let running = home.daemon(&manager, &[("SIGNALCORE_ENABLED", "perhaps")]);
    assert_eq!(running.ended(), Some(78), "{}", home.log());
    assert!(home.log().contains("perhaps"), "{}", home.log());
    manager.drain(Duration::from_millis(50));
    assert_eq!(manager.count("READY=1"), 0);
}

#[test]
fn a_configuration_of_no_use_is_told_the_service_manager_too() {
    let node = Node::devnode();
    let home = Home::new(&node, &paced(0.2), true);
    home.reconfigure("network = \"regtest\"", "network = \"regtesst\"");
    let mut manager = Manager::new();
    let running = home.daemon(&manager, &[]);
    assert_eq!(running.ended(), Some(78), "{}", home.log());
    let state = manager.until_line("STATUS=");
    assert!(state.contains("chain.network"), "{state}");
    assert_eq!(manager.count("READY=1"), 0);
}

#[test]
fn two_instances_of_one_data_dir_do_not_run_side_by_side() {
    let node = Node::devnode();
    let home = Home::new(&node, &paced(0.2), true);
    let mut manager = Manager::new();
    let running = home.daemon(&manager, &[]);
    manager.until_line("READY=1");
    let mut second = Manager::new();
    let other = home.daemon(&second, &[]);
    assert_eq!(other.ended(), Some(75), "{}", home.log());
    assert!(
        second.until_line("STATUS=").contains("another instance"),
        "{:?}",
        second.heard()
    );
    assert!(home.status().is_some(), "the first one still answers");
    running.signal("TERM");
    assert_eq!(running.ended(), Some(0), "{}", home.log());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let node = Node::devnode();
    let home = Home::new(&node, &paced(0.2), true);
    let mut manager = Manager::new();
    let running = home.daemon(&manager, &[]);
    manager.until("it mines", |line| line.contains(" accepted"));
    // A node that stands still makes the stop wait for what it was sent.
    node.freeze();
    until("a block waits for the node", || {
        let open = home
            .journal()
            .into_iter()
            .any(|entry| entry["state"] == "sent");
        open.then_some(())
    });
    running.signal("TERM");
    manager.until_line("STOPPING=1");
    // Signals half a second apart are one request.
    std::thread::sleep(Duration::from_millis(700));
    running.signal("TERM");
    let code = running.ended();
    node.thaw();
    assert_eq!(code, Some(75), "{}", home.log());
    assert!(home.log().contains("a second SIGTERM"), "{}", home.log());
}

#[test]
fn in_production_faults_are_refused_and_memory_is_kept_from_the_disk() {
    let node = Node::devnode();
    let home = Home::new(&node, &paced(0.2), true);
    let text = std::fs::read_to_string(home.config()).unwrap();
    std::fs::write(
        home.config(),
        format!("{text}[debug]\nfault_injection = true\n"),
    )
    .unwrap();
    let mut manager = Manager::new();
    let running = home.daemon(&manager, &[]);
    assert_eq!(running.ended(), Some(78), "{}", home.log());
    let log = home.log();
    assert!(
        log.contains("debug.fault_injection") && log.contains("profile = \"development\""),
        "{log}"
    );

    std::fs::write(home.config(), text).unwrap();
    let running = home.daemon(&manager, &[]);
    manager.until_line("READY=1");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.pid())).unwrap();
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        let columns: Vec<&str> = line[name.len()..].split_whitespace().collect();
        (columns[0].to_owned(), columns[1].to_owned())
    };
    assert_eq!(limit("Max core file size").0, "0", "{limits}");
    let (soft, hard) = limit("Max open files");
    assert!(soft == hard || soft == "65536", "{limits}");
    let mode = |name: &str| {
        let path = home.data_dir().join(name);
        let metadata = std::fs::metadata(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        metadata.permissions().mode() & 0o777
    };
    until("status.json", || {
        home.data_dir()
            .join("run/status.json")
            .exists()
            .then_some(())
    });
    assert_eq!(mode("run/status.json"), 0o640);
    assert_eq!(mode("run/control.sock"), 0o600);
    assert_eq!(mode("lock"), 0o600);
    assert_eq!(mode("run"), 0o750);
    assert_eq!(mode("journal"), 0o700);
    running.signal("TERM");
    assert_eq!(running.ended(), Some(0), "{}", home.log());
}

#[test]
fn where_too_much_hangs_the_watchdog_falls_silent_and_the_process_ends_with_70() {
    let node = Node::devnode();
    let home = Home::new(&node, &paced(0.2), true);
    let text = std::fs::read_to_string(home.config()).unwrap();
    let text = format!(
        "profile = \"development\"\n{text}[debug]\nfault_injection = true\nhang_after_s = 5.0\n"
    );
    std::fs::write(home.config(), text).unwrap();
    let mut manager = Manager::new();
    // One more than may be left behind.
    let plan = ["stats", "resources", "validator", "ingest"].map(|part| format!("{part}:hang@1"));
    let variables = [
        ("WATCHDOG_USEC", watchdog_usec()),
        ("SIGNALCORE_FAULT", plan.join(",")),
    ];
    let variables = variables.each_ref().map(|(name, value)| (*name, &**value));
    let running = home.daemon(&manager, &variables);
    manager.until_line("READY=1");
    manager.until_line("WATCHDOG=1");
    manager.until("the end", |line| {
        line == "STATUS=stopping: a part could not be kept up"
    });
    let told = manager.count("WATCHDOG=1");
    assert_eq!(running.ended(), Some(70), "{}", home.log());
    manager.drain(Duration::from_millis(50));
    assert_eq!(manager.count("WATCHDOG=1"), told, "{:?}", manager.heard());
    let journal = home.journal();
    let lost = |entry: &&serde_json::Value| entry["state"] == "rejected";
    assert_eq!(journal.iter().find(lost), None, "{journal:?}");
}
