//! Accumulated proof of work.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};
use std::str::FromStr;

use crate::nbits::ParseHexError;
use crate::u256::U256;

/// A number of hashes, in 256 bits: the work of one header or of a whole chain.
///
/// Displays and parses as 64 hexadecimal digits, as Bitcoin Core shows `chainwork`. Sums stop at
/// 2^256 - 1 and differences at zero, neither of which a comparison of chains can reach.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Work(pub(crate) U256);

impl Work {
    /// No work.
    pub const ZERO: Self = Self(U256::ZERO);

    /// From 32 bytes, most significant first.
    pub fn from_be_bytes(bytes: [u8; 32]) -> Self {
        Self(U256::from_be_bytes(bytes))
    }

    /// To 32 bytes, most significant first.
    pub fn to_be_bytes(self) -> [u8; 32] {
        self.0.to_be_bytes()
    }

    /// The nearest float: an expected number of hashes.
    pub fn to_f64(self) -> f64 {
        self.0.to_f64()
    }

    /// Binary logarithm, as Bitcoin Core logs `log2_work`; minus infinity for zero.
    pub fn log2(self) -> f64 {
        self.to_f64().log2()
    }
}

impl Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        match self.0.overflowing_add(other.0) {
            (sum, false) => Self(sum),
            (_, true) => Self(U256::MAX),
        }
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Work {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        match self.0.overflowing_sub(other.0) {
            (difference, false) => Self(difference),
            (_, true) => Self::ZERO,
        }
    }
}

impl Sum for Work {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write_hex(f)
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Work({self})")
    }
}

impl FromStr for Work {
    type Err = ParseHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        U256::from_hex(text)
            .map(Self)
            .ok_or(ParseHexError { digits: 64 })
    }
}
