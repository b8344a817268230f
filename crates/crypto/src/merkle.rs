//! RFC 6962 Merkle trees: hashes, the frontier of a growing log, and the checking of proofs.
//!
//! [`tiles`](crate::tiles) builds the proofs from what is stored.

use crate::digest::sha256_parts;

/// A node of the tree.
pub type Hash = [u8; 32];

/// The root of the tree without leaves: SHA-256 of nothing.
pub const EMPTY: Hash = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41,
    0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// The hash of one entry: `SHA-256(0x00 ‖ entry)` ([RFC 6962 §2.1](https://www.rfc-editor.org/rfc/rfc6962#section-2.1)).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    sha256_parts([[0].as_slice(), entry])
}

/// The hash of an inner node: `SHA-256(0x01 ‖ left ‖ right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256_parts([[1].as_slice(), left, right])
}

/// Why a proof does not hold, or stored bytes are no frontier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index is not below the size, or the old size is above the new one.
    #[error("index or size out of range")]
    OutOfRange,
    /// More or fewer hashes than these sizes need.
    #[error("wrong number of hashes")]
    WrongLength,
    /// The hashes do not lead to the root.
    #[error("root differs")]
    RootMismatch,
}

/// The least that lets a log grow: its size and the roots of its complete subtrees, largest first (one per bit of the size).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    hashes: Vec<Hash>,
}

impl Frontier {
    /// How many leaves there are.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        self.join(0, leaf);
        self.size += 1;
    }

    /// Appends a complete subtree of 2^`height` leaves by its root.
    ///
    /// # Errors
    ///
    /// [`ProofError::OutOfRange`] where no subtree of that height begins, or beyond the largest size.
    pub fn push_subtree(&mut self, height: u32, root: Hash) -> Result<(), ProofError> {
        let leaves = 1_u64.checked_shl(height).ok_or(ProofError::OutOfRange)?;
        let size = self.size.checked_add(leaves).ok_or(ProofError::OutOfRange)?;
        if self.size.trailing_zeros() < height {
            return Err(ProofError::OutOfRange);
        }
        self.join(height, root);
        self.size = size;
        Ok(())
    }

    /// Puts a subtree beside the last ones. Each bit of the size from `height` upward that is set is a complete subtree
    /// as large as what we carry: join them.
    fn join(&mut self, height: u32, root: Hash) {
        let mut hash = root;
        for _ in 0..(self.size >> height).trailing_ones() {
            if let Some(left) = self.hashes.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.hashes.push(hash);
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        self.hashes.iter().rev().copied().reduce(|right, left| node_hash(&left, &right)).unwrap_or(EMPTY)
    }

    /// `u64be size ‖ hashes`.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.size.to_be_bytes().as_slice(), self.hashes.as_flattened()].concat()
    }

    /// Reads exactly what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// [`ProofError::WrongLength`] unless there is one hash per bit of the size.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProofError> {
        let (size, rest) = bytes.split_first_chunk().ok_or(ProofError::WrongLength)?;
        Self::from_parts(u64::from_be_bytes(*size), hashes(rest).ok_or(ProofError::WrongLength)?)
    }

    pub(crate) fn from_parts(size: u64, hashes: Vec<Hash>) -> Result<Self, ProofError> {
        if usize::try_from(size.count_ones()) == Ok(hashes.len()) {
            Ok(Self { size, hashes })
        } else {
            Err(ProofError::WrongLength)
        }
    }
}

/// Bytes as hashes; `None` unless they divide evenly.
pub(crate) fn hashes(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (whole, rest) = bytes.as_chunks::<32>();
    rest.is_empty().then(|| whole.to_vec())
}

/// Checks that `leaf` is entry `index` of the tree with `size` leaves and this root
/// ([RFC 9162 §2.1.3.2](https://www.rfc-editor.org/rfc/rfc9162#section-2.1.3.2)). Sizes and length are checked before anything is hashed.
///
/// # Errors
///
/// [`ProofError`].
pub fn verify_inclusion(index: u64, size: u64, leaf: &Hash, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange);
    }
    let (inner, border) = shape(index, size);
    if proof.len() != inner + border {
        return Err(ProofError::WrongLength);
    }
    let (inner, border) = proof.split_at(inner);
    let found = climb_border(climb(*leaf, inner, index), border);
    if found == *root { Ok(()) } else { Err(ProofError::RootMismatch) }
}

