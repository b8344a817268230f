//! How tokens of others may be signed. A shared secret is no way, and `none` is no name.

use chancery_crypto::{PublicKey, SignatureAlgorithm};

codes! {
    /// A signature of RFC 7518 §3.1 or RFC 8037, by a key pair.
    pub enum ForeignAlgorithm {
        /// RSA PKCS#1 v1.5 with SHA-256.
        Rs256 = "RS256",
        /// RSA-PSS with SHA-256.
        Ps256 = "PS256",
        /// ECDSA on P-256 with SHA-256.
        Es256 = "ES256",
        /// ECDSA on P-384 with SHA-384.
        Es384 = "ES384",
        /// Ed25519.
        EdDsa = "EdDSA",
    }
}

impl ForeignAlgorithm {
    /// The one with this name, to the letter. Ed25519 has a second one since RFC 9864.
    pub(super) fn named(alg: &str) -> Option<Self> {
        if alg == "Ed25519" { Some(Self::EdDsa) } else { alg.parse().ok() }
    }

    /// Whether this key can make such signatures.
    pub(super) const fn fits(self, key: &PublicKey) -> bool {
        matches!(
            (self, key),
            (Self::Rs256 | Self::Ps256, PublicKey::Rsa(_))
                | (Self::Es256, PublicKey::EcP256(_))
                | (Self::Es384, PublicKey::EcP384(_))
                | (Self::EdDsa, PublicKey::Ed25519(_))
        )
    }

    pub(super) const fn maths(self) -> SignatureAlgorithm {
        match self {
            Self::Rs256 => SignatureAlgorithm::Rs256,
            Self::Ps256 => SignatureAlgorithm::Ps256,
            Self::Es256 => SignatureAlgorithm::Es256,
            Self::Es384 => SignatureAlgorithm::Es384,
            Self::EdDsa => SignatureAlgorithm::EdDsa,
        }
    }
}
