//! Evidence that an entry is in a log, for a file: [C2SP tlog-proof](https://c2sp.org/tlog-proof). The `extra` line is refused.

use data_encoding::BASE64;

use crate::base64;
use crate::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint, VerifierKey, decimal};
use crate::merkle::{Hash, ProofError, verify_inclusion};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
/// A tree of 2^64 leaves is 64 levels high.
const HASHES_MAX: usize = 64;

/// Why text is no proof, or proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogProofError {
    /// Not the text of a proof, to the letter.
    #[error("malformed proof")]
    Malformed,
    /// The checkpoint in it is malformed or not signed by the given key.
    #[error("checkpoint refused")]
    Checkpoint(#[from] CheckpointError),
    /// The hashes do not lead from the leaf to the checkpoint's root.
    #[error("inclusion not proven")]
    Inclusion(#[from] ProofError),
}

/// An index, the hashes beside its path, and the signed checkpoint they lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogProof {
    /// Which entry, from zero.
    pub index: u64,
    /// From the leaf's sibling upward.
    pub hashes: Vec<Hash>,
    /// The head of the log.
    pub checkpoint: SignedCheckpoint,
}

impl LogProof {
    /// The text: first line, index, hashes, an empty line, the checkpoint to the letter.
    pub fn to_text(&self) -> String {
        let hashes: String = self.hashes.iter().map(|hash| BASE64.encode(hash) + "\n").collect();
        format!("{FIRST_LINE}\nindex {}\n{hashes}\n{}", self.index, self.checkpoint.text())
    }

    /// Reads exactly what [`to_text`](Self::to_text) writes.
    ///
    /// # Errors
    ///
    /// [`LogProofError::Malformed`], [`LogProofError::Checkpoint`].
    pub fn parse(text: &str) -> Result<Self, LogProofError> {
        let malformed = LogProofError::Malformed;
        let rest = text.strip_prefix(FIRST_LINE).and_then(|rest| rest.strip_prefix("\nindex ")).ok_or(malformed)?;
        let (head, checkpoint) = rest.split_once("\n\n").ok_or(malformed)?;
        let mut lines = head.split('\n');
        let index = lines.next().and_then(decimal).ok_or(malformed)?;
        let hash = |line: &str| base64::decode(line)?.try_into().ok();
        let hashes = lines
            .map(hash)
            .take(HASHES_MAX + 1)
            .collect::<Option<Vec<Hash>>>()
            .filter(|all| all.len() <= HASHES_MAX)
            .ok_or(malformed)?;
        Ok(Self { index, hashes, checkpoint: SignedCheckpoint::parse(checkpoint)? })
    }

    /// Checks the checkpoint's signature, then that `leaf` is in the tree it heads. The caller compares the origin with the log it expects.
    ///
    /// # Errors
    ///
    /// [`LogProofError::Checkpoint`], [`LogProofError::Inclusion`].
    pub fn verify(&self, leaf: &Hash, key: &VerifierKey) -> Result<&Checkpoint, LogProofError> {
        let checkpoint = self.checkpoint.verify(key)?;
        verify_inclusion(self.index, checkpoint.size, leaf, &self.hashes, &checkpoint.root)?;
        Ok(checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Ed25519SigningKey;
    use crate::merkle::leaf_hash;
    use crate::tiles::{Tiles, TreeBuilder};

    const NAME: &str = "chancery.example/t/7f3c";

    fn key() -> Ed25519SigningKey {
        Ed25519SigningKey::from_seed(&[6; 32]).unwrap()
    }

    fn proof(index: u64, size: u64) -> LogProof {
        let mut tree = TreeBuilder::resume(0, Tiles::default()).unwrap();
        (0..size).for_each(|number| tree.push(leaf_hash(&number.to_be_bytes())));
        let grown = tree.finish().unwrap();
        let mut tiles = Tiles::default();
        grown.tiles.iter().for_each(|(tile, bytes)| tiles.insert(*tile, bytes).unwrap());
        let checkpoint = Checkpoint { origin: NAME.into(), size, root: grown.root };
        let checkpoint = SignedCheckpoint::sign(&checkpoint, &key(), NAME).unwrap();
        LogProof { index, hashes: tiles.inclusion_proof(index, size).unwrap(), checkpoint }
    }

    #[test]
    fn a_written_proof_proves() {
        let vkey = VerifierKey::new(NAME, key().public()).unwrap();
        for (index, size) in [(0, 1), (5, 8), (299, 300)] {
            let text = proof(index, size).to_text();
            let read = LogProof::parse(&text).unwrap();
            assert_eq!(read.to_text(), text);
            assert_eq!(read.verify(&leaf_hash(&index.to_be_bytes()), &vkey).unwrap().size, size);
            assert_eq!(
                read.verify(&leaf_hash(b"another"), &vkey),
                Err(LogProofError::Inclusion(ProofError::RootMismatch))
            );
            let other = VerifierKey::new(NAME, Ed25519SigningKey::from_seed(&[7; 32]).unwrap().public()).unwrap();
            assert_eq!(
                read.verify(&leaf_hash(&index.to_be_bytes()), &other),
                Err(LogProofError::Checkpoint(CheckpointError::UnknownKey))
            );
        }
        assert!(proof(0, 1).to_text().starts_with("c2sp.org/tlog-proof@v1\nindex 0\n\nchancery.example/t/7f3c\n1\n"));
    }

    #[test]
    fn other_spellings_are_refused() {
        let good = proof(5, 8).to_text();
        for (from, to) in [
            ("@v1", "@v2"),
            ("index 5", "index 05"),
            ("index 5", "index -5"),
            ("index 5", "extra AAAA\nindex 5"),
            ("=\n\n", "=\n"),
            ("=\n", "\n"),
            ("index 5\n", "index 5\n\n"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert!(LogProof::parse(&bad).is_err(), "{bad}");
        }
        let long =
            good.replacen("index 5\n", &format!("index 5\n{}", format!("{}\n", BASE64.encode(&[0; 32])).repeat(64)), 1);
        assert_eq!(LogProof::parse(&long), Err(LogProofError::Malformed));
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_the_letter_or_refused(text in "[a-z0-9+= \n]{0,120}") {
            let _ = LogProof::parse(&text);
            let text = format!("{FIRST_LINE}\nindex 1\n{text}");
            let _ = LogProof::parse(&text).map(|proof| assert_eq!(proof.to_text(), text));
        }
    }
}
