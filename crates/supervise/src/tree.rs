//! Between the rules and the threads: does what the machine says, tells the machine what happened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::Arbiter;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use crate::desk::{Command, Desk};
use crate::exit::ExitReason;
use crate::life::Life;
use crate::log;
use crate::machine::{Action, Input, Machine, Phase, Why};
use crate::remains::Tether;
use crate::runner::{self, Report, Reports};
use crate::status::StopReport;
use crate::supervisor::StartError;
use crate::typed::AnyChild;
use crate::{Probe, Progress};

/// How often a stop that takes its time says whom it waits for.
const PROGRESS: Duration = Duration::from_secs(3);

struct Running {
    life: Arc<Life>,
    arbiter: Option<Arbiter>,
    /// Holds back the release of the incarnation on whose thread this tree is.
    tether: Option<Tether>,
}

pub(crate) struct Tree {
    name: Arc<str>,
    machine: Machine,
    children: Vec<Box<dyn AnyChild>>,
    /// By child, then by generation: the current one and those that hang.
    running: Vec<BTreeMap<u64, Running>>,
    reports: mpsc::UnboundedSender<Report>,
    incoming: mpsc::UnboundedReceiver<Report>,
    desk: Desk,
    started: Option<oneshot::Sender<Result<(), StartError>>>,
    stopping_since: Option<Instant>,
    /// The incarnation on whose thread this tree is.
    owner: Option<Arc<Life>>,
}

/// When the runtime stops beneath the supervisor, nobody is left to watch the children: they end too.
impl Drop for Tree {
    fn drop(&mut self) {
        for child in &mut self.children {
            child.close();
        }
        for child in 0..self.running.len() {
            for (generation, running) in std::mem::take(&mut self.running[child]) {
                running.life.give_up();
                if let (Some(_), Some(arbiter)) = (&self.owner, running.arbiter) {
                    // The owner is not released before this is gone.
                    let reports = self.reports_of(child, generation);
                    let _ = runner::reap(arbiter, running.life, running.tether, reports);
                }
            }
        }
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Tree {
    pub(crate) fn new(
        name: Arc<str>,
        machine: Machine,
        children: Vec<Box<dyn AnyChild>>,
        desk: Desk,
        started: oneshot::Sender<Result<(), StartError>>,
        owner: Option<Arc<Life>>,
    ) -> Self {
        #[allow(
            clippy::disallowed_methods,
            reason = "bounded by what reports: see `Reports`"
        )]
        let (reports, incoming) = mpsc::unbounded_channel();
        Self {
            name,
            machine,
            running: children.iter().map(|_| BTreeMap::new()).collect(),
            children,
            reports,
            incoming,
            desk,
            started: Some(started),
            stopping_since: None,
            owner,
        }
    }

    /// Lives as long as the tree.
    pub(crate) async fn run(mut self) {
        let mut progress = tokio::time::interval(PROGRESS);
        progress.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut handles_left, mut said_stopping) = (true, false);
        self.machine.begin(now());
        loop {
            self.carry_out();
            if self.conclude() {
                return;
            }
            let stopping = self.stopping_since.is_some();
            if stopping && !said_stopping {
                said_stopping = true;
                progress.reset();
            }
            let deadline = self.machine.next_deadline();
            let timer = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            let abandoned_start = async {
                match &mut self.started {
                    Some(started) => started.closed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // What has been reported counts before what time alone decides.
                biased;
                Some((child, generation, input)) = self.incoming.recv() => {
                    self.machine.handle(child, generation, input, now());
                }
                command = self.desk.commands.recv(), if handles_left => match command {
                    Some(Command::Stop { deadline }) => self.machine.stop(deadline, now()),
                    Some(Command::Live { answer }) => {
                        let _ = answer.send(self.machine.is_supervising());
                    }
                    None => handles_left = false,
                },
                // Whoever started the tree does not wait for it any more and has no handle to stop it.
                () = abandoned_start => {
                    self.started = None;
                    self.machine.stop(Duration::MAX, now());
                }
                () = timer => self.machine.on_time(now()),
                _ = progress.tick(), if stopping => self.log_progress(),
            }
        }
    }

    /// Does what the machine says until it says nothing more.
    fn carry_out(&mut self) {
        loop {
            let (actions, events) = self.machine.take_output();
            let done = actions.is_empty() && events.is_empty();
            // Who hears of an event finds it done: the reference connected, the status current.
            for action in actions {
                self.perform(action);
            }
            self.desk.status.send_replace(self.machine.status());
            for event in events {
                log::log(&self.name, &event);
                // Without readers there is nobody to tell.
                let _ = self.desk.events.send(event);
            }
            if done {
                return;
            }
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Launch { child, generation } => self.launch(child, generation),
            Action::Connect { child, generation } => {
                if let Some(running) = self.running[child].get(&generation) {
                    self.children[child].connect(&running.life);
                }
            }
            Action::Disconnect { child } => self.children[child].disconnect(),
            Action::Close { child } => self.children[child].close(),
            Action::Probe {
                child,
                generation,
                probe,
            } => self.probe(child, generation, probe),
            Action::AskShutdown { child, generation } => {
                self.with_life(child, generation, Life::ask_shutdown);
            }
            Action::Kill { child, generation } => {
                self.with_life(child, generation, Life::ask_kill);
            }
            Action::Revoke { child, generation } => {
                self.with_life(child, generation, Life::revoke);
            }
            Action::Reap { child, generation } => self.reap(child, generation),
        }
    }

