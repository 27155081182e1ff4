//! `tune` measures in six phases, and what it chose is what the next start uses, for as long as it holds.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use common::node::Node;
use common::program::Home;
use common::scenarios::paced;
use common::until;
use serde_json::Value;

const PHASES: [&str; 6] = [
    "readiness",
    "node",
    "storage",
    "kernel",
    "threads and batch",
    "self-test",
];

/// A home that leaves kernel and threads to measurement.
fn free(node: &Node) -> Home {
    let home = Home::new(node, &paced(0.2), true);
    home.reconfigure("threads = 1", "threads = \"auto\"");
    home
}

fn autotune(home: &Home) -> PathBuf {
    home.data_dir().join("autotune.json")
}

fn read(home: &Home) -> Value {
    serde_json::from_slice(&fs::read(autotune(home)).unwrap()).unwrap()
}

/// Runs `tune --json`; its exit code and its document.
fn tune(home: &Home) -> (Option<i32>, Value) {
    let output = home.command(&["tune", "--seconds", "0.4", "--json"]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        stdout.lines().count(),
        1,
        "{stdout}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    (output.status.code(), serde_json::from_str(&stdout).unwrap())
}

fn statuses(report: &Value) -> Vec<&str> {
    let phases = report["phases"].as_array().unwrap();
    let names: Vec<_> = phases.iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, PHASES);
    phases
        .iter()
        .map(|phase| {
            assert!(phase["elapsed_s"].as_f64().unwrap() >= 0.0);
            assert!(!phase["message"].as_str().unwrap().is_empty());
            phase["status"].as_str().unwrap()
        })
        .collect()
}

/// Starts, waits for the first hashes, stops; what the status said of mining.
fn mining(home: &Home, environment: &[(&str, &str)]) -> Value {
    let running = home.start_with(environment);
    let mining = home.until_status("it hashes", |status| {
        let mining = &status["mining"];
        // Between two jobs there is none.
        let hashes = mining["hashrate_hs"].as_f64()? > 0.0 && mining["job"].is_object();
        hashes.then(|| mining.clone())
    });
    let (exit, _) = running.stop();
    assert!(exit.success(), "{exit}\n{}", home.log());
    mining
}

/// Changes the file that `tune` wrote.
fn rewrite(home: &Home, change: impl FnOnce(&mut Value)) {
    let mut document = read(home);
    change(&mut document);
    fs::write(autotune(home), document.to_string()).unwrap();
}

#[test]
fn six_phases_choose_and_the_next_run_uses_what_they_chose() {
    let node = Node::devnode();
    let home = free(&node);
    let (code, report) = tune(&home);
    assert_eq!(code, Some(0), "{report}");
    let statuses = statuses(&report);
    // The machine may be busy and its disk slow, which is said and no failure.
    assert!(!statuses.contains(&"FAILED"), "{report}");
    for sure in [1, 3, 4, 5] {
        assert_eq!(statuses[sure], "SUCCESS", "{report}");
    }
    let kernel = report["kernel"].as_str().unwrap();
    let threads = report["threads"].as_u64().unwrap();
    assert!(
        report["kernels"]
            .as_array()
            .unwrap()
            .iter()
            .any(|k| k["kernel"] == kernel)
    );
    assert!(threads >= 1 && report["batch"].as_u64().unwrap() >= 1);
    assert!(report["hashrate_hs"].as_f64().unwrap() > 0.0);
    assert_eq!(report["path"], autotune(&home).to_str().unwrap());
    let mode = fs::metadata(autotune(&home)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);

    let mining = mining(&home, &[]);
    assert_eq!(mining["kernel"], kernel, "{mining}");
    assert_eq!(mining["threads"], threads);
    assert_eq!(mining["kernel_source"], "tune");
    assert!(mining["tuned_thread_hs"].as_f64().unwrap() > 0.0);
    home.until_said(&format!("kernel {kernel}: "));
    home.until_said("autotune.json");
}

#[test]
fn what_was_tuned_is_used_as_it_stands_unless_something_is_forced() {
    let node = Node::devnode();
    let home = free(&node);
    assert_eq!(tune(&home).0, Some(0));
    // What no measurement here would find.
    rewrite(&home, |document| {
        document["kernel"] = "scalar".into();
        document["threads"]["count"] = 3.into();
        document["threads"]["versions"] = 5.into();
    });
    let tuned = mining(&home, &[]);
    assert_eq!(
        (&tuned["kernel"], &tuned["threads"]),
        (&"scalar".into(), &3.into())
    );
    assert_eq!(tuned["job"]["versions"], 5, "{tuned}");

    let kernel = read(&home)["kernels"][0]["kernel"].clone();
    let name = kernel.as_str().unwrap();
    let forced = mining(&home, &[("SIGNALCORE_KERNEL", name)]);
    assert_eq!(
        (&forced["kernel"], &forced["threads"]),
        (&kernel, &3.into())
    );
    assert_eq!(forced["kernel_source"], "forced");
    home.until_said("forced by SIGNALCORE_KERNEL");

    home.reconfigure("threads = \"auto\"", "threads = 1");
    let forced = mining(&home, &[]);
    assert_eq!(
        (&forced["kernel"], &forced["threads"]),
        (&"scalar".into(), &1.into())
    );
    assert!(
        forced["tuned_thread_hs"].is_null(),
        "it is for three threads: {forced}"
    );
}

