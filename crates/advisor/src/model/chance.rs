//! How often something happens.

use serde::{Deserialize, Serialize};

/// A chance, with what is known of it: a Beta distribution, given by how often it was so and how often not. The prior is
/// a few cases of each; each observation adds one, and old ones fade.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Chance {
    yes: f64,
    no: f64,
}

#[derive(Deserialize)]
struct Unchecked {
    yes: f64,
    no: f64,
}

impl TryFrom<Unchecked> for Chance {
    type Error = &'static str;

    fn try_from(read: Unchecked) -> Result<Self, Self::Error> {
        let Unchecked { yes, no } = read;
        let sound = yes >= 0.0 && no >= 0.0 && yes + no > 0.0 && (yes + no).is_finite();
        sound
            .then_some(Self { yes, no })
            .ok_or("a chance is two numbers of cases, not both 0")
    }
}

impl Chance {
    /// What is taken to be known before anything was seen.
    pub const fn prior(yes: f64, no: f64) -> Self {
        Self { yes, no }
    }

    /// It was so, or not. About the last `memory` cases count.
    pub fn observe(&mut self, so: bool, memory: f64) {
        let kept = 1.0 - 1.0 / memory;
        self.yes = self.yes * kept + f64::from(u8::from(so));
        self.no = self.no * kept + f64::from(u8::from(!so));
    }

    /// The chance that it is so the next time, 0 to 1.
    pub fn mean(&self) -> f64 {
        self.yes / (self.yes + self.no)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_from_the_prior_to_what_is_seen_and_forgets() {
        let mut chance = Chance::prior(9.0, 1.0);
        assert!((chance.mean() - 0.9).abs() < 1e-12);
        chance.observe(false, 1000.0);
        assert!((chance.mean() - 9.0 / 11.0).abs() < 1e-3);
        for case in 0..400 {
            chance.observe(case % 4 == 0, 100.0);
        }
        assert!((chance.mean() - 0.25).abs() < 0.03, "{}", chance.mean());
        for _ in 0..10_000 {
            chance.observe(true, 100.0);
        }
        assert!((0.999..=1.0).contains(&chance.mean()));
    }
}
