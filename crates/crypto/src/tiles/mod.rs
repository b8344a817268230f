//! A Merkle log in tiles of 256 hashes ([C2SP tlog-tiles](https://c2sp.org/tlog-tiles)): grows a log, gives its roots and proofs.
//!
//! Storage is the caller's. A function that lacks a tile says which one; the caller loads it, inserts it and calls again:
//!
//! ```
//! # use chancery_crypto::merkle::{Hash, leaf_hash};
//! # use chancery_crypto::tiles::{Growth, TileError, TileId, Tiles, TreeBuilder};
//! # fn main() -> Result<(), TileError> {
//! # let stored: std::collections::BTreeMap<TileId, Vec<u8>> = Default::default();
//! # let load = |tile: &TileId| stored.get(tile).cloned().unwrap_or_default();
//! let size = 0;
//! let mut edge = Tiles::default();
//! for (tile, _width) in TileId::edge(size) {
//!     edge.insert(tile, &load(&tile))?;
//! }
//! let mut tree = TreeBuilder::resume(size, edge)?;
//! tree.push(leaf_hash(b"entry"));
//! let grown: Growth = tree.finish()?; // store `grown.tiles` and swap (size, root) in one transaction
//! # assert_eq!(grown.size, 1); Ok(()) }
//! ```

use std::collections::BTreeMap;

mod grow;

pub use grow::{Growth, TreeBuilder};

use crate::merkle::{EMPTY, Frontier, Hash, hashes, node_hash};

/// Levels of the tree that one tile spans.
const HEIGHT: u32 = 8;
/// Hashes in a full tile.
pub const WIDTH: u16 = 256;

/// Names a tile. Level 0 holds leaf hashes; each hash of a higher level is the root of a full tile below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileId {
    /// 0 to 7.
    pub level: u8,
    /// The position within the level, from the left.
    pub index: u64,
}

impl TileId {
    /// How many hashes this tile has in a tree of `size` leaves, 0 to 256.
    pub fn width(self, size: u64) -> u16 {
        let before = u128::from(self.index) << HEIGHT;
        let in_level = u128::from(size >> (HEIGHT * u32::from(self.level.min(7))));
        u16::try_from(in_level.saturating_sub(before).min(WIDTH.into())).unwrap_or(WIDTH)
    }

    /// The partial tiles at the right edge of a tree of `size` leaves, with their widths (1 to 255): what growing it needs.
    pub fn edge(size: u64) -> Vec<(Self, u16)> {
        let levels = (0..8).map(|level| (level, size >> (HEIGHT * u32::from(level))));
        levels
            .map(|(level, hashes)| Self { level, index: hashes >> HEIGHT })
            .map(|tile| (tile, tile.width(size)))
            .filter(|(_, width)| *width > 0)
            .collect()
    }

    /// The C2SP path, such as `tile/0/x001/x234/067.p/112`; a width of 256 has no suffix.
    pub fn path(self, width: u16) -> String {
        let mut name = format!("{:03}", self.index % 1000);
        let mut rest = self.index / 1000;
        while rest > 0 {
            name = format!("x{:03}/{name}", rest % 1000);
            rest /= 1000;
        }
        let partial = if width < WIDTH { format!(".p/{width}") } else { String::new() };
        format!("tile/{}/{name}{partial}", self.level)
    }
}

/// Why a root, a proof or a longer log cannot be computed from the tiles at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// Load this tile with at least `width` hashes, insert it and call again.
    #[error("tile {} of level {} is missing, {width} hashes wide", tile.index, tile.level)]
    Missing {
        /// Which tile.
        tile: TileId,
        /// How many hashes it has in the tree that was asked for.
        width: u16,
    },
    /// The index is not below the size, or the old size is above the new one.
    #[error("index or size out of range")]
    OutOfRange,
    /// Not 1 to 256 whole hashes.
    #[error("malformed tile")]
    Malformed,
}

/// Tiles at hand. Wider ones than a size needs do no harm: a tile only ever grows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tiles(BTreeMap<TileId, Vec<Hash>>);

impl Tiles {
    /// Adds a tile as it is stored: its hashes one after the other.
    ///
    /// # Errors
    ///
    /// [`TileError::Malformed`] unless `bytes` are 1 to 256 hashes.
    pub fn insert(&mut self, tile: TileId, bytes: &[u8]) -> Result<(), TileError> {
        let hashes =
            hashes(bytes).filter(|hashes| (1..=WIDTH.into()).contains(&hashes.len())).ok_or(TileError::Malformed)?;
        self.0.insert(tile, hashes);
        Ok(())
    }

    /// Lets go of all but these.
    pub fn retain(&mut self, mut keep: impl FnMut(TileId) -> bool) {
        self.0.retain(|tile, _| keep(*tile));
    }

