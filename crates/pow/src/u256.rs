//! The 256-bit unsigned integer under [`Target`](crate::Target) and [`Work`](crate::Work).
//!
//! The operations that consensus uses wrap modulo 2^256, as Bitcoin Core's `arith_uint256` does.

use std::cmp::Ordering;

/// Four 64-bit limbs, least significant first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) struct U256(pub(crate) [u64; 4]);

impl Ord for U256 {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.iter().rev().cmp(other.0.iter().rev())
    }
}

impl PartialOrd for U256 {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl U256 {
    pub(crate) const ZERO: Self = Self([0; 4]);
    pub(crate) const ONE: Self = Self([1, 0, 0, 0]);
    pub(crate) const MAX: Self = Self([u64::MAX; 4]);

    pub(crate) const fn from_u64(value: u64) -> Self {
        Self([value, 0, 0, 0])
    }

    pub(crate) fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    pub(crate) fn from_le_bytes(bytes: [u8; 32]) -> Self {
        let (chunks, _) = bytes.as_chunks::<8>();
        Self(std::array::from_fn(|i| u64::from_le_bytes(chunks[i])))
    }

    pub(crate) fn to_le_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, limb) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.0) {
            *chunk = limb.to_le_bytes();
        }
        bytes
    }

    pub(crate) fn from_be_bytes(mut bytes: [u8; 32]) -> Self {
        bytes.reverse();
        Self::from_le_bytes(bytes)
    }

    pub(crate) fn to_be_bytes(self) -> [u8; 32] {
        let mut bytes = self.to_le_bytes();
        bytes.reverse();
        bytes
    }

    /// Exactly 64 hexadecimal digits of either case, most significant first.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut limbs = [0_u64; 4];
        for (i, &digit) in digits.iter().enumerate() {
            let value = char::from(digit).to_digit(16)?;
            let limb = &mut limbs[3 - i / 16];
            *limb = *limb << 4 | u64::from(value);
        }
        Some(Self(limbs))
    }

    /// Writes 64 hexadecimal digits, most significant first.
    pub(crate) fn write_hex(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [l0, l1, l2, l3] = self.0;
        write!(f, "{l3:016x}{l2:016x}{l1:016x}{l0:016x}")
    }

    /// Position of the highest set bit plus one; 0 for zero.
    pub(crate) fn bits(&self) -> u32 {
        (0..4)
            .rev()
            .find(|&i| self.0[i] != 0)
            .map_or(0, |i| 64 * i as u32 + (64 - self.0[i].leading_zeros()))
    }

    pub(crate) fn not(self) -> Self {
        Self(self.0.map(|limb| !limb))
    }

    pub(crate) fn overflowing_add(self, other: Self) -> (Self, bool) {
        let mut carry = false;
        let limbs = std::array::from_fn(|i| {
            let (sum, c) = self.0[i].carrying_add(other.0[i], carry);
            carry = c;
            sum
        });
        (Self(limbs), carry)
    }

    pub(crate) fn wrapping_add(self, other: Self) -> Self {
        self.overflowing_add(other).0
    }

    pub(crate) fn overflowing_sub(self, other: Self) -> (Self, bool) {
        let mut borrow = false;
        let limbs = std::array::from_fn(|i| {
            let (difference, b1) = self.0[i].overflowing_sub(other.0[i]);
            let (difference, b2) = difference.overflowing_sub(u64::from(borrow));
            borrow = b1 || b2;
            difference
        });
        (Self(limbs), borrow)
    }

    pub(crate) fn wrapping_sub(self, other: Self) -> Self {
        self.overflowing_sub(other).0
    }

    pub(crate) fn wrapping_mul_u32(self, factor: u32) -> Self {
        let mut carry = 0_u64;
        Self(self.0.map(|limb| {
            let product = u128::from(limb) * u128::from(factor) + u128::from(carry);
            carry = (product >> 64) as u64;
            product as u64
        }))
    }

    /// Shifts left; bits past 2^256 fall out, and a shift of 256 or more gives zero.
    pub(crate) fn shl(self, shift: u32) -> Self {
        let (limbs, bits) = ((shift / 64) as usize, shift % 64);
        Self(std::array::from_fn(|i| {
            let limb = |offset: usize| i.checked_sub(limbs + offset).map_or(0, |j| self.0[j]);
            match bits {
                0 => limb(0),
                _ => limb(0) << bits | limb(1) >> (64 - bits),
            }
        }))
    }

    /// Shifts right; a shift of 256 or more gives zero.
    pub(crate) fn shr(self, shift: u32) -> Self {
        let (limbs, bits) = ((shift / 64) as usize, shift % 64);
        Self(std::array::from_fn(|i| {
            let limb = |offset: usize| self.0.get(i + limbs + offset).copied().unwrap_or(0);
            match bits {
                0 => limb(0),
                _ => limb(0) >> bits | limb(1) << (64 - bits),
            }
        }))
    }

    /// Quotient, rounded down, by binary long division: one step per bit of the quotient.
    ///
    /// # Panics
    /// When `divisor` is zero.
    pub(crate) fn div(self, divisor: Self) -> Self {
        assert!(!divisor.is_zero(), "division of a 256-bit number by zero");
        let Some(mut shift) = self.bits().checked_sub(divisor.bits()) else {
            return Self::ZERO;
        };
        let mut remainder = self;
        let mut shifted = divisor.shl(shift);
        let mut quotient = Self::ZERO;
        loop {
            if let (difference, false) = remainder.overflowing_sub(shifted) {
                remainder = difference;
                quotient.0[(shift / 64) as usize] |= 1 << (shift % 64);
            }
            if shift == 0 {
                return quotient;
            }
            shift -= 1;
            shifted = shifted.shr(1);
        }
    }

    /// The nearest `f64`, to within one unit in the last place; exact up to 53 significant bits.
    pub(crate) fn to_f64(self) -> f64 {
        let shift = self.bits().saturating_sub(64);
        self.shr(shift).0[0] as f64 * 2_f64.powi(shift.cast_signed())
    }

    /// Truncates towards zero; negative numbers and NaN give zero, 2^256 and more give the maximum.
    pub(crate) fn from_f64(value: f64) -> Self {
        if value.is_nan() || value < 1.0 {
            return Self::ZERO;
        }
        if value >= 2_f64.powi(256) {
            return Self::MAX;
        }
        let bits = value.to_bits();
        let exponent = (bits >> 52) as u32 & 0x7ff; // biased by 1023
        let mantissa = Self::from_u64(bits & ((1 << 52) - 1) | 1 << 52);
        match exponent.checked_sub(1023 + 52) {
            Some(left) => mantissa.shl(left),
            None => mantissa.shr(1023 + 52 - exponent),
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "the conversions are exact")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_u256() -> impl Strategy<Value = U256> {
        // Shifted so that small and large magnitudes are equally likely.
        (any::<[u64; 4]>(), 0_u32..257).prop_map(|(limbs, shift)| U256(limbs).shr(shift))
    }

    /// Schoolbook product modulo 2^256.
    fn mul(a: U256, b: U256) -> U256 {
        (0..256)
            .filter(|&i| b.shr(i).0[0] & 1 == 1)
            .fold(U256::ZERO, |sum, i| sum.wrapping_add(a.shl(i)))
    }

    proptest! {
        #[test]
        fn quotient_times_divisor_plus_remainder_is_the_dividend(a in any_u256(), b in any_u256()) {
            prop_assume!(!b.is_zero());
            let q = a.div(b);
            let (remainder, borrow) = a.overflowing_sub(mul(q, b));
            prop_assert!(!borrow);
            prop_assert!(remainder < b);
        }

        #[test]
        fn multiplying_by_a_word_is_the_schoolbook_product(a in any_u256(), b in any::<u32>()) {
            prop_assert_eq!(a.wrapping_mul_u32(b), mul(a, U256::from_u64(u64::from(b))));
        }

        #[test]
        fn subtraction_undoes_addition(a in any_u256(), b in any_u256()) {
            let (sum, carry) = a.overflowing_add(b);
            prop_assert_eq!(sum.overflowing_sub(b), (a, carry));
        }

        #[test]
        fn bytes_and_hex_round_trip(a in any_u256()) {
            prop_assert_eq!(U256::from_be_bytes(a.to_be_bytes()), a);
            prop_assert_eq!(U256::from_le_bytes(a.to_le_bytes()), a);
            let hex = hex::encode(a.to_be_bytes());
            prop_assert_eq!(U256::from_hex(&hex), Some(a));
            prop_assert_eq!(U256::from_hex(&hex.to_uppercase()), Some(a));
        }

        #[test]
        fn order_is_that_of_the_big_endian_bytes(a in any_u256(), b in any_u256()) {
            prop_assert_eq!(a.cmp(&b), a.to_be_bytes().cmp(&b.to_be_bytes()));
        }

        #[test]
        fn floats_keep_53_bits(mantissa in 1_u64..1 << 53, shift in 0_u32..204) {
            let value = U256::from_u64(mantissa).shl(shift);
            prop_assert_eq!(value.to_f64(), mantissa as f64 * 2_f64.powi(shift.cast_signed()));
            prop_assert_eq!(U256::from_f64(value.to_f64()), value);
        }
    }

    #[test]
    fn shifts_move_across_limbs_and_out_of_the_number() {
        let one = U256::ONE;
        assert_eq!(one.shl(64), U256([0, 1, 0, 0]));
        assert_eq!(one.shl(255).shr(255), one);
        assert_eq!(one.shl(256), U256::ZERO);
        assert_eq!(U256::MAX.shr(256), U256::ZERO);
        assert_eq!(U256([0, 3, 0, 0]).shr(65), one);
        assert_eq!(U256([1 << 63, 0, 0, 0]).shl(1), U256([0, 1, 0, 0]));
    }

    #[test]
    fn bits_counts_up_to_the_highest_set_one() {
        assert_eq!(U256::ZERO.bits(), 0);
        assert_eq!(U256::ONE.bits(), 1);
        assert_eq!(U256::ONE.shl(64).bits(), 65);
        assert_eq!(U256::MAX.bits(), 256);
    }

    #[test]
    fn hex_refuses_other_lengths_and_other_digits() {
        assert_eq!(U256::from_hex(&"0".repeat(63)), None);
        assert_eq!(U256::from_hex(&"0".repeat(65)), None);
        assert_eq!(U256::from_hex(&format!("+{}", "0".repeat(63))), None);
        assert_eq!(U256::from_hex(&format!("é{}", "0".repeat(62))), None);
    }

    #[test]
    fn floats_out_of_range_are_clamped() {
        assert_eq!(U256::from_f64(f64::NAN), U256::ZERO);
        assert_eq!(U256::from_f64(-1.0), U256::ZERO);
        assert_eq!(U256::from_f64(0.99), U256::ZERO);
        assert_eq!(U256::from_f64(1.99), U256::ONE);
        assert_eq!(U256::from_f64(f64::INFINITY), U256::MAX);
    }
}
