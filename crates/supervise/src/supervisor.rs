//! The supervisor as its user sees it.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, mpsc, oneshot};

use crate::branch::{self, Below, Branch};
use crate::desk::{self, Command, Desk, Views};
use crate::exit::ExitReason;
use crate::health::{Reach, find};
use crate::machine::Machine;
use crate::panics;
use crate::runner::Factory;
use crate::status::{ChildStatus, EscalationCause, Outcome, StopReport, SupervisionEvent};
use crate::tree::Tree;
use crate::typed::{AnyChild, TypedChild};
use crate::{ActorRef, BoxError, Child, ChildSpec, Incarnation, Strategy};

/// Declares children; made by [`Supervisor::builder`].
pub struct SupervisorBuilder {
    name: Arc<str>,
    specs: Vec<ChildSpec>,
    children: Vec<Box<dyn AnyChild>>,
    /// References handed out, by id.
    declared: HashMap<Arc<str>, Box<dyn Any>>,
    duplicate: Option<Arc<str>>,
    strategy: Strategy,
    max_abandoned: u32,
    views: Views,
    desk: Desk,
}

impl fmt::Debug for SupervisorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SupervisorBuilder")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Why a supervisor did not start. What had been started is stopped again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no actix System on this thread.
    #[error("supervisor {supervisor} must be started within an actix System")]
    NoSystem {
        /// The supervisor's name.
        supervisor: Arc<str>,
    },
    /// Two children have the same id, or one was declared as another type.
    #[error(
        "supervisor {supervisor} has two children named {child}, or declared it as another type"
    )]
    Duplicate {
        /// The supervisor's name.
        supervisor: Arc<str>,
        /// The child's id.
        child: Arc<str>,
    },
    /// A reference was handed out by [`SupervisorBuilder::declare`], but no such child was added.
    #[error("supervisor {supervisor} has handed out references to {child}, but has no such child")]
    Undefined {
        /// The supervisor's name.
        supervisor: Arc<str>,
        /// The child's id.
        child: Arc<str>,
    },
    /// A child did not come up.
    #[error("{child} did not come up: {reason}")]
    Child {
        /// The child's id.
        child: Arc<str>,
        /// How its first incarnation ended.
        reason: Box<ExitReason>,
        /// Children that could not be stopped again within their deadlines.
        still_running: Vec<Arc<str>>,
    },
}

impl SupervisorBuilder {
    /// Adds a child; children start in the order in which they are added and stop in reverse.
    ///
    /// The factory makes the actor of each incarnation, on the incarnation's own thread. It can be called
    /// again while an earlier call still hangs, hence `Fn` and `Sync`. It may block (the start timeout
    /// watches), fail and panic: both count as a failed start.
    ///
    /// The reference works at once; until the child is up it says [`Down`](crate::SendError::Down).
    pub fn child<A, F>(&mut self, spec: ChildSpec, factory: F) -> ActorRef<A>
    where
        A: Child,
        F: Fn(Incarnation) -> Result<A, BoxError> + Send + Sync + 'static,
    {
        let actor = self.declare::<A>(Arc::clone(&spec.id));
        self.add(spec, actor.clone(), Arc::new(factory), None);
        actor
    }

    /// Adds a child that is itself a tree: a supervisor below this one, with a strategy and bounds of its own.
    ///
    /// `build` declares the tree of each incarnation, on the incarnation's own thread; the tree is started there. The
    /// child is up when its whole tree is, so `spec`'s start timeout covers all of it. It is asked to stop like any
    /// other and stops its tree within `spec`'s shutdown deadline. When its tree gives up, the child fails with
    /// [`ExitReason::Escalated`], and is restarted, whole, as `spec` says.
    ///
    /// The child is not released as long as anything below it exists; when something below it hangs, it is abandoned itself,
    /// and everything below it loses its permission with it. So each tree bounds the hung incarnations of its own
    /// children ([`max_abandoned`](Self::max_abandoned)), and what a tree leaves behind counts as one in the tree above.
    ///
    /// [`Supervisor::children`], events, [`Supervisor::ping_all`] and [`Supervisor::inject`] name what is below as
    /// `child/grandchild`.
    pub fn supervisor<F>(&mut self, spec: ChildSpec, build: F)
    where
        F: Fn(Incarnation) -> Result<SupervisorBuilder, BoxError> + Send + Sync + 'static,
    {
        let actor = self.declare::<Branch>(Arc::clone(&spec.id));
        let below = Below::default();
        let (found, above) = (below.clone(), self.views.events.clone());
        let deadline = branch::share(spec.shutdown);
        let factory = move |incarnation: Incarnation| {
            let builder = build(incarnation.clone())?;
            let tree = builder.handle();
            if incarnation.is_current() {
                found.set(tree.clone());
            }
            Ok(Branch {
                incarnation,
                below: Some(builder),
                tree,
                deadline,
                above: above.clone(),
            })
        };
        self.add(spec, actor, Arc::new(factory), Some(below));
    }

