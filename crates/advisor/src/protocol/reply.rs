//! The rules of a reply: whatever bytes come, a reply that is taken keeps every one of them.

use std::fmt;

use serde::de::value::{Error as NotOne, StringDeserializer};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, IntoDeserializer};

use super::{Recommendation, Reply, VERSION, request};
use crate::outcome::Outcome;
use crate::plain::plain;

/// No reply is longer, in bytes with its newline.
pub const REPLY_MOST: usize = 64 * 1024;
/// No reason is longer, in characters.
pub const REASON_MOST: usize = 500;
/// Characters of what is said about a reply that is none.
const DETAIL_MOST: usize = 200;

/// Why what came is no reply. Its texts are fit for a log, whatever came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misreply {
    /// Nothing but white space.
    #[error("the reply is empty")]
    Empty,
    /// More than [`REPLY_MOST`] bytes.
    #[error("the reply has {0} bytes, of which {REPLY_MOST} are read")]
    TooLarge(usize),
    /// Not JSON, or more than one document.
    #[error("the reply is not one JSON document: {0}")]
    Garbage(String),
    /// JSON, and no reply.
    #[error("the reply breaks the protocol: {0}")]
    WrongSchema(String),
    /// The reply to another question.
    #[error("the reply is to question \"{0}\", which is not the one that was asked")]
    WrongId(String),
}

impl Misreply {
    /// As which outcome it counts.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Empty => Outcome::Empty,
            Self::TooLarge(_) => Outcome::TooLarge,
            Self::Garbage(_) => Outcome::Garbage,
            Self::WrongSchema(_) => Outcome::WrongSchema,
            Self::WrongId(_) => Outcome::WrongId,
        }
    }
}

impl Reply {
    /// Reads what came as the answer to question `id`; white space around it is no part of it. The reason comes out as
    /// one line of at most [`REASON_MOST`] characters, without control characters.
    ///
    /// # Errors
    /// When it breaks a rule of the protocol, or answers another question.
    pub fn parse(bytes: &[u8], id: &str) -> Result<Self, Misreply> {
        if bytes.len() > REPLY_MOST {
            return Err(Misreply::TooLarge(bytes.len()));
        }
        let text = str::from_utf8(bytes)
            .map_err(|error| garbage(&error))?
            .trim();
        if text.is_empty() {
            return Err(Misreply::Empty);
        }
        serde_json::from_str::<IgnoredAny>(text).map_err(|error| garbage(&error))?;
        let wrong = |what: &str| Misreply::WrongSchema(plain(what, DETAIL_MOST));
        // serde takes an array of a struct's values for the struct.
        if text.starts_with('[') {
            return Err(wrong("an array is no reply"));
        }
        let mut reply: Self =
            serde_json::from_str(text).map_err(|error| wrong(&error.to_string()))?;
        reply.check().map_err(wrong)?;
        if reply.id != id {
            return Err(Misreply::WrongId(reply.id));
        }
        reply.reason = plain(&reply.reason, REASON_MOST);
        Ok(reply)
    }

    /// The line that an advisor answers with, with its newline.
    ///
    /// # Errors
    /// When it breaks a rule of the protocol.
    pub fn to_line(&self) -> Result<String, Misreply> {
        self.check()
            .map_err(|rule| Misreply::WrongSchema(rule.to_owned()))?;
        let mut line =
            serde_json::to_string(self).map_err(|error| Misreply::Garbage(error.to_string()))?;
        line.push('\n');
        if line.len() > REPLY_MOST {
            return Err(Misreply::TooLarge(line.len()));
        }
        Ok(line)
    }

    /// The rules that the types do not hold.
    fn check(&self) -> Result<(), &'static str> {
        let rules = [
            (self.v == VERSION, "v is not 1"),
            (
                request::is_name(&self.id),
                "id is none that a question can have",
            ),
            (
                (0.0..=1.0).contains(&self.confidence),
                "confidence is not a number from 0 to 1",
            ),
            (
                self.hold_s.is_none_or(|s| s.is_finite() && s >= 0.0),
                "hold_s is not a finite number, 0 or more",
            ),
            (
                self.hold_s.is_none() || self.recommendation == Recommendation::Hold,
                "hold_s comes with HOLD only",
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(rule),
            None => Ok(()),
        }
    }
}

fn garbage(error: &dyn fmt::Display) -> Misreply {
    Misreply::Garbage(plain(&error.to_string(), DETAIL_MOST))
}

