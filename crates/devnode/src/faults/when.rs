//! When a rule fires: counts, heights, times and chance, all given from outside.

use std::num::NonZeroU64;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The conditions of a rule; all that are given must hold.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct When {
    /// The first one that fires, counted from 1 among those that the rest of the rule matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    nth: Option<NonZeroU64>,
    /// Then each so many further ones; alone, it counts from the beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    every: Option<NonZeroU64>,
    /// Fires no more often than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    times: Option<NonZeroU64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_height: Option<u32>,
    /// Since the script was loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    after_s: Option<Seconds>,
    /// From `after_s` on.
    #[serde(skip_serializing_if = "Option::is_none")]
    for_s: Option<Seconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chance: Option<Chance>,
}

/// Where the node stands when something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Since the script was loaded.
    pub(crate) since: Duration,
    /// The best block's height; of a notification, the announced block's.
    pub(crate) height: u32,
}

/// What a rule has seen so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    seen: u64,
    fired: u64,
}

impl Count {
    pub(crate) fn fired(&mut self) {
        self.fired += 1;
    }
}

impl When {
    /// Whether there is no condition.
    pub(super) fn is_always(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the rule is to fire for what happens now. Counts it, but not that it fired: an earlier
    /// rule may have decided already.
    pub(crate) fn holds(&self, count: &mut Count, now: Moment, random: &mut fastrand::Rng) -> bool {
        let after = self.after_s.map_or(Duration::ZERO, |s| s.0);
        let until = self.for_s.map(|s| after + s.0);
        let in_window = now.since >= after
            && until.is_none_or(|until| now.since < until)
            && self.from_height.is_none_or(|from| now.height >= from)
            && self.to_height.is_none_or(|to| now.height <= to);
        if !in_window {
            return false;
        }
        count.seen += 1;
        self.is_turn(count.seen)
            && self.times.is_none_or(|times| count.fired < times.get())
            && self.chance.is_none_or(|chance| random.f64() < chance.0)
    }

    fn is_turn(&self, seen: u64) -> bool {
        match (self.nth, self.every) {
            (None, None) => true,
            (Some(nth), None) => seen == nth.get(),
            (nth, Some(every)) => {
                let first = nth.unwrap_or(every).get();
                seen >= first && (seen - first) % every == 0
            }
        }
    }
}

/// A duration in seconds, fractions allowed, at most a day.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(try_from = "f64", into = "f64")]
pub(crate) struct Seconds(pub(crate) Duration);

impl TryFrom<f64> for Seconds {
    type Error = String;

    fn try_from(seconds: f64) -> Result<Self, String> {
        Duration::try_from_secs_f64(seconds)
            .ok()
            .filter(|duration| *duration <= Duration::from_hours(24))
            .map(Self)
            .ok_or_else(|| format!("{seconds} is no time; give 0 to 86400 seconds"))
    }
}

impl From<Seconds> for f64 {
    fn from(seconds: Seconds) -> Self {
        seconds.0.as_secs_f64()
    }
}

/// A probability.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "f64", into = "f64")]
struct Chance(f64);

impl TryFrom<f64> for Chance {
    type Error = String;

    fn try_from(chance: f64) -> Result<Self, String> {
        (0.0..=1.0)
            .contains(&chance)
            .then_some(Self(chance))
            .ok_or_else(|| format!("{chance} is no probability; give 0 to 1"))
    }
}

impl From<Chance> for f64 {
    fn from(chance: Chance) -> Self {
        chance.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn when(text: &str) -> When {
        toml::from_str(text).expect("conditions")
    }

    /// Which of ten events fire, one a second, at heights from 100 on.
    fn fires(text: &str) -> Vec<u64> {
        let when = when(text);
        let mut count = Count::default();
        let mut random = fastrand::Rng::with_seed(1);
        (1..=10)
            .filter(|i| {
                let now = Moment {
                    since: Duration::from_secs(*i),
                    height: 100 + *i as u32,
                };
                let holds = when.holds(&mut count, now, &mut random);
                if holds {
                    count.fired();
                }
                holds
            })
            .collect()
    }

    #[test]
    fn without_conditions_everything_fires() {
        assert_eq!(fires(""), (1..=10).collect::<Vec<_>>());
    }

    #[test]
    fn counts_choose_one_or_every_nth() {
        assert_eq!(fires("nth = 3"), [3]);
        assert_eq!(fires("every = 4"), [4, 8]);
        assert_eq!(fires("nth = 2\nevery = 3"), [2, 5, 8]);
        assert_eq!(fires("every = 3\ntimes = 2"), [3, 6]);
        assert_eq!(fires("times = 1"), [1]);
    }

    #[test]
    fn heights_and_times_are_windows_and_counts_begin_inside_them() {
        assert_eq!(fires("from_height = 104\nto_height = 106"), [4, 5, 6]);
        assert_eq!(fires("after_s = 7"), [7, 8, 9, 10]);
        assert_eq!(fires("after_s = 2\nfor_s = 2.5"), [2, 3, 4]);
        assert_eq!(fires("for_s = 3"), [1, 2]);
        assert_eq!(fires("from_height = 105\nnth = 2"), [6]);
    }

    #[test]
    fn chance_is_between_never_and_always_and_the_same_for_the_same_seed() {
        assert_eq!(fires("chance = 0"), [0_u64; 0]);
        assert_eq!(fires("chance = 1").len(), 10);
        let some = fires("chance = 0.5");
        assert!((1..10).contains(&some.len()), "{some:?}");
        assert_eq!(some, fires("chance = 0.5"));
    }

    #[test]
    fn impossible_conditions_are_refused() {
        for text in [
            "nth = 0",
            "every = 0",
            "times = 0",
            "chance = 1.5",
            "after_s = -1",
            "for_s = 1e9",
            "often = 1",
        ] {
            assert!(toml::from_str::<When>(text).is_err(), "{text}");
        }
    }
}
