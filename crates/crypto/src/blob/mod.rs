//! Seals large values in chunks of 16 KiB: any length in constant memory, any part without the rest. `docs/adr/0005-record-and-blob-profiles.md`.

mod chunks;
mod format;
mod open;
#[cfg(test)]
mod tests;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

pub use self::chunks::ChunkError;
use self::chunks::Chunks;
use self::format::CHUNKS_MAX;
pub use self::format::{BLOB_CHUNK, BLOB_HEADER, BLOB_SEALED_CHUNK, BlobHeader, BlobLayout, PROFILE_BLOB};
pub use self::open::{BlobOpener, BlobReader};
use crate::column_key::{OpenError, SealError};
use crate::context::ContextDigest;
use crate::derive::derive_key;
use crate::envelope::{self, Flags, MAGIC, SUITE};
use crate::handle::Handle;
use crate::hazmat::TAG;
use crate::random::{self, Random};
use crate::secret::Key256;

/// The key of one column's blobs under one version of the data root. Wiped on drop, never printed, never stored.
pub struct BlobKey {
    key: Key256,
    handle: Handle,
}

impl BlobKey {
    /// `HKDF-Expand-SHA-256(root, "chancery/blob/1" ‖ LV(tenant) ‖ LV(table) ‖ LV(column), 32)`; `handle` names the version of `root`.
    pub fn derive(root: &Key256, handle: Handle, tenant: &[u8], table: &[u8], column: &[u8]) -> Self {
        Self { key: derive_key(root, "chancery/blob/1", &[tenant, table, column]), handle }
    }

    /// For a key that is not derived from a data root, such as a person's own key: `HKDF-Expand-SHA-256(key, "chancery/blob/1", 32)`.
    pub fn from_key(key: &Key256, handle: Handle) -> Self {
        Self { key: derive_key(key, "chancery/blob/1", &[]), handle }
    }

    /// The version this key belongs to; what it seals carries it.
    pub const fn handle(&self) -> Handle {
        self.handle
    }

    /// Begins a blob for the place of `context`.
    ///
    /// # Errors
    ///
    /// [`SealError::Random`] or [`SealError::Failed`]; nothing is written then.
    pub fn sealer(&self, context: &ContextDigest, flags: Flags, rng: &dyn Random) -> Result<BlobSealer, SealError> {
        let mut head = [0; 12];
        let (marks, handle) = head.split_at_mut(4);
        marks.copy_from_slice(&[MAGIC, PROFILE_BLOB, SUITE, flags.to_byte()]);
        handle.copy_from_slice(&self.handle.0);
        let salt = random::array(rng)?;
        let (chunks, commitment) =
            Chunks::derive(self.key.expose(), &salt, &[&head, &context.0]).map_err(|_| SealError::Failed)?;
        Ok(BlobSealer {
            chunks,
            header: BlobHeader::written(&head, &salt, &commitment, self.handle, flags),
            next: 0,
            buffer: Zeroizing::new(Vec::with_capacity(BLOB_CHUNK)),
        })
    }

    /// Finds the key of a stored blob at the place of `context`.
    ///
    /// # Errors
    ///
    /// [`OpenError::WrongKeyOrContext`], found by comparing the commitment in constant time.
    pub fn opener(&self, context: &ContextDigest, header: &BlobHeader) -> Result<BlobOpener, OpenError> {
        let wrong = OpenError::WrongKeyOrContext;
        let (head, salt, found) = header.parts().ok_or(wrong)?;
        let (chunks, commitment) = Chunks::derive(self.key.expose(), salt, &[head, &context.0]).map_err(|_| wrong)?;
        verify_slices_are_equal(&commitment, found).map_err(|_| wrong)?;
        Ok(BlobOpener { chunks })
    }
}

impl std::fmt::Debug for BlobKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BlobKey({:?}, ..)", self.handle)
    }
}

/// Seals one blob as its plaintext comes in, holding one chunk. Store the header, then what `push` and `finish` append.
pub struct BlobSealer {
    chunks: Chunks,
    header: BlobHeader,
    next: u64,
    buffer: Zeroizing<Vec<u8>>,
}

impl BlobSealer {
    /// The 68 bytes that go first.
    pub const fn header(&self) -> &BlobHeader {
        &self.header
    }

    /// Takes any number of bytes and appends the chunks that they fill to `out`.
    ///
    /// # Errors
    ///
    /// [`SealError`]: give up the blob then. [`SealError::AlreadySealed`] is told when the first chunk is full or the blob ends.
    pub fn push(&mut self, mut plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        out.reserve(plaintext.len() / BLOB_CHUNK * BLOB_SEALED_CHUNK);
        while !plaintext.is_empty() {
            let (now, later) = plaintext.split_at(plaintext.len().min(BLOB_CHUNK - self.buffer.len()));
            plaintext = later;
            if now.len() == BLOB_CHUNK {
                self.seal(now, out)?; // whole in the input: no copy
                continue;
            }
            self.buffer.extend_from_slice(now);
            if self.buffer.len() == BLOB_CHUNK {
                self.seal_buffer(out)?;
            }
        }
        Ok(())
    }

    /// Appends the last chunk, which is always short and may be empty. A blob without it does not open to its end.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), SealError> {
        out.reserve(self.buffer.len() + TAG);
        self.seal_buffer(out)
    }

    /// What the buffer holds is written over by the next chunk and wiped with the sealer.
    fn seal_buffer(&mut self, out: &mut Vec<u8>) -> Result<(), SealError> {
        let chunk = std::mem::take(&mut self.buffer);
        let sealed = self.seal(&chunk, out);
        self.buffer = chunk;
        self.buffer.clear();
        sealed
    }

    fn seal(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        if self.next == 0 && envelope::head(chunk, PROFILE_BLOB).is_ok() {
            return Err(SealError::AlreadySealed);
        }
        if self.next >= CHUNKS_MAX {
            return Err(SealError::TooLong);
        }
        self.chunks.seal(self.next, chunk, out).map_err(|_| SealError::Failed)?;
        self.next += 1;
        Ok(())
    }
}

impl std::fmt::Debug for BlobSealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BlobSealer({:?}, {} chunks sealed)", self.header.handle(), self.next)
    }
}