    fn with_life(&self, child: usize, generation: u64, act: impl FnOnce(&Life)) {
        if let Some(running) = self.running[child].get(&generation) {
            act(&running.life);
        }
    }

    fn reports_of(&self, child: usize, generation: u64) -> Reports {
        Reports {
            to: self.reports.clone(),
            child,
            generation,
        }
    }

    fn launch(&mut self, child: usize, generation: u64) {
        let life = Life::new(self.machine.id(child), generation, self.owner.clone());
        let reports = self.reports_of(child, generation);
        match self.children[child].launch(&life, reports.clone()) {
            Ok(arbiter) => {
                let running = Running {
                    life,
                    arbiter: Some(arbiter),
                    tether: self.owner.as_ref().and_then(|owner| owner.tether()),
                };
                self.running[child].insert(generation, running);
            }
            Err(error) => {
                reports.send(Input::Exited(ExitReason::NoThread(error.to_string())));
                reports.send(Input::Released);
            }
        }
    }

    fn probe(&self, child: usize, generation: u64, probe: Probe) {
        let reports = self.reports_of(child, generation);
        let Some(running) = self.running[child].get(&generation) else {
            return;
        };
        match (probe, &running.arbiter) {
            (Probe::Thread, Some(arbiter)) => {
                #[allow(clippy::disallowed_methods, reason = "that it ran is its report")]
                arbiter.spawn_fn(move || reports.send(Input::Alive(probe)));
            }
            (Probe::Mailbox, _) => {
                let answer = move || reports.send(Input::Alive(probe));
                running.life.watch(answer);
            }
            (Probe::Progress, _) => {
                let count = self.machine.progress(child).and_then(Progress::read);
                reports.send(Input::Count(count));
            }
            (Probe::Thread, None) => {}
        }
    }

    fn reap(&mut self, child: usize, generation: u64) {
        let reports = self.reports_of(child, generation);
        let Some(running) = self.running[child].get_mut(&generation) else {
            return;
        };
        let Some(arbiter) = running.arbiter.take() else {
            return;
        };
        let (life, tether) = (Arc::clone(&running.life), running.tether.take());
        if let Err(error) = runner::reap(arbiter, life, tether, reports) {
            // Its release cannot be seen, so it will count as hung when its deadline has passed.
            error!(
                supervisor = %self.name, child = %running.life.id, generation, %error,
                "no thread to wait for the child's release"
            );
        }
    }

    /// Draws the conclusions from the phase; says whether it is over.
    fn conclude(&mut self) -> bool {
        for running in &mut self.running {
            // Revoked and its thread handed to the reaper: nothing is left to be done for it.
            running.retain(|_, one| one.life.is_current() || one.arbiter.is_some());
        }
        match self.machine.phase() {
            Phase::Starting { .. } => {}
            Phase::Running => {
                if let Some(started) = self.started.take() {
                    let _ = started.send(Ok(()));
                }
            }
            Phase::Stopping { .. } => {
                self.stopping_since.get_or_insert_with(now);
            }
            Phase::Done { .. } => {
                self.finished();
                return true;
            }
        }
        false
    }

    fn finished(&mut self) {
        let still_running = self.machine.still_running();
        if let (Some(started), Phase::Done { why }) = (self.started.take(), self.machine.phase()) {
            let _ = started.send(self.start_outcome(why, still_running.clone()));
        }
        let took = self
            .stopping_since
            .map_or(Duration::ZERO, |since| now() - since);
        info!(supervisor = %self.name, ?took, ?still_running, "all children have ended");
        let report = StopReport {
            still_running,
            took,
        };
        let outcome = self.machine.outcome();
        self.desk
            .finish
            .send_replace(outcome.map(|outcome| (outcome, report)));
    }

    fn start_outcome(&self, why: &Why, still_running: Vec<Arc<str>>) -> Result<(), StartError> {
        let (child, reason) = match why {
            Why::Requested => return Ok(()),
            Why::StartFailed { child, reason } => (*child, reason.clone()),
            Why::Escalated { child, exits, .. } => {
                let last = exits.last().map(|exit| exit.reason.clone());
                (*child, last.unwrap_or(ExitReason::Abandoned))
            }
        };
        Err(StartError::Child {
            child: self.machine.id(child),
            reason: Box::new(reason),
            still_running,
        })
    }

    fn log_progress(&self) {
        let waited = self
            .stopping_since
            .map_or(Duration::ZERO, |since| now() - since);
        let status = self.machine.status();
        let running: Vec<String> = status
            .iter()
            .filter(|child| self.machine.still_running().contains(&child.id))
            .map(|child| format!("{} ({})", child.id, child.state.name()))
            .collect();
        warn!(supervisor = %self.name, ?waited, "stopping; still running: {}", running.join(", "));
    }
}
