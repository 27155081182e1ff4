//! Any header, any target, any range, any list of versions.

use pow::{NonceRange, Target};
use proptest::prelude::*;

use crate::oracle::{Search, header};

/// A target, where need be by the digests that there are.
#[derive(Clone, Debug)]
enum Wanted {
    /// A number with so many of its bits shifted out.
    Number([u8; 32], u32),
    /// The digest with this number, counted around: its hash alone or with others is a hit.
    Digest(usize),
    /// The least digest: one hit, and as many bits compared as can be.
    Least,
    /// One less than that: no hit.
    BelowLeast,
}

impl Wanted {
    fn target(&self, search: &Search) -> Target {
        let least = || {
            search
                .digests()
                .map(|(_, _, d)| Target::from_le_bytes(d))
                .min()
        };
        match *self {
            Self::Number(bytes, shift) => shifted_right(bytes, shift),
            Self::Digest(n) => match search.digests().count() {
                0 => Target::MAX,
                all => search
                    .digests()
                    .nth(n % all)
                    .map_or(Target::MAX, |(_, _, digest)| Target::from_le_bytes(digest)),
            },
            Self::Least => least().unwrap_or(Target::MAX),
            Self::BelowLeast => least().map_or(Target::MAX, one_less),
        }
    }
}

fn shifted_right(bytes: [u8; 32], bits: u32) -> Target {
    let (skip, bits) = (bits as usize / 8, bits % 8);
    let byte = |i: usize| u16::from(if i < 32 { bytes[i] } else { 0 });
    Target::from_be_bytes(std::array::from_fn(|i| {
        let Some(from) = i.checked_sub(skip) else {
            return 0;
        };
        let above = if from == 0 { 0 } else { byte(from - 1) };
        ((above << 8 | byte(from)) >> bits) as u8
    }))
}

/// The target below.
pub fn one_less(target: Target) -> Target {
    let mut bytes = target.to_be_bytes();
    for byte in bytes.iter_mut().rev() {
        let borrow = *byte == 0;
        *byte = byte.wrapping_sub(1);
        if !borrow {
            break;
        }
    }
    Target::from_be_bytes(bytes)
}

fn wanted() -> impl Strategy<Value = Wanted> {
    prop_oneof![
        // About regtest's, 2^255, down to one hit in some thousand.
        6 => (any::<[u8; 32]>(), 0_u32..12).prop_map(|(bytes, shift)| Wanted::Number(bytes, shift)),
        1 => (any::<[u8; 32]>(), 0_u32..256).prop_map(|(bytes, shift)| Wanted::Number(bytes, shift)),
        1 => Just(Wanted::Number([0; 32], 0)),
        1 => Just(Wanted::Number([0xff; 32], 0)),
        4 => any::<usize>().prop_map(Wanted::Digest),
        4 => Just(Wanted::Least),
        1 => Just(Wanted::BelowLeast),
    ]
}

/// 1 to 70 versions, each the one before, the next, the next in BIP320's bits, or any other.
fn versions() -> impl Strategy<Value = Vec<i32>> {
    let step = prop_oneof![1 => Just(0), 1 => Just(1), 4 => Just(1 << 13), 1 => any::<i32>()];
    (any::<i32>(), prop::collection::vec(step, 0..70)).prop_map(|(first, steps)| {
        std::iter::once(0)
            .chain(steps)
            .scan(first, |version, step| {
                *version = version.wrapping_add(step);
                Some(*version)
            })
            .collect()
    })
}

fn start() -> impl Strategy<Value = u32> {
    prop_oneof![3 => any::<u32>(), 1 => (u32::MAX - 300)..=u32::MAX]
}

fn search(seed: u64, versions: Vec<i32>, start: u32, count: u64, wanted: &Wanted) -> Search {
    let count = count.min((1 << 32) - u64::from(start));
    let mut search = Search {
        header: header(seed),
        versions,
        target: Target::MAX,
        range: NonceRange { start, count },
    };
    search.target = wanted.target(&search);
    search
}

proptest! {
    /// The fewer versions the more nonces, so that no case takes long.
    #[test]
    fn every_kernel_finds_what_a_plain_loop_finds(
        seed in any::<u64>(),
        versions in versions(),
        start in start(),
        hashes in 0_u64..800,
        wanted in wanted(),
    ) {
        let count = hashes / versions.len() as u64;
        search(seed, versions, start, count, &wanted).check_every_kernel();
    }

    #[test]
    fn every_kernel_finds_what_a_plain_loop_finds_with_few_versions_and_long_ranges(
        seed in any::<u64>(),
        versions in prop::collection::vec(any::<i32>(), 1..4),
        start in start(),
        count in 0_u64..300,
        wanted in wanted(),
    ) {
        search(seed, versions, start, count, &wanted).check_every_kernel();
    }

    #[test]
    fn one_less_is_less(bytes in any::<[u8; 32]>(), shift in 0_u32..255) {
        let target = shifted_right(bytes, shift);
        prop_assume!(target > shifted_right([0; 32], 0));
        prop_assert!(one_less(target) < target);
        prop_assert!(Target::from_nbits(target.to_nbits()).is_ok_and(|rounded| rounded <= target));
    }
}
