//! What each answer of `submitblock` says about a block, and what is to be done about it.
//!
//! | answer | meaning |
//! |---|---|
//! | `null` | accepted |
//! | `duplicate` | the node has it, side blocks included: looked up |
//! | `inconclusive`, `duplicate-inconclusive` | stored, not in the active chain, perhaps invalid: looked up |
//! | `duplicate-invalid` | known to be invalid: looked up, and rejected unless an operator has had it reconsidered |
//! | `stale-prevblk`, `stale-work`, `inconclusive-not-best-prevblk` | not stored because another block is best: looked up, else stale |
//! | `prev-blk-not-found` | the node is behind: sent again |
//! | `time-too-new` | too early: sent again |
//! | `bad-witness-merkle-match`, `bad-witness-nonce-size`, `unexpected-witness`, `bad-txnmrklroot`, `bad-txns-duplicate`, -22 | not a verdict on the header; perhaps damaged on the way: sent again, rejected at the fourth time |
//! | `high-hash`, other `bad-*`, `time-too-old`, `time-timewarp-attack` | rejected |
//! | any other word | looked up; sent again, rejected at the fourth time |
//! | no answer after the request was written | looked up; if not there, sent again |
//! | unreachable, 401, 403, 503, -28, any other error | sent again, for ever |

use node::{NodeError, SubmitAnswer};

/// What to make of a look-up that does not decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Absent {
    /// It never arrived: send it again.
    Resend,
    /// It was turned away because it was late.
    Stale,
    /// The node holds it to be invalid: only the active chain would say otherwise.
    Invalid,
    /// It was refused for a reason that may pass: send it again, a few times.
    Refused,
}

/// What a node's answer, or its silence, means.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Meaning {
    /// It is in the active chain.
    Accepted,
    /// It is refused for good.
    Rejected,
    /// Only a look-up tells.
    Doubt(Absent),
    /// Nothing was decided: again later, for ever.
    NotYet,
    /// Refused for a reason that may be an accident: again later, a few times.
    Refused,
}

/// An answer: its meaning, and the node's word or the error's, for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Answer {
    pub(super) meaning: Meaning,
    /// Empty for a plain acceptance.
    pub(super) reason: String,
}

impl Answer {
    pub(super) fn of(result: &Result<SubmitAnswer, NodeError>) -> Self {
        let (meaning, reason) = match result {
            Ok(answer) => (
                of_word(answer.raw()),
                answer.raw().unwrap_or_default().to_owned(),
            ),
            Err(error) => (of_error(error), with_causes(error)),
        };
        Self { meaning, reason }
    }
}

fn of_word(word: Option<&str>) -> Meaning {
    let Some(word) = word else {
        return Meaning::Accepted;
    };
    match word {
        "duplicate" | "inconclusive" | "duplicate-inconclusive" => Meaning::Doubt(Absent::Resend),
        "duplicate-invalid" => Meaning::Doubt(Absent::Invalid),
        "stale-prevblk" | "stale-work" | "inconclusive-not-best-prevblk" => {
            Meaning::Doubt(Absent::Stale)
        }
        "prev-blk-not-found" | "time-too-new" => Meaning::NotYet,
        "bad-witness-merkle-match"
        | "bad-witness-nonce-size"
        | "unexpected-witness"
        | "bad-txnmrklroot"
        | "bad-txns-duplicate" => Meaning::Refused,
        "high-hash" | "time-too-old" | "time-timewarp-attack" => Meaning::Rejected,
        word if word.starts_with("bad-") => Meaning::Rejected,
        _ => Meaning::Doubt(Absent::Refused),
    }
}

fn of_error(error: &NodeError) -> Meaning {
    match error {
        error if error.may_have_executed() => Meaning::Doubt(Absent::Resend),
        // `Block decode failed`: no block of ours, unless it was cut on the way.
        NodeError::Rpc { code: -22, .. } => Meaning::Refused,
        _ => Meaning::NotYet,
    }
}

