//! BIP9 on regtest: the one deployment that is left there, `testdummy` on bit 28.

use bitcoin::BlockHash;

use crate::index::Index;

/// Blocks in a signalling period.
const PERIOD: u32 = 144;
/// How many of them must signal.
const THRESHOLD: usize = 108;
/// The bit of `testdummy`.
pub(crate) const TESTDUMMY_BIT: u8 = 28;

/// Where a deployment stands for the next block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Before its start.
    Defined,
    /// Blocks may signal.
    Started,
    /// Enough did; one more period to go.
    LockedIn,
    /// In force.
    Active,
}

/// The state of `testdummy`, kept per period.
#[derive(Debug, Default)]
pub(crate) struct Deployments {
    known: Option<(BlockHash, State)>,
}

impl Deployments {
    /// The state for the block after the tip. It changes only at the borders of periods, so that it
    /// is worked out once in each.
    pub(crate) fn testdummy(&mut self, index: &Index) -> State {
        let next = index.height() + 1;
        let period = next / PERIOD;
        let border = (period * PERIOD).saturating_sub(1);
        let Some(key) = index.active_hash(border) else {
            return State::Defined;
        };
        if let Some((known, state)) = self.known
            && known == key
        {
            return state;
        }
        let mut state = State::Defined;
        for period in 1..=period {
            state = match state {
                State::Started if signals(index, period - 1) >= THRESHOLD => State::LockedIn,
                State::Defined | State::Started => State::Started,
                State::LockedIn | State::Active => State::Active,
            };
        }
        self.known = Some((key, state));
        state
    }
}

/// How many blocks of a period set the bit under BIP9's top bits.
fn signals(index: &Index, period: u32) -> usize {
    (period * PERIOD..(period + 1) * PERIOD)
        .filter_map(|height| index.active_hash(height))
        .filter(|hash| {
            let version = index
                .known(hash)
                .header
                .version
                .to_consensus()
                .cast_unsigned();
            version >> 29 == 1 && version >> TESTDUMMY_BIT & 1 == 1
        })
        .count()
}
