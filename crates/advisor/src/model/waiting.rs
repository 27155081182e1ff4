//! How long until something that comes at random.

use serde::{Deserialize, Serialize};

/// A wait that is exponentially distributed, with what is known of its rate: a Gamma distribution, given by the events
/// seen (its shape) and the time they took (its inverse scale). The prior is a few events of that kind; each observation
/// adds to both numbers, and old ones fade.
///
/// What is predicted takes account of how little was seen: the chance to wait longer than `t` is the mean of `exp(-rate t)`
/// over all rates, `(total / (total + t)) ^ events`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Waiting {
    events: f64,
    total: f64,
}

#[derive(Deserialize)]
struct Unchecked {
    events: f64,
    total: f64,
}

impl TryFrom<Unchecked> for Waiting {
    type Error = &'static str;

    fn try_from(read: Unchecked) -> Result<Self, Self::Error> {
        let Unchecked { events, total } = read;
        let sound = events > 0.0 && total > 0.0 && events.is_finite() && total.is_finite();
        sound
            .then_some(Self { events, total })
            .ok_or("events and total are positive numbers")
    }
}

impl Waiting {
    /// What is taken to be known before anything was seen: so many `events`, `mean` apart.
    pub fn prior(events: f64, mean: f64) -> Self {
        Self {
            events,
            total: events * mean,
        }
    }

    /// So many events came in this time. Of what was known, the share `1 / memory` is forgotten for each of them, so that
    /// about the last `memory` events count. What is no observation is none.
    pub fn observe(&mut self, events: f64, time: f64, memory: f64) {
        if !(events.is_finite() && time.is_finite() && events >= 0.0 && time >= 0.0) {
            return;
        }
        let kept = (1.0 - 1.0 / memory).powf(events);
        // Never nothing: without any event or time there is no distribution.
        self.events = (self.events * kept + events).clamp(1e-3, 1e12);
        self.total = (self.total * kept + time).clamp(1e-9, 1e15);
    }

    /// The wait that the events seen took on average.
    pub fn mean(&self) -> f64 {
        self.total / self.events
    }

    /// The chance to wait longer than `time`, 0 to 1.
    pub fn longer(&self, time: f64) -> f64 {
        (self.total / (self.total + time.max(0.0))).powf(self.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_from_the_prior_to_what_is_seen() {
        let mut waiting = Waiting::prior(2.0, 600.0);
        assert!((waiting.mean() - 600.0).abs() < 1e-9);
        for _ in 0..500 {
            waiting.observe(1.0, 30.0, 144.0);
        }
        assert!((waiting.mean() - 30.0).abs() < 2.0, "{}", waiting.mean());
        // Much seen: as good as the exponential distribution itself.
        assert!((waiting.longer(30.0) - (-1.0_f64).exp()).abs() < 0.02);
    }

    #[test]
    fn little_seen_means_that_long_waits_are_no_surprise() {
        let little = Waiting::prior(1.0, 10.0).longer(100.0);
        let much = Waiting::prior(100.0, 10.0).longer(100.0);
        assert!((little - 1.0 / 11.0).abs() < 1e-12);
        assert!(much < 1e-3);
    }

    #[test]
    fn what_is_old_fades() {
        let mut waiting = Waiting::prior(1.0, 600.0);
        for _ in 0..1000 {
            waiting.observe(1.0, 600.0, 50.0);
        }
        for _ in 0..150 {
            waiting.observe(1.0, 60.0, 50.0);
        }
        assert!(
            (60.0..100.0).contains(&waiting.mean()),
            "{}",
            waiting.mean()
        );
    }

    #[test]
    fn what_is_no_observation_changes_nothing_and_zeros_leave_a_distribution() {
        let before = Waiting::prior(1.0, 600.0);
        let mut waiting = before;
        for (events, time) in [
            (f64::NAN, 1.0),
            (1.0, f64::INFINITY),
            (-1.0, 1.0),
            (1.0, -1.0),
        ] {
            waiting.observe(events, time, 10.0);
        }
        assert_eq!(waiting, before);
        for _ in 0..10_000 {
            waiting.observe(1.0, 0.0, 10.0);
        }
        assert!(waiting.mean() > 0.0 && waiting.longer(1.0).is_finite());
        for _ in 0..10_000 {
            waiting.observe(0.0, 1e12, 10.0);
        }
        assert!((0.0..=1.0).contains(&waiting.longer(1.0)));
    }
}
