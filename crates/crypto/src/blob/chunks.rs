//! C2SP chunked-encryption, instantiated as Cobblestone-256: HKDF-Expand-SHA-512 and AES-256-GCM (<https://c2sp.org/chunked-encryption>).

use aws_lc_rs::hkdf::{HKDF_SHA512, Prk};
use zeroize::Zeroizing;

use super::format::{BLOB_SEALED_CHUNK, CHUNKS_MAX};
use crate::hazmat::{Cipher, Hkdf, Refused, TAG};

const LABEL: &[u8] = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0";
const NONCE: usize = 12;

/// The key of one message and where its nonces start.
pub(super) struct Chunks {
    cipher: Cipher,
    base: Zeroizing<[u8; NONCE]>,
}

/// Why a chunk did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// Only the last chunk is short, it always is, and no blob goes beyond 2^38 chunks: the blob was cut off, stretched or cut apart wrongly.
    #[error("blob cut off or of a wrong length")]
    WrongLength,
    /// The tag does not match: changed bytes, or the chunk of another place or blob.
    #[error("tampered")]
    Tampered,
}

impl Chunks {
    /// `key ‖ base nonce ‖ commitment = HKDF-Expand-SHA-512(input key, label ‖ salt ‖ context, 76)`; gives the commitment beside.
    pub(super) fn derive(input: &[u8; 32], salt: &[u8; 24], context: &[&[u8]]) -> Result<(Self, [u8; 32]), Refused> {
        let info = [&[LABEL, salt], context].concat();
        let mut okm = Zeroizing::new([0; 76]);
        Hkdf::from(Prk::new_less_safe(HKDF_SHA512, input)).expand(&info, &mut *okm)?;
        let (key, rest) = okm.split_first_chunk::<32>().ok_or(Refused)?;
        let (base, commitment) = rest.split_first_chunk::<NONCE>().ok_or(Refused)?;
        let chunks = Self { cipher: Cipher::new(key)?, base: Zeroizing::new(*base) };
        Ok((chunks, commitment.try_into().map_err(|_| Refused)?))
    }

    /// Appends a sealed chunk to `out`. Each index is sealed once: the callers count.
    pub(super) fn seal(&self, index: u64, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        self.cipher.seal(self.nonce(index), &[], out, plaintext)
    }

    /// Appends what a chunk opens to. On refusal `out` is as it was.
    pub(super) fn open(&self, index: u64, last: bool, sealed: &[u8], out: &mut Vec<u8>) -> Result<(), ChunkError> {
        let fits =
            if last { (TAG..BLOB_SEALED_CHUNK).contains(&sealed.len()) } else { sealed.len() == BLOB_SEALED_CHUNK };
        if !fits || index >= CHUNKS_MAX {
            return Err(ChunkError::WrongLength);
        }
        self.cipher.open_behind(self.nonce(index), &[], sealed, out).map_err(|_| ChunkError::Tampered)
    }

    /// The base nonce XOR the chunk's number as a big-endian integer of 96 bits.
    fn nonce(&self, index: u64) -> [u8; NONCE] {
        let mut nonce = *self.base;
        for (byte, number) in nonce.iter_mut().skip(NONCE - 8).zip(index.to_be_bytes()) {
            *byte ^= number;
        }
        nonce
    }
}
