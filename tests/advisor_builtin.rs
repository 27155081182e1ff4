//! `signalcore advisor` speaks the advisor's protocol on standard input and output, learns, and keeps what it learnt.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use advisor::jail::orders::{Cell, Limits};
use advisor::process::{COMMAND, Jail};
use advisor::protocol::{Recommendation, Reply, Request};
use serde_json::{Value, json};

fn question(id: &str, height: u32, tip: char) -> Value {
    json!({
        "v": 1, "id": id, "attempt": 1, "kind": "tip", "network": "main",
        "height": height, "tip": tip.to_string().repeat(64),
        "validation": { "verdict": "AUTHENTIC", "coverage": 1.0, "level": 16000 },
        "template": { "transactions": 2000, "fees_sat": 9_000_000, "weight": 3_900_000, "age_s": 0.5 },
        "mining": { "hashrate_hs": 1e9, "expected_block_s": 1e12 },
        "recent_intervals_s": [30.0, 30.0, 30.0],
        "system": { "cpu": 0.9, "memory_mb": 4000.0, "temperature_c": 50.0 },
    })
}

fn start(arguments: &[&str], directory: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_signalcore"))
        .arg("advisor")
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Asks one advisor everything, and waits until it has ended.
fn ask(arguments: &[&str], directory: &Path, questions: &[u8]) -> Output {
    let mut advisor = start(arguments, directory);
    let mut stdin = advisor.stdin.take().unwrap();
    // Who ends at once reads nothing.
    drop(stdin.write_all(questions));
    drop(stdin);
    advisor.wait_with_output().unwrap()
}

fn line(question: &Value) -> Vec<u8> {
    format!("{question}\n").into_bytes()
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn answers_one_question_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let output = ask(&[], dir.path(), &line(&question("one", 800_000, 'a')));
    assert!(output.status.success(), "{output:?}");
    let reply = Reply::parse(&output.stdout, "one").unwrap();
    assert_eq!(reply.recommendation, Recommendation::Proceed);
    assert!(reply.reason.contains("worthwhile"), "{}", reply.reason);
    assert!(
        names(dir.path()).is_empty(),
        "nothing is written unless asked for"
    );
}

#[test]
fn answers_each_question_as_it_comes_and_ends_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut advisor = start(&["--state", "model.json"], dir.path());
    let mut stdin = advisor.stdin.take().unwrap();
    let mut stdout = BufReader::new(advisor.stdout.take().unwrap());
    for (n, tip) in ('a'..='f').enumerate() {
        let id = format!("q{n}");
        stdin
            .write_all(&line(&question(&id, 100 + n as u32, tip)))
            .unwrap();
        let mut reply = String::new();
        stdout.read_line(&mut reply).unwrap();
        assert_eq!(
            Reply::parse(reply.as_bytes(), &id).unwrap().recommendation,
            Recommendation::Proceed
        );
    }
    drop(stdin);
    assert!(advisor.wait().unwrap().success());
    let model = fs::read_to_string(dir.path().join("model.json")).unwrap();
    assert!(
        model.contains(&"f".repeat(64)),
        "the last question was learnt from: {model}"
    );
}

#[test]
fn what_was_learnt_is_there_before_the_answer_and_for_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut advisor = start(&["--state", "model.json"], dir.path());
    let mut stdin = advisor.stdin.take().unwrap();
    stdin.write_all(&line(&question("q", 100, 'a'))).unwrap();
    let mut reply = String::new();
    BufReader::new(advisor.stdout.take().unwrap())
        .read_line(&mut reply)
        .unwrap();
    // Whoever has its answer may end it at once.
    advisor.kill().unwrap();
    advisor.wait().unwrap();
    let first = fs::read_to_string(dir.path().join("model.json")).unwrap();

    let output = ask(
        &["--state", "model.json"],
        dir.path(),
        &line(&question("q", 101, 'b')),
    );
    assert!(output.status.success(), "{output:?}");
    let second: Value =
        serde_json::from_slice(&fs::read(dir.path().join("model.json")).unwrap()).unwrap();
    let first: Value = serde_json::from_str(&first).unwrap();
    let stayed = |model: &Value| model["tips"]["authentic"]["yes"].as_f64().unwrap();
    assert!(
        stayed(&second) > stayed(&first) + 0.5,
        "the first tip stayed: {first} {second}"
    );
    assert_eq!(names(dir.path()), ["model.json"]);
}

