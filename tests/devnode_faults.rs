//! `devnode --fault FILE`: the whole program beside a node that errs by a script.
#![allow(clippy::unwrap_used)]

mod common;

use std::process::{Command, Stdio};

use common::account::balances;
use common::node::Node;
use common::program::Home;
use common::scenarios::paced;
use serde_json::json;
use tempfile::TempDir;

/// A file with these faults.
fn script(text: &str) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("faults.toml");
    std::fs::write(&file, text).unwrap();
    let name = file.to_str().unwrap().to_owned();
    (dir, name)
}

#[test]
fn blocks_are_accepted_although_every_second_answer_is_lost() {
    let (_dir, file) = script(
        "[[rpc]]\nmethod = 'submitblock'\nwhen = { nth = 1, every = 2 }\ncarried_out = true\nfault = { drop = 'read' }\n\
         [[rpc]]\nmethod = 'getblocktemplate'\nwhen = { every = 3 }\nfault = { status = 503 }\n\
         [[zmq]]\ntopic = 'rawblock'\nwhen = { every = 2 }\nfault = 'gap'\n",
    );
    let node = Node::devnode_with(&["--fault", &file]);
    let home = Home::new(&node, &paced(0.2), true);
    home.mine(4);
    let journal = home.journal();
    assert!(journal.len() >= 4, "{journal:?}");
    for entry in journal.iter().filter(|entry| entry["state"] == "accepted") {
        let header = node.call("getblockheader", json!([entry["hash"]]));
        assert_eq!(
            header["confirmations"].as_i64().map(|n| n >= 1),
            Some(true),
            "{entry}"
        );
    }
    assert!(
        journal.iter().all(|entry| entry["state"] != "rejected"),
        "{journal:?}"
    );
}

#[test]
fn templates_that_are_of_no_use_end_no_mining() {
    let wrong_height = "patch = '{\"height\": 1000}'";
    let too_much = "patch = '{\"coinbasevalue\": 2100000000000000}'";
    let unreadable = "garbage = 'wrong_types'";
    for fault in [wrong_height, too_much, unreadable] {
        let rules = ["template", "longpoll"].map(|mode| {
            format!(
                "[[rpc]]\nmethod = 'getblocktemplate'\nmode = '{mode}'\nwhen = {{ from_height = 2 }}\n\
                 fault = {{ {fault} }}\n"
            )
        });
        let (_dir, file) = script(&rules.concat());
        let node = Node::devnode_with(&["--fault", &file]);
        let home = Home::new(&node, &paced(0.2), true);
        let running = home.start();
        home.until_status("it mines on with nothing but the coinbase", |status| {
            let accepted = status["blocks"]["accepted"].as_u64()?;
            let reason = status["mining"]["fallback"].as_str();
            let is_said = reason.is_some_and(|reason| reason.contains("nothing but the coinbase"));
            (accepted >= 6 && (is_said || fault == unreadable)).then_some(())
        });
        let (status, last) = running.stop();
        assert!(status.success(), "{status}\n{}", home.log());
        balances(&home, &node, &last);
    }
}

#[test]
fn faults_that_make_no_sense_end_the_start() {
    let (_dir, file) = script("[[rpc]]\nmethod = 'submitblock'\nfault = { exploed = 1 }\n");
    let output = Command::new(env!("CARGO_BIN_EXE_signalcore"))
        .args([
            "devnode",
            "--rpc",
            "127.0.0.1:0",
            "--zmq",
            "127.0.0.1:0",
            "--fault",
            &file,
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    let message = String::from_utf8(output.stderr).unwrap();
    for part in [&file, "rpc[0].fault", "`exploed`", "`drop`"] {
        assert!(message.contains(part), "{message}");
    }
}
