//! Opens a blob chunk by chunk, in any order or as a stream.

use zeroize::Zeroize as _;

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
        let mut out = Secret::new(Vec::new());
        self.chunks.open(index, last, sealed, out.expose_mut()).map(|()| out)
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
        if self.chunks.is_none() {
            return Err(ChunkError::Tampered);
        }
        while !sealed.is_empty() {
            let (now, later) = sealed.split_at(sealed.len().min(BLOB_SEALED_CHUNK - self.buffer.len()));
            sealed = later;
            if now.len() == BLOB_SEALED_CHUNK {
                self.open(now, false, out)?; // whole in the input: no copy
                continue;
            }
            self.buffer.extend_from_slice(now);
            if self.buffer.len() == BLOB_SEALED_CHUNK {
                let chunk = std::mem::take(&mut self.buffer);
                self.open(&chunk, false, out)?;
                self.buffer = chunk;
                self.buffer.clear();
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
        let chunk = std::mem::take(&mut self.buffer);
        self.open(&chunk, true, out)
    }

    fn open(&mut self, sealed: &[u8], last: bool, out: &mut Secret<Vec<u8>>) -> Result<(), ChunkError> {
        let chunks = self.chunks.as_ref().ok_or(ChunkError::Tampered)?;
        make_room(out.expose_mut(), sealed.len());
        let opened = chunks.open(self.next, last, sealed, out.expose_mut());
        match opened {
            Ok(()) => self.next += 1,
            Err(_) => self.chunks = None,
        }
        opened
    }
}

impl std::fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BlobReader({} chunks opened)", self.next)
    }
}

/// Makes room for `more` bytes without leaving a copy of the plaintext in memory that is given back.
fn make_room(out: &mut Vec<u8>, more: usize) {
    if out.capacity() - out.len() < more {
        let mut larger = Vec::with_capacity((out.len() + more).max(out.capacity() * 2).max(BLOB_CHUNK));
        larger.extend_from_slice(out);
        std::mem::replace(out, larger).zeroize();
    }
}
