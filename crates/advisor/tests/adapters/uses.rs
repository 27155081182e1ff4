//! How it is called, by people and by the daemon.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use advisor::jail::orders::{Cell, Limits};
use advisor::process::Jail;
use advisor::protocol::Reply;
use serde_json::json;

use super::model_server::{Api, MODEL, says, serving};
use super::python::interpreter;
use super::{adapter, question, script, stderr};

#[test]
fn what_is_no_question_and_wrong_options_are_refused_in_a_line() {
    if interpreter().is_none() {
        return;
    }
    for line in [json!([]), json!(7), json!({ "v": 1 })] {
        let (output, _) = serving(Api::Ollama, &says("PROCEED"), |url| {
            adapter(Api::Ollama, url, &[], std::slice::from_ref(&line))
        });
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert!(
            stderr(&output).contains("not a question"),
            "{}",
            stderr(&output)
        );
    }
    for options in [
        ["--url", "ftp://localhost"],
        ["--url", "http://:x"],
        ["--timeout", "0"],
        ["--key-file", "/nonexistent"],
    ] {
        let output = adapter(Api::Ollama, "http://127.0.0.1:1", &options, &[]);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{options:?} {}",
            stderr(&output)
        );
    }
}

#[test]
fn its_help_says_how_it_is_used() {
    let Some(python) = interpreter() else { return };
    let output = Command::new(python)
        .arg("-I")
        .arg(script())
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for word in [
        "ollama",
        "openai",
        "--model",
        "--url",
        "--key-file",
        "docs/advisor.md",
    ] {
        assert!(help.contains(word), "{help}");
    }
}

/// With the memory that a command may have by default, and all else that the jail forbids.
#[test]
fn it_works_in_the_jail_for_one_question_and_for_many() {
    let Some(python) = interpreter() else { return };
    let words = r#"{"recommendation": "RETRY", "confidence": 0.6, "reason": "from the jail"}"#;
    let jail = Jail::new(env!("CARGO_BIN_EXE_advisor-jail"), [""; 0]);
    let dir = tempfile::tempdir().unwrap();
    let line = |id| question(id).to_string().into_bytes();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (replies, _) = serving(Api::Ollama, &says(words), |url| {
        let script = script();
        let command = [
            python,
            "-I",
            script.to_str().unwrap(),
            "ollama",
            "--model",
            MODEL,
            "--url",
            url,
        ];
        let cell = Cell {
            command: command.iter().map(ToString::to_string).collect(),
            dir: dir.path().join("work"),
            env: BTreeMap::new(),
            readable: Vec::new(),
            limits: Limits::default(),
        };
        let limit = Duration::from_mins(1);
        runtime.block_on(async {
            let mut replies = vec![jail.ask_once(&cell, &line("q0"), limit).await];
            let mut session = jail.open(&cell).unwrap();
            for id in ["q1", "q2"] {
                session.send(&line(id)).unwrap();
                replies.push(
                    tokio::time::timeout(limit, session.receive())
                        .await
                        .unwrap(),
                );
            }
            session.end().await;
            replies
        })
    });
    for (reply, id) in replies.into_iter().zip(["q0", "q1", "q2"]) {
        assert_eq!(
            Reply::parse(&reply.unwrap(), id).unwrap().reason,
            "from the jail"
        );
    }
}
