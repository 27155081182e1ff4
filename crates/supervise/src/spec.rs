//! What a supervisor is told about a child.

use std::sync::Arc;
use std::time::Duration;

use crate::backoff::Backoff;
use crate::liveness::{Liveness, Progress};

/// When a child that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Restart {
    /// Always, however it ended.
    #[default]
    Permanent,
    /// Only after an abnormal end: everything but a context that stopped by itself, or at the supervisor's request.
    Transient,
    /// Never.
    Temporary,
}

/// Whom a failure concerns besides the child that failed.
///
/// Siblings that are restarted with it are stopped in reverse order, each within its own shutdown deadline, and started
/// in order, each when its predecessor is up, after the backoff of the child that failed. Only that child's
/// intensity counts. A [`Temporary`](Restart::Temporary) sibling is stopped and ends for good; one that had ended for good
/// stays ended. A failure that is not followed by a restart (see [`Restart`]) concerns nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Nobody: it is restarted alone.
    #[default]
    OneForOne,
    /// Those that were started after it, which may depend on it.
    RestForOne,
    /// All.
    OneForAll,
}

/// How many restarts within how long are too many.
///
/// The restart that would make it more than `restarts` within `period` is not made: the supervisor escalates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intensity {
    /// Restarts allowed within `period`; 0 escalates on the first failure.
    pub restarts: u32,
    /// The sliding window.
    pub period: Duration,
}

impl Default for Intensity {
    /// 10 in 60 s.
    fn default() -> Self {
        Self {
            restarts: 10,
            period: Duration::from_mins(1),
        }
    }
}

/// A backoff and an intensity that fit together.
///
/// A backoff can be so slow that a child which fails at once, every time, still never exceeds its intensity:
/// it would be restarted for ever and nobody would be told. Such a pair cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RestartLimits {
    backoff: Backoff,
    intensity: Intensity,
}

impl RestartLimits {
    /// Pairs them.
    ///
    /// # Errors
    /// If either is out of its range, or if a child that always fails at once might never escalate.
    pub fn new(backoff: Backoff, intensity: Intensity) -> Result<Self, SpecError> {
        if backoff.initial.is_zero() || backoff.max < backoff.initial {
            return Err(SpecError::Delays {
                initial: backoff.initial,
                max: backoff.max,
            });
        }
        if !(backoff.multiplier >= 1.0 && backoff.multiplier.is_finite()) {
            return Err(SpecError::Multiplier(backoff.multiplier));
        }
        if !(0.0..1.0).contains(&backoff.jitter) {
            return Err(SpecError::Jitter(backoff.jitter));
        }
        let spread = backoff.longest(intensity.restarts);
        if spread >= intensity.period {
            return Err(SpecError::NeverEscalates {
                restarts: intensity.restarts,
                period: intensity.period,
                spread,
            });
        }
        Ok(Self { backoff, intensity })
    }

    /// The delays between restarts.
    pub fn backoff(&self) -> &Backoff {
        &self.backoff
    }

    /// The bound on restarts.
    pub fn intensity(&self) -> Intensity {
        self.intensity
    }
}

/// A child specification that makes no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// The delays are empty or run backwards.
    #[error(
        "backoff: the first delay ({initial:?}) must be above zero and at most the longest ({max:?})"
    )]
    Delays {
        /// The first delay asked for.
        initial: Duration,
        /// The longest delay asked for.
        max: Duration,
    },
    /// The delays would shrink.
    #[error("backoff: the multiplier is {0}, it must be at least 1")]
    Multiplier(f64),
    /// The jitter is no share.
    #[error("backoff: the jitter is {0}, it must be at least 0 and below 1")]
    Jitter(f64),
    /// The child would be restarted for ever.
    #[error(
        "backoff and intensity: {restarts} restarts can be spread over {spread:?} by the backoff alone, so that a \
         child which always fails would never exceed {restarts} restarts in {period:?}; shorten the longest delay, \
         lengthen the period or allow fewer restarts"
    )]
    NeverEscalates {
        /// The intensity's restarts.
        restarts: u32,
        /// The intensity's period.
        period: Duration,
        /// How far the backoff alone can spread them.
        spread: Duration,
    },
}

/// What the supervisor is told about a child: its name and how it is started, stopped and restarted.
///
/// ```
/// # use std::time::Duration;
/// # use signalcore_supervise::{Backoff, ChildSpec, Intensity, Restart, RestartLimits, SpecError};
/// let spec = ChildSpec::new("ingest")
///     .restart(Restart::Permanent)
///     .start_timeout(Duration::from_secs(10))
///     .shutdown(Duration::from_secs(2))
///     .limits(RestartLimits::new(
///         Backoff { max: Duration::from_secs(2), ..Backoff::default() },
///         Intensity { restarts: 20, period: Duration::from_secs(60) },
///     )?);
/// # Ok::<(), SpecError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ChildSpec {
    pub(crate) id: Arc<str>,
    pub(crate) restart: Restart,
    pub(crate) start_timeout: Duration,
    pub(crate) shutdown: Duration,
    pub(crate) limits: RestartLimits,
    pub(crate) mailbox: usize,
    pub(crate) liveness: Vec<Liveness>,
    pub(crate) progress: Option<Progress>,
}

