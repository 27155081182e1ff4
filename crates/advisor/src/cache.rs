//! Answers that are still good: whoever asks the same again need not wait.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::protocol::{Kind, Recommendation, Reply, Request, Template, Verdict};

/// Answers that are kept at most.
const MOST: usize = 64;
/// A block's weight by consensus.
const WEIGHT: u64 = 4_000_000;

/// What advice can depend on in a template: whether there is one, how full it is, and its fees by orders of magnitude.
/// Templates change with every transaction, and their class seldom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateClass {
    /// There is no template.
    Absent,
    /// No transaction but the coinbase.
    Empty,
    /// With transactions.
    Filled {
        /// Quarters of a block's weight that are full, 0 to 4.
        quarters: u8,
        /// Binary digits of its fees in satoshis.
        fee_bits: u8,
    },
}

impl TemplateClass {
    /// Of this template.
    pub fn of(template: Option<&Template>) -> Self {
        match template {
            None => Self::Absent,
            Some(template) if template.transactions == 0 => Self::Empty,
            Some(template) => Self::Filled {
                quarters: (template.weight.min(WEIGHT) * 4 / WEIGHT) as u8,
                fee_bits: (u64::BITS - template.fees_sat.leading_zeros()) as u8,
            },
        }
    }
}

/// The answers to questions about the same thing, for a while.
#[derive(Debug)]
pub struct Cache {
    keep: Duration,
    /// Oldest first, each key once.
    entries: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    reply: Reply,
    at: Instant,
}

/// What an answer depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    tip: String,
    class: TemplateClass,
    verdict: Verdict,
}

impl Key {
    fn of(request: &Request) -> Self {
        Self {
            tip: request.tip.clone(),
            class: TemplateClass::of(request.template.as_ref()),
            verdict: request.validation.verdict,
        }
    }
}

impl Cache {
    /// An empty one that keeps each answer for so long; none at all for zero.
    pub fn new(keep: Duration) -> Self {
        Self {
            keep,
            entries: VecDeque::new(),
        }
    }

    /// Whether the answer to this question can be one that is kept. Whether an advisor answers at all is only known
    /// when it is asked.
    pub fn serves(&self, request: &Request) -> bool {
        !self.keep.is_zero() && request.kind != Kind::Health
    }

    /// The answer to this question, if one is kept that is good `now`. Of a HOLD there is left what is left of its
    /// time.
    pub fn get(&self, request: &Request, now: Instant) -> Option<Reply> {
        if !self.serves(request) {
            return None;
        }
        let key = Key::of(request);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        let age = now.saturating_duration_since(entry.at);
        if age >= self.keep {
            return None;
        }
        let mut reply = entry.reply.clone();
        if let Some(hold) = &mut reply.hold_s {
            *hold -= age.as_secs_f64();
            if *hold <= 0.0 {
                return None;
            }
        }
        reply.id.clone_from(&request.id);
        Some(reply)
    }

    /// Keeps the answer to this question. RETRY is not kept: what it asks for changes what it was said of.
    pub fn put(&mut self, request: &Request, reply: &Reply, now: Instant) {
        let key = Key::of(request);
        let keep = self.keep;
        self.entries
            .retain(|entry| entry.key != key && now.saturating_duration_since(entry.at) < keep);
        if !self.serves(request) || reply.recommendation == Recommendation::Retry {
            return;
        }
        if self.entries.len() == MOST {
            self.entries.pop_front();
        }
        let (reply, at) = (reply.clone(), now);
        self.entries.push_back(Entry { key, reply, at });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{VERSION, fixtures};

    const S: Duration = Duration::from_secs(1);

    fn reply(recommendation: Recommendation, hold_s: Option<f64>) -> Reply {
        Reply {
            v: VERSION,
            id: "q1".to_owned(),
            recommendation,
            confidence: 0.9,
            reason: "because".to_owned(),
            hold_s,
        }
    }

    fn proceed() -> Reply {
        reply(Recommendation::Proceed, None)
    }

    #[test]
    fn the_same_question_has_the_same_answer_until_its_time_is_over() {
        let now = Instant::now();
        let mut cache = Cache::new(60 * S);
        assert_eq!(cache.get(&fixtures::request("q1"), now), None);
        cache.put(&fixtures::request("q1"), &proceed(), now);
        let again = fixtures::request("q2");
        let kept = cache.get(&again, now + 59 * S).expect("it is kept");
        assert_eq!(
            (kept.id.as_str(), kept.recommendation),
            ("q2", Recommendation::Proceed)
        );
        assert_eq!(cache.get(&again, now + 60 * S), None);
    }

    #[test]
    fn another_tip_class_or_verdict_is_another_question_and_a_few_more_fees_are_not() {
        let now = Instant::now();
        let mut cache = Cache::new(60 * S);
        let asked = fixtures::request("q1");
        cache.put(&asked, &proceed(), now);
        let with = |change: fn(&mut Request)| {
            let mut request = asked.clone();
            change(&mut request);
            cache.get(&request, now)
        };
        assert!(with(|r| r.template = Some(fixtures::template(12_345_999))).is_some());
        assert!(with(|r| r.recent_intervals_s.clear()).is_some());
        assert!(with(|r| r.tip = "0e".repeat(32)).is_none());
        assert!(with(|r| r.template = Some(fixtures::template(98_765_432))).is_none());
        assert!(with(|r| r.template = None).is_none());
        assert!(with(|r| r.validation.verdict = Verdict::Authentic).is_none());
        assert!(with(|r| r.kind = Kind::Health).is_none());
    }

    #[test]
    fn of_a_hold_there_is_left_what_is_left_and_a_retry_is_not_kept() {
        let now = Instant::now();
        let mut cache = Cache::new(60 * S);
        let request = fixtures::request("q1");
        cache.put(&request, &reply(Recommendation::Hold, Some(30.0)), now);
        let left = cache
            .get(&request, now + 10 * S)
            .and_then(|reply| reply.hold_s);
        assert_eq!(left, Some(20.0));
        assert_eq!(cache.get(&request, now + 30 * S), None);
        cache.put(&request, &reply(Recommendation::Retry, None), now + 31 * S);
        assert_eq!(cache.get(&request, now + 31 * S), None);
    }

    #[test]
    fn it_keeps_a_bounded_number_and_the_newest_and_none_where_it_is_off() {
        let now = Instant::now();
        let mut cache = Cache::new(60 * S);
        let mut request = fixtures::request("q1");
        for n in 0..1000 {
            request.tip = format!("{n:064x}");
            cache.put(&request, &proceed(), now);
        }
        assert_eq!(cache.entries.len(), MOST);
        assert!(cache.get(&request, now).is_some());
        let mut off = Cache::new(Duration::ZERO);
        off.put(&request, &proceed(), now);
        assert_eq!(off.get(&request, now), None);
        assert!(off.entries.is_empty());
    }

    #[test]
    fn classes_tell_templates_apart_by_what_advice_can_depend_on() {
        let filled = |quarters, fee_bits| TemplateClass::Filled { quarters, fee_bits };
        let mut template = fixtures::template(0);
        assert_eq!(TemplateClass::of(None), TemplateClass::Absent);
        assert_eq!(TemplateClass::of(Some(&template)), filled(3, 0));
        (template.fees_sat, template.weight) = (1 << 20, 4_000_000);
        assert_eq!(TemplateClass::of(Some(&template)), filled(4, 21));
        template.transactions = 0;
        assert_eq!(TemplateClass::of(Some(&template)), TemplateClass::Empty);
    }
}
