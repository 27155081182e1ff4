//! A thread for what may stall: whoever sends it looks at the answer and never waits for it.
//!
//! A file system that does not answer holds its caller in the kernel, out of reach of any deadline, and a
//! child that waits for such a thread could not be released. So the thread belongs to nobody's incarnation:
//! made by whoever builds the tree, it outlives every child that uses it, does one thing at a time, and is
//! never joined.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// A thread that does one slow thing at a time: takes a `Q`, answers with an `A`.
pub struct Errand<Q, A> {
    shared: Arc<Shared<Q, A>>,
}

struct Shared<Q, A> {
    state: Mutex<State<Q, A>>,
    asked: Condvar,
    /// Since when the thread is at something; none while it is idle.
    busy: watch::Sender<Option<Instant>>,
}

struct State<Q, A> {
    question: Option<Q>,
    answer: Option<A>,
    closed: bool,
}

impl<Q, A> fmt::Debug for Errand<Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Errand(busy since {:?})", *self.shared.busy.borrow())
    }
}

impl<Q, A> Shared<Q, A> {
    fn lock(&self) -> MutexGuard<'_, State<Q, A>> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Q: Send + 'static, A: Send + 'static> Errand<Q, A> {
    /// Starts the thread `name`. It ends when this is dropped and its work, if it is at any, returns.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(name: &str, mut work: impl FnMut(Q) -> A + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                question: None,
                answer: None,
                closed: false,
            }),
            asked: Condvar::new(),
            busy: watch::Sender::new(None),
        });
        let mine = Arc::clone(&shared);
        let thread = name.to_owned();
        #[allow(
            clippy::disallowed_methods,
            reason = "it must outlive every child; a panic of its work is caught and said"
        )]
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                while let Some(question) = next(&mine) {
                    let answer = catch_unwind(AssertUnwindSafe(|| work(question)));
                    if answer.is_err() {
                        tracing::error!("{thread} panicked and goes on without an answer");
                    }
                    mine.lock().answer = answer.ok();
                    mine.busy.send_replace(None);
                }
            })?;
        Ok(Self { shared })
    }

    /// Sends the thread. False, and nothing happens, while it is still at the last thing.
    pub fn ask(&self, question: Q) -> bool {
        let mut state = self.shared.lock();
        if self.shared.busy.borrow().is_some() {
            return false;
        }
        state.question = Some(question);
        self.shared.busy.send_replace(Some(Instant::now()));
        drop(state);
        self.shared.asked.notify_one();
        true
    }

    /// For how long the thread has been at something; none while it is idle.
    pub fn busy_for(&self, now: Instant) -> Option<Duration> {
        (*self.shared.busy.borrow()).map(|since| now.saturating_duration_since(since))
    }

    /// The last answer, once.
    pub fn take(&self) -> Option<A> {
        self.shared.lock().answer.take()
    }

    /// Waits until the thread is idle; bound it with a deadline.
    pub async fn idle(&self) {
        // The sender is in our hand, so the wait ends only as it should.
        drop(
            self.shared
                .busy
                .subscribe()
                .wait_for(Option::is_none)
                .await
                .map(|_| ()),
        );
    }
}

impl<Q, A> Drop for Errand<Q, A> {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.asked.notify_one();
    }
}

/// The next thing to do; none when nobody will ask any more.
fn next<Q, A>(shared: &Shared<Q, A>) -> Option<Q> {
    let state = shared.lock();
    let mut state = shared
        .asked
        .wait_while(state, |state| state.question.is_none() && !state.closed)
        .unwrap_or_else(PoisonError::into_inner);
    state.question.take()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn whoever_asks_looks_at_the_answer_and_a_busy_thread_is_not_asked_again() {
        let (go, gate) = mpsc::sync_channel::<()>(1);
        let errand = Errand::start("test", move |n: u32| {
            gate.recv().unwrap();
            n + 1
        })
        .unwrap();
        assert_eq!(errand.busy_for(Instant::now()), None);
        assert!(errand.ask(1));
        assert!(!errand.ask(2), "it is at the first");
        assert!(errand.take().is_none());
        assert!(errand.busy_for(Instant::now()).is_some());
        go.send(()).unwrap();
        errand.idle().await;
        assert_eq!(errand.take(), Some(2));
        assert_eq!(errand.take(), None, "an answer is given once");
        assert_eq!(errand.busy_for(Instant::now()), None);
    }

    #[tokio::test]
    async fn a_panic_costs_an_answer_and_nothing_else() {
        let errand = Errand::start("test", |n: u32| {
            assert!(n != 1, "on purpose");
            n
        })
        .unwrap();
        assert!(errand.ask(1));
        errand.idle().await;
        assert_eq!(errand.take(), None);
        assert!(errand.ask(2));
        errand.idle().await;
        assert_eq!(errand.take(), Some(2));
    }

    #[test]
    fn dropping_it_waits_for_nobody() {
        let (go, gate) = mpsc::sync_channel::<()>(1);
        let errand = Errand::start("test", move |()| gate.recv().is_ok()).unwrap();
        assert!(errand.ask(()));
        drop(errand);
        go.send(()).unwrap();
    }
}
