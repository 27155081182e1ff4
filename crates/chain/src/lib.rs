//! Bitcoin's rules for headers and blocks, and the way from a template to a block.
//!
//! - [`Network`] and [`Params`]: which rules.
//! - [`check_header`], [`HeaderWindow`], [`verify_headers`]: headers, one at a time, as a chain that
//!   follows a node, and as a file.
//! - [`Report`]: what was checked, what was not, and the verdict.
//!
//! No I/O, no clock, no threads: time comes in as a parameter. Scripts are not run here.
#![forbid(unsafe_code)]

mod cursor;
mod hashing;
mod network;
mod params;
mod report;
mod rules;
mod window;

pub use hashing::{header_bytes, header_from_bytes, work_of};
pub use network::{Network, UnknownNetwork};
pub use params::{MAX_FUTURE_S, MAX_TIMEWARP_S, MEDIAN_TIME_SPAN, Params, block_subsidy};
pub use report::{Check, CheckResult, Failure, Report, Status, Verdict};
pub use rules::{Ancestors, HeaderReject, check_header, median_time_past, min_time, next_bits};
pub use window::{Connected, HeaderFailure, HeaderWindow, NotInWindow, Tip};
