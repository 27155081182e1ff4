//! Faults that are planned before the start: `SIGNALCORE_FAULT=child:kind@seconds,...`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::ffi::OsStr;
use std::str::FromStr;
use std::time::Duration;

use supervise::{Fault, Supervisor};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{error, warn};

use crate::exit::{Exit, ExitError};

/// The environment variable that holds the plan.
pub const VARIABLE: &str = "SIGNALCORE_FAULT";

/// How long a planned hang lasts.
const HANG: Duration = Duration::from_mins(1);
/// A child that has not begun with its fault after this long is stuck already.
const BEGUN: Duration = Duration::from_secs(1);

/// What is wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part:?} {fault}; write child:kind@seconds, as in miner:panic@5,ingest:hang@12.5")]
pub struct PlanError {
    part: String,
    fault: &'static str,
}

/// One fault of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    child: String,
    fault: Fault,
    after: Duration,
}

impl FromStr for Planned {
    type Err = PlanError;

    fn from_str(part: &str) -> Result<Self, PlanError> {
        let wrong = |fault| PlanError {
            part: part.to_owned(),
            fault,
        };
        let (child, rest) = part
            .split_once(':')
            .ok_or(wrong("has no colon behind the child"))?;
        let (kind, after) = rest
            .split_once('@')
            .ok_or(wrong("has no @ behind the kind"))?;
        if child.is_empty() {
            return Err(wrong("names no child"));
        }
        let fault = match kind {
            "panic" => Fault::Panic,
            "hang" => Fault::Hang(HANG),
            "exit" => Fault::Exit,
            _ => return Err(wrong("is neither a panic, a hang nor an exit")),
        };
        let after = after.parse().ok().map(Duration::try_from_secs_f64);
        let Some(Ok(after)) = after else {
            return Err(wrong("has no number of seconds behind the @"));
        };
        Ok(Self {
            child: child.to_owned(),
            fault,
            after,
        })
    }
}

/// Faults to come, soonest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    faults: VecDeque<Planned>,
}

impl FromStr for Plan {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let mut faults = text
            .split(',')
            .map(str::parse)
            .collect::<Result<Vec<Planned>, _>>()?;
        faults.sort_by_key(|planned| planned.after);
        Ok(Self {
            faults: faults.into(),
        })
    }
}

impl Plan {
    /// The plan in the value of [`VARIABLE`]. `allowed`: `debug.fault_injection`. An unset or empty variable
    /// plans nothing.
    ///
    /// # Errors
    /// Exit 78: a part that cannot be read, or any plan where faults are not allowed.
    pub fn read(value: Option<&OsStr>, allowed: bool) -> Result<Self, ExitError> {
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return Ok(Self::default());
        };
        let refused =
            |reason: String| ExitError::new(Exit::Config, format!("{VARIABLE}: {reason}"));
        if !allowed {
            return Err(refused(
                "faults are planned and debug.fault_injection is false; unset it, or set that to true where \
                 nothing is at stake"
                    .to_owned(),
            ));
        }
        value
            .to_string_lossy()
            .parse()
            .map_err(|error: PlanError| refused(error.to_string()))
    }

    /// Holds the plan against the children there are.
    ///
    /// # Errors
    /// Exit 78: a fault for a child that there is not.
    pub fn check(&self, children: &[impl AsRef<str>]) -> Result<(), ExitError> {
        let names: Vec<&str> = children.iter().map(AsRef::as_ref).collect();
        let mut faults = self.faults.iter();
        let stranger = faults.find(|planned| !names.contains(&planned.child.as_str()));
        stranger.map_or(Ok(()), |planned| {
            Err(ExitError::new(
                Exit::Config,
                format!(
                    "{VARIABLE}: there is no child {:?}; there are {}",
                    planned.child,
                    names.join(", ")
                ),
            ))
        })
    }

    /// Carries out each fault at its time, counted from `start`. Never resolves. Cancelling loses nothing:
    /// what is left is carried out by the next call.
    pub async fn carry_out(&mut self, start: Instant, tree: &Supervisor) -> Infallible {
        while let Some(next) = self.faults.front() {
            sleep_until(start + next.after).await;
            warn!(
                "a planned fault is injected: {} {:?}",
                next.child, next.fault
            );
            match timeout(BEGUN, tree.inject(&next.child, next.fault)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => error!("{VARIABLE}: {error}"),
                Err(_) => error!(
                    "{VARIABLE}: {} did not take the fault within {BEGUN:?}: it is stuck already",
                    next.child
                ),
            }
            self.faults.pop_front();
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(text: &str) -> Result<Plan, ExitError> {
        Plan::read(Some(OsStr::new(text)), true)
    }

    #[test]
    fn a_plan_is_read_part_by_part_and_sorted_by_time() {
        let plan = read("miner:panic@5,ingest:hang@0.25,api:exit@1").unwrap();
        let faults: Vec<_> = plan
            .faults
            .iter()
            .map(|planned| (planned.child.as_str(), planned.fault, planned.after))
            .collect();
        assert_eq!(
            faults,
            [
                ("ingest", Fault::Hang(HANG), Duration::from_millis(250)),
                ("api", Fault::Exit, Duration::from_secs(1)),
                ("miner", Fault::Panic, Duration::from_secs(5)),
            ]
        );
    }

    #[test]
    fn no_value_and_an_empty_one_plan_nothing() {
        assert_eq!(Plan::read(None, false).unwrap(), Plan::default());
        assert_eq!(
            Plan::read(Some(OsStr::new("")), false).unwrap(),
            Plan::default()
        );
    }

    #[test]
    fn a_part_that_cannot_be_read_is_named_and_ends_with_78() {
        for (part, fault) in [
            ("miner", "has no colon behind the child"),
            ("miner:panic", "has no @ behind the kind"),
            (":panic@1", "names no child"),
            ("miner:sleep@1", "is neither a panic, a hang nor an exit"),
            ("miner:Panic@1", "is neither a panic, a hang nor an exit"),
            ("miner:panic@", "has no number of seconds behind the @"),
            ("miner:panic@soon", "has no number of seconds behind the @"),
            ("miner:panic@-1", "has no number of seconds behind the @"),
            ("miner:panic@nan", "has no number of seconds behind the @"),
            ("miner:panic@1e99", "has no number of seconds behind the @"),
            ("miner:panic@1@2", "has no number of seconds behind the @"),
            ("", "has no colon behind the child"),
        ] {
            let error = read(&format!("stats:exit@1,{part}")).unwrap_err();
            assert_eq!(error.exit, Exit::Config);
            assert_eq!(
                error.to_string(),
                format!(
                    "SIGNALCORE_FAULT: {part:?} {fault}; write child:kind@seconds, as in \
                     miner:panic@5,ingest:hang@12.5"
                )
            );
        }
    }

    #[test]
    fn any_plan_is_refused_where_faults_are_not_allowed() {
        let error = Plan::read(Some(OsStr::new("miner:panic@5")), false).unwrap_err();
        assert_eq!(error.exit, Exit::Config);
        assert!(error.to_string().contains("debug.fault_injection is false"));
    }

    #[test]
    fn a_child_that_there_is_not_is_named() {
        let children = ["stats", "miner"];
        assert!(read("miner:panic@5").unwrap().check(&children).is_ok());
        let error = read("minor:panic@5").unwrap().check(&children).unwrap_err();
        assert_eq!(
            error.to_string(),
            "SIGNALCORE_FAULT: there is no child \"minor\"; there are stats, miner"
        );
    }
}
