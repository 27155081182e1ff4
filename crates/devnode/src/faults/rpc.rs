//! Faults of RPC calls: what a rule says, and what it makes of an answer.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::script::JsonText;
use super::when::{Seconds, When};
use crate::envelope::{RpcError, RpcResult};
use crate::methods;

/// One rule of `[[rpc]]`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RpcRule {
    method: MethodName,
    /// Of `getblocktemplate`: which of its three uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<Mode>,
    #[serde(default, skip_serializing_if = "When::is_always")]
    pub(super) when: When,
    /// Before anything is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delay_s: Option<Seconds>,
    /// Between the work and its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hold_s: Option<Seconds>,
    /// Whether the method runs although its answer is lost or replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    carried_out: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<RpcFault>,
}

/// What is done to a call.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RpcFault {
    /// This JSON-RPC error.
    Error(ErrorAnswer),
    /// This HTTP status without JSON, with Bitcoin Core's own body for it.
    Status(Status),
    /// The connection is closed without an answer.
    Drop(Drop),
    /// Something else than an answer.
    Garbage(Garbage),
    /// An answer that does not end where it should.
    Half(Half),
    /// This result.
    Result(JsonText),
    /// These keys in the result.
    Patch(JsonText),
    /// The best block is told as it was so many blocks ago.
    Behind(u32),
    /// The answer takes so long on its way.
    DripS(Seconds),
    /// A body of this size.
    HugeBytes(u64),
    /// The answer in another form of HTTP.
    Framing(OtherFraming),
}

/// `{ code = -28, message = "..." }`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrorAnswer {
    code: i32,
    message: String,
}

/// Where the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Drop {
    /// Before the body of the request is read.
    Unread,
    /// After it was read.
    Read,
}

/// What comes in place of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Garbage {
    /// Bytes that are no HTTP.
    NotHttp,
    /// HTML with status 200.
    NotJson,
    /// Status 200 without a body.
    Empty,
    /// The answer to another question.
    WrongId,
    /// A result of another type.
    WrongTypes,
    /// Neither result nor error.
    NoResult,
}

/// Which half is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Half {
    /// The connection ends within the headers.
    Head,
    /// It ends within the body.
    Body,
    /// More is announced than comes, and the connection stays open.
    LengthTooLong,
    /// Less is announced than comes.
    LengthTooShort,
}

/// Forms of HTTP that Bitcoin Core does not answer HTTP/1.1 with, but a proxy may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OtherFraming {
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// HTTP/1.0 without a length, ended by the connection's end.
    Http10,
}

/// The use of `getblocktemplate` that a call makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    Template,
    Longpoll,
    Proposal,
}

impl Mode {
    /// Of a request object.
    pub(crate) fn of(request: &Value) -> Self {
        if request["mode"] == "proposal" {
            Self::Proposal
        } else if request["longpollid"].is_null() {
            Self::Template
        } else {
            Self::Longpoll
        }
    }
}

/// A method of the devnode's, or `*` for every call.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
struct MethodName(String);

impl MethodName {
    const ANY: &str = "*";
}

impl TryFrom<String> for MethodName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if name == Self::ANY || methods::names().any(|known| known == name) {
            return Ok(Self(name));
        }
        let known: Vec<&str> = methods::names().collect();
        Err(format!(
            "unknown method `{name}`, expected `*` or one of {}",
            known.join(", ")
        ))
    }
}

impl From<MethodName> for String {
    fn from(name: MethodName) -> Self {
        name.0
    }
}

/// An HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "u16", into = "u16")]
pub(crate) struct Status(pub(crate) u16);

impl TryFrom<u16> for Status {
    type Error = String;

    fn try_from(status: u16) -> Result<Self, String> {
        (200..=599)
            .contains(&status)
            .then_some(Self(status))
            .ok_or_else(|| format!("{status} is no status of an answer; give 200 to 599"))
    }
}

impl From<Status> for u16 {
    fn from(status: Status) -> Self {
        status.0
    }
}