/// Checks that the tree with `old` leaves is the beginning of the one with `new` leaves
/// ([RFC 9162 §2.1.4.2](https://www.rfc-editor.org/rfc/rfc9162#section-2.1.4.2)). The empty tree is the beginning of every tree, by an empty proof.
///
/// # Errors
///
/// [`ProofError`].
pub fn verify_consistency(
    old: u64,
    new: u64,
    old_root: &Hash,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::OutOfRange);
    }
    let expect = |holds: bool| {
        if holds { Ok(()) } else { Err(ProofError::RootMismatch) }
    };
    if old == 0 || old == new {
        if !proof.is_empty() {
            return Err(ProofError::WrongLength);
        }
        let beginning = if old == 0 { &EMPTY } else { new_root };
        expect(old_root == beginning && (new > 0 || new_root == &EMPTY))?;
        return Ok(());
    }
    // The path of the old tree's last leaf in the new tree, begun where the old tree's last complete subtree ends.
    let (inner, border) = shape(old - 1, new);
    let skipped = old.trailing_zeros();
    let inner = inner - usize::try_from(skipped).map_err(|_| ProofError::WrongLength)?;
    let whole = old.is_power_of_two(); // then the old root is that subtree, and the proof leaves it out
    if proof.len() != inner + border + usize::from(!whole) {
        return Err(ProofError::WrongLength);
    }
    let (seed, rest) = if whole { (old_root, proof) } else { proof.split_first().ok_or(ProofError::WrongLength)? };
    let (inner, border) = rest.split_at(inner);
    let path = (old - 1) >> skipped;
    let left_only = inner.iter().enumerate().filter(|(level, _)| path >> level & 1 == 1).map(|(_, left)| left);
    let found_old = climb_border(left_only.fold(*seed, |hash, left| node_hash(left, &hash)), border);
    let found_new = climb_border(climb(*seed, inner, path), border);
    expect(found_old == *old_root && found_new == *new_root)
}

/// How many hashes of the path of leaf `index` lie inside the subtree whose right edge it is not on, and how many on that edge.
const fn shape(index: u64, size: u64) -> (usize, usize) {
    let inner = u64::BITS - (index ^ (size - 1)).leading_zeros();
    let border = match index.checked_shr(inner) {
        Some(above) => above.count_ones(),
        None => 0,
    };
    (inner as usize, border as usize)
}

fn climb(from: Hash, siblings: &[Hash], index: u64) -> Hash {
    siblings.iter().enumerate().fold(from, |hash, (level, sibling)| {
        if index >> level & 1 == 0 { node_hash(&hash, sibling) } else { node_hash(sibling, &hash) }
    })
}

