//! The compression function, generic over [`Word`].

use super::K;
use super::word::{Word, big_sigma0, big_sigma1, small_sigma0, small_sigma1};
use crate::unroll::unroll;

/// One round; `wk` is the message word plus the round constant. The state's names move, not its words.
#[inline(always)]
pub(crate) fn round<W: Word>(s: &mut [W; 8], i: usize, wk: W) {
    // At round i the word called `a` sits at index -i modulo 8.
    let at = |name: usize| (name + 64 - i) % 8;
    let (a, b, c) = (s[at(0)], s[at(1)], s[at(2)]);
    let (e, f, g) = (s[at(4)], s[at(5)], s[at(6)]);
    let t1 = s[at(7)].add(wk).add(e.ch(f, g)).add(big_sigma1(e));
    s[at(3)] = s[at(3)].add(t1);
    s[at(7)] = t1.add(a.maj(b, c)).add(big_sigma0(a));
}

/// Message word `i + 16`, written over word `i` in a ring of sixteen.
#[inline(always)]
pub(crate) fn expand<W: Word>(w: &mut [W; 16], i: usize) {
    w[i % 16] = w[i % 16]
        .add(small_sigma0(w[(i + 1) % 16]))
        .add(w[(i + 9) % 16])
        .add(small_sigma1(w[(i + 14) % 16]));
}

/// Mixes one block into `state`.
#[inline(always)]
pub(crate) fn compress<W: Word>(state: &mut [W; 8], block: [W; 16]) {
    let mut w = block;
    let mut s = *state;
    for group in 0..4 {
        unroll!(i in 16 => {
            round(&mut s, i, w[i].add(W::splat(K[16 * group + i])));
            if group < 3 {
                expand(&mut w, i);
            }
        });
    }
    for (word, mixed) in state.iter_mut().zip(s) {
        *word = word.add(mixed);
    }
}

/// Mixes a block whose schedule is known, with the round constants added, into `state`.
#[inline(always)]
pub(crate) fn compress_scheduled<W: Word>(state: &mut [W; 8], schedule: &[u32; 64]) {
    let mut s = *state;
    for group in 0..4 {
        unroll!(i in 16 => { round(&mut s, i, W::splat(schedule[16 * group + i])); });
    }
    for (word, mixed) in state.iter_mut().zip(s) {
        *word = word.add(mixed);
    }
}
