//! The file of faults: its rules, read strictly.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::event::EventRule;
use super::notice::NoticeRule;
use super::rpc::RpcRule;

/// Faults that a devnode is to have: TOML, as the section on them in `docs/operations.md` describes.
///
/// ```
/// let script = signalcore_devnode::FaultScript::parse(
///     "[[rpc]]\nmethod = \"submitblock\"\nwhen = { nth = 1 }\nfault = { status = 503 }\n",
/// )?;
/// assert_eq!(script.rules().len(), 1);
/// # Ok::<(), signalcore_devnode::FaultScriptError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultScript {
    /// Of the random numbers behind `chance`.
    pub(super) seed: u64,
    pub(super) rpc: Vec<RpcRule>,
    pub(super) zmq: Vec<NoticeRule>,
    pub(super) event: Vec<EventRule>,
}

/// What is wrong with a script.
#[derive(Debug, thiserror::Error)]
pub enum FaultScriptError {
    /// The file cannot be read.
    #[error("cannot read the faults in {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// No TOML, an unknown key, an impossible value.
    #[error("{}{key}: {problem}", file_prefix(path.as_deref()))]
    Rule {
        /// The file, where the script comes from one.
        path: Option<PathBuf>,
        /// The key, as in `rpc[2].when.nth`, numbered from 0; `faults` where the file as a whole is wrong.
        key: String,
        /// What is wrong with it, and what is allowed.
        problem: String,
    },
}

fn file_prefix(path: Option<&Path>) -> String {
    path.map(|path| format!("{}: ", path.display()))
        .unwrap_or_default()
}

impl FaultScript {
    /// Reads a script.
    ///
    /// # Errors
    /// [`FaultScriptError::Rule`].
    pub fn parse(text: &str) -> Result<Self, FaultScriptError> {
        let wrong = |key: String, problem: &str| FaultScriptError::Rule {
            path: None,
            key: if key == "." { "faults".to_owned() } else { key },
            problem: problem.trim_end().to_owned(),
        };
        let document = toml::Deserializer::parse(text)
            .map_err(|error| wrong(".".to_owned(), &error.to_string()))?;
        let script: Self = serde_path_to_error::deserialize(document)
            .map_err(|error| wrong(error.path().to_string(), error.inner().message()))?;
        for (index, rule) in script.rpc.iter().enumerate() {
            rule.check()
                .map_err(|problem| wrong(format!("rpc[{index}]"), problem))?;
        }
        for (index, rule) in script.event.iter().enumerate() {
            rule.check()
                .map_err(|problem| wrong(format!("event[{index}]"), problem))?;
        }
        Ok(script)
    }

    /// Reads a script from a file.
    ///
    /// # Errors
    /// The file cannot be read; what [`parse`](Self::parse) finds wrong, with the file's name.
    pub fn read(file: &Path) -> Result<Self, FaultScriptError> {
        let text = std::fs::read_to_string(file).map_err(|source| FaultScriptError::Read {
            path: file.to_owned(),
            source,
        })?;
        Self::parse(&text).map_err(|error| match error {
            FaultScriptError::Rule { key, problem, .. } => FaultScriptError::Rule {
                path: Some(file.to_owned()),
                key,
                problem,
            },
            other @ FaultScriptError::Read { .. } => other,
        })
    }

    /// Each rule in one line, in the order of the file.
    pub fn rules(&self) -> Vec<String> {
        let numbered = |kind: &str, rules: Vec<String>| -> Vec<String> {
            let lines = rules.into_iter().enumerate();
            lines
                .map(|(index, rule)| format!("{kind}[{index}] {rule}"))
                .collect()
        };
        let mut all = numbered("rpc", self.rpc.iter().map(describe).collect());
        all.extend(numbered("zmq", self.zmq.iter().map(describe).collect()));
        all.extend(numbered("event", self.event.iter().map(describe).collect()));
        all
    }
}

/// A part of a script as JSON.
pub(super) fn describe(part: &impl Serialize) -> String {
    serde_json::to_string(part).unwrap_or_else(|error| error.to_string())
}

/// JSON, written as text in a script because TOML has no null.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct JsonText(pub(super) serde_json::Value);

impl TryFrom<String> for JsonText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        serde_json::from_str(&text).map(Self).map_err(|error| {
            format!(
                "{text:?} is no JSON ({error}); a string needs quotes of its own, as in '\"text\"'"
            )
        })
    }
}