impl RpcRule {
    /// What types alone do not tell.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.fault.is_none() && self.delay_s.is_none() && self.hold_s.is_none() {
            return Err("does nothing; give `fault`, `delay_s` or `hold_s`");
        }
        if self.mode.is_some() && self.method.0 != methods::TEMPLATE {
            return Err("`mode` is for the method `getblocktemplate` alone");
        }
        if self.drops_unread() && self.method.0 != MethodName::ANY {
            return Err(
                "a call that is not read has no method yet; give `method = \"*\"` with `drop = \"unread\"`",
            );
        }
        if self.carried_out.is_some() && !self.replaces() {
            return Err(
                "`carried_out` is for faults in place of an answer (error, status, drop = \"read\", result, \
                 huge_bytes, garbage without wrong_*); a call whose own answer is harmed is always carried out",
            );
        }
        Ok(())
    }

    pub(super) fn drops_unread(&self) -> bool {
        self.fault == Some(RpcFault::Drop(Drop::Unread))
    }

    /// Whether the rule is about this call; `None` is a batch.
    pub(super) fn is_about(&self, call: Option<(&str, Option<Mode>)>) -> bool {
        if self.drops_unread() {
            return false;
        }
        match call {
            _ if self.method.0 == MethodName::ANY => true,
            Some((method, mode)) => {
                self.method.0 == method && (self.mode.is_none() || self.mode == mode)
            }
            None => false,
        }
    }

    /// Whether the fault takes the place of the method's answer.
    fn replaces(&self) -> bool {
        match &self.fault {
            Some(
                RpcFault::Error(_)
                | RpcFault::Status(_)
                | RpcFault::Drop(Drop::Read)
                | RpcFault::Result(_)
                | RpcFault::HugeBytes(_)
                | RpcFault::Garbage(Garbage::NotHttp | Garbage::NotJson | Garbage::Empty),
            ) => true,
            Some(
                RpcFault::Drop(Drop::Unread)
                | RpcFault::Garbage(Garbage::WrongId | Garbage::WrongTypes | Garbage::NoResult)
                | RpcFault::Half(_)
                | RpcFault::Patch(_)
                | RpcFault::Behind(_)
                | RpcFault::DripS(_)
                | RpcFault::Framing(_),
            )
            | None => false,
        }
    }

    /// Whether the method runs.
    pub(crate) fn carries_out(&self) -> bool {
        self.carried_out.unwrap_or(!self.replaces())
    }

    /// What is answered in place of `outcome`. `past` tells hash and height of the block so many
    /// before the best one.
    pub(crate) fn answer(
        &self,
        outcome: RpcResult,
        past: impl FnOnce(u32) -> Option<(String, u32)>,
    ) -> RpcResult {
        match &self.fault {
            Some(RpcFault::Error(error)) => Err(RpcError::new(error.code, error.message.clone())),
            Some(RpcFault::Result(result)) => methods::result(&result.0),
            Some(RpcFault::Patch(patch)) => change(outcome, |result| merge(result, &patch.0)),
            Some(RpcFault::Behind(blocks)) => match past(*blocks) {
                Some((hash, height)) => change(outcome, |result| tell(result, &hash, height)),
                None => outcome,
            },
            _ => outcome,
        }
    }

    /// What is left of the JSON text of an answer.
    pub(crate) fn garble(&self, text: &[u8]) -> Option<Vec<u8>> {
        let Some(RpcFault::Garbage(garbage)) = &self.fault else {
            return None;
        };
        let mut answer: Value = serde_json::from_slice(text).ok()?;
        match garbage {
            Garbage::WrongId => answer["id"] = json!("the answer to another question"),
            Garbage::WrongTypes => {
                answer["result"] = match answer["result"] {
                    Value::Object(_) | Value::Array(_) => json!(42),
                    _ => json!({"unexpected": [null]}),
                };
            }
            Garbage::NoResult => {
                let answer = answer.as_object_mut()?;
                answer.remove("result");
                answer.remove("error");
            }
            Garbage::NotHttp | Garbage::NotJson | Garbage::Empty => return None,
        }
        Some(format!("{answer}\n").into_bytes())
    }
}

fn change(outcome: RpcResult, with: impl FnOnce(&mut Value)) -> RpcResult {
    let result = outcome?;
    let Ok(mut value) = serde_json::from_str(result.get()) else {
        return Ok(result);
    };
    with(&mut value);
    methods::result(&value)
}