impl ChildSpec {
    /// A permanent child with 10 s to start, 5 s to stop, the default limits, a mailbox of 1024 messages, and nobody
    /// watching whether it hangs.
    ///
    /// The id names the child in events, errors and thread names; it is unique within its supervisor.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self {
            id: id.into(),
            restart: Restart::default(),
            start_timeout: Duration::from_secs(10),
            shutdown: Duration::from_secs(5),
            limits: RestartLimits::default(),
            mailbox: 1024,
            liveness: Vec::new(),
            progress: None,
        }
    }

    /// When it is started again.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// How long the factory, `started` and whatever `started` put into `ctx.wait` may take together.
    #[must_use]
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = timeout;
        self
    }

    /// How long it may take to drain after [`Shutdown`](crate::Shutdown), and to be released after any exit.
    #[must_use]
    pub fn shutdown(mut self, deadline: Duration) -> Self {
        self.shutdown = deadline;
        self
    }

    /// How fast and how often it is restarted before the supervisor gives up.
    #[must_use]
    pub fn limits(mut self, limits: RestartLimits) -> Self {
        self.limits = limits;
        self
    }

    /// How many messages may wait for it (at least 1); see [`ActorRef`](crate::ActorRef).
    #[must_use]
    pub fn mailbox(mut self, messages: usize) -> Self {
        self.mailbox = messages.max(1);
        self
    }

    /// Watches it while it is up; an incarnation that hangs is ended, abandoned if need be, and followed by a
    /// successor. Asked for twice, with different probes, both watch.
    #[must_use]
    pub fn liveness(mut self, liveness: Liveness) -> Self {
        self.liveness.retain(|other| other.probe != liveness.probe);
        self.liveness.push(liveness);
        self
    }

    /// Watches a counter while it is up: one that does not move for long enough means that the child hangs,
    /// however promptly it answers.
    #[must_use]
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = Some(progress);
        self
    }

    /// The child's name.
    pub fn id(&self) -> &str {
        &self.id
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn backoff() -> Backoff {
        Backoff::default()
    }

    #[test]
    fn the_default_limits_fit_together() {
        let limits = RestartLimits::default();
        assert_eq!(
            RestartLimits::new(backoff(), Intensity::default()),
            Ok(limits)
        );
        assert_eq!(limits.intensity().restarts, 10);
        assert_eq!(limits.backoff().initial, Duration::from_millis(50));
    }

    #[test]
    fn a_pair_that_can_never_escalate_is_refused() {
        // Ten restarts can be spread over 25.6 s by the default backoff: jitter counts.
        let intensity = |seconds| Intensity {
            restarts: 10,
            period: Duration::from_secs(seconds),
        };
        assert!(RestartLimits::new(backoff(), intensity(26)).is_ok());
        let refused = RestartLimits::new(backoff(), intensity(25)).unwrap_err();
        assert!(matches!(
            refused,
            SpecError::NeverEscalates { restarts: 10, .. }
        ));
        assert!(
            refused.to_string().contains("shorten the longest delay"),
            "{refused}"
        );
        let slow = Backoff {
            initial: Duration::from_mins(1),
            max: Duration::from_mins(1),
            ..backoff()
        };
        assert!(RestartLimits::new(slow, Intensity::default()).is_err());
        // No restart, no delay: it escalates at the first failure, whatever the backoff.
        let never = Intensity {
            restarts: 0,
            period: Duration::from_secs(1),
        };
        assert!(RestartLimits::new(slow, never).is_ok());
    }

    #[test]
    fn a_backoff_out_of_range_is_refused() {
        let bad = [
            Backoff {
                initial: Duration::ZERO,
                ..backoff()
            },
            Backoff {
                max: Duration::from_millis(49),
                ..backoff()
            },
            Backoff {
                multiplier: 0.5,
                ..backoff()
            },
            Backoff {
                multiplier: f64::NAN,
                ..backoff()
            },
            Backoff {
                jitter: -0.1,
                ..backoff()
            },
            Backoff {
                jitter: 1.0,
                ..backoff()
            },
        ];
        for backoff in bad {
            let made = RestartLimits::new(backoff, Intensity::default());
            assert!(made.is_err(), "{backoff:?}");
        }
    }
}
