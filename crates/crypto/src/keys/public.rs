//! A public key of any type.

use super::der;
use super::rsa::RsaPublicKey;
use super::{KeyType, SignatureAlgorithm, UseError, pem};
use crate::jwk::{Curve, Jwk};
use crate::sign::{Ed25519PublicKey, KeyError, P256PublicKey, P384PublicKey};

/// `SubjectPublicKeyInfo` up to the key itself ([RFC 5480](https://www.rfc-editor.org/rfc/rfc5480), [RFC 8410](https://www.rfc-editor.org/rfc/rfc8410)).
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 6, 7, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 2, 1, 6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7, 3,
    0x42, 0,
];
const P384_SPKI: [u8; 23] =
    [0x30, 0x76, 0x30, 0x10, 6, 7, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 2, 1, 6, 5, 0x2B, 0x81, 4, 0, 0x22, 3, 0x62, 0];
const ED25519_SPKI: [u8; 12] = [0x30, 0x2A, 0x30, 5, 6, 3, 0x2B, 0x65, 0x70, 3, 0x21, 0];
const LABEL: &str = "PUBLIC KEY";

/// A public key of any type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// RSA, of 2048 to 8192 bits: foreign keys may have other sizes than ours.
    Rsa(RsaPublicKey),
    /// ECDSA on P-256.
    EcP256(P256PublicKey),
    /// ECDSA on P-384.
    EcP384(P384PublicKey),
    /// Ed25519.
    Ed25519(Ed25519PublicKey),
}

impl PublicKey {
    /// Reads a `SubjectPublicKeyInfo` in DER, in the one form that [`to_spki`](Self::to_spki) writes.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        if let Some(point) = der.strip_prefix(&P256_SPKI) {
            return P256PublicKey::from_bytes(exactly(point)?).map(Self::EcP256);
        }
        if let Some(point) = der.strip_prefix(&P384_SPKI) {
            return P384PublicKey::from_bytes(exactly(point)?).map(Self::EcP384);
        }
        if let Some(point) = der.strip_prefix(&ED25519_SPKI) {
            return Ed25519PublicKey::from_bytes(exactly(point)?).map(Self::Ed25519);
        }
        RsaPublicKey::from_spki(der).map(Self::Rsa)
    }

    /// The `SubjectPublicKeyInfo` in DER.
    pub fn to_spki(&self) -> Vec<u8> {
        match self {
            Self::Rsa(key) => key.to_spki(),
            Self::EcP256(key) => [&P256_SPKI, key.as_bytes().as_slice()].concat(),
            Self::EcP384(key) => [&P384_SPKI, key.as_bytes().as_slice()].concat(),
            Self::Ed25519(key) => [&ED25519_SPKI, key.as_bytes().as_slice()].concat(),
        }
    }

    /// Reads one PEM block: `PUBLIC KEY` (SPKI) or `RSA PUBLIC KEY` (PKCS#1).
    ///
    /// # Errors
    ///
    /// [`KeyError`]; anything before or behind the block is refused too.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        match pem::decode(text)? {
            (LABEL, der) => Self::from_spki(&der),
            ("RSA PUBLIC KEY", der) => {
                der::sequence(&der)?;
                RsaPublicKey::from_pkcs1(&der).map(Self::Rsa)
            }
            _ => Err(KeyError::Malformed),
        }
    }

    /// The PEM block `PUBLIC KEY`.
    pub fn to_pem(&self) -> String {
        std::mem::take(&mut *pem::encode(LABEL, &self.to_spki()))
    }

    /// The key as a JWK.
    pub fn jwk(&self) -> Jwk {
        match self {
            Self::Rsa(key) => key.jwk(),
            Self::EcP256(key) => key.jwk(),
            Self::EcP384(key) => key.jwk(),
            Self::Ed25519(key) => key.jwk(),
        }
    }

    /// Its type among ours; `None` for an RSA key of another size.
    pub fn key_type(&self) -> Option<KeyType> {
        match self {
            Self::Rsa(key) => match key.bits() {
                2048 => Some(KeyType::Rsa2048),
                4096 => Some(KeyType::Rsa4096),
                _ => None,
            },
            Self::EcP256(_) => Some(KeyType::EcP256),
            Self::EcP384(_) => Some(KeyType::EcP384),
            Self::Ed25519(_) => Some(KeyType::Ed25519),
        }
    }

    /// Whether `signature` is this key's signature of `message` by `algorithm`. `false` too when the key does not sign that way.
    #[must_use]
    pub fn verify(&self, algorithm: SignatureAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        use SignatureAlgorithm::{EdDsa, Es256, Es256Der, Es384, Es384Der, Ps256, Rs256};
        match (self, algorithm) {
            (Self::Rsa(key), Ps256) => key.verify_pss(message, signature),
            (Self::Rsa(key), Rs256) => key.verify_pkcs1(message, signature),
            (Self::EcP256(key), Es256) => key.verify(message, signature),
            (Self::EcP256(key), Es256Der) => key.verify_der(message, signature),
            (Self::EcP384(key), Es384) => key.verify(message, signature),
            (Self::EcP384(key), Es384Der) => key.verify_der(message, signature),
            (Self::Ed25519(key), EdDsa) => key.verify(message, signature),
            _ => false,
        }
    }

    /// Encrypts with RSA-OAEP, SHA-256 and `label`.
    ///
    /// # Errors
    ///
    /// [`UseError`].
    pub fn encrypt_oaep(&self, label: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, UseError> {
        match self {
            Self::Rsa(key) => key.encrypt_oaep(label, plaintext),
            _ => Err(UseError::WrongType),
        }
    }
}

impl TryFrom<&Jwk> for PublicKey {
    type Error = KeyError;

    fn try_from(jwk: &Jwk) -> Result<Self, KeyError> {
        match jwk {
            Jwk::Okp { .. } => Ed25519PublicKey::try_from(jwk).map(Self::Ed25519),
            Jwk::Ec { crv: Curve::P256, .. } => P256PublicKey::try_from(jwk).map(Self::EcP256),
            Jwk::Ec { crv: Curve::P384, .. } => P384PublicKey::try_from(jwk).map(Self::EcP384),
            Jwk::Rsa { .. } => RsaPublicKey::try_from(jwk).map(Self::Rsa),
        }
    }
}

fn exactly<const N: usize>(bytes: &[u8]) -> Result<[u8; N], KeyError> {
    bytes.try_into().map_err(|_| KeyError::Malformed)
}
