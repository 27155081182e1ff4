//! Loops that are unrolled in the source, so that indices are constants whatever the optimiser thinks.

/// `unroll!(i in 16 => { ... })` runs the block with `i` = 0 to 15 in turn, each a constant.
macro_rules! unroll {
    ($i:ident in 4 => $body:block) => { unroll!($i in [0 1 2 3] => $body) };
    ($i:ident in 11 => $body:block) => { unroll!($i in [0 1 2 3 4 5 6 7 8 9 10] => $body) };
    ($i:ident in 12 => $body:block) => { unroll!($i in [0 1 2 3 4 5 6 7 8 9 10 11] => $body) };
    ($i:ident in 13 => $body:block) => { unroll!($i in [0 1 2 3 4 5 6 7 8 9 10 11 12] => $body) };
    ($i:ident in 16 => $body:block) => { unroll!($i in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] => $body) };
    ($i:ident in 30 => $body:block) => { unroll!($i in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29] => $body) };
    ($i:ident in [$($n:literal)*] => $body:block) => { $({ #[allow(non_upper_case_globals, reason = "it reads as the variable of a loop")] const $i: usize = $n; $body })* };
}
pub(crate) use unroll;
