//! How a model's server is asked, whichever it is, and whatever it does.

use advisor::protocol::{Recommendation, Reply};
use serde_json::json;

use super::model_server::{Api, Does, says, serving};
use super::python::interpreter;
use super::{adapter, question, stderr};

#[test]
fn it_asks_as_the_api_wants_and_answers_by_the_protocol() {
    if interpreter().is_none() {
        return;
    }
    let words =
        r#"{"recommendation": "HOLD", "confidence": 0.8, "reason": "too hot", "hold_s": 30}"#;
    for api in Api::BOTH {
        for does in [says(words), Does::SaysInChunks(json!(words))] {
            let (output, heard) = serving(api, &does, |url| {
                adapter(api, url, &[], &[question("a"), question("b")])
            });
            assert!(output.status.success(), "{output:?}");
            let text = String::from_utf8(output.stdout).unwrap();
            let ids = ["a", "b"];
            assert_eq!(text.lines().count(), 2, "{text}");
            for (line, id) in text.lines().zip(ids) {
                let reply = Reply::parse(line.as_bytes(), id).unwrap();
                assert_eq!(reply.recommendation, Recommendation::Hold);
                assert!((reply.confidence - 0.8).abs() < 1e-12);
                assert_eq!(
                    (reply.reason.as_str(), reply.hold_s),
                    ("too hot", Some(30.0))
                );
            }
            assert_eq!(heard.len(), 2);
            assert_eq!(api.schema(&heard[0])["required"][0], "recommendation");
        }
    }
}

#[test]
fn a_further_try_asks_for_something_else() {
    if interpreter().is_none() {
        return;
    }
    let asked_hot = |attempt| {
        let mut asked = question("q1");
        asked["attempt"] = json!(attempt);
        let (_, heard) = serving(Api::OpenAi, &says("PROCEED"), |url| {
            adapter(Api::OpenAi, url, &[], &[asked])
        });
        Api::OpenAi.temperature(&heard[0])
    };
    let heat = [asked_hot(1), asked_hot(2), asked_hot(3), asked_hot(1000)];
    assert!(
        heat[0].abs() < 1e-12 && heat[0] < heat[1] && heat[1] < heat[2],
        "{heat:?}"
    );
    assert!((heat[3] - 1.0).abs() < 1e-12, "{heat:?}");
}

#[test]
fn a_server_that_knows_no_schemas_is_asked_without() {
    if interpreter().is_none() {
        return;
    }
    let words = json!(r#"{"recommendation": "PROCEED", "confidence": 1, "reason": "fine"}"#);
    for api in Api::BOTH {
        let (output, heard) = serving(api, &Does::SaysWithoutSchema(words.clone()), |url| {
            adapter(api, url, &[], &[question("q1")])
        });
        Reply::parse(&output.stdout, "q1").unwrap();
        assert_eq!(heard.len(), 2);
        assert!(api.schema(&heard[1]).is_null());
    }
}

#[test]
fn a_server_that_cannot_be_asked_is_a_failure_with_its_reason() {
    if interpreter().is_none() {
        return;
    }
    let cases = [
        (
            Does::Raw(503, b"loading model".to_vec()),
            "status 503: loading model",
        ),
        (Does::Raw(301, Vec::new()), "status 301"),
        (
            Does::Raw(200, b"<html>".to_vec()),
            "does not speak this API",
        ),
        (
            Does::Raw(200, b"{\"choices\":[],\"message\":3}".to_vec()),
            "does not speak this API",
        ),
        (
            Does::Raw(200, b"[".repeat(100_000)),
            "does not speak this API",
        ),
        (
            Does::Raw(200, vec![b' '; 2 << 20]),
            "more than 1048576 bytes",
        ),
        (Does::HangsUp, "cannot be asked"),
        (Does::Hangs, "no answer in time"),
        (Does::Drips, "no answer in time"),
    ];
    for (does, reason) in cases {
        let patience = if matches!(does, Does::Hangs | Does::Drips) {
            "0.5"
        } else {
            "60"
        };
        for api in Api::BOTH {
            let (output, _) = serving(api, &does, |url| {
                adapter(api, url, &["--timeout", patience], &[question("q1")])
            });
            assert_eq!(output.status.code(), Some(1), "{does:?} {output:?}");
            assert_eq!(output.stdout, b"\n");
            assert!(
                stderr(&output).contains(reason),
                "{does:?}: {}",
                stderr(&output)
            );
            assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
        }
    }
    // A port at which nobody listens.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let output = adapter(Api::Ollama, &nobody, &[], &[question("q1")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("Connection refused"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn an_unknown_model_is_named_as_the_server_names_it() {
    if interpreter().is_none() {
        return;
    }
    for api in Api::BOTH {
        let (output, heard) = serving(api, &says("PROCEED"), |url| {
            adapter(api, url, &["--model", "absent"], &[question("q1")])
        });
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr(&output).contains("try pulling it first"),
            "{}",
            stderr(&output)
        );
        assert!(heard.is_empty());
    }
}

#[test]
fn a_key_comes_from_a_file_and_is_sent_as_a_bearer_token() {
    if interpreter().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, "sk-local\n").unwrap();
    let (output, heard) = serving(Api::OpenAi, &says("PROCEED"), |url| {
        adapter(
            Api::OpenAi,
            url,
            &["--key-file", key.to_str().unwrap()],
            &[question("q1")],
        )
    });
    assert!(output.status.success(), "{output:?}");
    assert_eq!(heard[0]["key"], "Bearer sk-local");
}
