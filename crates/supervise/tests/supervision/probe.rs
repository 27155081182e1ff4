//! An actor that does whatever a test tells it to, and the means to watch its supervisor.

use std::future::Future;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use actix::{Actor, ActorContext as _, Context, Handler, Message, ResponseFuture, Running};
use signalcore_supervise::{
    ActorRef, Backoff, ChildSpec, EventKind, ExitReason, Incarnation, Intensity, RestartLimits,
    Shutdown, SupervisionEvent, Supervisor, SupervisorBuilder,
};
use tokio::sync::broadcast;

/// Longer than any machine needs; a test that waits this long has failed.
pub const LIMIT: Duration = Duration::from_mins(1);

/// Runs a test within an actix System.
pub fn run<F: Future>(test: F) -> F::Output {
    actix::System::new().block_on(async {
        tokio::time::timeout(LIMIT * 3, test)
            .await
            .expect("the test ends in time")
    })
}

/// What happened, in order, seen by everybody.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub fn add(&self, entry: impl Into<String>) {
        self.0.lock().unwrap().push(entry.into());
    }

    pub fn entries(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Holds threads until the test lets them go.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Blocks the thread, as a hung child does.
    pub fn pass(&self) {
        let mut open = self.0.0.lock().unwrap();
        while !*open {
            open = self.0.1.wait(open).unwrap();
        }
    }
}

/// A step of the probe's life that a test fills in.
pub type Hook = Box<dyn FnOnce(&mut Probe, &mut Context<Probe>)>;

/// The actor.
pub struct Probe {
    pub incarnation: Incarnation,
    pub log: Log,
    pub on_started: Option<Hook>,
    pub on_shutdown: Option<Hook>,
    pub on_stopped: Option<Hook>,
    pub on_drop: Option<Box<dyn FnOnce()>>,
    /// Refuses to stop, as actix lets an actor do.
    pub stubborn: bool,
}

impl Probe {
    pub fn new(incarnation: Incarnation) -> Self {
        Self::logging(incarnation, Log::default())
    }

    pub fn logging(incarnation: Incarnation, log: Log) -> Self {
        Self {
            incarnation,
            log,
            on_started: None,
            on_shutdown: None,
            on_stopped: None,
            on_drop: None,
            stubborn: false,
        }
    }

    fn note(&self, what: &str) {
        let (id, generation) = (self.incarnation.id(), self.incarnation.generation());
        self.log.add(format!("{id}#{generation} {what}"));
    }
}

impl Actor for Probe {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.note("started");
        if let Some(hook) = self.on_started.take() {
            hook(self, ctx);
        }
    }

    fn stopping(&mut self, _: &mut Self::Context) -> Running {
        if self.stubborn {
            return Running::Continue;
        }
        Running::Stop
    }

    fn stopped(&mut self, ctx: &mut Self::Context) {
        self.note("stopped");
        if let Some(hook) = self.on_stopped.take() {
            hook(self, ctx);
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.note("dropped");
        if let Some(hook) = self.on_drop.take() {
            hook();
        }
    }
}

impl Handler<Shutdown> for Probe {
    type Result = ();

    fn handle(&mut self, _: Shutdown, ctx: &mut Self::Context) {
        self.note("asked to stop");
        match self.on_shutdown.take() {
            Some(hook) => hook(self, ctx),
            None => ctx.stop(),
        }
    }
}

type Work = Box<dyn FnOnce(&mut Probe, &mut Context<Probe>) + Send>;

/// Runs a closure in a handler.
pub struct Do(Work);

impl Do {
    pub fn it(what: impl FnOnce(&mut Probe, &mut Context<Probe>) + Send + 'static) -> Self {
        Self(Box::new(what))
    }
}

impl Message for Do {
    type Result = ();
}

impl Handler<Do> for Probe {
    type Result = ();

    fn handle(&mut self, msg: Do, ctx: &mut Self::Context) {
        (msg.0)(self, ctx);
    }
}

/// Asks for the generation that answers.
pub struct Which;

impl Message for Which {
    type Result = u64;
}

impl Handler<Which> for Probe {
    type Result = u64;

    fn handle(&mut self, _: Which, _: &mut Self::Context) -> u64 {
        self.incarnation.generation()
    }
}

/// Answers from a future that actix runs detached from the actor.
pub struct Respond(pub Box<dyn FnOnce() -> u64 + Send>);

impl Message for Respond {
    type Result = u64;
}

impl Handler<Respond> for Probe {
    type Result = ResponseFuture<u64>;

    fn handle(&mut self, msg: Respond, _: &mut Self::Context) -> Self::Result {
        Box::pin(async move { (msg.0)() })
    }
}

/// A child that is restarted quickly.
pub fn quick(id: &str) -> ChildSpec {
    ChildSpec::new(id)
        .start_timeout(LIMIT)
        .shutdown(LIMIT)
        .limits(limits(10))
}

/// Quick restarts, this many of them.
pub fn limits(restarts: u32) -> RestartLimits {
    let backoff = Backoff {
        initial: Duration::from_millis(1),
        max: Duration::from_millis(1),
        ..Backoff::default()
    };
    let intensity = Intensity {
        restarts,
        period: Duration::from_mins(10),
    };
    RestartLimits::new(backoff, intensity).unwrap()
}

/// What a supervisor tells, from here on.
pub struct Events(broadcast::Receiver<SupervisionEvent>);

impl Events {
    pub fn of(tree: &Supervisor) -> Self {
        Self(tree.events())
    }

    /// The next event of `child` that `pick` picks.
    pub async fn next<T>(
        &mut self,
        child: &str,
        pick: impl Fn(&SupervisionEvent) -> Option<T>,
    ) -> T {
        let found = async {
            loop {
                let event = self.0.recv().await.expect("no event was missed");
                if &*event.child == child
                    && let Some(found) = pick(&event)
                {
                    return found;
                }
            }
        };
        tokio::time::timeout(LIMIT, found)
            .await
            .expect("the event comes in time")
    }

    pub async fn exit(&mut self, child: &str) -> ExitReason {
        self.next(child, |event| match &event.kind {
            EventKind::Exited(reason) => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    pub async fn kind(&mut self, child: &str, kind: EventKind) -> SupervisionEvent {
        self.next(child, |event| (event.kind == kind).then(|| event.clone()))
            .await
    }
}

/// Waits until this generation, or a later one, is up.
pub async fn up(actor: &ActorRef<Probe>, generation: u64) -> u64 {
    let reached = async {
        loop {
            let up = actor.wait_up().await.expect("the child is not gone");
            if up >= generation {
                return up;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LIMIT, reached)
        .await
        .expect("the child comes up in time")
}

/// Adds a child that notes what happens to it.
pub fn add(tree: &mut SupervisorBuilder, id: &str, log: &Log) -> ActorRef<Probe> {
    let log = log.clone();
    tree.child(quick(id), move |incarnation| {
        Ok(Probe::logging(incarnation, log.clone()))
    })
}

/// A tree of one child.
pub async fn one_child() -> (Supervisor, ActorRef<Probe>, Events) {
    let mut tree = Supervisor::builder("test");
    let actor = tree.child(quick("child"), |incarnation| Ok(Probe::new(incarnation)));
    let tree = tree.start().await.unwrap();
    let events = Events::of(&tree);
    (tree, actor, events)
}
