//! Keys of the types that the key service offers, behind one enum: made, stored, exported and used.

mod der;
mod pem;
mod public;
mod rsa;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::Ed25519KeyPair;
use zeroize::Zeroizing;

pub(crate) use self::der::ecdsa_signature as ecdsa_der;
pub use self::public::PublicKey;
pub use self::rsa::{RsaPrivateKey, RsaPublicKey, RsaSize};
use crate::random::Random;
use crate::secret::{Key256, Secret};
use crate::sign::{Ed25519SigningKey, KeyError, P256SigningKey, P384SigningKey};

/// PKCS#8 of an Ed25519 key up to its seed ([RFC 8410 §7](https://www.rfc-editor.org/rfc/rfc8410#section-7)).
const ED25519_PKCS8: [u8; 16] = [0x30, 0x2E, 2, 1, 0, 0x30, 5, 6, 3, 0x2B, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// What kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// 256 bits for AES-256-GCM.
    Aes256,
    /// RSA of 2048 bits.
    Rsa2048,
    /// RSA of 4096 bits.
    Rsa4096,
    /// ECDSA on P-256.
    EcP256,
    /// ECDSA on P-384.
    EcP384,
    /// Ed25519.
    Ed25519,
}

impl KeyType {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Aes256, Self::Rsa2048, Self::Rsa4096, Self::EcP256, Self::EcP384, Self::Ed25519];

    /// The name in the API and the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes256 => "aes_256",
            Self::Rsa2048 => "rsa_2048",
            Self::Rsa4096 => "rsa_4096",
            Self::EcP256 => "ec_p256",
            Self::EcP384 => "ec_p384",
            Self::Ed25519 => "ed25519",
        }
    }

    /// With what a key of this type can sign; empty for AES.
    pub const fn signs_with(self) -> &'static [SignatureAlgorithm] {
        use SignatureAlgorithm::{EdDsa, Es256, Es256Der, Es384, Es384Der, Ps256, Rs256};
        match self {
            Self::Aes256 => &[],
            Self::Rsa2048 | Self::Rsa4096 => &[Ps256, Rs256],
            Self::EcP256 => &[Es256, Es256Der],
            Self::EcP384 => &[Es384, Es384Der],
            Self::Ed25519 => &[EdDsa],
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no key type has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown key type")]
pub struct UnknownKeyType;

impl FromStr for KeyType {
    type Err = UnknownKeyType;

    fn from_str(name: &str) -> Result<Self, UnknownKeyType> {
        Self::ALL.into_iter().find(|key_type| key_type.name() == name).ok_or(UnknownKeyType)
    }
}

/// How to sign. One key type has one or two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// RSA-PSS with SHA-256 and 32 bytes of salt.
    Ps256,
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// ECDSA P-256 with SHA-256, r ‖ s.
    Es256,
    /// ECDSA P-256 with SHA-256, in DER.
    Es256Der,
    /// ECDSA P-384 with SHA-384, r ‖ s.
    Es384,
    /// ECDSA P-384 with SHA-384, in DER.
    Es384Der,
    /// Ed25519.
    EdDsa,
}

impl SignatureAlgorithm {
    /// The name in JOSE ([RFC 7518 §3.1](https://www.rfc-editor.org/rfc/rfc7518#section-3.1)), with `-DER` for that form.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ps256 => "PS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::Es256Der => "ES256-DER",
            Self::Es384 => "ES384",
            Self::Es384Der => "ES384-DER",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// Why a key did not do what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UseError {
    /// A key of this type does not do that.
    #[error("the key's type cannot do that")]
    WrongType,
    /// More than fits into one RSA block.
    #[error("plaintext too long for the key")]
    TooLong,
    /// The operation failed: for decryption a wrong key, label or ciphertext, on purpose without saying which.
    #[error("refused")]
    Refused,
}

