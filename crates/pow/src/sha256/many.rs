//! Messages of any lengths, several at once: as soon as one ends, the next takes its place.

use std::array;
use std::marker::PhantomData;

use super::batch::{BatchWord, hash_digest_lanes};
use super::{IV, compress, digest_bytes, words};

/// Bytes to hash, in one piece or between two short ones.
#[derive(Clone, Copy, Default, Debug)]
pub struct Message<'a> {
    start: &'a [u8],
    middle: &'a [u8],
    end: &'a [u8],
}

impl<'a> Message<'a> {
    /// Three pieces, hashed as if they lay one after the other.
    ///
    /// # Panics
    /// When `start` or `end` has more than 64 bytes.
    pub const fn of_pieces(start: &'a [u8], middle: &'a [u8], end: &'a [u8]) -> Self {
        assert!(
            start.len() <= 64 && end.len() <= 64,
            "short pieces around one of any length"
        );
        Self { start, middle, end }
    }

    /// In bytes.
    fn len(&self) -> usize {
        self.start.len() + self.middle.len() + self.end.len()
    }
}

impl<'a> From<&'a [u8]> for Message<'a> {
    fn from(whole: &'a [u8]) -> Self {
        Self::of_pieces(&[], whole, &[])
    }
}

/// Double SHA-256 of many messages, by the fastest means of this CPU: `out[i]` is the hash of
/// `messages[i]`.
///
/// # Panics
/// When the two slices differ in length.
pub fn sha256d_many(messages: &[Message<'_>], out: &mut [[u8; 32]]) {
    assert_eq!(messages.len(), out.len(), "one digest per message");
    #[cfg(target_arch = "x86_64")]
    crate::x86::hash_many(messages, out);
    #[cfg(target_arch = "aarch64")]
    crate::arm::hash_many(messages, out);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    hash_singly(messages, out);
}

/// Double SHA-256 of each message, one at a time.
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), allow(dead_code))]
pub(crate) fn hash_singly(messages: &[Message<'_>], out: &mut [[u8; 32]]) {
    hash_chains(Lanes::<u32, 1>::new(), messages, out);
    hash_digest_lanes::<u32>(out);
}

/// `N` SHA-256 states side by side.
pub(crate) trait Chains<const N: usize> {
    /// Gives a chain the initial state.
    fn start(&mut self, chain: usize);
    /// Mixes a block into each chain.
    fn mix(&mut self, blocks: [&[u8; 64]; N]);
    /// The words of a chain's state.
    fn state(&self, chain: usize) -> [u32; 8];
    /// Mixes a block into a single state.
    fn mix_one(state: &mut [u32; 8], block: &[u8; 64]);
}

/// The padded blocks of a message, one after the other.
struct Blocks<'a> {
    /// Which message this is; `None` where there is none, but zeros as long as they are asked for.
    place: Option<usize>,
    /// Blocks to come.
    left: usize,
    middle: &'a [[u8; 64]],
    /// What does not lie in one piece: first the block with the start of the message, if there is a
    /// start and it fills the block, then those after the middle.
    ends: [[u8; 64]; 4],
    /// What comes next of `ends`.
    at: usize,
}

impl<'a> Blocks<'a> {
    const NONE: Self = Self {
        place: None,
        left: usize::MAX,
        middle: &[],
        ends: [[0; 64]; 4],
        at: 3,
    };

    /// Becomes the blocks of a message.
    ///
    /// Everything is put together here, long before it is hashed: a vector read from bytes that were
    /// written one by one just before would have to wait until all are written.
    fn begin(&mut self, messages: &[Message<'a>], place: usize) {
        let message = messages[place];
        let Message { start, middle, end } = message;
        let (mut rest, mut filled) = (middle, 0);
        self.at = 1;
        if !start.is_empty() && start.len() + middle.len() >= 64 {
            let (first, after) = middle.split_at(64 - start.len());
            self.ends[0][..start.len()].copy_from_slice(start);
            self.ends[0][start.len()..].copy_from_slice(first);
            self.at = 0;
            rest = after;
        } else if !start.is_empty() {
            self.ends[1][..start.len()].copy_from_slice(start);
            filled = start.len();
        }
        let (whole, rest) = rest.as_chunks::<64>();
        let last = self.ends[1..].as_flattened_mut();
        for piece in [rest, end] {
            if !piece.is_empty() {
                last[filled..filled + piece.len()].copy_from_slice(piece);
                filled += piece.len();
            }
        }
        let last_blocks = (filled + 9).div_ceil(64);
        let length_at = 64 * last_blocks - 8;
        last[filled] = 0x80;
        last[filled + 1..length_at].fill(0);
        let bits = message.len() as u64 * 8;
        last[length_at..length_at + 8].copy_from_slice(&bits.to_be_bytes());
        self.place = Some(place);
        self.left = (1 - self.at) + whole.len() + last_blocks;
        self.middle = whole;
    }

    #[inline(always)]
    fn next(&mut self) -> &[u8; 64] {
        self.left -= 1;
        if self.at > 0
            && let Some((block, rest)) = self.middle.split_first()
        {
            self.middle = rest;
            return block;
        }
        let block = &self.ends[self.at];
        self.at = (self.at + 1).min(3);
        block
    }
}

/// The message that a chain is at, and the one that it takes next.
struct Feed<'a> {
    blocks: [Blocks<'a>; 2],
    /// Which of them is the present one.
    turn: usize,
}

impl<'a> Feed<'a> {
    const NONE: Self = Self {
        blocks: [Blocks::NONE; 2],
        turn: 0,
    };

