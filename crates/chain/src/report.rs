//! What a verification says: each check by name, a coverage, and a verdict.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The outcome of a verification.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// Nothing failed and enough of what applies was checked.
    Authentic,
    /// A check failed.
    Rejected,
    /// Nothing failed for good, but too little was checked or a reason will pass.
    Undecided,
}

impl Verdict {
    /// As in JSON: `AUTHENTIC`, `REJECTED` or `UNDECIDED`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authentic => "AUTHENTIC",
            Self::Rejected => "REJECTED",
            Self::Undecided => "UNDECIDED",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

macro_rules! checks {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $weight:literal;)*) => {
        /// A check, by name. [`weight`](Self::weight) is its share of the coverage.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
        pub enum Check {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Check {
            /// Every check, headers' first.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name, as in JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// How much the check counts in [`Report::coverage`].
            pub const fn weight(self) -> u32 {
                match self { $(Self::$variant => $weight,)* }
            }
        }
    };
}

checks! {
    /// The bytes are headers, or one block, and nothing else.
    Encoding = "encoding", 10;
    /// The first header is the network's genesis.
    Genesis = "genesis", 5;
    /// nBits are well formed and within the limit, and the hash meets them.
    ProofOfWork = "proof_of_work", 30;
    /// Each header names the one below it.
    Linkage = "linkage", 20;
    /// nBits are those that the retarget rules ask for.
    Difficulty = "difficulty", 20;
    /// The time is past the median of the eleven before.
    MedianTime = "median_time", 10;
    /// BIP94: a period does not start in the past.
    Timewarp = "timewarp", 2;
    /// The time is at most two hours ahead of the clock.
    FutureTime = "future_time", 3;
    /// The version is allowed at this height.
    Version = "version", 5;
    /// What the rules need from before the first header given.
    Context = "context", 10;
    /// The transactions are those that the header commits to, without duplication (CVE-2012-2459).
    MerkleRoot = "merkle_root", 25;
    /// Counts and sizes are within the limits.
    Size = "size", 5;
    /// The first transaction, and no other, is a coinbase of proper length.
    Coinbase = "coinbase", 5;
    /// Each transaction is sound by itself.
    Transactions = "transactions", 10;
    /// Signature operations that can be counted without the outputs spent.
    Sigops = "sigops", 5;
    /// No transaction is locked beyond this block.
    Finality = "finality", 5;
    /// BIP34: the coinbase starts with the height.
    CoinbaseHeight = "coinbase_height", 5;
    /// BIP141: the witnesses are those that the coinbase commits to.
    WitnessCommitment = "witness_commitment", 15;
    /// BIP141: the weight is within the limit.
    Weight = "weight", 5;
    /// The coinbase creates no more than subsidy and fees.
    Subsidy = "subsidy", 10;
    /// BIP325: a signet block carries a solution to the challenge.
    SignetSolution = "signet_solution", 5;
    /// Scripts and signatures: the node's job.
    Scripts = "scripts", 20;
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a check ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Ran and found nothing.
    Passed,
    /// Ran and found a fault.
    Failed,
    /// Applies, and was not run.
    Skipped,
    /// Does not apply to what was given; counts nowhere.
    NotApplicable,
    /// Applies, and was taken as given in place of being checked.
    Assumed,
}

impl Status {
    /// As in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::NotApplicable => "not_applicable",
            Self::Assumed => "assumed",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One line of a report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CheckResult {
    /// Which check.
    pub name: Check,
    /// How it ended.
    pub status: Status,
    /// Why: Bitcoin Core's reject string of a failure, words otherwise. Absent where it passed.
    pub reason: Option<String>,
}

/// The first thing that was wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// The height of the header or block at fault, where known.
    pub height: Option<u32>,
    /// The check that found it.
    pub check: Check,
    /// Bitcoin Core's reject string, or words where Core has none.
    pub reason: String,
}

/// The headers behind a tip that are verified unless an operator asks for another number.
pub const DEFAULT_LEVEL: u32 = 16_000;

/// The coverage from which a verdict without failure is authentic unless an operator asks for another.
pub const DEFAULT_COVERAGE_MIN: f64 = 0.7;

/// What was verified, and what came of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The outcome.
    pub verdict: Verdict,
    /// Weight of the checks that ran over weight of those that apply, 0 to 1.
    pub coverage: f64,
    /// Headers that passed every check.
    pub verified: u32,
    /// Headers that the operator asks for behind a tip.
    pub level: u32,
    /// Every check there is for this kind of input.
    pub checks: Vec<CheckResult>,
    /// The first thing that was wrong; also a reason that will pass.
    pub first_failure: Option<Failure>,
}

impl Report {
    /// The line of one check, if this kind of input has it.
    pub fn check(&self, name: Check) -> Option<&CheckResult> {
        self.checks.iter().find(|line| line.name == name)
    }
}