/// A secret key of any type. Never prints; wiped on drop.
pub enum KeyMaterial {
    /// 256 uniform bits.
    Aes256(Key256),
    /// RSA of either size.
    Rsa(Box<RsaPrivateKey>),
    /// ECDSA on P-256.
    EcP256(P256SigningKey),
    /// ECDSA on P-384.
    EcP384(P384SigningKey),
    /// Ed25519.
    Ed25519(Ed25519SigningKey),
}

impl KeyMaterial {
    /// Makes a new key. RSA and ECDSA keys are drawn inside AWS-LC, the others from `rng`. RSA takes up to seconds.
    ///
    /// # Errors
    ///
    /// [`KeyError::Random`], or [`KeyError::Failed`] from AWS-LC.
    pub fn generate(key_type: KeyType, rng: &dyn Random) -> Result<Self, KeyError> {
        Ok(match key_type {
            KeyType::Aes256 => Self::Aes256(Key256::make(rng)?),
            KeyType::Rsa2048 => Self::Rsa(Box::new(RsaPrivateKey::make(RsaSize::Rsa2048)?)),
            KeyType::Rsa4096 => Self::Rsa(Box::new(RsaPrivateKey::make(RsaSize::Rsa4096)?)),
            KeyType::EcP256 => Self::EcP256(P256SigningKey::make()?),
            KeyType::EcP384 => Self::EcP384(P384SigningKey::make()?),
            KeyType::Ed25519 => Self::Ed25519(Ed25519SigningKey::make(rng)?),
        })
    }

    /// Reads what [`to_material`](Self::to_material) gave, once it is unwrapped.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when it is no key of `key_type`.
    pub fn from_material(key_type: KeyType, material: &[u8]) -> Result<Self, KeyError> {
        let key = match key_type {
            KeyType::Aes256 => Self::Aes256(Key256::from_slice(material).ok_or(KeyError::Malformed)?),
            KeyType::Ed25519 => Self::Ed25519(Ed25519SigningKey::from_material(material)?),
            KeyType::Rsa2048 | KeyType::Rsa4096 | KeyType::EcP256 | KeyType::EcP384 => Self::from_pkcs8(material)?,
        };
        if key.key_type() == key_type { Ok(key) } else { Err(KeyError::Malformed) }
    }

    /// The bytes to wrap: 32 for AES and Ed25519 (the seed), else a PKCS#8 document.
    pub fn to_material(&self) -> Secret<Vec<u8>> {
        match self {
            Self::Aes256(key) => Secret::new(key.expose().to_vec()),
            Self::Rsa(key) => key.to_material(),
            Self::EcP256(key) => key.to_material(),
            Self::EcP384(key) => key.to_material(),
            Self::Ed25519(key) => key.to_material(),
        }
    }