    fn present(&self) -> &Blocks<'a> {
        &self.blocks[self.turn]
    }

    #[inline(always)]
    fn next(&mut self) -> &[u8; 64] {
        self.blocks[self.turn].next()
    }

    /// Goes on to the next message, after which comes the one at `after`.
    fn advance(&mut self, messages: &[Message<'a>], after: Option<usize>) {
        match after {
            Some(place) => self.blocks[self.turn].begin(messages, place),
            None => self.blocks[self.turn] = Blocks::NONE,
        }
        self.turn ^= 1;
    }
}

/// Messages longer than this many bytes go first, so that no long one is left over alone.
const LONG: usize = 1_000;

/// SHA-256, once, of each message in the chains of `C`, which have the initial state.
#[inline(always)]
pub(crate) fn hash_chains<C: Chains<N>, const N: usize>(
    mut chains: C,
    messages: &[Message<'_>],
    out: &mut [[u8; 32]],
) {
    let of_length = |long: bool| {
        let places = 0..messages.len();
        places.filter(move |&place| (messages[place].len() > LONG) == long)
    };
    let mut order = of_length(true).chain(of_length(false));
    let mut feeds = [const { Feed::NONE }; N];
    for _ in 0..2 {
        for feed in &mut feeds {
            feed.advance(messages, order.next());
        }
    }
    let mut busy = messages.len().min(N);
    // A few that are left over are faster one by one than beside idle chains.
    while 2 * busy >= N && busy > 0 {
        chains.mix(feeds.each_mut().map(Feed::next));
        for (chain, feed) in feeds.iter_mut().enumerate() {
            if feed.present().left == 0
                && let Some(place) = feed.present().place
            {
                out[place] = digest_bytes(chains.state(chain));
                chains.start(chain);
                feed.advance(messages, order.next());
                busy -= usize::from(feed.present().place.is_none());
            }
        }
    }
    for (chain, feed) in feeds.iter_mut().enumerate() {
        let mut state = chains.state(chain);
        while let Some(place) = feed.present().place {
            while feed.present().left > 0 {
                C::mix_one(&mut state, feed.next());
            }
            out[place] = digest_bytes(state);
            state = IV;
            feed.advance(messages, None);
        }
    }
}

/// A chain in each lane of `W`, of which there are `N`.
pub(crate) struct Lanes<W, const N: usize> {
    words: [[u32; N]; 8],
    word: PhantomData<W>,
}

impl<W: BatchWord, const N: usize> Lanes<W, N> {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        const { assert!(W::LANES == N) };
        Self {
            words: IV.map(|word| [word; N]),
            word: PhantomData,
        }
    }
}

impl<W: BatchWord, const N: usize> Chains<N> for Lanes<W, N> {
    #[inline(always)]
    fn start(&mut self, chain: usize) {
        for (lanes, word) in self.words.iter_mut().zip(IV) {
            lanes[chain] = word;
        }
    }

    #[inline(always)]
    fn mix(&mut self, blocks: [&[u8; 64]; N]) {
        let mut state = self.words.map(|lanes| W::from_lanes(|lane| lanes[lane]));
        compress(
            &mut state,
            array::from_fn(|i| {
                W::from_lanes(|lane| u32::from_be_bytes(blocks[lane].as_chunks().0[i]))
            }),
        );
        for (lanes, word) in self.words.iter_mut().zip(state) {
            word.to_lanes(|lane, value| lanes[lane] = value);
        }
    }

    #[inline(always)]
    fn state(&self, chain: usize) -> [u32; 8] {
        self.words.map(|lanes| lanes[chain])
    }

