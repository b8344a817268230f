//! Signing keys: Ed25519 for logs and certificates, ECDSA P-256 for tokens, P-384 for whoever asks for it.

mod ed25519;
mod p256;
mod p384;

pub use ed25519::{Ed25519PublicKey, Ed25519SigningKey};
pub use p256::{P256PublicKey, P256SigningKey};
pub use p384::{P384PublicKey, P384SigningKey};

use crate::random::RandomError;

/// Why bytes are no signing or verifying key, or no key was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Wrong length, wrong encoding, or not a point of the curve.
    #[error("malformed key")]
    Malformed,
    /// A point of small order: it verifies signatures that nobody made.
    #[error("weak key")]
    Weak,
    /// The source of randomness gave nothing.
    #[error("could not draw a key")]
    Random(#[from] RandomError),
    /// AWS-LC refused.
    #[error("could not make a key")]
    Failed,
}
