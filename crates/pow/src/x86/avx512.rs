//! SHA-256 words side by side in AVX-512 registers: sixteen in one, and thirty-two in a pair.

use std::arch::x86_64::{
    __m512i, _mm512_add_epi32, _mm512_and_si512, _mm512_ror_epi32, _mm512_set1_epi32,
    _mm512_setr_epi32, _mm512_srlv_epi32, _mm512_storeu_si512, _mm512_ternarylogic_epi32,
    _mm512_testn_epi32_mask, _mm512_xor_si512,
};
use std::array;

use crate::scan::ScanWord;
use crate::sha256::batch::{BatchWord, hash_digest_lanes, hash_lanes};
use crate::sha256::many::{Lanes, hash_chains};
use crate::sha256::{Message, Word};

/// Whether this CPU has what this module uses.
pub(crate) fn is_supported() -> bool {
    is_x86_feature_detected!("avx512f")
}

/// Sixteen 32-bit lanes.
///
/// To be used in functions with `#[target_feature(enable = "avx512f")]` only, into which all of its
/// methods are inlined: that is what makes the calls below sound.
#[derive(Clone, Copy)]
pub(crate) struct Avx512Word(__m512i);

/// Calls an AVX-512 intrinsic from a method of [`Avx512Word`].
macro_rules! avx512 {
    ($intrinsic:ident::<$constant:tt>($($x:expr),*)) => {
        // SAFETY: values of this type exist only where AVX-512F was found.
        Self(unsafe { $intrinsic::<$constant>($($x),*) })
    };
    ($intrinsic:ident($($x:expr),*)) => {
        // SAFETY: values of this type exist only where AVX-512F was found.
        Self(unsafe { $intrinsic($($x),*) })
    };
}

/// The truth tables of `vpternlogd`: bit `4a + 2b + c` is the result for bits a, b, c.
const XOR3: i32 = 0b1001_0110;
const CH: i32 = 0b1100_1010;
const MAJ: i32 = 0b1110_1000;

impl Word for Avx512Word {
    const LANES: usize = 16;
    #[inline(always)]
    fn splat(value: u32) -> Self {
        avx512!(_mm512_set1_epi32(value.cast_signed()))
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        avx512!(_mm512_add_epi32(self.0, other.0))
    }
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        avx512!(_mm512_xor_si512(self.0, other.0))
    }
    #[inline(always)]
    fn and(self, other: Self) -> Self {
        avx512!(_mm512_and_si512(self.0, other.0))
    }
    #[inline(always)]
    fn rotr<const R: i32, const L: i32>(self) -> Self {
        avx512!(_mm512_ror_epi32::<R>(self.0))
    }
    #[inline(always)]
    fn shr<const R: i32>(self) -> Self {
        // The intrinsic for constants wants another type of them; this becomes the same instruction.
        avx512!(_mm512_srlv_epi32(self.0, Self::splat(R.cast_unsigned()).0))
    }
    #[inline(always)]
    fn xor3(self, b: Self, c: Self) -> Self {
        avx512!(_mm512_ternarylogic_epi32::<XOR3>(self.0, b.0, c.0))
    }
    #[inline(always)]
    fn ch(self, f: Self, g: Self) -> Self {
        avx512!(_mm512_ternarylogic_epi32::<CH>(self.0, f.0, g.0))
    }
    #[inline(always)]
    fn maj(self, b: Self, c: Self) -> Self {
        avx512!(_mm512_ternarylogic_epi32::<MAJ>(self.0, b.0, c.0))
    }
}

impl ScanWord for Avx512Word {
    #[inline(always)]
    fn nonce_words(first: u32) -> Self {
        let nonces = Self::splat(first).add(Self::from_lanes(|i| i as u32));
        // Bytes 0 and 2 from a rotation that moves them there, 1 and 3 from the other.
        Self::splat(0x00ff_00ff).ch(nonces.rotr::<24, 8>(), nonces.rotr::<8, 24>())
    }
    #[inline(always)]
    fn zero_lanes(self) -> u32 {
        // SAFETY: values of this type exist only where AVX-512F was found.
        u32::from(unsafe { _mm512_testn_epi32_mask(self.0, self.0) })
    }
}

impl BatchWord for Avx512Word {
    #[inline(always)]
    fn from_lanes(lane: impl FnMut(usize) -> u32) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] =
            array::from_fn(lane).map(u32::cast_signed);
        avx512!(_mm512_setr_epi32(
            a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p
        ))
    }
    #[inline(always)]
    fn to_lanes(self, mut lane: impl FnMut(usize, u32)) {
        let mut values = [0_u32; 16];
        // SAFETY: values of this type exist only where AVX-512F was found; the array has room for all 64 bytes.
        unsafe { _mm512_storeu_si512(values.as_mut_ptr().cast(), self.0) };
        for (i, value) in values.into_iter().enumerate() {
            lane(i, value);
        }
    }
}

/// Two vectors, each operation on one and then on the other: two independent streams of
/// instructions, so that one computes while the other waits for a result.
#[derive(Clone, Copy)]
pub(crate) struct Pair<W>(W, W);

impl<W: Word> Word for Pair<W> {
    const LANES: usize = 2 * W::LANES;
    #[inline(always)]
    fn splat(value: u32) -> Self {
        Self(W::splat(value), W::splat(value))
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0.add(other.0), self.1.add(other.1))
    }
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        Self(self.0.xor(other.0), self.1.xor(other.1))
    }
    #[inline(always)]
    fn and(self, other: Self) -> Self {
        Self(self.0.and(other.0), self.1.and(other.1))
    }
    #[inline(always)]
    fn rotr<const R: i32, const L: i32>(self) -> Self {
        Self(self.0.rotr::<R, L>(), self.1.rotr::<R, L>())
    }
    #[inline(always)]
    fn shr<const R: i32>(self) -> Self {
        Self(self.0.shr::<R>(), self.1.shr::<R>())
    }
    #[inline(always)]
    fn xor3(self, b: Self, c: Self) -> Self {
        Self(self.0.xor3(b.0, c.0), self.1.xor3(b.1, c.1))
    }
    #[inline(always)]
    fn ch(self, f: Self, g: Self) -> Self {
        Self(self.0.ch(f.0, g.0), self.1.ch(f.1, g.1))
    }
    #[inline(always)]
    fn maj(self, b: Self, c: Self) -> Self {
        Self(self.0.maj(b.0, c.0), self.1.maj(b.1, c.1))
    }
}

impl<W: ScanWord> ScanWord for Pair<W> {
    #[inline(always)]
    fn nonce_words(first: u32) -> Self {
        Self(
            W::nonce_words(first),
            W::nonce_words(first.wrapping_add(W::LANES as u32)),
        )
    }
    #[inline(always)]
    fn zero_lanes(self) -> u32 {
        self.0.zero_lanes() | self.1.zero_lanes() << W::LANES
    }
}

/// Double SHA-256 of messages of 64, 80, 96 or 112 bytes, sixteen at a time.
#[target_feature(enable = "avx512f")]
pub(crate) fn hash_batch<const LEN: usize>(messages: &[[u8; LEN]], out: &mut [[u8; 32]]) {
    hash_lanes::<Avx512Word, LEN>(messages, out);
}

/// Double SHA-256 of each message, in sixteen chains.
#[target_feature(enable = "avx512f")]
pub(crate) fn hash_many(messages: &[Message<'_>], out: &mut [[u8; 32]]) {
    hash_chains(Lanes::<Avx512Word, 16>::new(), messages, out);
    hash_digest_lanes::<Avx512Word>(out);
}
