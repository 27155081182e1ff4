//! Advice from another program, which may be anything: a language model, a script, a price feed.
//!
//! [`protocol`] says what is asked and answered; [`process`] runs the program in its [`jail`]; a [`consultant`] asks it
//! until there is an answer, or none is to be had, and keeps a [`dossier`] on it. Nothing that such a program does can
//! stop, slow, crash or corrupt who asks it.

pub mod breaker;
pub mod cache;
pub mod consultant;
mod conversation;
pub mod counts;
pub mod dossier;
pub mod jail;
pub mod model;
pub mod outcome;
pub mod plain;
pub mod process;
pub mod protocol;
pub mod record;
pub mod tries;
