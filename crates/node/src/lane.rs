//! A lane: a bounded queue, and a few named threads that each own a blocking client.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::auth::Credentials;
use crate::config::NodeConfig;
use crate::error::NodeError;
use crate::http::Stopper;
use crate::metrics::Metrics;
use crate::rpc::Rpc;

/// How long an async call outlives its deadline before it is given up: the blocking call ends by
/// itself at the deadline, and its own error says more than ours could.
const GRACE: Duration = Duration::from_millis(500);

/// An idle connection of the submit lane is used for a small call this often, so that a submission
/// finds it open, logged in, and idle. One that the node closed meanwhile is made anew.
const KEEP_WARM: Duration = Duration::from_secs(5);

/// A warm-up that takes longer than this is given up; another thread of the lane stays free meanwhile.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long after a warm-up that failed the next one is tried: the node may be back.
const WARM_UP_AGAIN: Duration = Duration::from_secs(1);

/// How long a thread waits when it is another one's turn to warm up.
const NOT_MY_TURN: Duration = Duration::from_millis(50);

/// What distinguishes the lanes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LaneSpec {
    pub(crate) name: &'static str,
    pub(crate) threads: usize,
    pub(crate) capacity: usize,
    pub(crate) keep_warm: bool,
}

/// A call that waits for a thread.
struct Job {
    ticket: Arc<TicketState>,
    run: Box<dyn FnOnce(&mut Rpc) + Send>,
}

/// A running lane.
pub(crate) struct Lane {
    spec: LaneSpec,
    url: String,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    stoppers: Vec<Stopper>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    queue: Mutex<Queue>,
    ready: Condvar,
    /// Held by the one thread that is warming its connection.
    warming: Mutex<()>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
}

/// What a worker is to do next.
enum Next {
    Job(Job),
    WarmUp,
    End,
}

