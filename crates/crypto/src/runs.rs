//! One proof for many entries of a log: the entries lie in runs, and between them stand the largest subtrees that fit.
//!
//! A verifier hashes the entries, takes the subtrees' roots as given, and comes to the root of the whole tree. For a
//! hundred thousand entries in a row that is a hash for each and a few dozen beside them; nothing is hashed twice.

use crate::merkle::{Frontier, Hash, ProofError};

/// Entries from the first index up to, not including, the second.
pub type Run = (u64, u64);

/// A complete subtree: number `index` among those of 2^`height` leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subtree {
    /// How many levels above the leaves.
    pub height: u32,
    /// Which one, from the left.
    pub index: u64,
}

/// The runs that hold exactly these indexes, which ascend.
pub fn runs_of(indexes: impl IntoIterator<Item = u64>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for index in indexes {
        match runs.last_mut() {
            Some(last) if last.1 == index => last.1 = index + 1,
            _ => runs.push((index, index + 1)),
        }
    }
    runs
}

/// The subtrees between the runs of a log of `size` entries, from left to right.
///
/// # Errors
///
/// [`ProofError::OutOfRange`] unless the runs are not empty, ascend and end within the log.
pub fn gaps(runs: &[Run], size: u64) -> Result<Vec<Subtree>, ProofError> {
    let mut gaps = Vec::new();
    let mut at = 0;
    for &(start, end) in runs {
        if start < at || end <= start || end > size {
            return Err(ProofError::OutOfRange);
        }
        gaps.extend(filling(at, start));
        at = end;
    }
    gaps.extend(filling(at, size));
    Ok(gaps)
}

/// The largest complete subtrees that fill `start..end`.
fn filling(start: u64, end: u64) -> impl Iterator<Item = Subtree> {
    let mut at = start;
    std::iter::from_fn(move || {
        let left = end.checked_sub(at).filter(|left| *left > 0)?;
        let height = at.trailing_zeros().min(left.ilog2());
        let subtree = Subtree { height, index: at >> height };
        at += 1 << height;
        Some(subtree)
    })
}

/// The root of a log of `size` entries, of which those in `runs` have the hashes `leaves`, and the [`gaps`] between them
/// have the roots `given`.
///
/// # Errors
///
/// [`ProofError::OutOfRange`] for runs that are none, [`ProofError::WrongLength`] for more or fewer hashes than they need.
pub fn root(
    size: u64,
    runs: &[Run],
    leaves: impl IntoIterator<Item = Hash>,
    given: &[Hash],
) -> Result<Hash, ProofError> {
    let mut tree = Frontier::default();
    let (mut leaves, mut given) = (leaves.into_iter(), given.iter());
    let mut fill = |tree: &mut Frontier, end: u64| -> Result<(), ProofError> {
        for Subtree { height, .. } in filling(tree.size(), end) {
            tree.push_subtree(height, *given.next().ok_or(ProofError::WrongLength)?)?;
        }
        Ok(())
    };
    for &(start, end) in runs {
        if start < tree.size() || end <= start || end > size {
            return Err(ProofError::OutOfRange);
        }
        fill(&mut tree, start)?;
        for _ in start..end {
            tree.push(leaves.next().ok_or(ProofError::WrongLength)?);
        }
    }
    fill(&mut tree, size)?;
    if given.next().is_some() || leaves.next().is_some() {
        return Err(ProofError::WrongLength);
    }
    Ok(tree.root())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::merkle::leaf_hash;
    use crate::tiles::{Tiles, TreeBuilder};

    fn leaf(index: u64) -> Hash {
        leaf_hash(&index.to_be_bytes())
    }

    fn tiles(size: u64) -> (Tiles, Hash) {
        let mut tree = TreeBuilder::resume(0, Tiles::default()).unwrap();
        (0..size).for_each(|index| tree.push(leaf(index)));
        let grown = tree.finish().unwrap();
        let mut tiles = Tiles::default();
        grown.tiles.iter().for_each(|(tile, bytes)| tiles.insert(*tile, bytes).unwrap());
        (tiles, grown.root)
    }

    fn proof(tiles: &Tiles, runs: &[Run], size: u64) -> Vec<Hash> {
        let gaps = gaps(runs, size).unwrap();
        gaps.iter().map(|gap| tiles.subtree(gap.height, gap.index, size).unwrap()).collect()
    }

    fn leaves(runs: &[Run]) -> Vec<Hash> {
        runs.iter().flat_map(|(start, end)| *start..*end).map(leaf).collect()
    }

    #[test]
    fn a_hundred_thousand_entries_in_a_row_need_few_hashes() {
        let runs = [(1_234, 101_234)];
        assert!(gaps(&runs, 10_000_000).unwrap().len() < 60);
    }

    #[test]
    fn runs_that_are_none_are_refused() {
        for runs in [&[(3, 3)][..], &[(4, 2)], &[(0, 11)], &[(2, 4), (3, 5)], &[(5, 6), (1, 2)]] {
            assert_eq!(gaps(runs, 10), Err(ProofError::OutOfRange), "{runs:?}");
            assert!(root(10, runs, leaves(&[(0, 10)]), &[[0; 32]; 9]).is_err(), "{runs:?}");
        }
        assert_eq!(runs_of([1, 2, 3, 7, 9, 10]), [(1, 4), (7, 8), (9, 11)]);
    }

    #[test]
    fn a_subtree_stands_only_where_one_begins() {
        let mut tree = Frontier::default();
        tree.push(leaf(0));
        assert_eq!(tree.push_subtree(1, leaf(1)), Err(ProofError::OutOfRange));
        assert_eq!(tree.push_subtree(64, leaf(1)), Err(ProofError::OutOfRange));
        assert_eq!(tree.push_subtree(0, leaf(1)), Ok(()));
        assert_eq!(tree.size(), 2);
    }

    proptest! {
        #[test]
        fn any_choice_of_entries_gives_the_root_and_no_other(
            chosen in proptest::collection::btree_set(0_u64..700, 0..40),
            more in 0_u64..50,
            place in any::<prop::sample::Index>(),
        ) {
            let size = chosen.last().map_or(1, |last| last + 1) + more;
            let (tiles, whole) = tiles(size);
            let runs = runs_of(chosen.iter().copied());
            let (leaves, given) = (leaves(&runs), proof(&tiles, &runs, size));
            prop_assert_eq!(root(size, &runs, leaves.clone(), &given), Ok(whole));
            let hashes = leaves.len() + given.len();
            let wrong = place.index(hashes);
            let (mut leaves, mut given) = (leaves, given);
            match wrong.checked_sub(leaves.len()) {
                Some(at) => given[at][0] ^= 1,
                None => leaves[wrong][0] ^= 1,
            }
            prop_assert_ne!(root(size, &runs, leaves.clone(), &given), Ok(whole));
            given.push(whole);
            prop_assert_eq!(root(size, &runs, leaves, &given), Err(ProofError::WrongLength));
        }
    }
}
