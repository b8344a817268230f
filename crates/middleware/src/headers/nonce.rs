//! A word that one response alone knows: scripts and styles that carry it are the page's own.

use chancery_crypto::random::{self, Random, RandomError};
use data_encoding::BASE64URL_NOPAD;

/// The nonce of one response. Handlers take it from the request's extensions and write it into `<script nonce="…">`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CspNonce(String);

impl CspNonce {
    /// Draws one: 128 bits.
    ///
    /// # Errors
    ///
    /// [`RandomError`] if the system gives no randomness; then there must be no response with a nonce.
    pub fn make(random: &dyn Random) -> Result<Self, RandomError> {
        Ok(Self(BASE64URL_NOPAD.encode(&random::array::<16>(random)?)))
    }

    /// As it stands in the page: letters, digits, `-` and `_`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