/// What makes a kept measurement one that does not hold.
type Spoil = fn(&mut Value);

#[test]
fn what_holds_no_longer_is_measured_again_at_the_start() {
    let node = Node::devnode();
    let home = free(&node);
    assert_eq!(tune(&home).0, Some(0));
    let tuned = read(&home);
    let stale: [(&str, Spoil); 4] = [
        ("hours old", |document| {
            document["measured_at"] = "2020-01-01T00:00:00Z".into();
        }),
        ("another CPU", |document| {
            document["key"]["cpu"] = "another".into();
        }),
        ("another version", |document| {
            document["key"]["program"] = "0.0.0".into();
        }),
        ("another configuration", |document| {
            document["key"]["configuration"] = "another".into();
        }),
    ];
    for (words, change) in stale {
        fs::write(autotune(&home), tuned.to_string()).unwrap();
        rewrite(&home, |document| {
            document["threads"]["count"] = 5.into();
            change(document);
        });
        let mining = mining(&home, &[]);
        assert_eq!(mining["kernel_source"], "start", "{words}: {mining}");
        assert_ne!(mining["threads"], 5, "{words}");
        home.until_said(words);
        until("the new measurement is kept", || {
            (read(&home)["source"] == "start").then_some(())
        });
    }
}

#[test]
fn a_damaged_file_is_set_aside_and_made_anew() {
    let node = Node::devnode();
    let home = free(&node);
    fs::create_dir(home.data_dir()).unwrap();
    fs::write(autotune(&home), "{\"version\":1,\"ke").unwrap();
    let mining = mining(&home, &[]);
    assert_eq!(mining["kernel_source"], "start");
    home.until_said("autotune.json.corrupt-");
    until("a new one", || autotune(&home).exists().then_some(()));
    assert_eq!(read(&home)["kernel"], mining["kernel"]);
}

#[test]
fn without_a_node_the_rest_is_tuned_and_the_phase_says_so() {
    let node = Node::devnode();
    let home = free(&node);
    drop(node);
    let (code, report) = tune(&home);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(statuses(&report)[1], "FAILED");
    assert!(autotune(&home).exists());
}

#[test]
fn beside_a_running_instance_tuning_says_that_its_figures_are_too_low() {
    let node = Node::devnode();
    let home = free(&node);
    let running = home.start();
    home.until_status("it runs", |status| {
        (status["mining"]["hashrate_hs"].as_f64()? > 0.0).then_some(())
    });
    let (code, report) = tune(&home);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(statuses(&report)[0], "PARTIAL");
    assert!(
        report["advice"].to_string().contains("an instance runs"),
        "{report}"
    );
    assert!(running.stop().0.success());
}

#[test]
fn a_directory_that_cannot_be_written_is_said_and_fails_the_command() {
    let node = Node::devnode();
    let home = free(&node);
    // A file where the directory should be: no privileges help.
    fs::write(home.data_dir(), "").unwrap();
    let (code, report) = tune(&home);
    assert_eq!(code, Some(1), "{report}");
    assert_eq!(statuses(&report)[2], "FAILED");
    assert!(report["path"].is_null());
    let advice = report["advice"].to_string();
    assert!(advice.contains("could not be kept"), "{advice}");
}

#[test]
fn people_get_a_line_for_each_phase_and_a_wrong_time_is_refused() {
    let node = Node::devnode();
    let home = free(&node);
    let output = home.command(&["tune", "--seconds", "0.2"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for phase in PHASES {
        assert!(
            text.lines().any(|line| line.contains(phase)),
            "{phase}: {text}"
        );
    }
    assert!(
        text.contains("chosen") && text.contains("autotune.json"),
        "{text}"
    );
    for wrong in ["0", "-1", "nan", "1e9"] {
        let output = home.command(&["tune", &format!("--seconds={wrong}")]);
        assert_eq!(output.status.code(), Some(1), "{wrong}");
        assert!(output.stdout.is_empty());
    }
}
