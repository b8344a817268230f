//! Appending to a log.

use std::collections::BTreeSet;

use super::{HEIGHT, TileError, TileId, Tiles, WIDTH, fold};
use crate::merkle::{Frontier, Hash};

/// A log that grows: hashes appended to the tiles of its right edge.
#[derive(Debug)]
pub struct TreeBuilder {
    size: u64,
    tiles: Tiles,
    changed: BTreeSet<TileId>,
}

/// What changed: to be stored in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// The new size.
    pub size: u64,
    /// The new root.
    pub root: Hash,
    /// The new frontier.
    pub frontier: Frontier,
    /// Each tile that is new or wider, whole, with its stored form.
    pub tiles: Vec<(TileId, Vec<u8>)>,
}

impl TreeBuilder {
    /// Goes on from `size` leaves with the tiles that [`TileId::edge`] names. The caller compares [`root`](Self::root) with the stored one
    /// before it trusts them.
    ///
    /// # Errors
    ///
    /// [`TileError::Missing`] for an edge tile that is absent or narrower than `size` says.
    pub fn resume(size: u64, edge: Tiles) -> Result<Self, TileError> {
        let mut tiles = Tiles::default();
        for (tile, width) in TileId::edge(size) {
            let hashes = edge
                .0
                .get(&tile)
                .and_then(|hashes| hashes.get(..width.into()))
                .ok_or(TileError::Missing { tile, width })?;
            tiles.0.insert(tile, hashes.to_vec());
        }
        Ok(Self { size, tiles, changed: BTreeSet::new() })
    }

    /// How many leaves there are by now.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root by now.
    ///
    /// # Errors
    ///
    /// None in practice: the builder holds its own edge.
    pub fn root(&self) -> Result<Hash, TileError> {
        self.tiles.root(self.size)
    }

    /// Appends a leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        let mut index = self.size;
        for level in 0..8 {
            let tile = TileId { level, index: index >> HEIGHT };
            let hashes = self.tiles.0.entry(tile).or_default();
            hashes.push(hash);
            self.changed.insert(tile);
            if hashes.len() < usize::from(WIDTH) {
                break;
            }
            let Some(root) = fold(hashes) else { break };
            hash = root;
            index >>= HEIGHT;
        }
        self.size += 1;
    }

    /// Ends the growth.
    ///
    /// # Errors
    ///
    /// None in practice: the builder holds its own edge.
    pub fn finish(self) -> Result<Growth, TileError> {
        let (size, frontier) = (self.size, self.tiles.frontier(self.size)?);
        let tiles = self.changed.iter().filter_map(|tile| Some((*tile, self.tiles.to_bytes(*tile)?))).collect();
        Ok(Growth { size, root: frontier.root(), frontier, tiles })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::{EMPTY, leaf_hash};

    fn leaf(number: u64) -> Hash {
        leaf_hash(&number.to_be_bytes())
    }

    /// Keeps tiles as a database would, with whatever was stored last.
    fn grow(stored: &mut Tiles, size: u64, count: u64) -> Growth {
        let mut edge = Tiles::default();
        for (tile, width) in TileId::edge(size) {
            let bytes = stored.to_bytes(tile).unwrap();
            assert_eq!(bytes.len(), usize::from(width) * 32);
            edge.insert(tile, &bytes).unwrap();
        }
        let mut tree = TreeBuilder::resume(size, edge).unwrap();
        (size..size + count).for_each(|number| tree.push(leaf(number)));
        let grown = tree.finish().unwrap();
        for (tile, bytes) in &grown.tiles {
            stored.insert(*tile, bytes).unwrap();
        }
        grown
    }

    #[test]
    fn however_it_grew_the_root_is_that_of_the_frontier() {
        let mut frontier = Frontier::default();
        let mut stored = Tiles::default();
        let mut size = 0;
        for count in [0, 1, 1, 2, 250, 1, 1, 0, 255, 256, 257, 1000, 65_536 - 2024, 1, 300] {
            let grown = grow(&mut stored, size, count);
            (size..size + count).for_each(|number| frontier.push(leaf(number)));
            size += count;
            assert_eq!((grown.size, grown.root), (size, frontier.root()));
            assert_eq!(grown.frontier, frontier);
            assert_eq!(stored.root(size).unwrap(), frontier.root());
        }
        assert_eq!(size, 65_536 + 301);
        assert_eq!(TileId::edge(size).last(), Some(&(TileId { level: 2, index: 0 }, 1)));
    }

    #[test]
    fn only_what_changed_is_given_back() {
        let mut stored = Tiles::default();
        grow(&mut stored, 0, 300);
        let grown = grow(&mut stored, 300, 10);
        let changed: Vec<_> = grown.tiles.iter().map(|(tile, bytes)| (*tile, bytes.len() / 32)).collect();
        assert_eq!(changed, [(TileId { level: 0, index: 1 }, 54)]);
        assert!(grow(&mut stored, 310, 0).tiles.is_empty());
    }

    #[test]
    fn a_missing_or_narrow_edge_stops_it() {
        let missing = TileError::Missing { tile: TileId { level: 0, index: 0 }, width: 3 };
        assert_eq!(TreeBuilder::resume(3, Tiles::default()).unwrap_err(), missing);
        let mut edge = Tiles::default();
        edge.insert(TileId { level: 0, index: 0 }, &[0; 64]).unwrap();
        assert_eq!(TreeBuilder::resume(3, edge).unwrap_err(), missing);
        assert_eq!(TreeBuilder::resume(0, Tiles::default()).unwrap().root().unwrap(), EMPTY);
    }
}
