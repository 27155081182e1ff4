//! Bitcoin Core's recorded answers, where they are at hand.

use std::path::PathBuf;

use serde_json::Value;

/// The directory of the recordings, or a word on stderr that there is none.
pub fn directory() -> Option<PathBuf> {
    let dir = std::env::var_os("SIGNALCORE_TESTDATA");
    if dir.is_none() {
        eprintln!("skipped: SIGNALCORE_TESTDATA not set");
    }
    dir.map(|dir| PathBuf::from(dir).join("core/rpc"))
}

/// One request and its answer.
pub struct Recording {
    pub name: String,
    pub method: String,
    pub path: String,
    pub request_headers: Vec<(String, String)>,
    pub request: String,
    pub status_line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Recording {
    pub fn result(&self) -> Value {
        self.json()["result"].take()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON body")
    }

    /// The parameters that were sent.
    pub fn params(&self) -> Value {
        let mut request: Value = serde_json::from_str(&self.request).expect("JSON request");
        request["params"].take()
    }
}

/// Reads `NAME.json` below `dir`.
pub fn read(dir: &std::path::Path, name: &str) -> Recording {
    let path = dir.join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let value: Value = serde_json::from_str(&text).expect("recording");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Recording {
        name: name.to_owned(),
        method: text(&value["request"]["method"]),
        path: text(&value["request"]["path"]),
        request_headers: pairs(&value["request"]["headers"]),
        request: text(&value["request"]["body"]),
        status_line: text(&value["response"]["status_line"]),
        headers: pairs(&value["response"]["headers"]),
        body: text(&value["response"]["body"]),
    }
}

fn pairs(headers: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match headers {
        Value::Array(list) => list
            .iter()
            .map(|pair| (text(&pair[0]), text(&pair[1])))
            .collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), text(value)))
            .collect(),
        _ => Vec::new(),
    }
}
