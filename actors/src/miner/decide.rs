//! The one function that decides whether to hash: (validation, advice, switches, guards) -> [`Decision`].

use std::time::Duration;

use chain::Verdict;

use super::policy::{Economics, Policy, recommend};

/// What this program's own checks say of the tip.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validation {
    /// The header window's verdict.
    pub header: Judged,
    /// The block's own.
    pub body: Judged,
}

/// One verdict, as far as there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Judged {
    /// Not checked yet, or nothing there to check.
    #[default]
    Pending,
    /// Checked.
    Done {
        /// The verdict.
        verdict: Verdict,
        /// The first failed check and its reason, or what kept the verdict open.
        because: Option<String>,
    },
}

/// What an advisor said.
#[derive(Debug, Clone, PartialEq)]
pub struct Advice {
    /// Its recommendation.
    pub recommendation: Recommendation,
    /// How sure it is, 0 to 1.
    pub confidence: f64,
    /// Its reason.
    pub reason: String,
}

/// The three things an advisor may recommend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recommendation {
    /// Hash.
    Proceed,
    /// Do not hash, for this long.
    Hold(Duration),
    /// Get a fresh template.
    Retry,
}

/// Who has switched mining off, if anyone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Switches {
    /// By whom or what.
    pub mining_off: Option<String>,
}

/// The limits within which advice counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guards {
    /// Advice with less confidence is ignored.
    pub confidence_floor: f64,
    /// The longest single HOLD.
    pub hold_max: Duration,
    /// What is left of the day's allowance for all HOLDs together.
    pub hold_left: Duration,
}

/// What is to be refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// The template; hashing goes on meanwhile.
    Template,
    /// The validation of the tip; nothing is hashed until it is done.
    Validation,
}

/// What to do, with the reason in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Hash.
    Proceed {
        /// Why.
        reason: String,
    },
    /// Do not hash for a time, then decide again.
    Hold {
        /// How long, within the guards.
        hold: Duration,
        /// Why.
        reason: String,
    },
    /// Get something anew.
    Retry {
        /// What.
        what: Refresh,
        /// Why.
        reason: String,
    },
    /// There is nothing that may be worked on.
    NoJob {
        /// Why.
        reason: String,
    },
    /// Someone said no.
    SwitchedOff {
        /// Who or what.
        by: String,
    },
}

/// Decides. The order is the order of authority: an operator's switch, then consensus, then the
/// advisor within its guards, then the mathematical policy.
///
/// An advisor can hold or proceed; it cannot make a rejected tip acceptable. A tip whose checks
/// could not come to a verdict is mined on, since the node has checked it in full, except where the
/// only thing against it is its time (`time-too-new`): then it is validated again first.
pub fn decide(
    validation: &Validation,
    advice: Option<&Advice>,
    switches: &Switches,
    guards: &Guards,
    economics: &Economics,
) -> Decision {
    if let Some(by) = &switches.mining_off {
        return Decision::SwitchedOff { by: by.clone() };
    }
    if let Some(decision) = forbidden(validation) {
        return decision;
    }
    match advice.filter(|advice| advice.confidence >= guards.confidence_floor) {
        Some(advice) => {
            let reason = format!("advisor: {}", advice.reason);
            match advice.recommendation {
                Recommendation::Proceed => Decision::Proceed { reason },
                Recommendation::Retry => Decision::Retry {
                    what: Refresh::Template,
                    reason,
                },
                Recommendation::Hold(hold) => held(hold, reason, guards),
            }
        }
        None => match recommend(economics) {
            Policy::Proceed { reason } => Decision::Proceed { reason },
            Policy::Refresh { reason } => Decision::Retry {
                what: Refresh::Template,
                reason,
            },
            Policy::Hold { hold, reason } => held(hold, reason, guards),
        },
    }
}

fn forbidden(validation: &Validation) -> Option<Decision> {
    for (what, judged) in [("header", &validation.header), ("block", &validation.body)] {
        let Judged::Done { verdict, because } = judged else {
            continue;
        };
        let because = because.as_deref().unwrap_or("no reason was given");
        match verdict {
            Verdict::Rejected => {
                return Some(Decision::NoJob {
                    reason: format!("the tip's {what} was rejected: {because}"),
                });
            }
            Verdict::Undecided if because.contains("time-too-new") => {
                return Some(Decision::Retry {
                    what: Refresh::Validation,
                    reason: format!("the tip's {what} is ahead of the clock: {because}"),
                });
            }
            Verdict::Undecided | Verdict::Authentic => {}
        }
    }
    None
}

