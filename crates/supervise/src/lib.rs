//! OTP-grade supervision on actix.
#![forbid(unsafe_code)]

#[cfg(not(panic = "unwind"))]
compile_error!("supervision catches panics: build with panic = \"unwind\"");

mod actor_ref;
mod backoff;
mod bounded;
mod child;
mod exit;
mod incarnation;
mod latest;
mod life;
mod machine;
mod mailbox;
mod panics;
mod runner;
mod spec;
mod status;
mod supervisor;
mod tree;

pub use actor_ref::{ActorRef, SendError};
pub use backoff::Backoff;
pub use bounded::{Receiver, Sender, bounded};
pub use child::{Child, Shutdown};
pub use exit::{Exit, ExitReason, Location, Panic, Stage};
pub use incarnation::{GenerationGuard, Incarnation, Revoked, StopSignal, TaskHandle};
pub use latest::{Latest, Watch};
pub use spec::{ChildSpec, Intensity, Restart, RestartLimits, SpecError};
pub use status::{
    ChildState, ChildStatus, EscalationCause, EventKind, Outcome, StopReport, SupervisionEvent,
};
pub use supervisor::{StartError, Supervisor, SupervisorBuilder};

/// Any error that can cross threads.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// An error with all its causes, in one line.
fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Some errors print their cause themselves.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
