//! What this machine does best, found by measuring it.
//!
//! ```text
//!  configuration ── forced? ──────────────────────────────────────┐
//!  autotune.json ── does its key hold, is it younger than a day? ─┼─> choice ──> the miner's settings
//!  race of all kernels ── self-test of the fastest ───────────────┘      └─────> autotune.json
//! ```
//!
//! | file | what it is |
//! |---|---|
//! | `measure` | what a kernel takes at best, and the core's clock |
//! | `race` | every kernel, the fastest first |
//! | `key` | what a measurement holds for |
//! | `cache` | `autotune.json` |
//! | `choice` | what the miner starts with |
//!
//! The command `tune` goes through six phases, each with a [finding](report::Finding):
//!
//! | file | phase |
//! |---|---|
//! | `readiness` | governor, memory, temperature, load, an instance that runs |
//! | `node` | answers, is on its tip, gives templates |
//! | `storage` | how long a write takes to be on disk, free space |
//! | `race` | kernel |
//! | `crowd` | threads and batch |
//! | `trial` | self-test |
//! | `report` | what came of them all |

pub mod cache;
pub mod choice;
pub mod crowd;
pub mod key;
pub mod measure;
pub mod node;
pub mod race;
pub mod readiness;
pub mod report;
pub mod storage;
pub mod trial;
