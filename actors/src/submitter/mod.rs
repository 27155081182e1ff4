//! submitter: what becomes of a found block. Journalled, given to every node, followed to its end.
//!
//! In: solutions from [`Outbox`], the newest job from `board.job`, [`Shutdown`]. Out:
//! [`Settled`](crate::messages::Settled) and the counters of blocks; `board.look` when a block is accepted.
//!
//! A solution is assembled beside the actor's thread, filed in the [`journal`] and taken out of the
//! outbox; once it is on disk, or the journal's deadline has passed, it goes to every node at once.
//! What a node's answer means is in `answer`, what follows from it in `fate`, a pure machine whose
//! effects this actor carries out. At start, every block of the journal whose fate is open is sent
//! again. Settled blocks are followed for a while, in `follow`: a reorganisation moves them, a node that has lost one is
//! given it again.
//!
//! The journal and the outbox belong to whoever builds the tree: nothing found is lost with an
//! incarnation. Whatever has effects asks the incarnation's generation first.

mod answer;
mod clock;
mod effects;
mod fate;
mod follow;
mod hand;
pub mod journal;
mod link;
mod outbox;
mod prepare;
mod resubmit;
mod settings;
mod standing;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use actix::{Actor, ActorContext as _, AsyncContext as _, Context, Handler, Message};
use bitcoin::BlockHash;
use node::Submission;
use supervise::{Incarnation, Shutdown};
use tokio::sync::{OnceCell, Semaphore};

use crate::board::Board;
use crate::messages::Solution;
pub use clock::rfc3339;
use fate::{Effect, Event, Fate, NodeIndex};
use follow::Rounds;
use hand::Hand;
use journal::{Filed, NodeFate, Ticket};
use link::Link;
pub use outbox::Outbox;
use prepare::{Bodies, Prepared, fault_of, prepare};
pub use resubmit::{ResubmitError, Resubmitter};
pub use settings::SubmitterSettings;

/// How often it is told which blocks no node is known to have.
const TELL: Duration = Duration::from_secs(1);
/// Found blocks that are checked at the same time.
const CHECKS: usize = 2;

/// A block on its way.
#[derive(Debug)]
struct Open {
    fate: Fate,
    prev: BlockHash,
    height: u32,
    found_time: SystemTime,
    /// Whether this process found it: only then is it counted.
    this_run: bool,
    /// Whether it is settled and given to nodes that have lost it.
    again: bool,
    /// When it was found; none for one that was read from the journal.
    found_at: Option<Instant>,
    raw: Arc<OnceCell<Submission>>,
    /// What our own check of it needs, until the first node has answered: sending comes first.
    unchecked: Option<Arc<Solution>>,
    /// Its first bytes, until the first node has accepted it: it may be mined on from then on.
    start: Option<Arc<[u8]>>,
    /// Per node: the trouble said last, and when.
    said: Vec<Option<(String, Instant)>>,
}

/// The actor.
#[derive(Debug)]
pub struct Submitter {
    settings: SubmitterSettings,
    board: Board,
    incarnation: Incarnation,
    hand: Hand,
    links: Vec<Link>,
    bodies: Bodies,
    open: HashMap<BlockHash, Open>,
    own: VecDeque<u32>,
    epoch: Instant,
    /// Turns to check blocks.
    checks: Arc<Semaphore>,
    stopping: Stopping,
    rounds: Rounds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopping {
    No,
    Asked,
    Flushing,
}

/// A solution is assembled.
struct File(Prepared);

/// Something happened to a block.
struct Happened(BlockHash, Event);

/// A node answers again: what waits for it need not wait for its next turn.
struct NodeIsBack(NodeIndex);

/// The journal is written out, or would not be in time.
struct Flushed;

impl Message for File {
    type Result = ();
}

impl Message for Happened {
    type Result = ();
}

impl Message for NodeIsBack {
    type Result = ();
}

impl Message for Flushed {
    type Result = ();
}

impl Submitter {
    /// A fresh incarnation. The factory's work: nothing blocks.
    pub fn new(settings: SubmitterSettings, board: Board, incarnation: Incarnation) -> Self {
        let hand = Hand::new(Arc::clone(&settings.journal), incarnation.guard());
        let links = settings.nodes.iter().cloned().map(Link::new).collect();
        Self {
            settings,
            board,
            incarnation,
            hand,
            links,
            bodies: Bodies::default(),
            open: HashMap::new(),
            own: VecDeque::new(),
            epoch: Instant::now(),
            checks: Arc::new(Semaphore::new(CHECKS)),
            stopping: Stopping::No,
            rounds: Rounds::default(),
        }
    }

