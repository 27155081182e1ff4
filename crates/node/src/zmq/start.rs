//! The start of a block, as soon as it is there.
//!
//! A job on a block needs its header and its height, which are its first bytes. The rest of it, up to 4 MB, takes a
//! third of a second at 100 Mbit/s, and milliseconds from one process to another.

use std::time::Instant;

use bitcoin::block::Header;
use bitcoin::consensus::encode::deserialize;
use chain::NAMES_HEIGHT_WITHIN;

use super::frames::Step;
use super::notification::{BLOCK, BlockStart, HEADER, Topic};

/// Reads along with the frames that pass the guard, and finds the starts of blocks in them.
#[derive(Debug, Default)]
pub(super) struct Starts {
    awaits: Awaits,
    held: Vec<u8>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Awaits {
    /// The first part of a message, its topic.
    Topic,
    /// The second part, a block.
    Block,
    /// The next message.
    #[default]
    Nothing,
}

impl Starts {
    /// Takes note of the next step; a block's start where this completes one.
    pub(super) fn note(&mut self, step: &Step<'_>, received: Instant) -> Option<BlockStart> {
        match *step {
            Step::Head { part, length, .. } => {
                let is_block = self.awaits == Awaits::Topic && self.held == RAW_BLOCK;
                self.held.clear();
                self.awaits = match part {
                    0 if length == RAW_BLOCK.len() as u64 => Awaits::Topic,
                    1 if is_block && usize::try_from(length).is_ok_and(|n| BLOCK.contains(&n)) => {
                        Awaits::Block
                    }
                    _ => Awaits::Nothing,
                };
                None
            }
            Step::Body { bytes, left } => {
                if self.awaits == Awaits::Nothing {
                    return None;
                }
                let room = NAMES_HEIGHT_WITHIN - self.held.len();
                self.held.extend(bytes.iter().take(room));
                let is_whole = left == 0 || self.held.len() == NAMES_HEIGHT_WITHIN;
                if self.awaits == Awaits::Topic || !is_whole {
                    return None;
                }
                self.awaits = Awaits::Nothing;
                let header: Header = deserialize(self.held.get(..HEADER)?).ok()?;
                Some(BlockStart {
                    hash: header.block_hash(),
                    header,
                    bytes: self.held.as_slice().into(),
                    received,
                })
            }
            Step::Command(_) => None,
        }
    }
}

const RAW_BLOCK: &[u8] = Topic::RawBlock.as_str().as_bytes();

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::properties;

    fn part() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => Just(b"rawblock".to_vec()),
            1 => Just(b"hashblock".to_vec()),
            4 => (0_usize..400).prop_map(|length| (0..length).map(|n| n as u8).collect()),
        ]
    }

    proptest! {
        #[test]
        fn the_starts_of_blocks_are_found_in_any_pieces(
            messages in prop::collection::vec(prop::collection::vec(part(), 0..4), 0..8),
            cut in 0_usize..100,
            pieces in prop::collection::vec(1_usize..500, 1..8),
        ) {
            let mut wire = Vec::new();
            for parts in messages {
                for (index, body) in parts.iter().enumerate() {
                    let more = u8::from(index + 1 < parts.len());
                    wire.push(more | 2);
                    wire.extend((body.len() as u64).to_be_bytes());
                    wire.extend(body);
                }
            }
            wire.truncate(wire.len().saturating_sub(cut));
            properties::starts(&wire, &pieces);
        }

        #[test]
        fn no_bytes_are_taken_for_a_start_that_is_none(
            bytes in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(2), Just(8), any::<u8>()], 0..400),
            pieces in prop::collection::vec(1_usize..100, 1..8),
        ) {
            properties::starts(&bytes, &pieces);
        }
    }
}