    fn add<A: Child>(
        &mut self,
        spec: ChildSpec,
        actor: ActorRef<A>,
        factory: Factory<A>,
        below: Option<Below>,
    ) {
        if self.specs.iter().any(|other| other.id == spec.id) {
            self.duplicate.get_or_insert_with(|| Arc::clone(&spec.id));
        }
        let child = TypedChild::new(actor, factory, spec.mailbox, below);
        self.children.push(Box::new(child));
        self.specs.push(spec);
    }

    /// A reference to a child that is added later, for children that need each other.
    pub fn declare<A: Child>(&mut self, id: impl Into<Arc<str>>) -> ActorRef<A> {
        let id = id.into();
        if let Some(known) = self.declared.get(&id) {
            if let Some(actor) = known.downcast_ref::<ActorRef<A>>() {
                return actor.clone();
            }
            self.duplicate.get_or_insert_with(|| Arc::clone(&id));
        }
        let actor = ActorRef::new(Arc::clone(&id));
        self.declared.insert(id, Box::new(actor.clone()));
        actor
    }

    /// A handle to the tree before it is started, to be given to its own children.
    ///
    /// Until [`start`](Self::start) it shows no children, is not live, and waits: what it is asked is done when the tree is
    /// started. If the builder is dropped instead, [`Supervisor::wait`] returns
    /// [`EscalationCause::Supervisor`].
    pub fn handle(&self) -> Supervisor {
        Supervisor {
            name: Arc::clone(&self.name),
            views: self.views.clone(),
        }
    }

    /// Whom a child's failure concerns besides itself (default: nobody).
    #[must_use]
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// How many hung incarnations may exist at a time (default 3); one more escalates.
    #[must_use]
    pub fn max_abandoned(mut self, incarnations: u32) -> Self {
        self.max_abandoned = incarnations;
        self
    }

    /// Starts the children in order, each when its predecessor is up.
    ///
    /// Must be called within an actix System, on one of its threads; the supervisor lives there, as a task.
    ///
    /// # Errors
    /// If a child does not come up, it names that child; those before it have been stopped in reverse order.
    pub async fn start(self) -> Result<Supervisor, StartError> {
        let handle = self.handle();
        let supervisor = self.name;
        if actix::System::try_current().is_none() {
            return Err(StartError::NoSystem { supervisor });
        }
        if let Some(child) = self.duplicate {
            return Err(StartError::Duplicate { supervisor, child });
        }
        let undefined = |id: &&Arc<str>| !self.specs.iter().any(|spec| spec.id == **id);
        if let Some(child) = self.declared.keys().find(undefined).cloned() {
            return Err(StartError::Undefined { supervisor, child });
        }
        panics::install_hook();
        let machine = Machine::new(
            self.specs,
            self.strategy,
            self.max_abandoned,
            Instant::now(),
        );
        let (started_tx, started) = oneshot::channel();
        let reach = self.children.iter().map(|child| child.reach()).collect();
        let _ = handle.views.reach.set(reach);
        let name = Arc::clone(&supervisor);
        let tree = Tree::new(
            name,
            machine,
            self.children,
            self.desk,
            started_tx,
            panics::owner(),
        );
        #[allow(
            clippy::disallowed_methods,
            reason = "every handle sees its end: `Supervisor::wait`"
        )]
        actix::spawn(tree.run());
        match started.await {
            Ok(Ok(())) => Ok(handle),
            Ok(Err(error)) => Err(error),
            // The runtime stopped beneath it.
            Err(_) => Err(StartError::NoSystem { supervisor }),
        }
    }
}

