//! Catching panics with their message and location.
//!
//! A caught panic brings its payload but not its location: only the panic hook sees that. So one hook is
//! installed, once per process, chained in front of the one that was there. It notes message and location in
//! the panicking thread's own storage, where the guard that catches the panic finds it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, PanicHookInfo, UnwindSafe};
use std::pin::{Pin, pin};
use std::sync::{Arc, Once};
use std::task::{Context, Poll};

use crate::exit::{ExitReason, Location, Panic, Stage};
use crate::life::Life;

thread_local! {
    /// How many guards are on this thread's stack.
    static GUARDS: Cell<u32> = const { Cell::new(0) };
    /// The last panic under a guard, not yet caught.
    static NOTED: RefCell<Option<Panic>> = const { RefCell::new(None) };
    /// The incarnation whose thread this is.
    static OWNER: RefCell<Option<Arc<Life>>> = const { RefCell::new(None) };
}

/// Installs the hook; does nothing the second time.
pub(crate) fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            note(info);
            previous(info);
        }));
    });
}

/// Runs in the panic hook: must not panic, whatever state the thread is in.
fn note(info: &PanicHookInfo<'_>) {
    let panic = Panic {
        message: text(info.payload()),
        location: info.location().map(|at| Location {
            file: at.file().to_owned(),
            line: at.line(),
            column: at.column(),
        }),
    };
    let guarded = GUARDS.try_with(Cell::get).unwrap_or(0) > 0;
    if guarded {
        let _ = NOTED.try_with(|noted| {
            if let Ok(mut noted) = noted.try_borrow_mut() {
                *noted = Some(panic);
            }
        });
        return;
    }
    // Nobody of ours is going to catch it: a detached future. On a child's thread that is the child's failure.
    let _ = OWNER.try_with(|owner| {
        if let Ok(owner) = owner.try_borrow()
            && let Some(life) = owner.as_ref()
        {
            life.fail_with(ExitReason::Panicked {
                stage: Stage::Detached,
                panic,
            });
        }
    });
}

/// Makes this thread the incarnation's: an unguarded panic on it is the incarnation's failure.
pub(crate) fn own_thread(life: Arc<Life>) {
    OWNER.with(|owner| *owner.borrow_mut() = Some(life));
}

/// The incarnation whose thread this is.
pub(crate) fn owner() -> Option<Arc<Life>> {
    OWNER.with(|owner| owner.borrow().clone())
}

/// Runs `body` and catches its panic.
pub(crate) fn guard<T>(body: impl FnOnce() -> T + UnwindSafe) -> Result<T, Panic> {
    struct Depth;
    impl Drop for Depth {
        fn drop(&mut self) {
            GUARDS.with(|guards| guards.set(guards.get() - 1));
        }
    }
    GUARDS.with(|guards| guards.set(guards.get() + 1));
    let depth = Depth;
    let outcome = std::panic::catch_unwind(body);
    drop(depth);
    outcome.map_err(|payload| {
        let message = text(&*payload);
        // A payload can panic when it is dropped; it is text nearly always, and leaking a rare other is safe.
        if payload.is::<&str>() || payload.is::<String>() {
            drop(payload);
        } else {
            std::mem::forget(payload);
        }
        let noted = NOTED.with(|noted| noted.borrow_mut().take());
        match noted {
            Some(noted) if noted.message == message => noted,
            // `resume_unwind` passes by the hook: what was noted is another, older panic.
            _ => Panic {
                message,
                location: None,
            },
        }
    })
}

/// Polls `future` under a guard.
pub(crate) async fn guard_future<F: Future + UnwindSafe>(future: F) -> Result<F::Output, Panic> {
    struct Guarded<'a, F>(Pin<&'a mut F>);
    impl<F: Future> Future for Guarded<'_, F> {
        type Output = Result<F::Output, Panic>;
        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
            match guard(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
                Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
                Ok(Poll::Pending) => Poll::Pending,
                Err(panic) => Poll::Ready(Err(panic)),
            }
        }
    }
    Guarded(pin!(future)).await
}

fn text(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "(a payload that is not text)".to_owned()
    }
}