/// An error and what caused it, on one line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::print_stderr)]

    use super::*;

    #[test]
    fn every_word_of_submitblock_has_its_meaning() {
        use Meaning::{Accepted, Doubt, NotYet, Refused, Rejected};
        for (word, meaning) in [
            (None, Accepted),
            (Some("duplicate"), Doubt(Absent::Resend)),
            (Some("duplicate-inconclusive"), Doubt(Absent::Resend)),
            (Some("duplicate-invalid"), Doubt(Absent::Invalid)),
            (Some("inconclusive"), Doubt(Absent::Resend)),
            (Some("stale-prevblk"), Doubt(Absent::Stale)),
            (Some("inconclusive-not-best-prevblk"), Doubt(Absent::Stale)),
            (Some("prev-blk-not-found"), NotYet),
            (Some("time-too-new"), NotYet),
            (Some("bad-witness-merkle-match"), Refused),
            (Some("bad-witness-nonce-size"), Refused),
            (Some("unexpected-witness"), Refused),
            (Some("bad-txnmrklroot"), Refused),
            (Some("bad-cb-amount"), Rejected),
            (Some("bad-prevblk"), Rejected),
            (Some("bad-version(0x00000003)"), Rejected),
            (Some("high-hash"), Rejected),
            (Some("time-too-old"), Rejected),
            (Some("something new"), Doubt(Absent::Refused)),
        ] {
            assert_eq!(of_word(word), meaning, "{word:?}");
        }
    }

    #[test]
    fn an_error_leaves_doubt_only_where_the_node_may_have_read_the_block() {
        let cause = || Box::new(std::io::Error::other("connection reset by peer"));
        let url = || "http://127.0.0.1:18443".to_owned();
        let method = || "submitblock".to_owned();
        let cut = NodeError::Unanswered {
            url: url(),
            method: method(),
            waited: std::time::Duration::from_secs(1),
            cause: cause(),
        };
        assert_eq!(of_error(&cut), Meaning::Doubt(Absent::Resend));
        assert!(with_causes(&cut).contains("connection reset by peer"));
        let refused = |code| NodeError::Rpc {
            method: method(),
            code,
            message: String::new(),
        };
        assert_eq!(of_error(&refused(-22)), Meaning::Refused);
        assert_eq!(of_error(&refused(-32601)), Meaning::NotYet);
        for error in [
            NodeError::Unreachable {
                url: url(),
                method: method(),
                cause: cause(),
            },
            NodeError::Busy {
                url: url(),
                method: method(),
                text: String::new(),
            },
            NodeError::WarmingUp {
                text: "Verifying blocks\u{2026}".to_owned(),
            },
            NodeError::Unauthorized {
                url: url(),
                credentials: String::new(),
            },
            NodeError::Forbidden {
                url: url(),
                method: method(),
            },
            NodeError::Overloaded {
                lane: "submit",
                capacity: 64,
            },
            NodeError::Stopped,
        ] {
            assert_eq!(of_error(&error), Meaning::NotYet, "{error}");
        }
    }

    /// What Bitcoin Core really answered, from the recordings that `SIGNALCORE_TESTDATA` names.
    #[test]
    fn bitcoin_cores_recorded_answers_have_their_meaning() {
        let Some(data) = std::env::var_os("SIGNALCORE_TESTDATA") else {
            eprintln!("skipped: SIGNALCORE_TESTDATA not set");
            return;
        };
        let recordings = std::path::Path::new(&data).join("core/rpc");
        for (name, meaning) in [
            ("accepted_null", Meaning::Accepted),
            ("null_when_side_branch_overtakes", Meaning::Accepted),
            ("time_too_new_retry_later", Meaning::Accepted),
            ("duplicate", Meaning::Doubt(Absent::Resend)),
            (
                "inconclusive_side_branch_same_height",
                Meaning::Doubt(Absent::Resend),
            ),
            (
                "inconclusive_stale_but_invalid",
                Meaning::Doubt(Absent::Resend),
            ),
            (
                "duplicate-invalid_second_time",
                Meaning::Doubt(Absent::Invalid),
            ),
            ("unknown_parent", Meaning::NotYet),
            ("time-too-new", Meaning::NotYet),
            ("bad-witness-merkle-match", Meaning::Refused),
            ("bad-txnmrklroot", Meaning::Refused),
            ("decode_failed", Meaning::Refused),
            ("bad-cb-amount", Meaning::Rejected),
            ("bad-prevblk_child_of_invalid", Meaning::Rejected),
            ("bad-version", Meaning::Rejected),
            ("bad-diffbits", Meaning::Rejected),
            ("high-hash", Meaning::Rejected),
            ("time-too-old", Meaning::Rejected),
        ] {
            let path = recordings.join(format!("submitblock_{name}.json"));
            let text = std::fs::read_to_string(&path).expect("the recording is there");
            let recorded: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            let body = &recorded["response"]["body"];
            let body = match body.as_str() {
                Some(text) => serde_json::from_str(text).expect("JSON"),
                None => body.clone(),
            };
            let said = match body["error"]["code"].as_i64() {
                None => of_word(body["result"].as_str()),
                Some(code) => of_error(&NodeError::Rpc {
                    method: "submitblock".to_owned(),
                    code: code as i32,
                    message: String::new(),
                }),
            };
            assert_eq!(said, meaning, "{name}");
        }
    }
}