/// A running tree of children. Clones are handles to the same tree; dropping them does not stop it.
#[derive(Clone)]
pub struct Supervisor {
    name: Arc<str>,
    views: Views,
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Supervisor {
    /// Begins a tree; the name is for logs.
    pub fn builder(name: impl Into<Arc<str>>) -> SupervisorBuilder {
        let (views, desk) = desk::open();
        SupervisorBuilder {
            name: name.into(),
            specs: Vec::new(),
            children: Vec::new(),
            declared: HashMap::new(),
            duplicate: None,
            strategy: Strategy::default(),
            max_abandoned: 3,
            views,
            desk,
        }
    }

    /// The supervisor's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    pub(crate) fn reach(&self) -> &[Arc<dyn Reach>] {
        self.views.reach.get().map_or(&[], Vec::as_slice)
    }

    pub(crate) fn commands(&self) -> &mpsc::Sender<Command> {
        &self.views.commands
    }

    /// Every child as it is now, in start order; after each that is itself a tree those below it, as `child/grandchild`.
    pub fn children(&self) -> Vec<ChildStatus> {
        let own = self.views.status.borrow().to_vec();
        let mut all = Vec::with_capacity(own.len());
        for child in own {
            let below = find(self.reach(), &child.id).and_then(Reach::below);
            let branch = Arc::clone(&child.id);
            all.push(child);
            for mut child in below.iter().flat_map(Self::children) {
                child.id = branch::path(&branch, &child.id);
                all.push(child);
            }
        }
        all
    }

    /// What happens from now on. A reader that falls more than 256 events behind misses the oldest.
    pub fn events(&self) -> broadcast::Receiver<SupervisionEvent> {
        self.views.events.subscribe()
    }

    /// Waits until supervision ends. An escalation is reported once all other children have been stopped.
    pub async fn wait(&self) -> Outcome {
        self.finish().await.0
    }

    /// Stops all children in reverse order, each within its own shutdown deadline and all within `deadline`.
    ///
    /// Every few seconds a log line names who is still running. The last part of `deadline` (a quarter, at most a
    /// second) is kept for dropping, where they stand, those who have not stopped by then; what cannot be dropped
    /// because its thread hangs has its generation revoked and is named in the report. A second call joins the
    /// stop that is under way and can only bring its deadline forward.
    pub async fn stop(&self, deadline: Duration) -> StopReport {
        // Refused only when it is over already.
        let _ = self.views.commands.send(Command::Stop { deadline }).await;
        self.finish().await.1
    }

    /// A child that is still running, and what below it is.
    fn hanging(&self, child: &Arc<str>) -> Vec<Arc<str>> {
        let below = find(self.reach(), child).and_then(Reach::below);
        let running = below.iter().flat_map(Self::children);
        let running = running.filter(|below| below.state.is_running() || below.abandoned > 0);
        std::iter::once(Arc::clone(child))
            .chain(running.map(|below| branch::path(child, &below.id)))
            .collect()
    }

    async fn finish(&self) -> (Outcome, StopReport) {
        let mut finish = self.views.finish.clone();
        if let Ok(finished) = finish.wait_for(Option::is_some).await
            && let Some(finished) = finished.as_ref()
        {
            let (outcome, mut report) = finished.clone();
            let named = report.still_running.iter();
            report.still_running = named.flat_map(|child| self.hanging(child)).collect();
            return (outcome, report);
        }
        // The supervisor's own task is gone without a word: nothing is known of the children but their last state.
        let children = self.views.status.borrow();
        let still_running = children.iter().filter(|child| child.state.is_running());
        let outcome = Outcome::Escalated {
            child: Arc::clone(&self.name),
            cause: EscalationCause::Supervisor,
            exits: Vec::new(),
        };
        let report = StopReport {
            still_running: still_running.map(|child| Arc::clone(&child.id)).collect(),
            took: Duration::ZERO,
        };
        (outcome, report)
    }
}
