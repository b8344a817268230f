//! Ciphertext, salt, nonce and tag in columns of their own, AES-256-GCM under PBKDF2-HMAC-SHA-256 of a password.

use std::num::NonZeroU32;

use zeroize::Zeroizing;

use super::gcm::GcmKey;
use super::{LegacyError, base64, exactly, hex};
use crate::hazmat;
use crate::secret::Secret;

/// How often PBKDF2 hashes. Bounded: a forged row must not keep a machine busy for hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Iterations(NonZeroU32);

impl Iterations {
    /// The most that a row may ask for.
    pub const MAX: u32 = 10_000_000;

    /// `None` for zero and above [`MAX`](Self::MAX).
    pub const fn new(count: u32) -> Option<Self> {
        match NonZeroU32::new(count) {
            Some(count) if count.get() <= Self::MAX => Some(Self(count)),
            _ => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl Default for Iterations {
    /// 100,000: what a row without a number was made with.
    fn default() -> Self {
        Self(NonZeroU32::MIN.saturating_add(99_999))
    }
}

/// One stored key as its columns have it, each in hex or base64. Values without associated data.
#[derive(Debug, Clone, Copy)]
pub struct FourPartRow<'a> {
    /// Of any length.
    pub ciphertext: &'a str,
    /// 32 bytes; 16 in the oldest rows.
    pub salt: &'a str,
    /// 12 bytes.
    pub nonce: &'a str,
    /// 16 bytes.
    pub tag: &'a str,
}

impl FourPartRow<'_> {
    /// Opens the row under the first password that fits, and says which one of them it was. Old passwords only open; the caller wraps
    /// the key anew.
    ///
    /// Each password costs the full PBKDF2: about 20 ms at 100,000.
    ///
    /// # Errors
    ///
    /// [`LegacyError`].
    pub fn open(&self, passwords: &[&[u8]], iterations: Iterations) -> Result<(usize, Secret<Vec<u8>>), LegacyError> {
        let salt = self.salt()?;
        let nonce = exactly::<12>(self.nonce)?;
        let tag = exactly::<16>(self.tag)?;
        // Hex digits are letters of base64 too, so the length decides nothing here; the tag does.
        let bodies: Vec<Vec<u8>> = [base64(self.ciphertext), hex(self.ciphertext)]
            .into_iter()
            .flatten()
            .map(|mut ciphertext| {
                ciphertext.extend_from_slice(&tag);
                ciphertext
            })
            .collect();
        if bodies.is_empty() {
            return Err(LegacyError::NotThisForm);
        }
        for (at, password) in passwords.iter().enumerate() {
            let mut key = Zeroizing::new([0; 32]);
            hazmat::pbkdf2_sha256(iterations.0, &salt, password, &mut *key);
            let key = GcmKey::from_bytes(&key)?;
            if let Some(opened) = bodies.iter().find_map(|body| key.open_parts(nonce, body, &[]).ok()) {
                return Ok((at, opened));
            }
        }
        Err(LegacyError::WrongKeyOrTampered)
    }

    fn salt(&self) -> Result<Vec<u8>, LegacyError> {
        exactly::<32>(self.salt).map(Vec::from).or_else(|_| exactly::<16>(self.salt).map(Vec::from))
    }
}
