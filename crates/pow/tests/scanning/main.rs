//! Every kernel that this CPU runs finds exactly the hits of a plain loop with `sha2`.
//!
//! A kernel looks at as many bits of a digest as its target has leading zeros, 32 at most, and what
//! passes is hashed again by other code. So a hash that it gets wrong shows as a hit that it misses, and in no other way:
//!
//! - targets met by every digest say nothing of a kernel's arithmetic, only of its ranges;
//! - targets met by one digest in a few say something of each lane, over many hashes;
//! - the nonce of a real header says it of all 32 bits, in the lane and the place of the list of versions
//!   where it is put.
//!
//! Each test keeps to some 200,000 hashes for each kernel: a kernel can be very slow on a CPU
//! that it was not made for, and must be right all the same.

#[path = "../common/mod.rs"]
mod common;

mod any_job;
mod choice;
mod edges;
mod oracle;
mod real_headers;
