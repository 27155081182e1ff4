//! Bitcoin's rules for headers and blocks, and the way from a template to a block.
//!
//! - [`Network`] and [`Params`]: which rules.
//! - [`check_header`], [`HeaderWindow`], [`verify_headers`]: headers, one at a time, as a chain that
//!   follows a node, and as a file.
//! - [`check_block`]: a raw block, with as much of its context as is known.
//! - [`Report`]: what was checked, what was not, and the verdict.
//! - [`Template`], [`PayoutScript`], [`CoinbaseTag`] make a [`Job`]; a [`Job`] makes headers to
//!   search, and a [`Solved`] header a raw block.
//!
//! No I/O, no clock, no threads: time comes in as a parameter. Scripts are not run here.
//!
//! From a tip to a block on regtest:
//!
//! ```
//! use std::ops::ControlFlow;
//! use chain::{CoinbaseTag, HeaderWindow, Job, Network, PayoutScript, Solved, Template, Verdict};
//!
//! let window = HeaderWindow::from_genesis(Network::Regtest, 16_000);
//! let template = Template::coinbase_only_on(&window, 1_700_000_000).expect("from the genesis on");
//! let payout = PayoutScript::parse("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", Network::Regtest)?;
//! let job = Job::new(&template, &payout, &CoinbaseTag::new("/example/")?, 0)?;
//!
//! let (extranonce, ntime) = (0, job.start_time());
//! let scan = pow::ScanJob::new(&job.header(extranonce, ntime), job.versions(), job.target());
//! let mut found = None;
//! pow::kernel("auto")?.scan(&scan, pow::NonceRange::ALL, &mut |hit| {
//!     found = Some(hit);
//!     ControlFlow::Break(())
//! });
//! let hit = found.expect("every second hash meets regtest's target");
//! let solved = Solved { extranonce, ntime, version: hit.version, nonce: hit.nonce };
//!
//! assert!(job.is_solved_by(&solved));
//! assert_eq!(job.check(&solved, false).verdict(), Verdict::Authentic);
//! let raw_block = job.assemble(&solved);
//! # assert!(raw_block.len() > 80);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod block;
mod cursor;
mod hashing;
mod job;
mod merkle;
mod network;
mod params;
mod payout;
mod report;
mod rules;
mod template;
mod verify;
mod window;

pub use block::{
    BlockContext, BlockReport, DecodeError, MAX_BLOCK_SIGOPS_COST, MAX_BLOCK_WEIGHT,
    NAMES_HEIGHT_WITHIN, ParentContext, WITNESS_SCALE_FACTOR, check_block, names_height,
};
pub use hashing::{header_bytes, header_from_bytes, work_of};
pub use job::{
    CoinbaseTag, Job, JobError, MAX_TIME_ROLL_S, MAX_VERSIONS, Shape, Solved, TagTooLong,
    TransactionFault, VERSION_ROLLING_MASK, VersionRolling,
};
pub use network::{Network, UnknownNetwork};
pub use params::{MAX_FUTURE_S, MAX_TIMEWARP_S, MEDIAN_TIME_SPAN, Params, block_subsidy};
pub use payout::{PayoutError, PayoutScript};
pub use report::{Check, CheckResult, Failure, Report, Status, Verdict};
pub use report::{DEFAULT_COVERAGE_MIN, DEFAULT_LEVEL};
pub use rules::{Ancestors, HeaderReject, check_header, median_time_past, min_time, next_bits};
pub use template::{BASE_VERSION, CoinbaseOnly, Template, TemplateTransaction};
pub use verify::verify_headers;
pub use window::{
    Ahead, Connected, HeaderFailure, HeaderWindow, NotAhead, NotInWindow, Tip, proves_work,
};
