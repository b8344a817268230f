//! AES-256-GCM without a header: base64 of nonce ‖ ciphertext ‖ tag, under a key that HKDF made from another one.

use aws_lc_rs::hkdf::{Algorithm, HKDF_SHA256, HKDF_SHA384, HKDF_SHA512};
use zeroize::Zeroizing;

use super::{LegacyError, base64};
use crate::hazmat::{Cipher, Hkdf, TAG};
use crate::secret::{Key256, Secret};

/// The hash of HKDF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HkdfHash {
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl From<HkdfHash> for Algorithm {
    fn from(hash: HkdfHash) -> Self {
        match hash {
            HkdfHash::Sha256 => HKDF_SHA256,
            HkdfHash::Sha384 => HKDF_SHA384,
            HkdfHash::Sha512 => HKDF_SHA512,
        }
    }
}

/// How the other system made a tenant's or a person's key: HKDF, extract and expand ([RFC 5869](https://www.rfc-editor.org/rfc/rfc5869)).
///
/// Sources leave salt and info open, so both are given here, with the tenant's or person's id already in its place.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyDerivation<'a> {
    /// The hash.
    pub hash: HkdfHash,
    /// The salt; empty for none.
    pub salt: &'a [u8],
    /// The info, such as the tenant's UUID in text.
    pub info: &'a [u8],
}

/// An AES-256-GCM key of another system. It opens and does nothing else; wiped on drop.
pub struct GcmKey(Cipher);

impl GcmKey {
    /// Derives the key from a master or data key, most often of 32 bytes.
    ///
    /// # Errors
    ///
    /// [`LegacyError::WrongKeyOrTampered`] when AWS-LC refuses the key; memory ran out.
    pub fn derive(master: &[u8], derivation: &KeyDerivation<'_>) -> Result<Self, LegacyError> {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::extract(derivation.hash.into(), derivation.salt, master)
            .expand(&[derivation.info], &mut *key)
            .map_err(|_| LegacyError::WrongKeyOrTampered)?;
        Self::from_bytes(&key)
    }

    /// Takes a key that is used as it is.
    ///
    /// # Errors
    ///
    /// As [`derive`](Self::derive).
    pub fn from_key(key: &Key256) -> Result<Self, LegacyError> {
        Self::from_bytes(key.expose())
    }

    /// Opens base64, of either alphabet, of nonce ‖ ciphertext ‖ tag. `context` is the associated data, empty where the system had none.
    ///
    /// # Errors
    ///
    /// [`LegacyError`].
    pub fn open(&self, text: &str, context: &[u8]) -> Result<Secret<Vec<u8>>, LegacyError> {
        self.open_bytes(&base64(text).ok_or(LegacyError::NotThisForm)?, context)
    }

    /// Opens nonce ‖ ciphertext ‖ tag.
    ///
    /// # Errors
    ///
    /// [`LegacyError`].
    pub fn open_bytes(&self, bytes: &[u8], context: &[u8]) -> Result<Secret<Vec<u8>>, LegacyError> {
        let (nonce, body) = bytes.split_first_chunk::<12>().ok_or(LegacyError::NotThisForm)?;
        if body.len() < TAG {
            return Err(LegacyError::NotThisForm);
        }
        self.open_parts(*nonce, body, context)
    }

    pub(super) fn open_parts(
        &self,
        nonce: [u8; 12],
        body: &[u8],
        context: &[u8],
    ) -> Result<Secret<Vec<u8>>, LegacyError> {
        self.0.open(nonce, context, body).map(Secret::new).map_err(|_| LegacyError::WrongKeyOrTampered)
    }

    pub(super) fn from_bytes(key: &[u8; 32]) -> Result<Self, LegacyError> {
        Cipher::new(key).map(Self).map_err(|_| LegacyError::WrongKeyOrTampered)
    }
}

impl std::fmt::Debug for GcmKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GcmKey(..)")
    }
}
