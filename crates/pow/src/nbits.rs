//! The compact target encoding of block headers.

use std::fmt;
use std::str::FromStr;

/// A compact target as it stands in a block header: one byte of size, three of mantissa.
///
/// Any 32 bits are a value of this type; whether they encode a usable target is decided by
/// [`Target::from_nbits`](crate::Target::from_nbits). Displays as eight hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NBits(pub u32);

impl fmt::Display for NBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for NBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NBits({self})")
    }
}

/// Parses eight hexadecimal digits, as in the `bits` field of `getblocktemplate`.
impl FromStr for NBits {
    type Err = ParseHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits_only = text.bytes().all(|b| b.is_ascii_hexdigit());
        u32::from_str_radix(text, 16)
            .ok()
            .filter(|_| text.len() == 8 && digits_only)
            .map(Self)
            .ok_or(ParseHexError { digits: 8 })
    }
}

/// Why a compact target is not a usable target, in the order Bitcoin Core looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NBitsError {
    /// The sign bit is set on a mantissa that is not zero.
    #[error("nBits {0} encode a negative target")]
    Negative(NBits),
    /// The target would not fit in 256 bits.
    #[error("nBits {0} encode a target over 256 bits")]
    Overflow(NBits),
    /// The target is zero, which no hash can be counted on to meet.
    #[error("nBits {0} encode a target of zero")]
    Zero(NBits),
}

/// A text that is not the number of hexadecimal digits that its type needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected exactly {digits} hexadecimal digits")]
pub struct ParseHexError {
    pub(crate) digits: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_eight_hex_digits_both_ways() {
        assert_eq!("1d00ffff".parse(), Ok(NBits(0x1d00_ffff)));
        assert_eq!("0300000F".parse(), Ok(NBits(0x0300_000f)));
        assert_eq!(NBits(0x0300_000f).to_string(), "0300000f");
        for bad in [
            "",
            "1d00fff",
            "1d00fffff",
            "+d00ffff",
            "0x00ffff",
            "1d00fffg",
        ] {
            assert_eq!(
                bad.parse::<NBits>(),
                Err(ParseHexError { digits: 8 }),
                "{bad}"
            );
        }
    }
}
