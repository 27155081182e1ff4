//! The advisor through the whole program: real commands, good and bad, beside a miner that goes on.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::health::{check, until_checked};
use common::manager::Manager;
use common::node::Node;
use common::program::Home;
use common::scenarios::paced;
use common::until;
use serde_json::Value;

/// A home whose program mines a block every half second, asking `script`.
fn home(node: &Node, script: &str, keys: &str) -> Home {
    let home = Home::new(node, &paced(0.5), true);
    home.advised_by(script, keys);
    home
}

/// A script's answer.
fn says(recommendation: &str, confidence: f64, more: &str) -> String {
    format!(
        "printf '{{\"v\":1,\"id\":\"%s\",\"recommendation\":\"{recommendation}\",\"confidence\":{confidence},\
         \"reason\":\"the script says so\"{more}}}\\n' \"$id\""
    )
}

fn hashes(status: &Value) -> u64 {
    let workers = status["mining"]["workers"].as_array().unwrap();
    workers.iter().map(|w| w["hashes"].as_u64().unwrap()).sum()
}

fn decision<'a>(status: &'a Value, key: &str) -> &'a str {
    status["advisor"]["decision"][key]
        .as_str()
        .unwrap_or_default()
}

/// Waits until the program has found so many more blocks than now.
fn mines_on(home: &Home, blocks: u64) {
    let found = |status: &Value| status["blocks"]["accepted"].as_u64();
    let before = home.until_status("a count of blocks", found);
    home.until_status("mining goes on", |status| {
        (found(status)? >= before + blocks).then_some(())
    });
}

fn is_there(pid: &str) -> bool {
    Path::new("/proc").join(pid).join("cmdline").exists()
}

#[test]
fn a_hold_stops_the_hashing_threads_and_they_go_on_by_themselves() {
    let node = Node::devnode();
    let keys = "hold_max_s = 4.0";
    let home = home(&node, &says("HOLD", 0.9, ",\"hold_s\":4"), keys);
    let running = home.start();
    for _ in 0..2 {
        let held = home.until_status("hashing is held", |status| {
            (status["state"] == "held").then(|| status.clone())
        });
        assert_eq!(decision(&held, "decision"), "HOLD", "{held}");
        assert_eq!(decision(&held, "by"), "advisor", "{held}");
        assert_eq!(decision(&held, "reason"), "the script says so", "{held}");
        let last = &held["advisor"]["last_advice"];
        assert_eq!(last["counts"], true, "{held}");
        // A thread that was at a slice of its work when it was parked has counted it by the next look.
        let parked = home.until_status("the threads are parked", |status| {
            let again = home.status()?;
            (hashes(status) == hashes(&again)).then(|| hashes(status))
        });
        home.until_status("hashing goes on", |status| {
            (hashes(status) > parked).then_some(())
        });
        mines_on(&home, 1);
    }
    let (exit, last) = running.stop();
    assert!(exit.success(), "{last}");
}

#[test]
fn all_holds_together_keep_to_their_share_of_the_day_in_this_run_and_the_next() {
    let node = Node::devnode();
    let keys = "hold_max_s = 1.0\nhold_max_ratio = 0.00003";
    let home = home(&node, &says("HOLD", 0.9, ",\"hold_s\":1e9"), keys);
    let is_used_up = |status: &Value| {
        let by = decision(status, "by");
        let reason = decision(status, "reason");
        (by == "guards" && reason.contains("hold_max_ratio")).then(|| status.clone())
    };
    let held_s = |status: &Value| {
        let held = status["advisor"]["decision"]["held_s"].as_f64().unwrap();
        let allowed = status["advisor"]["decision"]["hold_allowed_s"].as_f64();
        assert!(held <= allowed.unwrap() + 1e-6, "{status}");
        held
    };
    let running = home.start();
    let spent = home.until_status("the share is used up", is_used_up);
    let before = held_s(&spent);
    assert!(before > 1.0, "{spent}");
    running.kill();
    let running = home.start();
    let again = home.until_status("the next run knows", is_used_up);
    assert!(held_s(&again) >= before - 0.1, "{again}");
    mines_on(&home, 2);
    running.stop();
    assert!(home.data_dir().join("holds.json").exists());
}

