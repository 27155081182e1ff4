//! How long the program takes to start, to stop, to answer and to deliver: the real binary beside a
//! devnode, both in processes of their own. `cargo bench --bench lifecycle` prints a table.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use common::faults::{breakable, order};
use common::node::Node;
use common::program::{Home, signal};

/// Starts and stops.
const LIVES: usize = 30;
/// Blocks found and delivered in each.
const BLOCKS: usize = 10;
/// Health checks with every part up, and with one that hangs.
const CHECKS: usize = 60;

fn main() {
    // `cargo test --all-targets` runs this too, and has no use for figures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let node = Node::devnode();
    let home = breakable(&node);
    let mut first_job = Vec::new();
    let mut to_exit = Vec::new();
    let mut delivered = Vec::new();
    for _ in 0..LIVES {
        let started = Instant::now();
        let mut program = Program::start(&home);
        program.until_said("new job");
        first_job.push(started.elapsed());
        for _ in 0..BLOCKS {
            delivered.push(milliseconds(&program.until_said("block accepted")));
        }
        let asked = Instant::now();
        signal(program.child.id(), "TERM");
        assert_eq!(program.until_ended(), Some(0));
        to_exit.push(asked.elapsed());
    }

    let mut program = Program::start(&home);
    program.until_said("block accepted");
    let reader = program.drain();
    let healthy = (0..CHECKS).map(|_| check(&home)).collect();
    let mut hung = Vec::new();
    while hung.len() < CHECKS {
        // While it hangs already, the order is refused and the checks go on.
        drop(order(&home, "validator", &["hang", "--for", "4"]));
        hung.push(check(&home));
    }
    signal(program.child.id(), "TERM");
    program.until_ended();
    reader.join().unwrap();

    println!("| what | p50 | p99 | n |\n|---|---|---|---|");
    row(
        "process start to the first job on the hashing threads",
        first_job,
    );
    row("SIGTERM to exit, everything flushed", to_exit);
    row(
        "block found to its acceptance by the node, journalled before",
        delivered,
    );
    row("`health-check`, every part up", healthy);
    row("`health-check`, a part hangs", hung);
}

/// A running instance and what it says.
struct Program {
    child: Child,
    said: Option<BufReader<ChildStderr>>,
}

impl Program {
    fn start(home: &Home) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_signalcore"))
            .args(["run", "--json", "--color", "never", "-v", "--config"])
            .arg(home.config())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = child.stderr.take().map(BufReader::new);
        Self { child, said }
    }

    /// Reads until a line has this, and returns that.
    fn until_said(&mut self, text: &str) -> String {
        let said = self.said.as_mut().unwrap();
        let mut lines = said.lines().map(Result::unwrap);
        lines
            .find(|line| line.contains(text))
            .unwrap_or_else(|| panic!("it ended and never said {text:?}"))
    }

    /// Reads the rest and forgets it.
    fn drain(&mut self) -> std::thread::JoinHandle<()> {
        let said = self.said.take().unwrap();
        std::thread::spawn(move || drop(said.lines().last()))
    }

    fn until_ended(&mut self) -> Option<i32> {
        if let Some(said) = self.said.take() {
            drop(said.lines().last());
        }
        self.child.wait().unwrap().code()
    }
}

/// One `health-check`, from the start of its process to its end.
fn check(home: &Home) -> Duration {
    let asked = Instant::now();
    home.command(&["health-check", "--json"]);
    asked.elapsed()
}

/// The field `after_ms` of a line.
fn milliseconds(line: &str) -> Duration {
    let (_, rest) = line.split_once("after_ms=").unwrap();
    let digits = rest.split(' ').next().unwrap();
    Duration::from_millis(digits.parse().unwrap())
}

fn row(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| {
        let index = ((times.len() - 1) as f64 * share).round() as usize;
        format!("{:.1} ms", times[index].as_secs_f64() * 1000.0)
    };
    println!("| {what} | {} | {} | {} |", at(0.5), at(0.99), times.len());
}