impl From<JsonText> for String {
    fn from(text: JsonText) -> Self {
        text.0.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        FaultScript::parse(text)
            .expect_err("must be refused")
            .to_string()
    }

    #[test]
    fn errors_name_the_file_the_key_and_what_is_allowed() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let file = dir.path().join("faults.toml");
        std::fs::write(&file, "[[rpc]]\nmethod = \"*\"\nfault = { explode = 1 }\n")
            .expect("written");
        let message = FaultScript::read(&file).expect_err("refused").to_string();
        assert!(
            message.starts_with(file.to_str().expect("UTF-8")),
            "{message}"
        );
        assert!(message.contains("rpc[0].fault"), "{message}");
        assert!(
            message.contains("`explode`") && message.contains("`drop`"),
            "{message}"
        );
        let message = FaultScript::read(&dir.path().join("none"))
            .expect_err("none")
            .to_string();
        assert!(message.contains("cannot read"), "{message}");
    }

    #[test]
    fn unknown_methods_topics_keys_and_values_are_refused() {
        let message = problem("[[rpc]]\nmethod = \"submitblok\"\nfault = { status = 503 }\n");
        assert!(
            message.contains("rpc[0].method") && message.contains("submitblock"),
            "{message}"
        );
        let message = problem("[[zmq]]\ntopic = \"hashtx\"\nfault = \"gap\"\n");
        assert!(
            message.contains("zmq[0].topic") && message.contains("`rawblock`"),
            "{message}"
        );
        let message = problem("[[rpc]]\nmethod = \"*\"\nwhen = { nht = 1 }\ndelay_s = 1\n");
        assert!(
            message.contains("rpc[0].when") && message.contains("`nth`"),
            "{message}"
        );
        let message = problem("[[rpc]]\nmethod = \"*\"\nfault = { status = 99 }\n");
        assert!(message.contains("rpc[0].fault.status"), "{message}");
        let message = problem("[[rpc]]\nmethod = \"*\"\nfault = { result = \"text\" }\n");
        assert!(message.contains("is no JSON"), "{message}");
        assert!(problem("rpc = 1").starts_with("rpc"));
        assert!(problem("[[rpc").starts_with("faults: "));
    }

    #[test]
    fn rules_that_do_nothing_or_contradict_themselves_are_refused() {
        for text in [
            "[[rpc]]\nmethod = \"*\"\n",
            "[[rpc]]\nmethod = \"submitblock\"\nfault = { drop = \"unread\" }\n",
            "[[rpc]]\nmethod = \"submitblock\"\ncarried_out = false\nfault = { half = \"body\" }\n",
            "[[rpc]]\nmethod = \"submitblock\"\ncarried_out = true\ndelay_s = 1\n",
            "[[rpc]]\nmethod = \"submitblock\"\nmode = \"proposal\"\ndelay_s = 1\n",
            "[[event]]\nfault = { freeze_s = 1 }\n",
            "[[event]]\nat_s = 1\nat_height = 3\nfault = { freeze_s = 1 }\n",
            "[[event]]\nat_height = 3\nevery_s = 1\nfault = { freeze_s = 1 }\n",
        ] {
            let message = problem(text);
            assert!(
                message.starts_with("rpc[0]: ") || message.starts_with("event[0]: "),
                "{message}"
            );
        }
    }

    #[test]
    fn the_example_is_right() {
        let text = include_str!("../../../../config/faults.example.toml");
        let script = FaultScript::parse(text).expect("the example");
        assert_eq!(script.rules().len(), 7);
    }

    #[test]
    fn rules_are_told_in_one_line_each() {
        let script = FaultScript::parse(
            "[[zmq]]\ntopic = \"*\"\nfault = { duplicate = 2 }\n\
             [[rpc]]\nmethod = \"submitblock\"\nwhen = { nth = 2 }\nfault = { result = 'null' }\n\
             [[event]]\nat_height = 110\nfault = { restart = { down_s = 1 } }\n",
        )
        .expect("a script");
        assert_eq!(
            script.rules(),
            [
                r#"rpc[0] {"method":"submitblock","when":{"nth":2},"fault":{"result":"null"}}"#,
                r#"zmq[0] {"topic":"*","fault":{"duplicate":2}}"#,
                r#"event[0] {"at_height":110,"fault":{"restart":{"down_s":1.0,"warm_up_s":0.0,"clean":false}}}"#,
            ]
        );
    }
}
