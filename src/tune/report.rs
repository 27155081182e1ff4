//! What tuning found, phase by phase.

use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::time::Instant;

use actors::monitor::hashrate;
use serde::Serialize;

use super::cache::Figure;

/// What became of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// All is as it should be.
    Success,
    /// It is done, with reservations.
    Partial,
    /// It could not be done.
    Failed,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Success => "SUCCESS",
            Self::Partial => "PARTIAL",
            Self::Failed => "FAILED",
        })
    }
}

/// What a phase found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What became of it.
    pub status: Status,
    /// What was found, in words.
    pub message: String,
    /// What the operator could do, a sentence each.
    pub advice: Vec<String>,
}

impl Finding {
    /// All is well.
    pub fn success(message: impl Into<String>) -> Self {
        Self {
            status: Status::Success,
            message: message.into(),
            advice: Vec::new(),
        }
    }

    /// Nothing came of it.
    pub fn failed(message: impl Into<String>) -> Self {
        Self {
            status: Status::Failed,
            ..Self::success(message)
        }
    }

    /// The same with a reservation: something to do about it. A failure stays one.
    #[must_use]
    pub fn but(mut self, advice: impl Into<String>) -> Self {
        if self.status == Status::Success {
            self.status = Status::Partial;
        }
        self.advice.push(advice.into());
        self
    }
}

/// A phase that is over.
#[derive(Debug, Clone, Serialize)]
pub struct Phase {
    /// Its name.
    pub name: &'static str,
    /// What became of it.
    pub status: Status,
    /// What was found, in words.
    pub message: String,
    /// How long it took.
    pub elapsed_s: f64,
}

/// The whole.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// What was done, in order.
    pub phases: Vec<Phase>,
    /// The kernel to use.
    pub kernel: Option<&'static str>,
    /// On how many threads.
    pub threads: Option<usize>,
    /// Hashes that a thread gives the kernel at a time: so many header versions times so many nonces.
    pub batch: Option<u64>,
    /// Header versions of a batch.
    pub versions: Option<usize>,
    /// Hashes per second of all threads, on average.
    pub hashrate_hs: Option<f64>,
    /// Core cycles per hash of the kernel at best, on one thread.
    pub cycles_per_hash: Option<f64>,
    /// Every kernel that ran, the fastest first.
    pub kernels: Vec<Figure>,
    /// What the operator could do, a sentence each.
    pub advice: Vec<String>,
    /// The file that holds the choice; null where it could not be written.
    pub path: Option<PathBuf>,
}

impl Report {
    /// Runs a phase and notes what it found.
    pub fn phase(&mut self, name: &'static str, run: impl FnOnce(&mut Self) -> Finding) -> Status {
        let began = Instant::now();
        let finding = run(self);
        let elapsed_s = began.elapsed().as_secs_f64();
        tracing::info!("{name}: {}: {}", finding.status, finding.message);
        self.phases.push(Phase {
            name,
            status: finding.status,
            message: finding.message,
            elapsed_s,
        });
        self.advice.extend(finding.advice);
        finding.status
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for phase in &self.phases {
            let _ = writeln!(
                text,
                "{:8} {:18} {:6.2} s  {}",
                phase.status, phase.name, phase.elapsed_s, phase.message
            );
        }
        for figure in &self.kernels {
            let rate = hashrate(figure.hashrate_hs);
            let cycles = figure.cycles_per_hash;
            let cycles = cycles.map(|cycles| format!("{cycles:8.1} cycles/hash"));
            let _ = writeln!(
                text,
                "kernel   {:18} {rate:>12} {}",
                figure.kernel,
                cycles.unwrap_or_default()
            );
        }
        for advice in &self.advice {
            let _ = writeln!(text, "advice   {advice}");
        }
        if let (Some(kernel), Some(threads), Some(rate)) =
            (self.kernel, self.threads, self.hashrate_hs)
        {
            let _ = writeln!(text, "chosen   {threads} x {kernel}, {}", hashrate(rate));
        }
        match &self.path {
            Some(path) => {
                let path = path.display();
                let _ = writeln!(text, "kept     {path}, for 24 hours");
            }
            None => text.push_str("kept     nothing: what runs next measures by itself\n"),
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_makes_a_success_partial_and_leaves_a_failure_one() {
        let finding = Finding::success("fine").but("do this").but("do that");
        assert_eq!(finding.status, Status::Partial);
        assert_eq!(finding.advice, ["do this", "do that"]);
        assert_eq!(Finding::failed("no").but("try").status, Status::Failed);
    }

    #[test]
    fn phases_stand_in_order_with_what_they_found() {
        let mut report = Report::default();
        report.phase("readiness", |_| Finding::success("ready"));
        let status = report.phase("node", |report| {
            report.threads = Some(2);
            Finding::failed("no node").but("start it")
        });
        assert_eq!(status, Status::Failed);
        let text = report.text();
        let at = |words: &str| {
            text.find(words)
                .unwrap_or_else(|| panic!("{words}: {text}"))
        };
        assert!(at("SUCCESS  readiness") < at("FAILED   node"));
        assert!(at("no node") < at("advice   start it"));
        let json = serde_json::to_value(&report).expect("a document");
        assert_eq!(json["phases"][1]["status"], "FAILED");
        assert_eq!(json["threads"], 2);
        assert!(json["path"].is_null());
    }
}