    /// Sends again what the journal says is open.
    fn replay(&mut self, ctx: &Context<Self>) {
        for block in self.settings.journal.unsettled() {
            let fates = self.links.iter().map(|link| {
                let known = block.nodes.iter().find(|node| node.name == link.name);
                known.and_then(|node| node.answer.clone())
            });
            tracing::info!(
                hash = %block.hash,
                height = block.height,
                "sending a journalled block again: its fate is open"
            );
            let open = Open {
                fate: Fate::resume(block.height, fates.collect(), self.settings.race_limit),
                prev: block.prev,
                height: block.height,
                found_time: block.found_at,
                this_run: block.this_run,
                again: false,
                found_at: None,
                raw: Arc::default(),
                unchecked: None,
                start: None,
                said: vec![None; self.links.len()],
            };
            self.open.insert(block.hash, open);
            self.await_journal(block.hash, block.ticket, ctx);
        }
    }

    /// Follows the outbox: assembles, files, goes on to the next.
    fn take_solutions(&self, ctx: &Context<Self>) {
        let outbox = Arc::clone(&self.board.outbox);
        let bodies = self.bodies.clone();
        let myself = ctx.address();
        self.incarnation
            .spawn_essential("take solutions", async move {
                loop {
                    let Some(solution) = outbox.peek() else {
                        outbox.pushed().await;
                        continue;
                    };
                    let (bodies, of) = (bodies.clone(), Arc::clone(&solution));
                    let prepared = tokio::task::spawn_blocking(move || prepare(of, &bodies)).await;
                    match prepared {
                        Ok(prepared) => myself.send(File(prepared)).await?,
                        Err(gone) if !gone.is_panic() => return Err(gone.into()),
                        Err(panic) => {
                            // Assembling it again would fail again: what was found is in the log.
                            tracing::error!(
                                hash = %solution.hash,
                                height = solution.job.height(),
                                prev = %solution.job.prev(),
                                solved = ?solution.solved,
                                "a found block cannot be assembled and is lost, a fault of this \
                                 program; please report it with this line: {panic}"
                            );
                            outbox.done(&solution);
                        }
                    }
                }
            });
    }

    /// Follows the newest job: its transactions go to the journal before anybody solves it.
    fn journal_jobs(&self) {
        let mut jobs = self.board.job.subscribe();
        let bodies = self.bodies.clone();
        let hand = self.hand.clone();
        self.incarnation
            .spawn_essential("journal jobs", async move {
                loop {
                    let job = jobs.borrow_and_update().clone();
                    if let Some(job) = job {
                        let bodies = bodies.clone();
                        let ready = tokio::task::spawn_blocking(move || bodies.of(&job)).await?;
                        hand.remember(&ready.body)?;
                    }
                    jobs.changed().await?;
                }
            });
    }

