//! The bytes of a blob: profile 0x14. A header, then chunks.

use std::ops::Range;

use crate::envelope::{self, Flags, HEADER, PREFIX, ParseError};
use crate::handle::Handle;
use crate::hazmat::TAG;

/// The second byte of a sealed blob.
pub const PROFILE_BLOB: u8 = 0x14;
/// Bytes before the first chunk.
pub const BLOB_HEADER: usize = HEADER;
/// Plaintext of a chunk, in bytes. Only the last chunk has less, and it always has.
pub const BLOB_CHUNK: usize = 16 * 1024;
/// A sealed chunk that is not the last one.
pub const BLOB_SEALED_CHUNK: usize = BLOB_CHUNK + TAG;

/// No blob has more chunks: 4 PiB (C2SP chunked-encryption).
pub(super) const CHUNKS_MAX: u64 = 1 << 38;
const CHUNK: u64 = BLOB_CHUNK as u64;
const SEALED_CHUNK: u64 = BLOB_SEALED_CHUNK as u64;

/// The header of a blob, its shape checked. From byte 12 on, header and chunks are a Cobblestone-256 message.
///
/// ```text
///  0  1  magic 0xF9        3  1  flags     12 24  salt
///  1  1  profile 0x14      4  8  handle    36 32  commitment
///  2  1  suite 0x01
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BlobHeader {
    bytes: [u8; HEADER],
    handle: Handle,
    flags: Flags,
}

impl BlobHeader {
    /// Checks magic, profile, suite, flags and length, and keeps the bytes.
    ///
    /// # Errors
    ///
    /// [`ParseError`] names the first thing that is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ParseError> {
        let flags = envelope::head(bytes, PROFILE_BLOB)?;
        let bytes: [u8; HEADER] = bytes.try_into().map_err(|_| match bytes.len() {
            ..HEADER => ParseError::TooShort,
            _ => ParseError::TooLong,
        })?;
        let handle = bytes.split_at(4).1.first_chunk().copied().map(Handle).ok_or(ParseError::TooShort)?;
        Ok(Self { bytes, handle, flags })
    }

    /// The 68 bytes that go before the chunks.
    pub const fn as_bytes(&self) -> &[u8; BLOB_HEADER] {
        &self.bytes
    }

    /// The key version that sealed it: what to look up, within the caller's tenant.
    pub const fn handle(&self) -> Handle {
        self.handle
    }

    /// How it is bound.
    pub const fn flags(&self) -> Flags {
        self.flags
    }

    pub(super) fn written(head: &[u8; 12], salt: &[u8; 24], commitment: &[u8], handle: Handle, flags: Flags) -> Self {
        let mut bytes = [0; HEADER];
        for (to, from) in bytes.iter_mut().zip(head.iter().chain(salt).chain(commitment)) {
            *to = *from;
        }
        Self { bytes, handle, flags }
    }

    /// `(head, salt, commitment)`. `None` cannot occur: the array is long enough.
    pub(super) fn parts(&self) -> Option<(&[u8; 12], &[u8; 24], &[u8])> {
        let (prefix, commitment) = self.bytes.split_at(PREFIX);
        let (head, salt) = prefix.split_first_chunk()?;
        Some((head, salt.first_chunk()?, commitment))
    }
}

impl std::fmt::Debug for BlobHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BlobHeader({:?})", self.handle)
    }
}

/// Where things are in a sealed blob of a given length. Pure arithmetic: that the length is the true one only opening the last chunk shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobLayout {
    plaintext: u64,
}

impl BlobLayout {
    /// For a plaintext of `length` bytes; `None` above 4 PiB.
    pub const fn of_plaintext(length: u64) -> Option<Self> {
        if length / CHUNK < CHUNKS_MAX { Some(Self { plaintext: length }) } else { None }
    }

    /// For a sealed blob of `length` bytes with its header; `None` when no blob has that length, so it was cut off or stretched.
    pub const fn of_sealed(length: u64) -> Option<Self> {
        let Some(chunks) = length.checked_sub(HEADER as u64) else { return None };
        let Some(last) = (chunks % SEALED_CHUNK).checked_sub(TAG as u64) else { return None };
        Self::of_plaintext(chunks / SEALED_CHUNK * CHUNK + last)
    }

    /// Bytes of plaintext.
    pub const fn plaintext(self) -> u64 {
        self.plaintext
    }

    /// Bytes of the sealed blob with its header.
    pub const fn sealed(self) -> u64 {
        HEADER as u64 + self.plaintext + self.chunks() * TAG as u64
    }

    /// How many chunks there are, at least one.
    pub const fn chunks(self) -> u64 {
        self.plaintext / CHUNK + 1
    }

    /// The index of the last chunk, which alone is short.
    pub const fn last(self) -> u64 {
        self.plaintext / CHUNK
    }

    /// Where chunk `index` is in the sealed blob; `None` behind the last one.
    pub const fn chunk(self, index: u64) -> Option<Range<u64>> {
        if index > self.last() {
            return None;
        }
        let start = HEADER as u64 + index * SEALED_CHUNK;
        let end = if index == self.last() { self.sealed() } else { start + SEALED_CHUNK };
        Some(start..end)
    }
}
