//! A request for tests.

use super::{Kind, Mining, Request, System, Template, VERSION, Validation, Verdict};

/// A request with every field.
pub(crate) fn request(id: &str) -> Request {
    Request {
        v: VERSION,
        id: id.to_owned(),
        attempt: 1,
        kind: Kind::Tip,
        network: "regtest".to_owned(),
        height: 840_000,
        tip: "0f".repeat(32),
        validation: Validation {
            verdict: Verdict::Undecided,
            coverage: 0.5,
            level: 16_000,
            failures: vec!["time-too-new".to_owned()],
        },
        template: Some(template(12_345_678)),
        mining: Mining {
            hashrate_hs: Some(2.5e7),
            expected_block_s: Some(3600.0),
            stale_ratio: Some(0.0),
        },
        recent_intervals_s: vec![600.0, -1.0, 12.5],
        system: Some(System {
            cpu: Some(0.9),
            memory_mb: Some(2048.0),
            temperature_c: Some(61.5),
            memory_min_mb: Some(200.0),
            temperature_max_c: Some(90.0),
        }),
    }
}

/// A full template with these fees.
pub(crate) fn template(fees_sat: u64) -> Template {
    Template {
        transactions: 3000,
        fees_sat,
        weight: 3_990_000,
        age_s: 1.5,
    }
}
