//! A file of headers against the rules.

use bitcoin::hashes::Hash as _;

use crate::cursor::{Cursor, Gaps, HeaderView, meets_own_target};
use crate::hashing::BATCH;
use crate::network::Network;
use crate::params::MEDIAN_TIME_SPAN;
use crate::report::{Check, Report, Tally};

/// The checks of headers, in the order in which they are reported.
const ORDER: [Check; 9] = [
    Check::Genesis,
    Check::ProofOfWork,
    Check::Linkage,
    Check::Difficulty,
    Check::MedianTime,
    Check::Timewarp,
    Check::FutureTime,
    Check::Version,
    Check::Context,
];

/// Where and why the walk over the headers ended early.
struct Stop {
    height: u32,
    check: Check,
    reason: String,
    passing: bool,
}

/// Verifies headers of 80 bytes each, one after the other, the first at `start_height`.
///
/// At 0 the first must be the genesis block. Above it, what the rules need from below the first
/// header is assumed, and the report says what. `level` is passed through to the report;
/// `coverage_min` decides between authentic and undecided; without `now`, the clock in Unix time,
/// the two-hour rule does not apply.
///
/// [`Report::verified`] counts the headers, from the first on, that passed every check.
pub fn verify_headers(
    network: Network,
    start_height: u32,
    data: &[u8],
    level: u32,
    coverage_min: f64,
    now: Option<u32>,
) -> Report {
    let mut tally = Tally::default();
    let (headers, rest) = data.as_chunks::<80>();
    let count = u32::try_from(headers.len()).unwrap_or(u32::MAX);
    let encoding = if !rest.is_empty() {
        Some(format!(
            "bad-length: {} bytes are not a multiple of 80",
            data.len()
        ))
    } else if headers.is_empty() {
        Some("bad-length: no headers".to_owned())
    } else if start_height.checked_add(count).is_none() {
        Some("bad-length: heights beyond 32 bits".to_owned())
    } else {
        None
    };
    if let Some(reason) = encoding {
        tally.failed(Check::Encoding, None, reason);
        for check in ORDER {
            tally.skipped(check, "the input is no list of headers");
        }
        return tally.finish(0, level, coverage_min);
    }
    tally.passed(Check::Encoding);

    let (verified, gaps, stop) = walk(network, start_height, headers, now);
    let applies = |check: Check| match check {
        Check::Genesis if start_height > 0 => Err("the headers start above the genesis block"),
        Check::Context if start_height == 0 => Err("the headers start at the genesis block"),
        Check::Timewarp if !network.params().bip94 => Err("BIP94 is not a rule of this network"),
        Check::FutureTime if now.is_none() => Err("no clock was given"),
        _ => Ok(()),
    };
    for check in ORDER {
        match (applies(check), &stop) {
            (Err(why), _) => tally.not_applicable(check, why),
            (Ok(()), Some(stop)) if stop.check == check && stop.passing => {
                tally.not_yet(check, Some(stop.height), stop.reason.clone());
            }
            (Ok(()), Some(stop)) if stop.check == check => {
                tally.failed(check, Some(stop.height), stop.reason.clone());
            }
            (Ok(()), _) if check == Check::Context => {
                tally.assumed(check, gaps.in_words(start_height));
            }
            (Ok(()), _) => tally.passed(check),
        }
    }
    tally.finish(verified, level, coverage_min)
}

/// How many headers stand on what rule that could not be applied to them.
#[derive(Default)]
struct GapCounts {
    bits: u32,
    median: u32,
}

impl GapCounts {
    fn in_words(&self, start: u32) -> String {
        let mut words = vec![format!("the parent of height {start}")];
        if self.median > 0 {
            let lowest = start.saturating_sub(MEDIAN_TIME_SPAN);
            let (highest, count) = (start - 1, self.median);
            words.push(format!(
                "the times of heights {lowest} to {highest} ({count} medians)"
            ));
        }
        if self.bits > 0 {
            words.push(format!(
                "the retarget period below (nBits of {} headers)",
                self.bits
            ));
        }
        words.join(", ")
    }
}

fn walk(
    network: Network,
    start_height: u32,
    headers: &[[u8; 80]],
    now: Option<u32>,
) -> (u32, GapCounts, Option<Stop>) {
    let mut cursor = Cursor::unanchored(network.params(), start_height);
    let mut counts = GapCounts::default();
    let mut digests = [[0; 32]; BATCH];
    for batch in headers.chunks(BATCH) {
        let digests = &mut digests[..batch.len()];
        pow::sha256d_80(batch, digests);
        for (raw, digest) in batch.iter().zip(digests) {
            let height = cursor.height();
            let view = HeaderView::of_raw(raw);
            let result = if height == 0 {
                check_genesis(network, &mut cursor, &view, digest)
            } else {
                cursor.check(&view, digest, now).map_err(|reject| Stop {
                    height,
                    check: reject.check(),
                    reason: reject.reason().into_owned(),
                    passing: reject.is_passing(),
                })
            };
            match result {
                Ok(gaps) => {
                    counts.bits += u32::from(gaps.bits);
                    counts.median += u32::from(gaps.median);
                }
                Err(stop) => return (height - start_height, counts, Some(stop)),
            }
        }
    }
    (headers.len() as u32, counts, None)
}

/// The genesis block has no rules: it is this network's or it is not.
fn check_genesis(
    network: Network,
    cursor: &mut Cursor<'_>,
    view: &HeaderView<'_>,
    digest: &[u8; 32],
) -> Result<Gaps, Stop> {
    let stop = |check, reason: &str| Stop {
        height: 0,
        check,
        reason: reason.to_owned(),
        passing: false,
    };
    if !meets_own_target(network.params(), view.bits, digest) {
        return Err(stop(Check::ProofOfWork, "high-hash"));
    }
    if network.genesis_hash().as_byte_array() != digest {
        return Err(stop(Check::Genesis, "bad-genesis"));
    }
    cursor.step(view, digest);
    Ok(Gaps::default())
}
