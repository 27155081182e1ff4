//! The children of the supervision tree: what each one does, and what they say to each other.
//!
//! A block flows through them in this order: [`ingest`] sees a tip, [`validator`] verifies it,
//! [`miner`] works on it, [`submitter`] journals and sends what was found, [`stats`] counts it,
//! [`monitor`] shows it, [`api`] answers questions about it. What crosses from one to another is
//! in [`messages`]; the cells and queues it crosses in, which outlive any single child, are the
//! [`board`]. What may stall runs on an [`errand`]'s thread.
#![forbid(unsafe_code)]

pub mod advisor;
pub mod api;
pub mod board;
pub mod errand;
pub mod health;
pub mod ingest;
pub mod latency;
pub mod messages;
pub mod miner;
pub mod monitor;
pub mod proposals;
mod publish;
pub mod resources;
pub mod stale;
pub mod stats;
pub mod submitter;
pub mod validator;