/// Keys of `patch` into `result`, objects in depth.
fn merge(result: &mut Value, patch: &Value) {
    match (result, patch) {
        (Value::Object(result), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(result.entry(key).or_insert(Value::Null), value);
            }
        }
        (result, patch) => *result = patch.clone(),
    }
}

/// Makes an answer about the best block one about this block.
fn tell(result: &mut Value, hash: &str, height: u32) {
    match result {
        Value::String(_) => *result = json!(hash),
        Value::Number(_) => *result = json!(height),
        Value::Object(info) if info.contains_key("bestblockhash") => {
            info.insert("bestblockhash".to_owned(), json!(hash));
            info.insert("blocks".to_owned(), json!(height));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(fault: &str) -> RpcRule {
        toml::from_str(&format!("method = \"*\"\nfault = {fault}")).expect("a rule")
    }

    fn answered(fault: &str, result: &Value) -> Result<Value, RpcError> {
        let past = |blocks| (blocks < 3).then(|| (format!("hash-{blocks}"), 100 - blocks));
        rule(fault)
            .answer(methods::result(result), past)
            .map(|raw| serde_json::from_str(raw.get()).expect("JSON"))
    }

    #[test]
    fn answers_are_replaced_patched_and_set_back() {
        let error = answered("{ error = { code = -28, message = 'Loading' } }", &json!(1));
        assert_eq!(error, Err(RpcError::new(-28, "Loading")));
        assert_eq!(answered("{ result = 'null' }", &json!(1)), Ok(Value::Null));
        assert_eq!(
            answered(
                "{ patch = '{\"a\":{\"b\":2}}' }",
                &json!({"a": {"b": 1, "c": 3}})
            ),
            Ok(json!({"a": {"b": 2, "c": 3}}))
        );
        assert_eq!(
            answered("{ behind = 2 }", &json!("now")),
            Ok(json!("hash-2"))
        );
        assert_eq!(answered("{ behind = 2 }", &json!(100)), Ok(json!(98)));
        assert_eq!(
            answered(
                "{ behind = 1 }",
                &json!({"blocks": 100, "bestblockhash": "now", "headers": 100})
            ),
            Ok(json!({"blocks": 99, "bestblockhash": "hash-1", "headers": 100}))
        );
        assert_eq!(answered("{ behind = 9 }", &json!(100)), Ok(json!(100)));
    }

    #[test]
    fn answers_are_garbled_in_id_type_and_content() {
        let garbled = |how: &str| -> Value {
            let text = br#"{"result":{"a":1},"error":null,"id":7}"#;
            let bytes = rule(&format!("{{ garbage = '{how}' }}")).garble(text);
            serde_json::from_slice(&bytes.expect("garbled")).expect("JSON")
        };
        assert_ne!(garbled("wrong_id")["id"], json!(7));
        assert_eq!(garbled("wrong_types")["result"], json!(42));
        assert_eq!(garbled("no_result"), json!({"id": 7}));
        assert_eq!(rule("{ status = 503 }").garble(b"{}"), None);
    }

    #[test]
    fn a_call_is_carried_out_unless_something_takes_its_answers_place() {
        for (fault, carried_out) in [
            ("{ error = { code = -1, message = '' } }", false),
            ("{ drop = 'read' }", false),
            ("{ half = 'body' }", true),
            ("{ garbage = 'wrong_id' }", true),
            ("{ garbage = 'not_json' }", false),
        ] {
            assert_eq!(rule(fault).carries_out(), carried_out, "{fault}");
        }
        let mut rule = rule("{ drop = 'read' }");
        rule.carried_out = Some(true);
        assert!(rule.carries_out());
    }

    #[test]
    fn modes_are_told_apart_by_the_request() {
        assert_eq!(Mode::of(&json!({"mode": "proposal"})), Mode::Proposal);
        assert_eq!(Mode::of(&json!({"longpollid": "x"})), Mode::Longpoll);
        assert_eq!(Mode::of(&json!({"rules": ["segwit"]})), Mode::Template);
        assert_eq!(Mode::of(&Value::Null), Mode::Template);
    }
}
