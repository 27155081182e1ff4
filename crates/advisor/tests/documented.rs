//! What docs/advisor.md shows is what works.
#![allow(clippy::unwrap_used)]

mod python;

use std::io::Write as _;
use std::process::{Command, Stdio};

use advisor::protocol::{Recommendation, Reply, Request};
use serde_json::Value;

/// The blocks of this language in the document.
fn blocks(language: &str) -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/advisor.md");
    let text = std::fs::read_to_string(path).unwrap();
    let fence = format!("```{language}\n");
    let parts = text.split(&fence).skip(1);
    parts
        .map(|part| part.split("```").next().unwrap().to_owned())
        .collect()
}

/// The documented question and answer.
fn documented() -> (Request, Reply) {
    let documents = blocks("json");
    let request = Request::parse(documents[0].as_bytes()).unwrap();
    let reply = Reply::parse(documents[1].as_bytes(), &request.id).unwrap();
    (request, reply)
}

#[test]
fn the_documented_question_and_answer_keep_the_protocol() {
    let (request, reply) = documented();
    let shown: Vec<Value> = blocks("json")
        .iter()
        .map(|block| serde_json::from_str(block).unwrap())
        .collect();
    let sent: [Value; 2] = [request.to_line().unwrap(), reply.to_line().unwrap()]
        .map(|line| serde_json::from_str(&line).unwrap());
    assert_eq!(shown, sent, "nothing is left out, and nothing is in vain");
}

#[test]
fn the_documented_program_advises() {
    let Some(python) = python::interpreter() else {
        return;
    };
    let (question, _) = documented();
    let mut hot = question.clone();
    hot.system.as_mut().unwrap().temperature_c = Some(90.0);
    let mut child = Command::new(python)
        .args(["-I", "-c", &blocks("python")[0]])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs the example");
    let questions = [
        question.to_line().unwrap(),
        hot.to_line().unwrap(),
        String::new(),
    ]
    .join("\n");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(questions.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let replies: Vec<_> = text
        .lines()
        .map(|line| Reply::parse(line.as_bytes(), &question.id).unwrap())
        .map(|reply| reply.recommendation)
        .collect();
    assert_eq!(replies, [Recommendation::Proceed, Recommendation::Hold]);
}
