//! What an actor needs to be a child.

use actix::{Actor, Context, Handler, Message};

/// The supervisor's request to stop: finish what was begun, then call `ctx.stop()`.
///
/// It overtakes whatever waits in the mailbox. The child has its shutdown deadline to follow; afterwards it is
/// dropped where it stands. The shortest correct handler is `ctx.stop()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shutdown;

impl Message for Shutdown {
    type Result = ();
}

/// An actor that can be supervised; implemented by every actor that handles [`Shutdown`].
///
/// The actor type itself need not be `Send`: it is made by its factory on the thread it lives on.
pub trait Child: Actor<Context = Context<Self>> + Handler<Shutdown> {}

impl<A> Child for A where A: Actor<Context = Context<A>> + Handler<Shutdown> {}
