//! Proof-of-work targets.

use std::fmt;
use std::str::FromStr;

use crate::nbits::{NBits, NBitsError, ParseHexError};
use crate::u256::U256;
use crate::work::Work;

/// The largest number, in 256 bits, that a block hash may be to meet its proof of work.
///
/// A smaller target is harder to meet. Displays as 64 hexadecimal digits, most significant first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target(pub(crate) U256);

impl Target {
    /// 2^256 - 1: every digest meets it.
    pub const MAX: Self = Self(U256::MAX);

    /// The target of difficulty 1, `1d00ffff`.
    pub const DIFFICULTY_1: Self = Self(U256([0, 0, 0, 0xffff_0000]));

    /// Decodes a compact target by the rules of Bitcoin Core's `DeriveTarget`, except for the
    /// comparison with a network's limit, which is the caller's.
    ///
    /// # Errors
    /// Where the encoding is negative, overflows 256 bits, or is zero.
    pub fn from_nbits(nbits: NBits) -> Result<Self, NBitsError> {
        let size = nbits.0 >> 24;
        let mantissa = nbits.0 & 0x007f_ffff;
        // A short encoding drops the mantissa's low bytes first; sign and overflow are judged on what is left.
        let (word, shift) = if size <= 3 {
            (mantissa >> (8 * (3 - size)), 0)
        } else {
            (mantissa, 8 * (size - 3))
        };
        if word != 0 && nbits.0 & 0x0080_0000 != 0 {
            return Err(NBitsError::Negative(nbits));
        }
        if word != 0 && (size > 34 || (word > 0xff && size > 33) || (word > 0xffff && size > 32)) {
            return Err(NBitsError::Overflow(nbits));
        }
        if word == 0 {
            return Err(NBitsError::Zero(nbits));
        }
        Ok(Self(U256::from_u64(u64::from(word)).shl(shift)))
    }

    /// The compact encoding, rounded down to what three bytes of mantissa hold (`GetCompact`).
    pub fn to_nbits(self) -> NBits {
        let mut size = self.0.bits().div_ceil(8);
        let mut mantissa = if size <= 3 {
            (self.0.0[0] << (8 * (3 - size))) as u32
        } else {
            self.0.shr(8 * (size - 3)).0[0] as u32
        };
        // The top bit of the mantissa is the sign: move it into the next byte.
        if mantissa & 0x0080_0000 != 0 {
            mantissa >>= 8;
            size += 1;
        }
        NBits(size << 24 | mantissa)
    }

    /// From 32 bytes, most significant first, as in the `target` field of `getblocktemplate`.
    pub fn from_be_bytes(bytes: [u8; 32]) -> Self {
        Self(U256::from_be_bytes(bytes))
    }

    /// To 32 bytes, most significant first.
    pub fn to_be_bytes(self) -> [u8; 32] {
        self.0.to_be_bytes()
    }

    /// From 32 bytes, least significant first: the order in which a digest is compared.
    pub fn from_le_bytes(bytes: [u8; 32]) -> Self {
        Self(U256::from_le_bytes(bytes))
    }

    /// To 32 bytes, least significant first.
    pub fn to_le_bytes(self) -> [u8; 32] {
        self.0.to_le_bytes()
    }

    /// Whether a digest, in the order in which SHA-256 gives it, is no larger than this target.
    pub fn is_met_by(&self, digest: &[u8; 32]) -> bool {
        U256::from_le_bytes(*digest) <= self.0
    }

    /// The 32 most significant bits.
    pub(crate) fn top_word(self) -> u32 {
        (self.0.0[3] >> 32) as u32
    }

    /// The expected number of hashes to meet this target, floor(2^256 / (target + 1)), as Bitcoin
    /// Core's `GetBlockProof` counts it. Zero for the zero target, which no nBits encode.
    ///
    /// A long division: about a fifth of a microsecond. Over many headers, keep the result per nBits.
    pub fn work(self) -> Work {
        if self.0.is_zero() {
            return Work::ZERO;
        }
        // 2^256 does not fit, so Core divides 2^256 - (target + 1) and adds one; 2^256 / 2^256 is one.
        let divisor = self.0.wrapping_add(U256::ONE);
        if divisor.is_zero() {
            return Work(U256::ONE);
        }
        Work(self.0.not().div(divisor).wrapping_add(U256::ONE))
    }

    /// How many times harder than [`DIFFICULTY_1`](Self::DIFFICULTY_1); infinite for the zero target.
    pub fn difficulty(self) -> f64 {
        Self::DIFFICULTY_1.0.to_f64() / self.0.to_f64()
    }

    /// The next target of a retarget, by Bitcoin Core's arithmetic: multiply modulo 2^256, then
    /// divide rounding down. Clamping the timespan and the network's limit are the caller's.
    ///
    /// # Panics
    /// When `target_timespan_s` is zero.
    #[must_use]
    pub fn retarget(self, actual_timespan_s: u32, target_timespan_s: u32) -> Self {
        let product = self.0.wrapping_mul_u32(actual_timespan_s);
        Self(product.div(U256::from_u64(u64::from(target_timespan_s))))
    }

    /// The target that takes `hashes` attempts on average, to the 53 bits of a float: 2^256 / hashes - 1.
    ///
    /// One hash or fewer, and NaN, give [`MAX`](Self::MAX); 2^256 and more give the zero target.
    pub fn from_expected_hashes(hashes: f64) -> Self {
        if hashes.is_nan() || hashes <= 1.0 {
            return Self::MAX;
        }
        let quotient = U256::from_f64(2_f64.powi(256) / hashes);
        if quotient.is_zero() {
            Self(quotient)
        } else {
            Self(quotient.wrapping_sub(U256::ONE))
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write_hex(f)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

/// Parses 64 hexadecimal digits, most significant first.
impl FromStr for Target {
    type Err = ParseHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        U256::from_hex(text)
            .map(Self)
            .ok_or(ParseHexError { digits: 64 })
    }
}