    /// The stored form of a tile, if it is here.
    pub fn to_bytes(&self, tile: TileId) -> Option<Vec<u8>> {
        self.0.get(&tile).map(|hashes| hashes.as_flattened().to_vec())
    }

    /// The root of the first `size` leaves. Needs the edge tiles only.
    ///
    /// # Errors
    ///
    /// [`TileError::Missing`].
    pub fn root(&self, size: u64) -> Result<Hash, TileError> {
        if size == 0 { Ok(EMPTY) } else { self.range(0, size, size) }
    }

    /// The frontier of the first `size` leaves. Needs the edge tiles only.
    ///
    /// # Errors
    ///
    /// [`TileError::Missing`].
    pub fn frontier(&self, size: u64) -> Result<Frontier, TileError> {
        let mut start = 0;
        let mut hashes = Vec::new();
        for height in (0..u64::BITS).rev().filter(|height| size >> height & 1 == 1) {
            hashes.push(self.subtree(height, start >> height, size)?);
            start += 1 << height;
        }
        Frontier::from_parts(size, hashes).map_err(|_| TileError::OutOfRange)
    }

    /// The hashes beside the path from leaf `index` to the root of `size` leaves, from the leaf upward
    /// ([RFC 6962 §2.1.1](https://www.rfc-editor.org/rfc/rfc6962#section-2.1.1)).
    ///
    /// # Errors
    ///
    /// [`TileError::OutOfRange`] and [`TileError::Missing`].
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<Hash>, TileError> {
        if index >= size {
            return Err(TileError::OutOfRange);
        }
        let (mut start, mut end) = (0, size);
        let mut proof = Vec::new();
        while end - start > 1 {
            let middle = start + split(end - start);
            if index < middle {
                proof.push(self.range(middle, end, size)?);
                end = middle;
            } else {
                proof.push(self.range(start, middle, size)?);
                start = middle;
            }
        }
        proof.reverse();
        Ok(proof)
    }

    /// Proves that the first `old` leaves are the beginning of the first `new` ones
    /// ([RFC 6962 §2.1.2](https://www.rfc-editor.org/rfc/rfc6962#section-2.1.2)). Empty when `old` is 0 or `new`.
    ///
    /// # Errors
    ///
    /// [`TileError::OutOfRange`] and [`TileError::Missing`].
    pub fn consistency_proof(&self, old: u64, new: u64) -> Result<Vec<Hash>, TileError> {
        if old > new {
            return Err(TileError::OutOfRange);
        }
        if old == 0 {
            return Ok(Vec::new());
        }
        let (mut start, mut end) = (0, new);
        let mut proof = Vec::new();
        while old < end {
            let middle = start + split(end - start);
            if old <= middle {
                proof.push(self.range(middle, end, new)?);
                end = middle;
            } else {
                proof.push(self.range(start, middle, new)?);
                start = middle;
            }
        }
        if start > 0 || end < new && !old.is_power_of_two() {
            proof.push(self.range(start, end, new)?); // the old tree's last complete subtree, unless it is the old root itself
        }
        proof.reverse();
        Ok(proof)
    }

    /// The hash of leaves `start..end`, where `start` is a multiple of the largest power of two within the range. Recurses once per level.
    fn range(&self, start: u64, end: u64, size: u64) -> Result<Hash, TileError> {
        let count = end - start;
        if count.is_power_of_two() {
            let height = count.trailing_zeros();
            return self.subtree(height, start >> height, size);
        }
        let middle = start + split(count);
        Ok(node_hash(&self.range(start, middle, size)?, &self.range(middle, end, size)?))
    }

    /// The root of the complete subtree number `index` among those of 2^`height` leaves.
    ///
    /// # Errors
    ///
    /// [`TileError::OutOfRange`] and [`TileError::Missing`].
    pub fn subtree(&self, height: u32, index: u64, size: u64) -> Result<Hash, TileError> {
        let level = u8::try_from(height / HEIGHT).map_err(|_| TileError::OutOfRange)?;
        let within = height % HEIGHT; // levels above the tile's own hashes
        let tile = TileId { level, index: index >> (HEIGHT - within) };
        let first = usize::try_from((index << within) & u64::from(WIDTH - 1)).map_err(|_| TileError::OutOfRange)?;
        let hashes = self.0.get(&tile).and_then(|hashes| hashes.get(first..first + (1 << within)));
        hashes.and_then(fold).ok_or(TileError::Missing { tile, width: tile.width(size) })
    }
}

/// The largest power of two below `count`, which is at least 2.
const fn split(count: u64) -> u64 {
    1 << (u64::BITS - 1 - (count - 1).leading_zeros())
}

