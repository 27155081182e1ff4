//! Whether a newer template of the same tip is worth a new job.
//!
//! A new job costs hashing: every thread changes over, the coinbase's tree is built and the transactions are
//! written to the journal anew. It gains what the newer template pays more, for as long as the job lives, which is
//! [`MinerSettings::template_max_age`](super::MinerSettings::template_max_age) at most. With `V` what a block of the
//! running job pays and `V'` that of a newer one, a new job is worth it where
//!
//! ```text
//! (V' - V) * max_age > V * cost
//! ```
//!
//! A template that says something else than fees and transactions is always taken, and so is any once the running
//! job is too old: its transactions may have been replaced by others that pay the same.

use std::time::Duration;

use chain::Template;

/// Hashing that a new job costs, in time of all threads: generously, on a slow disk.
const SWITCH_COST: Duration = Duration::from_millis(20);

/// Whether to make a job of `newer` in place of that of `running`, which is `age` old.
pub fn is_worth(running: &Template, newer: &Template, age: Duration, max_age: Duration) -> bool {
    age >= max_age || asks_for_something_else(running, newer) || pays(running, newer, max_age)
}

/// Whether blocks of the one would not do for the other.
fn asks_for_something_else(running: &Template, newer: &Template) -> bool {
    let demands = |template: &Template| {
        (
            template.bits,
            template.version,
            template.vbrequired,
            template.mintime,
            template.height,
        )
    };
    demands(running) != demands(newer)
        || running.rules != newer.rules
        || running.vbavailable != newer.vbavailable
        || running.coinbaseaux != newer.coinbaseaux
        || running.signet_challenge != newer.signet_challenge
}

fn pays(running: &Template, newer: &Template, max_age: Duration) -> bool {
    let value = |template: &Template| template.coinbasevalue.unwrap_or(0);
    let gain = value(newer).saturating_sub(value(running));
    gain as f64 * max_age.as_secs_f64() > value(running) as f64 * SWITCH_COST.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use chain::{HeaderWindow, Network};
    use pow::NBits;

    use super::*;

    const MAX_AGE: Duration = Duration::from_mins(1);
    const V: u64 = 312_500_000;

    fn template(value: u64) -> Template {
        let window = HeaderWindow::from_genesis(Network::Regtest, 100);
        let empty =
            Template::coinbase_only_on(&window, 1_700_000_000).expect("from the genesis on");
        Template {
            coinbasevalue: Some(value),
            ..empty
        }
    }

    fn worth(newer: &Template, age_s: u64) -> bool {
        is_worth(&template(V), newer, Duration::from_secs(age_s), MAX_AGE)
    }

    #[test]
    fn fees_are_worth_a_new_job_from_what_it_costs_upwards() {
        // 20 ms of 60 s: one part in 3,000.
        assert!(!worth(&template(V), 5));
        assert!(!worth(&template(V + V / 3_001), 5));
        assert!(worth(&template(V + V / 2_999), 5));
        assert!(!worth(&template(V / 2), 5), "one that pays less");
        assert!(!worth(&template(0), 5));
    }

    #[test]
    fn where_a_block_pays_nothing_any_fee_is_worth_it() {
        let pays = |value| is_worth(&template(0), &template(value), Duration::ZERO, MAX_AGE);
        assert!(pays(1) && !pays(0));
    }

    #[test]
    fn a_job_that_has_grown_old_is_replaced_by_any() {
        assert!(!worth(&template(V), 59));
        assert!(worth(&template(V), 60));
        assert!(worth(&template(V / 2), 61));
    }

    #[test]
    fn the_clock_and_the_mempool_alone_are_nothing_new() {
        let mut newer = template(V);
        newer.curtime += 30;
        newer.longpollid = "another".to_owned();
        newer.default_witness_commitment = Some("6a24".to_owned());
        assert!(!worth(&newer, 5));
    }

    #[test]
    fn whatever_else_a_template_asks_for_is_taken_at_once() {
        let changes: [&dyn Fn(&mut Template); 8] = [
            &|t| t.bits = NBits(0x1d00_ffff),
            &|t| t.version |= 1 << 4,
            &|t| t.vbrequired = 1,
            &|t| t.mintime += 1,
            &|t| t.rules.push("new".to_owned()),
            &|t| _ = t.vbavailable.insert("new".to_owned(), 5),
            &|t| _ = t.coinbaseaux.insert("flags".to_owned(), "51".to_owned()),
            &|t| t.signet_challenge = Some("51".to_owned()),
        ];
        for (index, change) in changes.iter().enumerate() {
            let mut newer = template(0);
            change(&mut newer);
            assert!(worth(&newer, 0), "change {index}");
        }
    }
}