fn climb_border(from: Hash, siblings: &[Hash]) -> Hash {
    siblings.iter().fold(from, |hash, left| node_hash(left, &hash))
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn known() -> Value {
        serde_json::from_str(include_str!("../../../testdata/vectors/merkle-kat/vectors.json")).unwrap()
    }

    fn hash(value: &Value) -> Hash {
        HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap().try_into().unwrap()
    }

    fn proof(value: &Value) -> Vec<Hash> {
        value["proof"].as_array().unwrap().iter().map(hash).collect()
    }

    /// The leaf hashes, and the root of each size.
    fn leaves() -> (Vec<Hash>, Vec<Hash>) {
        let entries = known()["leaves_hex"].clone();
        let leaves: Vec<Hash> = entries
            .as_array()
            .unwrap()
            .iter()
            .map(|hex| leaf_hash(&HEXLOWER.decode(hex.as_str().unwrap().as_bytes()).unwrap()))
            .collect();
        let mut frontier = Frontier::default();
        let mut roots = vec![frontier.root()];
        for leaf in &leaves {
            frontier.push(*leaf);
            roots.push(frontier.root());
        }
        (leaves, roots)
    }

    fn at(hashes: &[Hash], number: u64) -> &Hash {
        &hashes[usize::try_from(number).unwrap()]
    }

    #[test]
    fn known_proofs_hold() {
        let (leaves, roots) = leaves();
        let known_roots: Vec<Hash> = known()["roots"].as_array().unwrap().iter().map(hash).collect();
        assert_eq!((&roots, known_roots.len()), (&known_roots, 9));
        assert_eq!(roots[0], crate::sha256(b""));
        for one in known()["inclusion"].as_array().unwrap() {
            let (size, index) = (one["num_leaves"].as_u64().unwrap(), one["idx"].as_u64().unwrap());
            verify_inclusion(index, size, at(&leaves, index), &proof(one), at(&roots, size)).unwrap();
        }
        for one in known()["consistency"].as_array().unwrap() {
            let (old, new) = (one["num_leaves1"].as_u64().unwrap(), one["num_leaves2"].as_u64().unwrap());
            verify_consistency(old, new, at(&roots, old), at(&roots, new), &proof(one)).unwrap();
        }
    }

    #[test]
    fn any_change_to_a_proof_breaks_it() {
        let (leaves, roots) = leaves();
        let one = &known()["inclusion"][6];
        let good = proof(one);
        assert_eq!(verify_inclusion(5, 8, &leaves[5], &good, &roots[8]), Ok(()));
        assert_eq!(verify_inclusion(4, 8, &leaves[5], &good, &roots[8]), Err(ProofError::RootMismatch));
        assert_eq!(verify_inclusion(5, 8, &leaves[4], &good, &roots[8]), Err(ProofError::RootMismatch));
        assert_eq!(verify_inclusion(5, 8, &leaves[5], &good, &roots[7]), Err(ProofError::RootMismatch));
        assert_eq!(verify_inclusion(8, 8, &leaves[5], &good, &roots[8]), Err(ProofError::OutOfRange));
        assert_eq!(verify_inclusion(0, 0, &leaves[5], &[], &EMPTY), Err(ProofError::OutOfRange));
        assert_eq!(verify_inclusion(5, 8, &leaves[5], &good[1..], &roots[8]), Err(ProofError::WrongLength));
        assert_eq!(verify_inclusion(5, 16, &leaves[5], &good, &roots[8]), Err(ProofError::WrongLength));
        let longer = [&good[..], &[EMPTY]].concat();
        assert_eq!(verify_inclusion(5, 8, &leaves[5], &longer, &roots[8]), Err(ProofError::WrongLength));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at][31] ^= 1;
            assert_eq!(verify_inclusion(5, 8, &leaves[5], &bad, &roots[8]), Err(ProofError::RootMismatch));
        }
        let good = proof(&known()["consistency"][3]);
        assert_eq!(verify_consistency(6, 8, &roots[6], &roots[8], &good), Ok(()));
        assert_eq!(verify_consistency(6, 8, &roots[5], &roots[8], &good), Err(ProofError::RootMismatch));
        assert_eq!(verify_consistency(6, 8, &roots[6], &roots[7], &good), Err(ProofError::RootMismatch));
        assert_eq!(verify_consistency(9, 8, &roots[6], &roots[8], &good), Err(ProofError::OutOfRange));
        assert_eq!(verify_consistency(4, 8, &roots[4], &roots[8], &good), Err(ProofError::WrongLength));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at][0] ^= 1;
            assert_eq!(verify_consistency(6, 8, &roots[6], &roots[8], &bad), Err(ProofError::RootMismatch));
        }
    }

    #[test]
    fn the_empty_tree_begins_every_tree_and_a_tree_begins_itself() {
        let (_, roots) = leaves();
        assert_eq!(verify_consistency(0, 8, &EMPTY, &roots[8], &[]), Ok(()));
        assert_eq!(verify_consistency(0, 8, &roots[1], &roots[8], &[]), Err(ProofError::RootMismatch));
        assert_eq!(verify_consistency(0, 0, &EMPTY, &EMPTY, &[]), Ok(()));
        assert_eq!(verify_consistency(0, 0, &EMPTY, &roots[1], &[]), Err(ProofError::RootMismatch));
        assert_eq!(verify_consistency(8, 8, &roots[8], &roots[8], &[]), Ok(()));
        assert_eq!(verify_consistency(8, 8, &roots[7], &roots[8], &[]), Err(ProofError::RootMismatch));
        assert_eq!(verify_consistency(8, 8, &roots[8], &roots[8], &[EMPTY]), Err(ProofError::WrongLength));
    }

    #[test]
    fn a_frontier_survives_storage() {
        let mut frontier = Frontier::default();
        for number in 0..100_u8 {
            assert_eq!(Frontier::from_bytes(&frontier.to_bytes()).unwrap(), frontier);
            frontier.push(leaf_hash(&[number]));
        }
        let bytes = frontier.to_bytes();
        assert_eq!(Frontier::from_bytes(&bytes[..bytes.len() - 1]), Err(ProofError::WrongLength));
        assert_eq!(Frontier::from_bytes(&bytes[..bytes.len() - 32]), Err(ProofError::WrongLength));
        assert_eq!(Frontier::from_bytes(&bytes[..7]), Err(ProofError::WrongLength));
    }

    proptest! {
        #[test]
        fn any_numbers_are_answered_without_a_panic(index: u64, size: u64, hashes in proptest::collection::vec(any::<Hash>(), 0..70)) {
            let _ = verify_inclusion(index, size, &EMPTY, &hashes, &EMPTY);
            let _ = verify_consistency(index, size, &EMPTY, &EMPTY, &hashes);
            let _ = Frontier::from_bytes(hashes.as_flattened());
        }
    }
}
