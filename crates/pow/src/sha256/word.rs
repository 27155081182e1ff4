//! A SHA-256 word, or one word of several independent hashes side by side.

/// A `u32` in each of [`LANES`](Self::LANES) lanes, with the operations of SHA-256.
///
/// Code that is generic over it is written once and runs on plain integers and on vectors.
pub(crate) trait Word: Copy {
    /// How many hashes are computed side by side.
    const LANES: usize;
    /// The same value in every lane.
    fn splat(value: u32) -> Self;
    /// Sum modulo 2^32.
    fn add(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    fn and(self, other: Self) -> Self;
    /// Rotation to the right by `R`; `L` must be `32 - R`.
    fn rotr<const R: i32, const L: i32>(self) -> Self;
    /// Shift to the right by `R`.
    fn shr<const R: i32>(self) -> Self;
    /// The exclusive or of three.
    #[inline(always)]
    fn xor3(self, b: Self, c: Self) -> Self {
        self.xor(b).xor(c)
    }
    /// In each bit, `f` where `self` is set and `g` where it is not.
    #[inline(always)]
    fn ch(self, f: Self, g: Self) -> Self {
        g.xor(self.and(f.xor(g)))
    }
    /// In each bit, what most of the three have. `b ^ c` is the `a ^ b` of the round before.
    #[inline(always)]
    fn maj(self, b: Self, c: Self) -> Self {
        b.xor(self.xor(b).and(b.xor(c)))
    }
}

impl Word for u32 {
    const LANES: usize = 1;
    #[inline(always)]
    fn splat(value: u32) -> Self {
        value
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        self ^ other
    }
    #[inline(always)]
    fn and(self, other: Self) -> Self {
        self & other
    }
    #[inline(always)]
    fn rotr<const R: i32, const L: i32>(self) -> Self {
        self.rotate_right(R as u32)
    }
    #[inline(always)]
    fn shr<const R: i32>(self) -> Self {
        self >> R
    }
}

#[inline(always)]
pub(crate) fn big_sigma0<W: Word>(a: W) -> W {
    a.rotr::<2, 30>()
        .xor3(a.rotr::<13, 19>(), a.rotr::<22, 10>())
}

#[inline(always)]
pub(crate) fn big_sigma1<W: Word>(e: W) -> W {
    e.rotr::<6, 26>()
        .xor3(e.rotr::<11, 21>(), e.rotr::<25, 7>())
}

#[inline(always)]
pub(crate) fn small_sigma0<W: Word>(w: W) -> W {
    w.rotr::<7, 25>().xor3(w.rotr::<18, 14>(), w.shr::<3>())
}

#[inline(always)]
pub(crate) fn small_sigma1<W: Word>(w: W) -> W {
    w.rotr::<17, 15>().xor3(w.rotr::<19, 13>(), w.shr::<10>())
}
