//! What must stay as it is in the unit that is shipped, whatever else is changed in it.
#![allow(clippy::unwrap_used)]

use std::process::Command;

const UNIT: &str = include_str!("../systemd/signalcore.service");

/// Every value of a key in a section, in order.
fn values(section: &str, key: &str) -> Vec<&'static str> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in UNIT.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == format!("[{section}]");
        } else if inside
            && !line.starts_with('#')
            && let Some((name, value)) = line.split_once('=')
            && name == key
        {
            found.push(value);
        }
    }
    found
}

fn service(key: &str) -> Option<&'static str> {
    let values = values("Service", key);
    assert!(values.len() <= 1, "{key} stands there once");
    values.first().copied()
}

#[test]
fn the_service_manager_is_told_and_told_when_it_hangs() {
    assert_eq!(service("Type"), Some("notify"));
    assert_eq!(service("NotifyAccess"), Some("main"));
    assert!(service("WatchdogSec").is_some());
    assert_eq!(service("ExecReload"), Some("/bin/kill -HUP $MAINPID"));
    let command = service("ExecStart").unwrap();
    assert!(command.contains("signalcore daemon --config "), "{command}");
}

#[test]
fn it_is_restarted_for_ever_but_not_after_a_mistake_of_its_operator() {
    assert_eq!(service("Restart"), Some("on-failure"));
    assert_eq!(service("RestartPreventExitStatus"), Some("2 78"));
    assert_eq!(values("Unit", "StartLimitIntervalSec"), ["0"]);
    for strong in ["Requires", "BindsTo", "Requisite", "PartOf"] {
        assert!(
            values("Unit", strong).is_empty(),
            "{strong}: a node that stops must not take it along"
        );
    }
}

#[test]
fn what_children_of_it_need_is_not_taken_from_them() {
    assert_eq!(
        service("MemoryDenyWriteExecute"),
        None,
        "advisors with a JIT"
    );
    assert_eq!(
        service("PrivateUsers"),
        None,
        "the cookie's group, the socket"
    );
    assert_eq!(service("ProcSubset"), Some("all"), "meminfo");
    let filters = values("Service", "SystemCallFilter");
    assert!(filters.contains(&"@system-service"), "{filters:?}");
    assert!(
        !filters.iter().any(|filter| filter.contains("@resources")),
        "limits, affinity, niceness: {filters:?}"
    );
    // What locks advisors in further.
    let jail = "landlock_create_ruleset landlock_add_rule landlock_restrict_self seccomp";
    assert!(filters.contains(&jail), "{filters:?}");
    assert!(service("TasksMax").is_some());
}

#[test]
fn the_node_is_reached_on_this_machine_alone_and_its_cookie_through_its_group() {
    assert_eq!(service("IPAddressDeny"), Some("any"));
    assert_eq!(service("IPAddressAllow"), Some("localhost"));
    assert!(
        UNIT.contains("#   IPAddressAllow="),
        "a node elsewhere is explained"
    );
    assert_eq!(service("SupplementaryGroups"), Some("bitcoin"));
    for copy in ["LoadCredential", "BindReadOnlyPaths", "BindPaths"] {
        assert_eq!(
            service(copy),
            None,
            "{copy} does not survive a restart of the node"
        );
    }
}

#[test]
fn it_has_directories_and_a_user_of_its_own() {
    for kind in ["Runtime", "State", "Logs"] {
        assert_eq!(service(&format!("{kind}Directory")), Some("signalcore"));
        assert_eq!(service(&format!("{kind}DirectoryMode")), Some("0750"));
    }
    assert_eq!(service("User"), Some("signalcore"));
    assert_eq!(service("Group"), Some("signalcore"));
    assert_eq!(service("UMask"), Some("0077"));
    assert_eq!(service("DynamicUser"), None, "files keep their owner");
}

#[test]
fn the_configuration_beside_it_names_the_units_directories_and_lacks_what_nobody_can_guess() {
    let text = include_str!("../systemd/signalcore.toml");
    for line in [
        "data_dir = \"/var/lib/signalcore\"",
        "runtime_dir = \"/run/signalcore\"",
        "log_dir = \"/var/log/signalcore\"",
    ] {
        assert!(text.contains(line), "{line}");
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("signalcore.toml");
    let check = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_signalcore"))
            .args(["config", "check", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), stderr)
    };
    let (code, stderr) = check(text);
    assert_eq!(code, Some(78), "{stderr}");
    assert!(stderr.contains("chain.network"), "{stderr}");
    let text = text
        .replace("network = \"\"", "network = \"main\"")
        .replace(
            "payout_address = \"\"",
            "payout_address = \"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4\"",
        );
    let (code, stderr) = check(&text);
    assert_eq!(code, Some(0), "{stderr}");
}
