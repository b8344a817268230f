//! Evidence that an entry is in a log, for a file: [C2SP tlog-proof](https://c2sp.org/tlog-proof). The `extra` line is refused.

use data_encoding::BASE64;

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
        let hashes: String = self
            .hashes
            .iter()
            .map(|hash| BASE64.encode(hash) + "\n")
            .collect();
        format!(
            "{FIRST_LINE}\nindex {}\n{hashes}\n{}",
            self.index,
            self.checkpoint.text()
        )
    }

    /// Reads exactly what [`to_text`](Self::to_text) writes.
    ///
    /// # Errors
    ///
    /// [`LogProofError::Malformed`], [`LogProofError::Checkpoint`].
    pub fn parse(text: &str) -> Result<Self, LogProofError> {
        let malformed = LogProofError::Malformed;
        let rest = text
            .strip_prefix(FIRST_LINE)
            .and_then(|rest| rest.strip_prefix("\nindex "))
            .ok_or(malformed)?;
        let (head, checkpoint) = rest.split_once("\n\n").ok_or(malformed)?;
        let mut lines = head.split('\n');
        let index = lines.next().and_then(decimal).ok_or(malformed)?;
        let hash = |line: &str| BASE64.decode(line.as_bytes()).ok()?.try_into().ok();
        let hashes = lines
            .map(hash)
            .take(HASHES_MAX + 1)
            .collect::<Option<Vec<Hash>>>()
            .filter(|all| all.len() <= HASHES_MAX)
            .ok_or(malformed)?;
        Ok(Self {
            index,
            hashes,
            checkpoint: SignedCheckpoint::parse(checkpoint)?,
        })
    }

    /// Checks the checkpoint's signature, then that `leaf` is in the tree it heads. The caller compares the origin with the log it expects.
    ///
    /// # Errors
    ///
    /// [`LogProofError::Checkpoint`], [`LogProofError::Inclusion`].
    pub fn verify(&self, leaf: &Hash, key: &VerifierKey) -> Result<&Checkpoint, LogProofError> {
        let checkpoint = self.checkpoint.verify(key)?;
        verify_inclusion(
            self.index,
            checkpoint.size,
            leaf,
            &self.hashes,
            &checkpoint.root,
        )?;
        Ok(checkpoint)
    }
}