/// By its name alone: serde takes `{"HOLD": null}` as well.
pub(super) fn by_name<'de, D: Deserializer<'de>>(from: D) -> Result<Recommendation, D::Error> {
    let name: StringDeserializer<NotOne> = String::deserialize(from)?.into_deserializer();
    Recommendation::deserialize(name).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCEED: &str =
        r#"{"v":1,"id":"q1","recommendation":"PROCEED","confidence":0.75,"reason":"all is well"}"#;

    fn outcome_of(text: impl AsRef<[u8]>) -> Outcome {
        match Reply::parse(text.as_ref(), "q1") {
            Ok(_) => Outcome::Ok,
            Err(misreply) => misreply.outcome(),
        }
    }

    /// The outcome of a reply with one field set to `value`.
    fn with(field: &str, value: &str) -> Outcome {
        let mut reply: serde_json::Value = serde_json::from_str(PROCEED).expect("JSON");
        reply[field] = serde_json::from_str(value).expect("JSON");
        outcome_of(reply.to_string())
    }

    #[test]
    fn a_reply_to_the_question_is_taken_with_white_space_around_it() {
        let reply = Reply::parse(format!(" {PROCEED}\r\n").as_bytes(), "q1").expect("it is one");
        assert_eq!(reply.recommendation, Recommendation::Proceed);
        assert!((reply.confidence - 0.75).abs() < f64::EPSILON);
        assert_eq!(reply.reason, "all is well");
        assert_eq!(
            reply.to_line().expect("it keeps the rules"),
            format!("{PROCEED}\n")
        );
    }

    #[test]
    fn what_is_no_reply_is_told_apart() {
        assert_eq!(outcome_of(""), Outcome::Empty);
        assert_eq!(outcome_of(" \r\n\t"), Outcome::Empty);
        assert_eq!(outcome_of("Sure! Here is my advice:"), Outcome::Garbage);
        assert_eq!(outcome_of(&PROCEED[..40]), Outcome::Garbage);
        assert_eq!(outcome_of(format!("{PROCEED}{PROCEED}")), Outcome::Garbage);
        assert_eq!(
            outcome_of(b"{\"v\":1,\"id\":\"\xff\xfe\"}"),
            Outcome::Garbage
        );
        assert_eq!(outcome_of("[".repeat(60_000)), Outcome::Garbage);
        assert_eq!(outcome_of(" ".repeat(REPLY_MOST + 1)), Outcome::TooLarge);
        for json in ["null", "1", "\"PROCEED\"", "{}", r#"{"error":"no model"}"#] {
            assert_eq!(outcome_of(json), Outcome::WrongSchema, "{json}");
        }
    }

    #[test]
    fn each_field_is_as_it_has_to_be() {
        let wrong = [
            ("v", "2"),
            ("v", "\"1\""),
            ("v", "-1"),
            ("v", "1.5"),
            ("id", "7"),
            ("id", "\"\""),
            ("id", "\"a b\""),
            ("recommendation", "\"proceed\""),
            ("recommendation", "\"BUY\""),
            ("recommendation", "{\"HOLD\":null}"),
            ("confidence", "1.01"),
            ("confidence", "-0.1"),
            ("confidence", "\"0.9\""),
            ("confidence", "null"),
            ("reason", "7"),
            ("reason", "null"),
            ("hold_s", "5"),
            ("hold_s", "\"5\""),
            ("comment", "\"an extra field\""),
        ];
        for (field, value) in wrong {
            assert_eq!(with(field, value), Outcome::WrongSchema, "{field}: {value}");
        }
        assert_eq!(with("hold_s", "null"), Outcome::Ok);
        assert_eq!(with("confidence", "1"), Outcome::Ok);
        assert_eq!(with("id", "\"q2\""), Outcome::WrongId);
        for twice in [r#""confidence":0.1,"#, r#""v":1,"#] {
            assert_eq!(
                outcome_of(PROCEED.replacen('{', &format!("{{{twice}"), 1)),
                Outcome::WrongSchema
            );
        }
        let array = r#"[1,"q1","PROCEED",0.75,"in order",null]"#;
        assert_eq!(outcome_of(array), Outcome::WrongSchema);
    }

    #[test]
    fn a_hold_may_say_for_how_long() {
        let hold = |rest: &str| {
            outcome_of(
                PROCEED
                    .replace("PROCEED", "HOLD")
                    .replace('}', &format!("{rest}}}")),
            )
        };
        assert_eq!(hold(""), Outcome::Ok);
        assert_eq!(hold(r#","hold_s":0"#), Outcome::Ok);
        assert_eq!(
            hold(r#","hold_s":1e300"#),
            Outcome::Ok,
            "whoever holds cuts it"
        );
        assert_eq!(hold(r#","hold_s":-1"#), Outcome::WrongSchema);
        assert_eq!(
            hold(r#","hold_s":1e999"#),
            Outcome::WrongSchema,
            "no such number"
        );
    }

    #[test]
    fn a_reason_is_made_fit_to_be_shown_and_so_is_what_is_said_of_garbage() {
        let text = PROCEED.replace(
            "all is well",
            &format!(r"\u001b[31mred\nalert {}", "x".repeat(2000)),
        );
        let reason = Reply::parse(text.as_bytes(), "q1")
            .expect("it is one")
            .reason;
        assert!(reason.starts_with("[31mred alert xxx"), "{reason}");
        assert_eq!(reason.chars().count(), REASON_MOST);
        let field = format!(r#"{{"\u001b[2J{}":1}}"#, "y".repeat(5000));
        let said = Reply::parse(field.as_bytes(), "q1")
            .expect_err("it is none")
            .to_string();
        assert!(said.len() < 300 && !said.contains('\x1b'), "{said}");
    }

    #[test]
    fn an_advisor_cannot_send_what_is_no_reply() {
        let mut reply = Reply::parse(PROCEED.as_bytes(), "q1").expect("it is one");
        reply.confidence = f64::NAN;
        assert!(matches!(reply.to_line(), Err(Misreply::WrongSchema(_))));
    }
}
