//! From samples to alerts and a degradation: pure, with the time as a parameter.
//!
//! A shortage begins at its limit, at once, and ends when the measure has stayed on the good side of the
//! limit by a margin for [`LEAVE_AFTER`]: what hovers about a limit neither flickers nor fills the log.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::gauge::{Gauge, gauges};
use super::kinds::{Alert, Degradation, Resource, ResourceLimits};
use super::samples::Samples;

/// A shortage ends when there was none for this long.
pub const LEAVE_AFTER: Duration = Duration::from_secs(30);
/// A shortage that lasts is said again after this.
pub const REPEAT: Duration = Duration::from_mins(10);
/// A shortage of something that can no longer be measured is dropped after this.
pub const FORGET: Duration = Duration::from_mins(5);

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Fine,
    Low,
    Critical,
}

/// A line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// How loud.
    pub loudness: Loudness,
    /// What.
    pub text: String,
}

impl Note {
    /// Writes it to the log.
    pub fn log(&self) {
        match self.loudness {
            Loudness::Info => tracing::info!("{}", self.text),
            Loudness::Warn => tracing::warn!("{}", self.text),
            Loudness::Error => tracing::error!("{}", self.text),
        }
    }
}

/// How loud a note is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loudness {
    /// Good news.
    Info,
    /// Something is low.
    Warn,
    /// Something is nearly gone.
    Error,
}

/// What the samples come to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Assessment {
    /// Everything that is scarce.
    pub alerts: Vec<Alert>,
    /// What is to be given up.
    pub degradation: Degradation,
    /// What is news.
    pub notes: Vec<Note>,
}

/// What is remembered from one assessment to the next.
#[derive(Debug)]
pub struct Assessor {
    limits: ResourceLimits,
    watched: BTreeMap<(Resource, String), Watched>,
    degradation: Degradation,
}

/// One measure, and what was said of it.
#[derive(Debug)]
struct Watched {
    level: Level,
    message: String,
    /// Since when it is on the bad side, and since when on the good side by the margin.
    over: Option<Instant>,
    under: Option<Instant>,
    measured: Instant,
    said: Instant,
}

impl Assessor {
    /// Nothing is scarce yet.
    pub fn new(limits: ResourceLimits) -> Self {
        Self {
            limits,
            watched: BTreeMap::new(),
            degradation: Degradation::None,
        }
    }

    /// Assesses the samples of `now`.
    pub fn assess(&mut self, samples: &Samples, now: Instant) -> Assessment {
        let mut notes = Vec::new();
        for gauge in gauges(samples, &self.limits) {
            let key = (gauge.resource, gauge.subject.clone());
            let watched = self.watched.entry(key).or_insert_with(|| Watched {
                level: Level::Fine,
                message: String::new(),
                over: None,
                under: None,
                measured: now,
                said: now,
            });
            notes.extend(watched.measure(&gauge, now));
        }
        self.watched.retain(|(resource, _), watched| {
            let keep = now.saturating_duration_since(watched.measured) < FORGET;
            if !keep && watched.level != Level::Fine {
                notes.push(Note {
                    loudness: Loudness::Warn,
                    text: format!(
                        "{resource} can no longer be measured; its alert is dropped ({})",
                        watched.message
                    ),
                });
            }
            keep
        });
        let alerts: Vec<Alert> = self
            .watched
            .iter()
            .filter(|(_, watched)| watched.level != Level::Fine)
            .map(|((resource, _), watched)| Alert {
                resource: *resource,
                critical: watched.level == Level::Critical,
                message: watched.message.clone(),
            })
            .collect();
        let degradation = alerts
            .iter()
            .map(|alert| alert.resource.step(alert.critical))
            .max()
            .unwrap_or_default();
        let before = std::mem::replace(&mut self.degradation, degradation);
        if before != degradation {
            notes.push(Note {
                loudness: if degradation > before {
                    Loudness::Warn
                } else {
                    Loudness::Info
                },
                text: format!(
                    "scarce resources: {degradation} (before: {before}); tips are followed and found \
                     blocks submitted as ever"
                ),
            });
        }
        Assessment {
            alerts,
            degradation,
            notes,
        }
    }
}

impl Watched {
    fn measure(&mut self, gauge: &Gauge, now: Instant) -> Option<Note> {
        self.measured = now;
        let before = self.level;
        let reached = gauge.reached();
        if reached > self.level {
            let over = *self.over.get_or_insert(now);
            if now.saturating_duration_since(over) >= gauge.enter_after {
                self.level = reached;
            }
        } else {
            self.over = None;
        }
        let held = gauge.held();
        if held < self.level {
            let under = *self.under.get_or_insert(now);
            if now.saturating_duration_since(under) >= LEAVE_AFTER {
                self.level = held;
                self.under = None;
            }
        } else {
            self.under = None;
        }
        self.message = gauge.message(self.level);
        let lasts = self.level != Level::Fine && now.saturating_duration_since(self.said) >= REPEAT;
        if self.level == before && !lasts {
            return None;
        }
        self.said = now;
        let resource = gauge.resource;
        Some(match self.level {
            Level::Fine => Note {
                loudness: Loudness::Info,
                text: format!("{resource}: no longer scarce, {}", gauge.measured),
            },
            Level::Low if before == Level::Critical => Note {
                loudness: Loudness::Warn,
                text: format!("{resource}: no longer critical, {}", self.message),
            },
            Level::Low => Note {
                loudness: Loudness::Warn,
                text: format!("{resource}: {}", self.message),
            },
            Level::Critical => Note {
                loudness: Loudness::Error,
                text: format!("{resource}: critical, {}", self.message),
            },
        })
    }
}

#[cfg(test)]
#[path = "assess_tests.rs"]
mod tests;