/// A report that is being written.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    lines: Vec<CheckResult>,
    first_failure: Option<Failure>,
    passing: bool,
}

impl Tally {
    pub fn line(&mut self, name: Check, status: Status, reason: Option<String>) {
        self.lines.push(CheckResult {
            name,
            status,
            reason,
        });
    }

    pub fn passed(&mut self, name: Check) {
        self.line(name, Status::Passed, None);
    }

    pub fn skipped(&mut self, name: Check, why: impl Into<String>) {
        self.line(name, Status::Skipped, Some(why.into()));
    }

    pub fn not_applicable(&mut self, name: Check, why: impl Into<String>) {
        self.line(name, Status::NotApplicable, Some(why.into()));
    }

    pub fn assumed(&mut self, name: Check, what: impl Into<String>) {
        self.line(name, Status::Assumed, Some(what.into()));
    }

    pub fn failed(&mut self, name: Check, height: Option<u32>, reason: impl Into<String>) {
        let reason = reason.into();
        self.line(name, Status::Failed, Some(reason.clone()));
        self.note(name, height, reason);
    }

    /// Not acceptable yet: no failure for good.
    pub fn not_yet(&mut self, name: Check, height: Option<u32>, reason: impl Into<String>) {
        let reason = reason.into();
        self.skipped(name, format!("{reason}: will pass with time"));
        self.passing = true;
        self.note(name, height, reason);
    }

    fn note(&mut self, check: Check, height: Option<u32>, reason: String) {
        self.first_failure.get_or_insert(Failure {
            height,
            check,
            reason,
        });
    }

    pub fn has_failed(&self) -> bool {
        self.first_failure.is_some()
    }

    pub fn finish(self, verified: u32, level: u32, coverage_min: f64) -> Report {
        let weight_of = |wanted: fn(Status) -> bool| -> u32 {
            let lines = self.lines.iter().filter(|line| wanted(line.status));
            lines.map(|line| line.name.weight()).sum()
        };
        let planned = weight_of(|status| status != Status::NotApplicable);
        let run = weight_of(|status| matches!(status, Status::Passed | Status::Failed));
        let coverage = if planned == 0 {
            0.0
        } else {
            f64::from(run) / f64::from(planned)
        };
        let any_failed = self.lines.iter().any(|line| line.status == Status::Failed);
        let verdict = if any_failed {
            Verdict::Rejected
        } else if self.passing || coverage < coverage_min {
            Verdict::Undecided
        } else {
            Verdict::Authentic
        };
        Report {
            verdict,
            coverage,
            verified,
            level,
            checks: self.lines,
            first_failure: self.first_failure,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_failed_check_rejects_whatever_the_coverage() {
        let mut tally = Tally::default();
        tally.passed(Check::Encoding);
        tally.failed(Check::ProofOfWork, Some(7), "high-hash");
        tally.failed(Check::Linkage, Some(8), "bad-prevblk");
        let report = tally.finish(0, 16_000, 0.0);
        assert_eq!(report.verdict, Verdict::Rejected);
        let first = report.first_failure.unwrap();
        assert_eq!((first.height, first.check), (Some(7), Check::ProofOfWork));
        assert!((report.coverage - 1.0).abs() < 1e-9);
    }

    #[test]
    fn absent_inputs_count_nowhere_and_skipped_checks_lower_the_coverage() {
        let mut tally = Tally::default();
        tally.passed(Check::ProofOfWork);
        tally.not_applicable(Check::Subsidy, "fees unknown");
        tally.skipped(Check::Scripts, "the node's job");
        let report = tally.finish(1, 1, 0.7);
        assert!((report.coverage - 0.6).abs() < 1e-9);
        assert_eq!(report.verdict, Verdict::Undecided);
    }

    #[test]
    fn a_reason_that_passes_is_undecided_and_still_named() {
        let mut tally = Tally::default();
        tally.passed(Check::ProofOfWork);
        tally.not_yet(Check::FutureTime, Some(9), "time-too-new");
        let report = tally.finish(9, 16_000, 0.1);
        assert_eq!(report.verdict, Verdict::Undecided);
        assert_eq!(report.first_failure.unwrap().reason, "time-too-new");
    }

    #[test]
    fn json_is_the_documented_shape() {
        let mut tally = Tally::default();
        tally.passed(Check::MerkleRoot);
        let json = serde_json::to_value(tally.finish(1, 2, 0.7)).unwrap();
        let expected = serde_json::json!({
            "verdict": "AUTHENTIC", "coverage": 1.0, "verified": 1, "level": 2,
            "checks": [{"name": "merkle_root", "status": "passed", "reason": null}],
            "first_failure": null
        });
        assert_eq!(json, expected);
    }
}
