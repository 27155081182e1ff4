//! HOLDs: the one of the moment, and how much of the last 24 hours was spent holding.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::decide::Decision;

const DAY: Duration = Duration::from_hours(24);

/// Remembers the HOLDs of the last 24 hours.
#[derive(Debug)]
pub struct HoldLedger {
    allowance: Duration,
    /// Start and length, oldest first.
    holds: VecDeque<(Instant, Duration)>,
}

impl HoldLedger {
    /// A ledger that allows `ratio` (0 to 1) of any 24 hours.
    pub fn new(ratio: f64) -> Self {
        Self {
            allowance: DAY.mul_f64(ratio.clamp(0.0, 1.0)),
            holds: VecDeque::new(),
        }
    }

    /// What may still be held now.
    pub fn left(&mut self, now: Instant) -> Duration {
        while let Some(&(start, length)) = self.holds.front()
            && now.saturating_duration_since(start + length) >= DAY
        {
            self.holds.pop_front();
        }
        // A hold that began more than a day ago counts with what of it lies within the day.
        let spent: Duration = self
            .holds
            .iter()
            .map(|&(start, length)| {
                let before = now.saturating_duration_since(start).saturating_sub(DAY);
                length.saturating_sub(before)
            })
            .sum();
        self.allowance.saturating_sub(spent)
    }

    /// Books a hold that begins now.
    pub fn book(&mut self, start: Instant, length: Duration) {
        self.holds.push_back((start, length));
    }
}

/// Keeps a HOLD until its time has come, and the books.
#[derive(Debug)]
pub struct Holder {
    ledger: HoldLedger,
    /// Until when, and why.
    current: Option<(Instant, String)>,
}

impl Holder {
    /// Not holding; `ratio` as in [`HoldLedger::new`].
    pub fn new(ratio: f64) -> Self {
        Self {
            ledger: HoldLedger::new(ratio),
            current: None,
        }
    }

    /// Decides, given what is left of the allowance. Once it is to hold, it stays so for as long as
    /// was decided then; only that there may be no job at all outranks it.
    pub fn decide(&mut self, now: Instant, decide: impl FnOnce(Duration) -> Decision) -> Decision {
        let decision = decide(self.ledger.left(now));
        match (&self.current, decision) {
            (_, decision @ (Decision::NoJob { .. } | Decision::SwitchedOff { .. })) => decision,
            (Some((until, reason)), _) if *until > now => Decision::Hold {
                hold: until.saturating_duration_since(now),
                reason: reason.clone(),
            },
            (_, decision) => {
                self.current = None;
                if let Decision::Hold { hold, reason } = &decision {
                    self.ledger.book(now, *hold);
                    self.current = Some((now + *hold, reason.clone()));
                }
                decision
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn all_holds_together_stay_within_the_ratio_of_any_day() {
        let start = Instant::now();
        let mut ledger = HoldLedger::new(0.25);
        assert_eq!(ledger.left(start), 6 * HOUR);
        ledger.book(start, 4 * HOUR);
        ledger.book(start + 10 * HOUR, 2 * HOUR);
        assert_eq!(ledger.left(start + 12 * HOUR), Duration::ZERO);
        // The first hold leaves the window little by little, and is gone a day after its end.
        assert_eq!(ledger.left(start + 25 * HOUR), HOUR);
        assert_eq!(ledger.left(start + 28 * HOUR), 4 * HOUR);
        assert_eq!(ledger.left(start + 36 * HOUR), 6 * HOUR);
    }
}
