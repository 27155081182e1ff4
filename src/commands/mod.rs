//! One file per command.

pub mod advisor;
pub mod bench;
pub mod config;
pub mod daemon;
pub mod devnode;
pub mod health_check;
pub mod journal;
pub mod ops;
pub mod run;
pub mod status;
pub mod tune;
pub mod verify;
