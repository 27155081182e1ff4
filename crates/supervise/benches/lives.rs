//! How fast a child is back, how fast a hang is found, and what ten thousand restarts leave behind.
//!
//! One line for each. `cargo bench -p signalcore-supervise`
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout
)]

use std::time::{Duration, Instant};

use actix::{Actor, ActorContext as _, Context, Handler};
use signalcore_supervise::{
    ActorRef, Backoff, ChildSpec, EventKind, Fault, Intensity, Liveness, RestartLimits, Shutdown,
    Supervisor,
};

struct Idle;

impl Actor for Idle {
    type Context = Context<Self>;
}

impl Handler<Shutdown> for Idle {
    type Result = ();
    fn handle(&mut self, _: Shutdown, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

/// As good as no delay, so that what is measured is the crate.
fn at_once() -> RestartLimits {
    let backoff = Backoff {
        initial: Duration::from_micros(1),
        max: Duration::from_micros(1),
        ..Backoff::default()
    };
    let intensity = Intensity {
        restarts: 100_000,
        period: Duration::from_secs(1),
    };
    RestartLimits::new(backoff, intensity).unwrap()
}

async fn up(actor: &ActorRef<Idle>, generation: u64) {
    while actor.wait_up().await.unwrap() < generation {
        tokio::task::yield_now().await;
    }
}

fn percentile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * share) as usize]
}

/// A field of /proc/self/status in KiB, and the number of open descriptors.
fn held() -> (u64, usize) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    let fds = std::fs::read_dir("/proc/self/fd").unwrap().count();
    (kib.unwrap().parse().unwrap(), fds)
}

async fn restarts() {
    const TIMED: u64 = 1_000;
    const ALL: u64 = 10_000;
    let mut tree = Supervisor::builder("bench");
    let spec = ChildSpec::new("child").limits(at_once());
    let actor = tree.child(spec, |_| Ok(Idle));
    let tree = tree.start().await.unwrap();
    let mut times = Vec::new();
    let mut early = (0, 0);
    for generation in 1..=ALL {
        let begun = Instant::now();
        tree.inject("child", Fault::Panic).await.unwrap();
        up(&actor, generation + 1).await;
        if generation <= TIMED {
            times.push(begun.elapsed());
        }
        if generation == 100 {
            early = held();
        }
    }
    let late = held();
    println!(
        "panic to successor up, {TIMED} times: p50 {:?}, p99 {:?}",
        percentile(&mut times, 0.5),
        percentile(&mut times, 0.99)
    );
    println!(
        "after 100 restarts: {} KiB resident, {} descriptors; after {ALL}: {} KiB, {}",
        early.0, early.1, late.0, late.1
    );
    tree.stop(Duration::from_secs(5)).await;
}

async fn hangs() {
    const CHILDREN: usize = 20;
    let (every, within) = (Duration::from_millis(100), Duration::from_secs(1));
    let mut tree = Supervisor::builder("bench").max_abandoned(CHILDREN as u32);
    for n in 0..CHILDREN {
        let spec = ChildSpec::new(format!("child {n}")).limits(at_once());
        tree.child(spec.liveness(Liveness::thread(every, within)), |_| Ok(Idle));
    }
    let tree = tree.start().await.unwrap();
    let mut events = tree.events();
    let begun = Instant::now();
    for n in 0..CHILDREN {
        let hang = Fault::Hang(Duration::from_secs(6));
        tree.inject(&format!("child {n}"), hang).await.unwrap();
    }
    let mut times = Vec::new();
    while times.len() < CHILDREN {
        if events.recv().await.unwrap().kind == EventKind::Abandoned {
            times.push(begun.elapsed());
        }
    }
    println!(
        "hang to abandoned, {CHILDREN} at once, asked every {every:?}, granted {within:?}: p50 {:?}, max {:?}",
        percentile(&mut times, 0.5),
        percentile(&mut times, 1.0)
    );
    tree.stop(Duration::from_secs(10)).await;
}

fn main() {
    // A thousand backtraces are not what is measured.
    std::panic::set_hook(Box::new(|_| {}));
    actix::System::new().block_on(async {
        restarts().await;
        hangs().await;
    });
}