/// The root over a power of two of hashes.
fn fold(hashes: &[Hash]) -> Option<Hash> {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    row.first().copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::merkle::{leaf_hash, verify_consistency, verify_inclusion};

    fn tree(size: u64) -> (Tiles, Vec<Hash>) {
        let mut builder = TreeBuilder::resume(0, Tiles::default()).unwrap();
        let mut frontier = Frontier::default();
        let mut roots = vec![EMPTY];
        for number in 0..size {
            builder.push(leaf_hash(&number.to_be_bytes()));
            frontier.push(leaf_hash(&number.to_be_bytes()));
            roots.push(frontier.root());
        }
        let mut tiles = Tiles::default();
        for (tile, bytes) in builder.finish().unwrap().tiles {
            tiles.insert(tile, &bytes).unwrap();
        }
        (tiles, roots)
    }

    fn at(hashes: &[Hash], number: u64) -> &Hash {
        &hashes[usize::try_from(number).unwrap()]
    }

    #[test]
    fn every_proof_of_small_trees_verifies() {
        let (tiles, roots) = tree(40);
        for size in 0..=40 {
            let root = at(&roots, size);
            assert_eq!(tiles.root(size).unwrap(), *root);
            for index in 0..size {
                let proof = tiles.inclusion_proof(index, size).unwrap();
                verify_inclusion(index, size, &leaf_hash(&index.to_be_bytes()), &proof, root).unwrap();
            }
            for old in 0..=size {
                let proof = tiles.consistency_proof(old, size).unwrap();
                verify_consistency(old, size, at(&roots, old), root, &proof).unwrap();
            }
        }
    }

    #[test]
    fn proofs_cross_tiles_and_levels() {
        let (tiles, roots) = tree(70_000);
        for (old, new) in [
            (1, 70_000),
            (255, 256),
            (256, 257),
            (65_535, 65_536),
            (65_536, 70_000),
            (65_537, 65_800),
            (69_999, 70_000),
        ] {
            let proof = tiles.consistency_proof(old, new).unwrap();
            verify_consistency(old, new, at(&roots, old), at(&roots, new), &proof).unwrap();
            let proof = tiles.inclusion_proof(old - 1, new).unwrap();
            verify_inclusion(old - 1, new, &leaf_hash(&(old - 1).to_be_bytes()), &proof, at(&roots, new)).unwrap();
        }
    }

    #[test]
    fn a_caller_that_loads_what_is_missing_gets_the_proof() {
        let (all, _) = tree(70_000);
        let wanted = all.inclusion_proof(12_345, 70_000).unwrap();
        let mut some = Tiles::default();
        let mut loads = 0;
        let proof = loop {
            match some.inclusion_proof(12_345, 70_000) {
                Ok(proof) => break proof,
                Err(TileError::Missing { tile, width }) => {
                    let bytes = all.to_bytes(tile).unwrap();
                    assert_eq!(bytes.len(), usize::from(width) * 32);
                    some.insert(tile, &bytes).unwrap();
                    loads += 1;
                }
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(proof, wanted);
        assert!(loads <= 6, "{loads}");
    }

    #[test]
    fn widths_and_paths_are_those_of_the_specification() {
        let edge = TileId::edge(70_000);
        let wanted =
            [(0, 273, 112), (1, 1, 17), (2, 0, 1)].map(|(level, index, width)| (TileId { level, index }, width));
        assert_eq!(edge, wanted);
        assert_eq!(TileId::edge(256), [(TileId { level: 1, index: 0 }, 1)]);
        assert_eq!(TileId { level: 0, index: 1_234_067 }.path(256), "tile/0/x001/x234/067");
        assert_eq!(TileId { level: 1, index: 5 }.path(17), "tile/1/005.p/17");
        assert_eq!(TileId { level: 0, index: 272 }.width(70_000), 256);
        assert_eq!(TileId { level: 0, index: 274 }.width(70_000), 0);
        assert_eq!(TileId { level: 0, index: u64::MAX }.width(u64::MAX), 0);
    }

    #[test]
    fn odd_requests_and_tiles_are_refused() {
        let (mut tiles, _) = tree(3);
        assert_eq!(tiles.inclusion_proof(3, 3), Err(TileError::OutOfRange));
        assert_eq!(tiles.consistency_proof(3, 2), Err(TileError::OutOfRange));
        assert!(matches!(tiles.root(4), Err(TileError::Missing { width: 4, .. })));
        for length in [0, 31, 33, 257 * 32] {
            assert_eq!(tiles.insert(TileId { level: 0, index: 0 }, &vec![0; length]), Err(TileError::Malformed));
        }
    }

    proptest! {
        #[test]
        fn any_size_asks_for_a_tile_and_never_panics(index: u64, old: u64, size: u64) {
            let tiles = Tiles::default();
            let _ = (tiles.root(size), tiles.inclusion_proof(index, size), tiles.consistency_proof(old, size), tiles.frontier(size));
            for (tile, width) in TileId::edge(size) {
                prop_assert!(width > 0 && width < WIDTH && tile.level < 8);
            }
        }
    }
}
