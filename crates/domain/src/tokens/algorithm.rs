//! How tokens are signed: a key has one algorithm, and a token has no say in it.

use chancery_crypto::{Curve, Jwk, SignatureAlgorithm};

use crate::keyring::KeyType;

codes! {
    /// How a token is signed (RFC 7518 §3.1, RFC 8037).
    pub enum TokenAlgorithm {
        /// ECDSA on P-256 with SHA-256.
        Es256 = "ES256",
        /// Ed25519.
        EdDsa = "EdDSA",
        /// RSA PKCS#1 v1.5 with SHA-256.
        Rs256 = "RS256",
    }
}

impl TokenAlgorithm {
    /// The one algorithm of a key; none of keys that sign no tokens.
    pub const fn of(key: &Jwk) -> Option<Self> {
        match key {
            Jwk::Ec { crv: Curve::P256, .. } => Some(Self::Es256),
            Jwk::Okp { .. } => Some(Self::EdDsa),
            Jwk::Rsa { .. } => Some(Self::Rs256),
            Jwk::Ec { crv: Curve::P384, .. } => None,
        }
    }

    /// Whether a header's `alg` is its name, to the letter. Ed25519 has a second one since RFC 9864.
    pub fn is_called(self, alg: &str) -> bool {
        alg == self.as_str() || (self == Self::EdDsa && alg == "Ed25519")
    }

    /// The type of its keys.
    pub const fn key_type(self) -> KeyType {
        match self {
            Self::Es256 => KeyType::EcP256,
            Self::EdDsa => KeyType::Ed25519,
            Self::Rs256 => KeyType::Rsa2048,
        }
    }

    pub(super) const fn maths(self) -> SignatureAlgorithm {
        match self {
            Self::Es256 => SignatureAlgorithm::Es256,
            Self::EdDsa => SignatureAlgorithm::EdDsa,
            Self::Rs256 => SignatureAlgorithm::Rs256,
        }
    }
}