    #[inline(always)]
    fn mix_one(state: &mut [u32; 8], block: &[u8; 64]) {
        compress(state, words(block));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;

    type Way = fn(&[Message<'_>], &mut [[u8; 32]]);

    /// Every way to hash messages that this CPU has, whether or not [`sha256d_many`] would choose it.
    fn ways() -> Vec<(&'static str, Way)> {
        #[cfg_attr(
            not(any(target_arch = "x86_64", target_arch = "aarch64")),
            allow(unused_mut)
        )]
        let mut ways: Vec<(&'static str, Way)> =
            vec![("chosen", sha256d_many), ("one at a time", hash_singly)];
        #[cfg(target_arch = "x86_64")]
        {
            use crate::x86::{avx2, avx512, messages, shani, sse2};
            ways.push(("sse2", sse2::hash_many));
            if avx512::is_supported() {
                // SAFETY: the CPU has the features that the function is compiled for.
                ways.push(("avx512", |messages, out| unsafe {
                    avx512::hash_many(messages, out);
                }));
            }
            if avx2::is_supported() {
                // SAFETY: the CPU has the features that the function is compiled for.
                ways.push(("avx2", |messages, out| unsafe {
                    avx2::hash_many(messages, out);
                }));
            }
            macro_rules! shani {
                ($($name:literal: $chains:literal),*) => {$(
                    // SAFETY: the CPU has the features that the function is compiled for.
                    ways.push(($name, |messages, out| unsafe {
                        messages::hash_many::<$chains>(messages, out);
                    }));
                )*};
            }
            if shani::is_supported() {
                shani!("shani, 1 chain": 1, "shani, 2": 2, "shani, 3": 3, "shani, 4": 4);
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            use crate::arm::{neon, sha2};
            if neon::is_supported() {
                // SAFETY: the core has the features that the function is compiled for.
                ways.push(("neon", |messages, out| unsafe {
                    neon::hash_many(messages, out);
                }));
            }
            if sha2::is_supported() {
                // SAFETY: the core has the features that the function is compiled for.
                ways.push(("sha2", |messages, out| unsafe {
                    sha2::hash_many(messages, out);
                }));
            }
        }
        ways
    }

    fn bytes(length: usize, seed: usize) -> Vec<u8> {
        (0..length)
            .map(|i| (i * 13 + i * i * (seed + 7) + seed * 89 + (i >> 8)) as u8)
            .collect()
    }

    fn whole(bytes: &[u8]) -> Message<'_> {
        bytes.into()
    }

    fn check(data: &[Vec<u8>], split: impl Fn(&[u8]) -> Message<'_>) {
        let messages: Vec<Message<'_>> = data.iter().map(|bytes| split(bytes)).collect();
        let expected: Vec<[u8; 32]> = data
            .iter()
            .map(|bytes| Sha256::digest(Sha256::digest(bytes)).into())
            .collect();
        for (name, way) in ways() {
            let mut digests = vec![[0; 32]; data.len()];
            way(&messages, &mut digests);
            for ((digest, expected), bytes) in digests.iter().zip(&expected).zip(data) {
                let (length, count) = (bytes.len(), data.len());
                assert!(digest == expected, "{length} bytes, one of {count}, {name}");
            }
        }
    }

    #[test]
    fn every_way_hashes_messages_of_every_length() {
        let data: Vec<Vec<u8>> = (0..=300).map(|length| bytes(length, length)).collect();
        check(&data, whole);
        for message in data {
            check(&[message], whole);
        }
    }

    #[test]
    fn every_way_hashes_groups_of_every_size() {
        for count in 0..20 {
            let of_one_length: Vec<_> = (0..count).map(|seed| bytes(250, seed)).collect();
            check(&of_one_length, whole);
            let of_many: Vec<_> = (0..count).map(|n| bytes(n * 61 % 257, n)).collect();
            check(&of_many, whole);
        }
    }

    #[test]
    fn long_messages_among_short_ones_are_hashed_right() {
        let lengths = [100, 5_000, 0, 1_000, 1_001, 63, 20_000, 64, 1_023, 1_024];
        for rotation in 0..lengths.len() {
            let mut lengths = lengths;
            lengths.rotate_left(rotation);
            let data: Vec<_> = lengths
                .iter()
                .map(|&length| bytes(length, length))
                .collect();
            check(&data, whole);
        }
    }

    proptest! {
        #[test]
        fn pieces_count_as_one_after_the_other(
            data in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..12),
            (first, last) in (0_usize..=64, 0_usize..=64),
        ) {
            check(&data, |bytes| {
                let (start, rest) = bytes.split_at(first.min(bytes.len()));
                let (middle, end) = rest.split_at(rest.len().saturating_sub(last));
                Message::of_pieces(start, middle, end)
            });
        }
    }
}
