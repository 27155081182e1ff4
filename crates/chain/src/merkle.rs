//! Merkle trees of transactions, sixteen pairs at a time.

/// A root, and whether the list that gave it could have been another (CVE-2012-2459).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Root {
    pub hash: [u8; 32],
    /// Two equal neighbours on some level: a shorter list has the same root.
    pub mutated: bool,
}

/// The root of a tree over these leaves, which are used up. All zeros for none.
pub(crate) fn merkle_root(mut level: Vec<[u8; 32]>) -> Root {
    let mut mutated = false;
    let mut above = Vec::with_capacity(level.len().div_ceil(2));
    while level.len() > 1 {
        mutated |= level
            .as_chunks::<2>()
            .0
            .iter()
            .any(|[left, right]| left == right);
        pair_up(&mut level, &mut above);
        std::mem::swap(&mut level, &mut above);
    }
    Root {
        hash: level.first().copied().unwrap_or_default(),
        mutated,
    }
}

/// The hashes beside the path from the first leaf to the root, lowest first.
///
/// `level[0]` stands for the leaf that is yet unknown; its value is of no consequence.
pub(crate) fn first_leaf_branch(mut level: Vec<[u8; 32]>) -> Vec<[u8; 32]> {
    let mut branch = Vec::new();
    let mut above = Vec::with_capacity(level.len().div_ceil(2));
    while level.len() > 1 {
        branch.push(level[1]);
        pair_up(&mut level, &mut above);
        std::mem::swap(&mut level, &mut above);
    }
    branch
}

/// The root over a first leaf and the branch beside it.
pub(crate) fn root_of_branch(leaf: [u8; 32], branch: &[[u8; 32]]) -> [u8; 32] {
    branch.iter().fold(leaf, |hash, beside| {
        let mut pair = [0; 64];
        pair[..32].copy_from_slice(&hash);
        pair[32..].copy_from_slice(beside);
        pow::sha256d(&pair)
    })
}

fn pair_up(level: &mut Vec<[u8; 32]>, above: &mut Vec<[u8; 32]>) {
    if !level.len().is_multiple_of(2) {
        level.push(level[level.len() - 1]);
    }
    above.clear();
    above.resize(level.len() / 2, [0; 32]);
    let (pairs, rest) = level.as_flattened().as_chunks::<64>();
    debug_assert!(rest.is_empty());
    pow::sha256d_64(pairs, above);
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest as _, Sha256};

    fn sha256d(data: &[u8]) -> [u8; 32] {
        Sha256::digest(Sha256::digest(data)).into()
    }

    /// The definition, level by level.
    fn by_definition(mut level: Vec<[u8; 32]>) -> [u8; 32] {
        while level.len() > 1 {
            if level.len() % 2 == 1 {
                level.push(level[level.len() - 1]);
            }
            level = level
                .chunks(2)
                .map(|pair| sha256d(&pair.concat()))
                .collect();
        }
        level[0]
    }

    fn leaves(count: usize) -> Vec<[u8; 32]> {
        (0..count).map(|i| sha256d(&i.to_le_bytes())).collect()
    }

    #[test]
    fn roots_and_branches_agree_with_the_definition() {
        for count in (1..70).chain([255, 256, 257, 1_000]) {
            let list = leaves(count);
            let expected = by_definition(list.clone());
            let root = merkle_root(list.clone());
            assert_eq!(
                (root.hash, root.mutated),
                (expected, false),
                "{count} leaves"
            );
            let mut blank = list.clone();
            blank[0] = [0; 32];
            let branch = first_leaf_branch(blank);
            assert_eq!(root_of_branch(list[0], &branch), expected, "{count} leaves");
        }
    }

    #[test]
    fn a_list_with_its_tail_repeated_has_the_same_root_and_is_mutated() {
        for (count, tail) in [(3, 1), (5, 1), (6, 2), (12, 4)] {
            let list = leaves(count);
            let mut repeated = list.clone();
            repeated.extend_from_slice(&list[count - tail..]);
            let (honest, mutated) = (merkle_root(list), merkle_root(repeated));
            assert_eq!(honest.hash, mutated.hash);
            assert!(!honest.mutated && mutated.mutated);
        }
    }
}
