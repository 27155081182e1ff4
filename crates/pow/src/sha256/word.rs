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
        .xor(a.rotr::<13, 19>())
        .xor(a.rotr::<22, 10>())
}

#[inline(always)]
pub(crate) fn big_sigma1<W: Word>(e: W) -> W {
    e.rotr::<6, 26>()
        .xor(e.rotr::<11, 21>())
        .xor(e.rotr::<25, 7>())
}

#[inline(always)]
pub(crate) fn small_sigma0<W: Word>(w: W) -> W {
    w.rotr::<7, 25>().xor(w.rotr::<18, 14>()).xor(w.shr::<3>())
}

#[inline(always)]
pub(crate) fn small_sigma1<W: Word>(w: W) -> W {
    w.rotr::<17, 15>()
        .xor(w.rotr::<19, 13>())
        .xor(w.shr::<10>())
}

#[inline(always)]
pub(crate) fn ch<W: Word>(e: W, f: W, g: W) -> W {
    g.xor(e.and(f.xor(g)))
}

#[inline(always)]
pub(crate) fn maj<W: Word>(a: W, b: W, c: W) -> W {
    b.xor(a.xor(b).and(b.xor(c)))
}