    /// Reads a PKCS#8 document of any asymmetric type, with nothing behind it.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`], also for types and sizes that are not offered; [`KeyError::Weak`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        der::sequence(der)?;
        if let Ok(key) = P256SigningKey::from_pkcs8(der) {
            return Ok(Self::EcP256(key));
        }
        if let Ok(key) = P384SigningKey::from_pkcs8(der) {
            return Ok(Self::EcP384(key));
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return ed25519(&pair).map(Self::Ed25519);
        }
        RsaPrivateKey::from_pkcs8(der).map(|key| Self::Rsa(Box::new(key)))
    }

    /// The PKCS#8 document; `None` for AES.
    pub fn to_pkcs8(&self) -> Option<Secret<Vec<u8>>> {
        match self {
            Self::Aes256(_) => None,
            Self::Ed25519(key) => Some(key.to_material().map(|seed| [&ED25519_PKCS8, seed.as_slice()].concat())),
            Self::Rsa(_) | Self::EcP256(_) | Self::EcP384(_) => Some(self.to_material()),
        }
    }

    /// Reads one PEM block: `PRIVATE KEY` (PKCS#8), `RSA PRIVATE KEY` (PKCS#1) or `EC PRIVATE KEY` (SEC 1), not encrypted.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; anything before or behind the block is refused too.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let (label, der) = pem::decode(text)?;
        der::sequence(&der)?;
        match label {
            "PRIVATE KEY" => Self::from_pkcs8(&der),
            "RSA PRIVATE KEY" => RsaPrivateKey::from_pkcs1(&der).map(|key| Self::Rsa(Box::new(key))),
            "EC PRIVATE KEY" => P256SigningKey::from_sec1(&der)
                .map(Self::EcP256)
                .or_else(|_| P384SigningKey::from_sec1(&der).map(Self::EcP384)),
            _ => Err(KeyError::Malformed),
        }
    }

    /// The PEM block `PRIVATE KEY`; `None` for AES.
    pub fn to_pem(&self) -> Option<Secret<String>> {
        self.to_pkcs8().map(|der| der.map(|der| std::mem::take(&mut *pem::encode("PRIVATE KEY", der))))
    }

    /// What kind of key it is.
    pub const fn key_type(&self) -> KeyType {
        match self {
            Self::Aes256(_) => KeyType::Aes256,
            Self::Rsa(key) => match key.size() {
                RsaSize::Rsa2048 => KeyType::Rsa2048,
                RsaSize::Rsa4096 => KeyType::Rsa4096,
            },
            Self::EcP256(_) => KeyType::EcP256,
            Self::EcP384(_) => KeyType::EcP384,
            Self::Ed25519(_) => KeyType::Ed25519,
        }
    }

    /// The public half; `None` for AES.
    pub fn public(&self) -> Option<PublicKey> {
        match self {
            Self::Aes256(_) => None,
            Self::Rsa(key) => Some(PublicKey::Rsa(key.public().clone())),
            Self::EcP256(key) => Some(PublicKey::EcP256(key.public())),
            Self::EcP384(key) => Some(PublicKey::EcP384(key.public())),
            Self::Ed25519(key) => Some(PublicKey::Ed25519(key.public())),
        }
    }

    /// Signs `message`.
    ///
    /// # Errors
    ///
    /// [`UseError::WrongType`] when the key does not sign that way, [`UseError::Refused`] from AWS-LC.
    pub fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, UseError> {
        use SignatureAlgorithm::{EdDsa, Es256, Es256Der, Es384, Es384Der, Ps256, Rs256};
        let made = match (self, algorithm) {
            (Self::Rsa(key), Ps256) => return key.sign_pss(message),
            (Self::Rsa(key), Rs256) => return key.sign_pkcs1(message),
            (Self::EcP256(key), Es256) => key.sign(message).map(|fixed| fixed.to_vec()),
            (Self::EcP256(key), Es256Der) => key.sign_der(message),
            (Self::EcP384(key), Es384) => key.sign(message).map(|fixed| fixed.to_vec()),
            (Self::EcP384(key), Es384Der) => key.sign_der(message),
            (Self::Ed25519(key), EdDsa) => Ok(key.sign(message).to_vec()),
            _ => return Err(UseError::WrongType),
        };
        made.map_err(|_| UseError::Refused)
    }

    /// Decrypts RSA-OAEP with SHA-256 and `label`.
    ///
    /// # Errors
    ///
    /// [`UseError::WrongType`] for other keys, [`UseError::Refused`] for every other cause.
    pub fn decrypt_oaep(&self, label: &[u8], ciphertext: &[u8]) -> Result<Secret<Vec<u8>>, UseError> {
        match self {
            Self::Rsa(key) => key.decrypt_oaep(label, ciphertext),
            _ => Err(UseError::WrongType),
        }
    }
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyMaterial({}, ..)", self.key_type())
    }
}

fn ed25519(pair: &Ed25519KeyPair) -> Result<Ed25519SigningKey, KeyError> {
    use aws_lc_rs::encoding::{AsBigEndian as _, Curve25519SeedBin};
    let seed = pair.seed().map_err(|_| KeyError::Malformed)?;
    let seed: Curve25519SeedBin<'_> = seed.as_be_bytes().map_err(|_| KeyError::Failed)?;
    let seed = Zeroizing::new(<[u8; 32]>::try_from(seed.as_ref()).map_err(|_| KeyError::Failed)?);
    Ed25519SigningKey::from_seed(&seed)
}
