//! What becomes of a found block: journalled, given to every node, followed to its end.

mod clock;
pub mod journal;
mod outbox;

pub use outbox::Outbox;