#[test]
fn a_damaged_file_is_set_aside_and_learning_begins_anew() {
    for damage in ["", "{", "{\"v\":9}", "[1]", "\u{0}\u{1}"] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("model.json"), damage).unwrap();
        let output = ask(
            &["--state", "model.json"],
            dir.path(),
            &line(&question("q", 100, 'a')),
        );
        assert!(output.status.success(), "{output:?}");
        Reply::parse(&output.stdout, "q").unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("model.json.corrupt-"), "{said}");
        let names = names(dir.path());
        assert_eq!(names.len(), 2, "{names:?}");
        assert_eq!(
            fs::read(dir.path().join(&names[1])).unwrap(),
            damage.as_bytes()
        );
    }
}

#[test]
fn where_nothing_can_be_kept_it_advises_all_the_same_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let output = ask(
        &["--state", "absent/model.json"],
        dir.path(),
        &line(&question("q", 100, 'a')),
    );
    assert!(output.status.success(), "{output:?}");
    Reply::parse(&output.stdout, "q").unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("what was learnt is not saved"), "{said}");
}

#[test]
fn what_is_no_question_is_not_answered_and_does_not_stand_in_the_way_of_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let mut questions = b"hello\n\n{\"v\":2}\n".to_vec();
    let mut unknown_network = question("bad", 5, 'a');
    unknown_network["network"] = json!("moon");
    questions.extend(line(&unknown_network));
    questions.extend(line(&question("good", 6, 'b')));
    let output = ask(&[], dir.path(), &questions);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    Reply::parse(&output.stdout, "good").unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.matches("not answered").count(), 3, "{said}");
    assert!(said.contains("network"), "{said}");
}

#[test]
fn a_question_without_end_is_not_read_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let output = ask(&[], dir.path(), &vec![b'x'; 4 << 20]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty());
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("65537 bytes"),
        "{output:?}"
    );
}

#[test]
fn what_is_too_hot_can_be_set() {
    let dir = tempfile::tempdir().unwrap();
    let advised = |arguments: &[&str], temperature_max_c: Option<f64>| {
        let mut hot = question("q", 100, 'a');
        hot["system"]["temperature_c"] = json!(97.0);
        hot["system"]["temperature_max_c"] = json!(temperature_max_c);
        let output = ask(arguments, dir.path(), &line(&hot));
        Reply::parse(&output.stdout, "q").unwrap().recommendation
    };
    assert_eq!(advised(&[], None), Recommendation::Hold);
    assert_eq!(advised(&[], Some(110.0)), Recommendation::Proceed);
    let higher = ["--temperature-max-c", "110"];
    assert_eq!(advised(&higher, Some(90.0)), Recommendation::Proceed);
    let output = ask(&["--temperature-max-c", "nan"], dir.path(), b"");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn the_schema_of_both_documents_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [&["--schema"][..], &["--schema", "--json"]] {
        let output = ask(arguments, dir.path(), b"");
        assert!(output.status.success(), "{output:?}");
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(printed, advisor::protocol::schema());
    }
}

/// As `advisor.command = ["builtin"]` runs it: in the jail, with the limits there are by default.
#[test]
fn it_learns_and_keeps_what_it_learnt_in_the_jail() {
    let dir = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_signalcore");
    let jail = Jail::new(program, [COMMAND]);
    let cell = Cell {
        command: [program, "advisor", "--state", "model.json"]
            .map(str::to_owned)
            .to_vec(),
        dir: dir.path().join("work"),
        env: BTreeMap::new(),
        readable: Vec::new(),
        limits: Limits::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for (id, height, tip) in [("one", 100, 'a'), ("two", 101, 'b')] {
        let asked = line(&question(id, height, tip));
        let answer =
            runtime.block_on(jail.ask_once(&cell, asked.trim_ascii_end(), Duration::from_mins(1)));
        Reply::parse(&answer.unwrap(), id).unwrap();
    }
    assert_eq!(names(&cell.dir), ["model.json"]);
    let model = fs::read_to_string(cell.dir.join("model.json")).unwrap();
    assert!(model.contains(&"b".repeat(64)), "{model}");
    let yes: Value = serde_json::from_str(&model).unwrap();
    assert!(
        yes["tips"]["authentic"]["yes"].as_f64().unwrap() > 200.5,
        "the first tip stayed: {model}"
    );
}

/// What this file asks is what a daemon may ask.
#[test]
fn the_questions_here_keep_the_protocol() {
    Request::parse(&line(&question("q", 1, 'a'))).unwrap();
}