#[test]
fn advice_that_is_not_sure_of_itself_is_ignored_and_that_is_said() {
    let node = Node::devnode();
    let home = home(&node, &says("HOLD", 0.2, ",\"hold_s\":600"), "");
    let running = home.start();
    let status = home.until_status("the advice is ignored", |status| {
        let reason = decision(status, "reason");
        reason
            .contains("its confidence of 0.20 is below 0.50")
            .then(|| status.clone())
    });
    assert_eq!(decision(&status, "decision"), "PROCEED", "{status}");
    assert_eq!(decision(&status, "by"), "policy", "{status}");
    assert_eq!(status["advisor"]["available"], true, "{status}");
    assert_eq!(status["advisor"]["last_advice"]["counts"], false);
    mines_on(&home, 2);
    running.stop();
}

#[test]
fn whatever_a_command_does_instead_of_answering_is_counted_and_mining_goes_on() {
    let node = Node::devnode();
    for (script, outcome) in [
        ("exit 3", "crash"),
        ("kill -9 $$", "signal"),
        ("echo 'HOLD everything!'", "garbage"),
        ("exit 0", "empty"),
        ("exec 1>&-; sleep 1000", "timeout"),
        ("trap '' TERM; sleep 1000", "timeout"),
        ("yes '{' | tr -d '\\n'", "too_large"),
        ("echo '{\"v\":2,\"id\":\"x\"}'", "wrong_schema"),
        ("id=another; REPLY", "wrong_id"),
    ] {
        let script = script.replace("REPLY", &says("HOLD", 1.0, ",\"hold_s\":600"));
        // Tips that come faster than a try may take overtake it.
        let home = Home::new(&node, &paced(2.0), true);
        home.advised_by(&script, "timeout_s = 1.0\nattempts = 1");
        let running = home.start();
        let status = home.until_status(outcome, |status| {
            let count = status["advisor"]["outcomes"][outcome].as_u64()?;
            (count > 0).then(|| status.clone())
        });
        assert_eq!(decision(&status, "by"), "policy", "{outcome}: {status}");
        mines_on(&home, 1);
        running.stop();
        assert!(
            !home.log().contains("panicked"),
            "{outcome}: {}",
            home.log()
        );
    }
}

#[test]
fn a_command_that_is_not_there_is_said_and_is_a_warning_and_no_more() {
    let node = Node::devnode();
    let home = Home::new(&node, &paced(0.5), true);
    let text = "command = [\"/nonexistent/advisor\"]\npause_s = 0.1";
    home.reconfigure("command = []", text);
    let running = home.start();
    let checked = until_checked("the advisor is missed", &home, |checked| {
        checked.component("advisor").0 == "WARNING"
    });
    let (_, message) = checked.component("advisor");
    assert!(message.contains("mathematical policy"), "{message}");
    let status = home.until_status("it is said", |status| {
        status["advisor"]["trouble"]
            .as_str()
            .map(|_| status.clone())
    });
    assert_eq!(status["advisor"]["available"], false, "{status}");
    home.until_said("the advisor does not answer");
    // After enough failures it is left alone for a while.
    home.until_status("the breaker opens", |status| {
        (status["advisor"]["breaker"] == "open").then_some(())
    });
    mines_on(&home, 1);
    running.stop();
}