impl Lane {
    pub(crate) fn start(
        config: &NodeConfig,
        credentials: &Arc<Credentials>,
        spec: LaneSpec,
    ) -> Result<Self, NodeError> {
        let mut lane = Self {
            spec,
            url: config.rpc_url.to_string(),
            shared: Arc::new(Shared {
                queue: Mutex::default(),
                ready: Condvar::new(),
                warming: Mutex::default(),
            }),
            metrics: Arc::default(),
            stoppers: Vec::new(),
            threads: Mutex::default(),
        };
        for _ in 0..spec.threads {
            let rpc = Rpc::with(config, Arc::clone(credentials), Arc::clone(&lane.metrics));
            lane.stoppers.push(rpc.stopper());
            let shared = Arc::clone(&lane.shared);
            let name = format!("rpc-{}", spec.name);
            #[allow(
                clippy::disallowed_methods,
                reason = "a node outlives every child; its threads are joined by `close` and `join`"
            )]
            let handle = thread::Builder::new()
                .name(name.clone())
                .spawn(move || work(&shared, rpc, spec.keep_warm))
                .map_err(|cause| {
                    lane.close();
                    NodeError::Thread { name, cause }
                })?;
            lock(&lane.threads).push(handle);
        }
        Ok(lane)
    }

    pub(crate) fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Runs `call` on one of the lane's threads; ends at the latest shortly after `budget`.
    ///
    /// Dropping the future takes a call that has not begun out of the queue; one that has begun runs to
    /// its end unheard.
    pub(crate) async fn run<T, F>(
        &self,
        method: &'static str,
        budget: Duration,
        call: F,
    ) -> Result<T, NodeError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Rpc) -> Result<T, NodeError> + Send + 'static,
    {
        let asked = Instant::now();
        let deadline = asked + budget;
        let (answer, answered) = oneshot::channel();
        let ticket = Ticket::new();
        self.enqueue(Job {
            ticket: ticket.state(),
            run: Box::new(move |rpc| {
                rpc.set_not_after(Some(deadline));
                // The caller may have gone meanwhile; then nobody wants the answer.
                let _ = answer.send(call(rpc));
            }),
        })?;
        match tokio::time::timeout(budget + GRACE, answered).await {
            Ok(Ok(result)) => result,
            // Taken out of the queue unbegun: shut down.
            Ok(Err(_)) if ticket.revoke() => Err(NodeError::Stopped),
            Err(_) if ticket.revoke() => Err(NodeError::Expired {
                lane: self.spec.name,
                method: method.to_owned(),
                waited: asked.elapsed(),
            }),
            late => Err(NodeError::Unanswered {
                url: self.url.clone(),
                method: method.to_owned(),
                waited: asked.elapsed(),
                cause: if late.is_ok() {
                    "the thread that made the call panicked".into()
                } else {
                    "the deadline passed".into()
                },
            }),
        }
    }

    fn enqueue(&self, job: Job) -> Result<(), NodeError> {
        let mut queue = lock(&self.shared.queue);
        if queue.closed {
            return Err(NodeError::Stopped);
        }
        if queue.jobs.len() >= self.spec.capacity {
            queue.jobs.retain(|waiting| !waiting.ticket.is_revoked());
        }
        if queue.jobs.len() >= self.spec.capacity {
            return Err(NodeError::Overloaded {
                lane: self.spec.name,
                capacity: self.spec.capacity,
            });
        }
        queue.jobs.push_back(job);
        drop(queue);
        self.shared.ready.notify_one();
        Ok(())
    }

    /// Refuses new calls, drops waiting ones and interrupts those under way.
    pub(crate) fn close(&self) {
        let dropped = {
            let mut queue = lock(&self.shared.queue);
            queue.closed = true;
            std::mem::take(&mut queue.jobs)
        };
        drop(dropped);
        self.shared.ready.notify_all();
        for stopper in &self.stoppers {
            stopper.stop();
        }
    }

    /// Waits for the threads of a closed lane; answers how many still run at the deadline.
    pub(crate) fn join(&self, deadline: Instant) -> usize {
        let mut threads = std::mem::take(&mut *lock(&self.threads));
        loop {
            threads.retain(|thread| !thread.is_finished());
            if threads.is_empty() || Instant::now() >= deadline {
                let running = threads.len();
                *lock(&self.threads) = threads;
                return running;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.close();
    }
}

fn work(shared: &Shared, mut rpc: Rpc, keep_warm: bool) {
    // The first one at once.
    let mut warm_up_at = Instant::now();
    loop {
        let wait = match next(shared, keep_warm.then_some(warm_up_at)) {
            Next::Job(job) if job.ticket.begin() => {
                // A panic is a bug of ours, and must not cost the lane a thread; the caller is told.
                let run = AssertUnwindSafe(|| (job.run)(&mut rpc));
                if std::panic::catch_unwind(run).is_err() {
                    tracing::error!("a call to the node panicked");
                }
                KEEP_WARM
            }
            Next::Job(_) => continue,
            Next::WarmUp => warm_up(shared, &mut rpc),
            Next::End => return,
        };
        warm_up_at = Instant::now() + wait;
    }
}

/// Takes the next job, or says that it is time for a warm-up.
fn next(shared: &Shared, warm_up_at: Option<Instant>) -> Next {
    let mut queue = lock(&shared.queue);
    loop {
        if queue.closed {
            return Next::End;
        }
        if let Some(job) = queue.jobs.pop_front() {
            return Next::Job(job);
        }
        queue = match warm_up_at {
            None => shared
                .ready
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner),
            Some(at) => {
                let left = at.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Next::WarmUp;
                }
                let (queue, _) = shared
                    .ready
                    .wait_timeout(queue, left)
                    .unwrap_or_else(PoisonError::into_inner);
                queue
            }
        };
    }
}

/// Opens the connection, or keeps it from ageing. One thread at a time, so that another can submit. Answers when
/// to do it again.
fn warm_up(shared: &Shared, rpc: &mut Rpc) -> Duration {
    let Ok(_turn) = shared.warming.try_lock() else {
        return NOT_MY_TURN;
    };
    rpc.set_not_after(Some(Instant::now() + WARM_UP_TIMEOUT));
    match rpc.uptime() {
        Ok(_) => KEEP_WARM,
        Err(error) => {
            tracing::debug!(%error, "could not warm the connection for submissions");
            WARM_UP_AGAIN
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const REVOKED: u8 = 2;

/// The right to begin a job: either a worker begins it, or its caller revokes it; never both.
struct Ticket(Arc<TicketState>);

struct TicketState(AtomicU8);

impl Ticket {
    fn new() -> Self {
        Self(Arc::new(TicketState(AtomicU8::new(WAITING))))
    }

    fn state(&self) -> Arc<TicketState> {
        Arc::clone(&self.0)
    }

    /// Whether the job had not begun; then it never will.
    fn revoke(&self) -> bool {
        self.0.leave_waiting(REVOKED)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.revoke();
    }
}

impl TicketState {
    fn begin(&self) -> bool {
        self.leave_waiting(BEGUN)
    }

    fn is_revoked(&self) -> bool {
        self.0.load(Ordering::Acquire) == REVOKED
    }

    fn leave_waiting(&self, state: u8) -> bool {
        self.0
            .compare_exchange(WAITING, state, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}
