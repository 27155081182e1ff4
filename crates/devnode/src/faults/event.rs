//! Faults that are no answer to anything: they come at a time or at a height.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::when::{Moment, Seconds};

/// One rule of `[[event]]`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventRule {
    /// Since the script was loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_s: Option<Seconds>,
    /// As soon as the best chain is this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_height: Option<u32>,
    /// And again, so often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    every_s: Option<Seconds>,
    pub(crate) fault: EventFault,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EventFault {
    /// The node goes away and comes back with a new cookie and counters at 0.
    Restart(Restart),
    /// The publisher goes away and comes back with counters at 0.
    ZmqRestart(ZmqRestart),
    /// Nothing is accepted, read, answered or published for so long.
    FreezeS(Seconds),
    /// Every call is answered with -28 for so long.
    WarmUpS(Seconds),
    /// The chain goes backwards.
    Invalidate(Invalidate),
    /// A branch one block longer takes the place of so many blocks.
    Reorg(NonZeroU32),
    /// Blocks of the node's own.
    Generate(NonZeroU32),
    /// The node's clock is so far ahead of the machine's from then on, or behind it.
    ClockSkewS(i32),
}

/// `{ down_s = 3, warm_up_s = 1, clean = true }`
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Restart {
    pub(crate) down_s: Seconds,
    /// Answers -28 afterwards.
    #[serde(default = "no_time")]
    pub(crate) warm_up_s: Seconds,
    /// Removes the cookie, as a node that is not killed does.
    #[serde(default)]
    pub(crate) clean: bool,
}

/// `{ down_s = 3, meanwhile = "mute" }`
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ZmqRestart {
    pub(crate) down_s: Seconds,
    #[serde(default)]
    pub(crate) meanwhile: Meanwhile,
}

/// What a subscriber meets while the publisher is away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Meanwhile {
    /// Connections are refused.
    #[default]
    Closed,
    /// They are accepted, and nothing is said.
    Mute,
    /// They are greeted with something that is no ZMTP.
    Garbage,
}

/// `{ blocks = 2, for_s = 5 }`
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Invalidate {
    pub(crate) blocks: NonZeroU32,
    /// They are valid again after so long; never, where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) for_s: Option<Seconds>,
}

fn no_time() -> Seconds {
    Seconds(Duration::ZERO)
}

/// Whether and when an event comes (again).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    At(Duration),
    AtHeight(u32),
    Never,
}

impl EventRule {
    /// What types alone do not tell.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        match (self.at_s, self.at_height, self.every_s) {
            (None, None, None) => Err("never comes; give `at_s`, `at_height` or `every_s`"),
            (Some(_), Some(_), _) => {
                Err("`at_s` and `at_height` exclude each other; make two events of them")
            }
            (_, Some(_), Some(_)) => {
                Err("`at_height` and `every_s` exclude each other; make two events of them")
            }
            (_, _, Some(every)) if every.0 < Duration::from_millis(100) => {
                Err("`every_s` is too often; give 0.1 or more")
            }
            _ => Ok(()),
        }
    }

    /// The first time.
    pub(super) fn first(&self) -> Due {
        match (self.at_s.or(self.every_s), self.at_height) {
            (Some(at), _) => Due::At(at.0),
            (None, Some(height)) => Due::AtHeight(height),
            (None, None) => Due::Never,
        }
    }

    /// Whether it comes now; if so, `due` is the next time.
    pub(super) fn comes(&self, due: &mut Due, now: Moment) -> bool {
        let comes = match *due {
            Due::At(at) => now.since >= at,
            Due::AtHeight(height) => now.height >= height,
            Due::Never => false,
        };
        if comes {
            // From now on, not from when it was due: what was missed is not made up for.
            *due = self
                .every_s
                .map_or(Due::Never, |every| Due::At(now.since + every.0));
        }
        comes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> EventRule {
        toml::from_str(&format!("{text}\nfault = {{ freeze_s = 1 }}")).expect("a rule")
    }

    fn seconds(rule: &EventRule) -> Vec<u64> {
        let mut due = rule.first();
        (0..10)
            .filter(|s| {
                let now = Moment {
                    since: Duration::from_secs(*s),
                    height: 100 + *s as u32,
                };
                rule.comes(&mut due, now)
            })
            .collect()
    }

    #[test]
    fn events_come_once_or_again_and_again() {
        assert_eq!(seconds(&rule("at_s = 3")), [3]);
        assert_eq!(seconds(&rule("every_s = 4")), [4, 8]);
        assert_eq!(seconds(&rule("at_s = 1\nevery_s = 3")), [1, 4, 7]);
        assert_eq!(seconds(&rule("at_height = 105")), [5]);
    }
}
