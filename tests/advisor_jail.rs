//! The jail as this program has it, and the built-in advisor within the limits there are by default.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use advisor::jail::orders::{Cell, Limits};
use advisor::process::{COMMAND, Jail};
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_signalcore");

fn cell(dir: &Path) -> Cell {
    Cell {
        // Within the jail that is this program, under whatever name it was started.
        command: ["/proc/self/exe", "advisor", "--state", "learnt.json"]
            .map(str::to_owned)
            .into(),
        dir: dir.join("advisor"),
        env: BTreeMap::new(),
        readable: Vec::new(),
        limits: Limits::default(),
    }
}

fn question(id: &str) -> Vec<u8> {
    let question = json!({
        "v": 1, "id": id, "attempt": 1, "kind": "tip", "network": "regtest", "height": 7,
        "tip": "00".repeat(32),
        "validation": {"verdict": "AUTHENTIC", "coverage": 1.0, "level": 7},
        "mining": {},
    });
    question.to_string().into_bytes()
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(future)
}

fn id_of(answer: &[u8]) -> Value {
    let answer: Value = serde_json::from_slice(answer).expect("a document");
    assert!(answer["recommendation"].is_string(), "{answer}");
    answer["id"].clone()
}

#[test]
fn the_built_in_advisor_answers_in_the_jail_and_remembers() {
    let dir = tempfile::tempdir().expect("a directory");
    let jail = Jail::new(PROGRAM, [COMMAND]);
    let cell = cell(dir.path());
    block_on(async {
        for id in ["first", "second"] {
            let answer = jail
                .ask_once(&cell, &question(id), Duration::from_mins(1))
                .await;
            assert_eq!(id_of(&answer.expect("an answer")), id);
            assert!(cell.dir.join("learnt.json").exists());
        }
        let mut session = jail.open(&cell).expect("a session");
        for id in ["third", "fourth"] {
            session.send(&question(id)).expect("it reads");
            assert_eq!(id_of(&session.receive().await.expect("an answer")), id);
        }
        session.end().await;
    });
}

#[test]
fn the_jail_is_no_command_for_people() {
    let help = Command::new(PROGRAM)
        .arg("--help")
        .output()
        .expect("it runs");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(
        help.contains("devnode") && !help.contains(COMMAND),
        "{help}"
    );
    // Without anybody to tell it what to do it ends at once.
    let alone = Command::new(PROGRAM)
        .arg(COMMAND)
        .stdin(std::process::Stdio::null())
        .output();
    assert!(!alone.expect("it runs").status.success());
}