#[test]
fn a_persistent_command_that_keeps_dying_is_left_out_with_one_alert_until_the_next_reload() {
    let node = Node::devnode();
    let home = home(&node, "exit 3", "mode = \"persistent\"\npause_s = 0.1");
    let mut manager = Manager::new();
    let running = home.daemon(&manager, &[]);
    manager.until_line("READY=1");
    let status = home.until_status("it is left out", |status| {
        (status["advisor"]["state"] == "left_out").then(|| status.clone())
    });
    let trouble = status["advisor"]["trouble"].as_str().unwrap();
    assert!(trouble.contains("ended"), "{trouble}");
    mines_on(&home, 2);
    let (state, message) = {
        let checked = check(&home, &[]);
        let (state, message) = checked.component("advisor");
        (state.to_owned(), message.to_owned())
    };
    assert_eq!(state, "WARNING", "{message}");
    assert!(message.contains("left out"), "{message}");
    let alerts = home.log().matches("the advisor is left out").count();
    // Once to the terminal and once to the file.
    assert!((1..=2).contains(&alerts), "{alerts}: {}", home.log());

    home.reconfigure("mode = \"persistent\"", "mode = \"oneshot\"");
    home.advise_otherwise("exit 3", &says("PROCEED", 0.9, ""));
    running.signal("HUP");
    home.until_status("it is asked again", |status| {
        (status["advisor"]["available"] == true).then_some(())
    });
    running.signal("TERM");
    assert_eq!(running.ended(), Some(0), "{}", home.log());
}

#[test]
fn a_blocking_gate_waits_no_longer_than_its_deadline() {
    let node = Node::devnode();
    let keys = "gate = \"blocking\"\ntimeout_s = 600.0\ndeadline_s = 1.0";
    let home = home(&node, "sleep 1000", keys);
    let running = home.start();
    let waiting = home.until_status("it waits", |status| {
        (decision(status, "decision") == "WAIT").then(|| status.clone())
    });
    assert_eq!(waiting["state"], "held", "{waiting}");
    mines_on(&home, 3);
    running.stop();
}

#[test]
fn the_built_in_advisor_answers_in_its_sandbox() {
    let node = Node::devnode();
    let home = Home::new(&node, &paced(0.5), true);
    home.reconfigure("command = []", "command = [\"builtin\"]");
    let running = home.start();
    let status = home.until_status("it answers", |status| {
        (status["advisor"]["available"] == true).then(|| status.clone())
    });
    let advisor = &status["advisor"];
    assert_eq!(advisor["command"], "builtin", "{advisor}");
    assert!(advisor["outcomes"]["ok"].as_u64() > Some(0), "{advisor}");
    assert!(
        advisor["latency_s"]["p50"].as_f64() > Some(0.0),
        "{advisor}"
    );
    assert!(advisor["sandbox"].is_object(), "{advisor}");
    until("it has learnt", || {
        home.data_dir()
            .join("advisor/model.json")
            .exists()
            .then_some(())
    });
    home.until_status("its advice is judged", |status| {
        (status["advisor"]["track_record"]["judged"].as_u64()? > 0).then_some(())
    });
    let shown = home.command(&["status"]);
    let shown = String::from_utf8_lossy(&shown.stdout);
    for line in [
        "decision  PROCEED by",
        "advisor   builtin (oneshot, async)",
        "sandbox: landlock",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let checked = check(&home, &[]);
    assert_eq!(checked.component("advisor").0, "OK", "{}", checked.report);
    running.stop();
}

#[test]
fn nothing_of_an_advisor_is_left_when_the_program_stops_or_is_killed() {
    let node = Node::devnode();
    let script = "echo $$ > pid.new; sh -c 'setsid sleep 1000 & echo $! > daemon'; mv pid.new pid; sleep 1000";
    for mode in ["oneshot", "persistent"] {
        for kill in [false, true] {
            // No new tips: the question is never overtaken.
            let home = Home::new(&node, &paced(3600.0), true);
            home.advised_by(
                script,
                &format!("mode = \"{mode}\"\ntimeout_s = 600.0\ndeadline_s = 600.0"),
            );
            let running = home.start();
            let dir = home.data_dir().join("advisor");
            let pids = until("it runs", || {
                let read = |name| std::fs::read_to_string(dir.join(name)).ok();
                Some([read("pid")?, read("daemon")?].map(|pid| pid.trim().to_owned()))
            });
            assert!(pids.iter().any(|pid| is_there(pid)), "{mode}: {pids:?}");
            if kill {
                running.kill();
            } else {
                running.stop();
            }
            until("nothing is left", || {
                pids.iter().all(|pid| !is_there(pid)).then_some(())
            });
        }
    }
}