    /// Follows every node's state, which ingest looks at more often than a block waits.
    fn watch_nodes(&self, ctx: &Context<Self>) {
        let mut nodes = self.board.nodes.subscribe();
        let names: Vec<_> = self.links.iter().map(|link| link.name.clone()).collect();
        let myself = ctx.address();
        self.incarnation
            .spawn_essential("watch the nodes", async move {
                let mut was_up = vec![true; names.len()];
                loop {
                    let up: Vec<bool> = {
                        let views = nodes.borrow_and_update();
                        let is_up = |name: &Arc<str>| {
                            let view = views.iter().find(|view| view.name == *name);
                            view.is_none_or(|view| view.state.is_up())
                        };
                        names.iter().map(is_up).collect()
                    };
                    for (node, was_up) in was_up.iter().enumerate() {
                        if up[node] && !was_up {
                            myself.send(NodeIsBack(node)).await?;
                        }
                    }
                    was_up = up;
                    nodes.changed().await?;
                }
            });
    }

    /// Reports when a block is on disk, and before that when it has waited long enough.
    fn await_journal(&self, hash: BlockHash, ticket: Ticket, ctx: &Context<Self>) {
        let journal = Arc::clone(&self.settings.journal);
        let deadline = self.settings.journal_deadline;
        let myself = ctx.address();
        self.incarnation.spawn("await the journal", async move {
            if tokio::time::timeout(deadline, journal.durable(ticket))
                .await
                .is_err()
            {
                tracing::error!(
                    %hash,
                    "the journal did not take a found block within {deadline:?} ({}): it is \
                     submitted without, and kept in memory until it is written",
                    journal.trouble().as_deref().unwrap_or("the disk does not answer")
                );
                myself.send(Happened(hash, Event::JournalLate)).await?;
                journal.durable(ticket).await;
                tracing::info!(%hash, "the journal has the block now");
            }
            myself.send(Happened(hash, Event::Journalled)).await?;
            Ok(())
        });
    }

    /// Holds a block against our own rules, once it has been sent: for a full one that keeps a core busy for longer
    /// than sending it takes.
    fn check(&self, solution: Arc<Solution>) {
        let registry = Arc::clone(&self.board.registry);
        let turns = Arc::clone(&self.checks);
        self.incarnation.spawn("check a found block", async move {
            let _turn = turns.acquire_owned().await?;
            let hash = solution.hash;
            let fault = tokio::task::spawn_blocking(move || fault_of(&solution)).await?;
            match fault {
                None => registry.verifications_passed.increment(),
                Some(fault) => {
                    registry.verifications_failed.increment();
                    tracing::error!(
                        %hash,
                        "a found block breaks our own rules ({fault}); it was submitted all the \
                         same, and the node decides. Please report this"
                    );
                }
            }
            Ok(())
        });
    }

    /// Puts an event through a block's machine and carries out what follows.
    fn happened(&mut self, hash: BlockHash, event: Event, ctx: &mut Context<Self>) {
        if self.hand.check().is_err() {
            ctx.stop();
            return;
        }
        let Some(open) = self.open.get_mut(&hash) else {
            return;
        };
        let answered = matches!(event, Event::Answered(..));
        let (fate, effects) = open.fate.clone().step(event, self.epoch.elapsed());
        open.fate = fate;
        let unchecked = open.unchecked.take_if(|_| answered);
        let over = open.fate.is_over();
        let mut accepted_by = None;
        for effect in effects {
            match effect {
                Effect::Send(node) => self.send(hash, node, ctx),
                Effect::LookUp(node) => self.look_up(hash, node, ctx),
                Effect::Pause(node, number, time) => {
                    ctx.run_later(time, move |actor, ctx| {
                        actor.happened(hash, Event::Due(node, number), ctx);
                    });
                }
                Effect::Note(node, fate, reason) => {
                    self.note(hash, node, fate, &reason);
                    accepted_by = (fate == NodeFate::Accepted).then_some(node).or(accepted_by);
                }
                Effect::Settle(end) => self.settle(hash, end),
            }
        }
        if over {
            self.open.remove(&hash);
        }
        if let Some(solution) = unchecked {
            self.check(solution);
        }
        if let Some(node) = accepted_by {
            // It may be the parent that the node missed.
            self.nudge(node, ctx);
        }
    }