fn held(hold: Duration, reason: String, guards: &Guards) -> Decision {
    let hold = hold.min(guards.hold_max).min(guards.hold_left);
    if hold.is_zero() {
        return Decision::Proceed {
            reason: format!("the allowance for holding is used up ({reason})"),
        };
    }
    Decision::Hold { hold, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::miner::policy::PowerCost;

    const GUARDS: Guards = Guards {
        confidence_floor: 0.5,
        hold_max: Duration::from_mins(10),
        hold_left: Duration::from_hours(1),
    };

    fn economics() -> Economics {
        Economics {
            reward_sat: 5_000_000_000,
            expected_hashes: 2.0,
            hashrate_hs: Some(1e6),
            spacing: Duration::from_mins(10),
            stale_ratio: None,
            unheard: Duration::ZERO,
            power: None,
            template_age: Some(Duration::ZERO),
            template_max_age: Duration::from_secs(30),
        }
    }

    fn judged(verdict: Verdict, because: &str) -> Judged {
        Judged::Done {
            verdict,
            because: Some(because.to_owned()),
        }
    }

    fn hold(seconds: u64, confidence: f64) -> Advice {
        Advice {
            recommendation: Recommendation::Hold(Duration::from_secs(seconds)),
            confidence,
            reason: "the price is low".to_owned(),
        }
    }

    fn with(validation: &Validation, advice: Option<&Advice>) -> Decision {
        decide(
            validation,
            advice,
            &Switches::default(),
            &GUARDS,
            &economics(),
        )
    }

    fn authentic() -> Validation {
        Validation {
            header: judged(Verdict::Authentic, ""),
            body: Judged::Pending,
        }
    }

    #[test]
    fn a_switch_outranks_everything() {
        let switches = Switches {
            mining_off: Some("the operator".to_owned()),
        };
        let rejected = Validation {
            header: judged(Verdict::Rejected, "high-hash"),
            ..Validation::default()
        };
        assert_eq!(
            decide(
                &rejected,
                Some(&hold(5, 1.0)),
                &switches,
                &GUARDS,
                &economics()
            ),
            Decision::SwitchedOff {
                by: "the operator".to_owned()
            }
        );
    }

    #[test]
    fn a_rejected_header_or_body_is_never_mined_on_whatever_the_advisor_says() {
        let proceed = Advice {
            recommendation: Recommendation::Proceed,
            confidence: 1.0,
            reason: "trust me".to_owned(),
        };
        for validation in [
            Validation {
                header: judged(Verdict::Rejected, "high-hash"),
                ..authentic()
            },
            Validation {
                body: judged(Verdict::Rejected, "bad-txnmrklroot"),
                ..authentic()
            },
        ] {
            let Decision::NoJob { reason } = with(&validation, Some(&proceed)) else {
                panic!("{validation:?} was decided otherwise");
            };
            assert!(reason.contains("rejected"), "{reason}");
        }
    }

    #[test]
    fn a_body_that_is_still_pending_or_undecided_is_mined_on() {
        let undecided = Validation {
            body: judged(Verdict::Undecided, "coverage 0.6"),
            ..authentic()
        };
        for validation in [authentic(), undecided] {
            assert!(matches!(with(&validation, None), Decision::Proceed { .. }));
        }
    }

    #[test]
    fn a_tip_ahead_of_the_clock_is_validated_again() {
        let early = Validation {
            header: judged(Verdict::Undecided, "time-too-new"),
            ..authentic()
        };
        assert!(matches!(
            with(&early, None),
            Decision::Retry {
                what: Refresh::Validation,
                ..
            }
        ));
    }

    #[test]
    fn advice_counts_from_the_floor_up() {
        assert!(matches!(
            with(&authentic(), Some(&hold(5, 0.49))),
            Decision::Proceed { .. }
        ));
        assert_eq!(
            with(&authentic(), Some(&hold(5, 0.5))),
            Decision::Hold {
                hold: Duration::from_secs(5),
                reason: "advisor: the price is low".to_owned()
            }
        );
        let nonsense = hold(5, f64::NAN);
        assert!(matches!(
            with(&authentic(), Some(&nonsense)),
            Decision::Proceed { .. }
        ));
    }

    #[test]
    fn a_hold_is_cut_to_its_maximum_and_to_what_is_left_of_the_day() {
        let long = hold(100_000, 1.0);
        let Decision::Hold { hold: cut, .. } = with(&authentic(), Some(&long)) else {
            panic!("held");
        };
        assert_eq!(cut, GUARDS.hold_max);
        let nearly = Guards {
            hold_left: Duration::from_secs(7),
            ..GUARDS
        };
        let off = Switches::default();
        let Decision::Hold { hold: cut, .. } =
            decide(&authentic(), Some(&long), &off, &nearly, &economics())
        else {
            panic!("held");
        };
        assert_eq!(cut, Duration::from_secs(7));
        let spent = Guards {
            hold_left: Duration::ZERO,
            ..GUARDS
        };
        assert!(matches!(
            decide(&authentic(), Some(&long), &off, &spent, &economics()),
            Decision::Proceed { .. }
        ));
    }

    #[test]
    fn without_advice_the_policy_decides() {
        let off = Switches::default();
        let dear = Economics {
            power: Some(PowerCost {
                watts: 1e12,
                sat_per_kwh: 1e12,
            }),
            ..economics()
        };
        let decision = decide(&authentic(), None, &off, &GUARDS, &dear);
        assert!(matches!(decision, Decision::Hold { .. }), "{decision:?}");
        let old = Economics {
            template_age: Some(Duration::from_secs(31)),
            ..economics()
        };
        let decision = decide(&authentic(), None, &off, &GUARDS, &old);
        assert!(
            matches!(
                decision,
                Decision::Retry {
                    what: Refresh::Template,
                    ..
                }
            ),
            "{decision:?}"
        );
    }
}
