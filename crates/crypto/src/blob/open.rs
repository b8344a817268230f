//! Opens a blob chunk by chunk, in any order or as a stream.

use zeroize::{Zeroize as _, Zeroizing};

use super::chunks::{ChunkError, Chunks};
use super::format::{BLOB_CHUNK, BLOB_SEALED_CHUNK};
use crate::secret::Secret;

/// Opens chunks of one blob in any order. Its key was checked against the header.
pub struct BlobOpener {
    pub(super) chunks: Chunks,
}

impl BlobOpener {
    /// Opens chunk `index`, counted from 0; `last` says whether the caller takes it for the last one.
    ///
    /// A chunk opens only at its own index, and the short one only as the last. Whoever reads from somewhere within a blob and trusts its
    /// length opens the last chunk first: that authenticates the length.
    ///
    /// # Errors
    ///
    /// [`ChunkError`]; no plaintext leaves.
    pub fn open_chunk(&self, index: u64, last: bool, sealed: &[u8]) -> Result<Secret<Vec<u8>>, ChunkError> {
        self.chunks.open(index, last, sealed).map(Secret::new)
    }

    /// Reads the blob from its beginning.
    pub fn into_reader(self) -> BlobReader {
        BlobReader { chunks: Some(self.chunks), next: 0, buffer: Vec::with_capacity(BLOB_SEALED_CHUNK) }
    }
}

impl std::fmt::Debug for BlobOpener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BlobOpener(..)")
    }
}

/// Opens a blob as its bytes come in, holding one chunk.
///
/// What [`push`](Self::push) gave is authentic but may be the beginning of a blob that was cut off; only a successful
/// [`finish`](Self::finish) says that it was all. After an error nothing more comes out.
pub struct BlobReader {
    /// `None` once something failed.
    chunks: Option<Chunks>,
    next: u64,
    buffer: Vec<u8>,
}

impl BlobReader {
    /// Takes any number of sealed bytes behind the header and appends to `out` what they open to.
    ///
    /// # Errors
    ///
    /// [`ChunkError`]; the reader stays broken then.
    pub fn push(&mut self, mut sealed: &[u8], out: &mut Secret<Vec<u8>>) -> Result<(), ChunkError> {
        while !sealed.is_empty() {
            let chunks = self.chunks.as_ref().ok_or(ChunkError::Tampered)?;
            let (now, later) = sealed.split_at(sealed.len().min(BLOB_SEALED_CHUNK - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            sealed = later;
            if self.buffer.len() == BLOB_SEALED_CHUNK {
                let opened = chunks.open(self.next, false, &self.buffer);
                self.take(opened, out)?;
            }
        }
        Ok(())
    }

    /// Opens the last chunk and says that the blob is whole.
    ///
    /// # Errors
    ///
    /// [`ChunkError`]: the blob was cut off, stretched or changed, and what came out before must not be taken for all of it.
    pub fn finish(mut self, out: &mut Secret<Vec<u8>>) -> Result<(), ChunkError> {
        let chunks = self.chunks.as_ref().ok_or(ChunkError::Tampered)?;
        let opened = chunks.open(self.next, true, &self.buffer);
        self.take(opened, out)
    }

    fn take(&mut self, opened: Result<Vec<u8>, ChunkError>, out: &mut Secret<Vec<u8>>) -> Result<(), ChunkError> {
        match opened {
            Ok(plaintext) => {
                let plaintext = Zeroizing::new(plaintext);
                append(out.expose_mut(), &plaintext);
                self.next += 1;
                self.buffer.clear();
                Ok(())
            }
            Err(error) => {
                self.chunks = None;
                Err(error)
            }
        }
    }
}

impl std::fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BlobReader({} chunks opened)", self.next)
    }
}

/// Appends without leaving a copy of the plaintext in memory that is given back.
fn append(out: &mut Vec<u8>, plaintext: &[u8]) {
    if out.capacity() - out.len() < plaintext.len() {
        let room = (out.len() + plaintext.len()).max(out.capacity() * 2).max(BLOB_CHUNK);
        let mut larger = Vec::with_capacity(room);
        larger.extend_from_slice(out);
        std::mem::replace(out, larger).zeroize();
    }
    out.extend_from_slice(plaintext);
}