    /// Whatever waits for its next turn with a node has it now.
    fn nudge(&mut self, node: NodeIndex, ctx: &mut Context<Self>) {
        let open: Vec<BlockHash> = self.open.keys().copied().collect();
        for hash in open {
            self.happened(hash, Event::Nudge(node), ctx);
        }
    }

    /// When stopping: once every found block is filed and has had its first answer, flush and stop.
    fn maybe_stop(&mut self, ctx: &mut Context<Self>) {
        let waiting = || {
            self.open
                .values()
                .any(|open| open.fate.awaits_first_answer())
        };
        if self.stopping != Stopping::Asked || !self.board.outbox.is_empty() || waiting() {
            return;
        }
        self.stopping = Stopping::Flushing;
        let journal = Arc::clone(&self.settings.journal);
        let myself = ctx.address();
        self.incarnation.spawn("flush the journal", async move {
            journal.flushed().await;
            myself.send(Flushed).await?;
            Ok(())
        });
    }
}

impl Actor for Submitter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.replay(ctx);
        self.take_solutions(ctx);
        self.journal_jobs();
        self.watch_nodes(ctx);
        self.watch_tip(ctx);
        ctx.run_interval(TELL, |actor, _| actor.tell_undelivered());
    }
}

impl Handler<File> for Submitter {
    type Result = ();

    fn handle(&mut self, File(prepared): File, ctx: &mut Context<Self>) {
        let Ok(filed) = self.hand.found(&prepared.block) else {
            ctx.stop();
            return;
        };
        let solution = &prepared.solution;
        // From here on the journal keeps it, on disk or in memory.
        self.board.outbox.done(solution);
        let hash = prepared.block.hash();
        let (Filed::New(ticket) | Filed::Known(ticket)) = filed else {
            return;
        };
        if self.open.contains_key(&hash) {
            return;
        }
        let (job, height) = (&solution.job, solution.job.height());
        tracing::info!(
            %hash,
            height,
            value_sat = job.value(),
            transactions = job.transactions() + 1,
            "block found"
        );
        let open = Open {
            fate: Fate::new(height, self.links.len(), self.settings.race_limit),
            prev: job.prev(),
            height,
            found_time: solution.found_time,
            this_run: true,
            again: false,
            found_at: Some(solution.found_at),
            raw: Arc::new(OnceCell::new_with(Some(prepared.submission))),
            unchecked: Some(Arc::clone(solution)),
            start: Some(prepared.start),
            said: vec![None; self.links.len()],
        };
        self.open.insert(hash, open);
        self.limit_offers();
        self.await_journal(hash, ticket, ctx);
    }
}

impl Handler<Happened> for Submitter {
    type Result = ();

    fn handle(&mut self, Happened(hash, event): Happened, ctx: &mut Context<Self>) {
        self.happened(hash, event, ctx);
        self.maybe_stop(ctx);
    }
}

impl Handler<NodeIsBack> for Submitter {
    type Result = ();

    fn handle(&mut self, NodeIsBack(node): NodeIsBack, ctx: &mut Context<Self>) {
        self.nudge(node, ctx);
        self.ask_around(ctx);
    }
}

impl Handler<Shutdown> for Submitter {
    type Result = ();

    fn handle(&mut self, _: Shutdown, ctx: &mut Context<Self>) {
        if self.stopping != Stopping::No {
            return;
        }
        self.stopping = Stopping::Asked;
        ctx.run_later(self.settings.stop_grace, |actor, ctx| {
            let open = actor.open.len() + actor.board.outbox.len();
            tracing::warn!(
                open,
                "stopping before every found block has an answer or is on disk"
            );
            ctx.stop();
        });
        self.maybe_stop(ctx);
    }
}

impl Handler<Flushed> for Submitter {
    type Result = ();

    fn handle(&mut self, _: Flushed, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}
