//! The advisor and the decision, as `status` says them to people.

use std::fmt;

use advisor::jail::orders::Force;

use super::view::{AdviceStatus, AdvisorStatus};

/// Lines with a label each, as the rest of `status` has them.
impl fmt::Display for AdvisorStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(decision) = &self.decision {
            writeln!(
                f,
                "decision  {} by {}: {}",
                decision.decision, decision.by, decision.reason
            )?;
            if decision.held_s > 0.0 {
                writeln!(
                    f,
                    "held      {:.0} s of the last 24 hours, in which {:.0} s are allowed",
                    decision.held_s, decision.hold_allowed_s
                )?;
            }
        }
        let Some(command) = &self.command else {
            return Ok(());
        };
        write!(
            f,
            "advisor   {command} ({}, {}): {}, {} of {} questions answered",
            self.mode.as_deref().unwrap_or_default(),
            self.gate.as_deref().unwrap_or_default(),
            self.state,
            self.answered,
            self.questions
        )?;
        if let Some(breaker) = self.breaker {
            write!(f, ", breaker {breaker}")?;
        }
        if let Some(latency) = self.latency_s {
            write!(f, ", {latency}")?;
        }
        writeln!(f)?;
        if let Some(trouble) = &self.trouble {
            writeln!(f, "          no answer: {trouble}")?;
        }
        if let Some(last) = &self.last_advice {
            writeln!(f, "          said {last}")?;
        }
        if let Some(shelter) = &self.sandbox {
            let (landlock, seccomp) = (in_words(&shelter.landlock), in_words(&shelter.seccomp));
            writeln!(
                f,
                "          sandbox: landlock {landlock}, seccomp {seccomp}"
            )?;
        }
        if let Some(record) = &self.track_record
            && let (Some(right), Some(brier)) = (record.right_ratio, record.brier)
        {
            writeln!(
                f,
                "          right in {:.0} % of {} that were judged, Brier score {brier:.3}",
                right * 100.0,
                record.judged
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for AdviceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:.2})", self.recommendation, self.confidence)?;
        if let Some(seconds) = self.hold_s {
            write!(f, " for {seconds:.0} s")?;
        }
        write!(f, " {:.0} s ago: {}", self.age_s, self.reason)
    }
}

fn in_words(force: &Force) -> String {
    match force {
        Force::Full => "in force".to_owned(),
        Force::Partial(missing) => format!("in part ({missing})"),
        Force::None(why) => format!("off ({why})"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::DecisionStatus;
    use super::*;
    use crate::messages::Decider;

    #[test]
    fn nobody_is_asked_and_the_decision_is_explained_all_the_same() {
        let status = AdvisorStatus {
            decision: Some(DecisionStatus {
                decision: "PROCEED".to_owned(),
                by: Decider::Policy,
                reason: "no power cost is set".to_owned(),
                held_s: 0.0,
                hold_allowed_s: 17_280.0,
            }),
            ..AdvisorStatus::default()
        };
        assert_eq!(
            status.to_string(),
            "decision  PROCEED by mathematical policy: no power cost is set\n"
        );
    }

    #[test]
    fn an_advisor_that_fails_says_why_and_what_it_said_last() {
        let status = AdvisorStatus {
            state: "idle".to_owned(),
            command: Some("/bin/sh".to_owned()),
            mode: Some("oneshot".to_owned()),
            gate: Some("async".to_owned()),
            questions: 3,
            answered: 1,
            trouble: Some("it ended with code 3".to_owned()),
            last_advice: Some(AdviceStatus {
                recommendation: "HOLD".to_owned(),
                confidence: 0.9,
                reason: "the price is low".to_owned(),
                hold_s: Some(60.0),
                tip: String::new(),
                age_s: 12.0,
                cached: false,
                counts: true,
            }),
            ..AdvisorStatus::default()
        };
        let words = status.to_string();
        let lines: Vec<&str> = words.lines().collect();
        assert_eq!(
            lines,
            [
                "advisor   /bin/sh (oneshot, async): idle, 1 of 3 questions answered",
                "          no answer: it ended with code 3",
                "          said HOLD (0.90) for 60 s 12 s ago: the price is low",
            ]
        );
    }
}
