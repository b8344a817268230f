//! The port to keys that live in a provider and never leave it (design §5: *resident* versions).

use async_trait::async_trait;
use chancery_crypto::Secret;

use super::ProviderKind;
use crate::time::Timestamp;

codes! {
    /// What a resident key is, mathematically.
    pub enum ResidentType {
        /// ECDSA on P-256.
        EcP256 = "ec_p256",
        /// ECDSA on P-384.
        EcP384 = "ec_p384",
        /// RSA, 2048 bits.
        Rsa2048 = "rsa_2048",
        /// RSA, 4096 bits.
        Rsa4096 = "rsa_4096",
    }
}

codes! {
    /// The one thing a resident key does; providers fix it when they generate.
    pub enum ResidentUse {
        /// Signing.
        Sign = "sign",
        /// Decrypting what others encrypted to its public half. RSA only.
        Decrypt = "decrypt",
    }
}

codes! {
    /// How a resident key signs, by the names of RFC 7518.
    pub enum Signing {
        /// ECDSA on P-256 with SHA-256; 64 bytes, r ‖ s.
        Es256 = "ES256",
        /// ECDSA on P-384 with SHA-384; 96 bytes, r ‖ s.
        Es384 = "ES384",
        /// RSA-PSS with SHA-256, MGF1 with SHA-256 and 32 bytes of salt.
        Ps256 = "PS256",
        /// RSA PKCS#1 v1.5 with SHA-256.
        Rs256 = "RS256",
    }
}

impl Signing {
    /// How long the digest is that it signs, in bytes: SHA-384 for [`Self::Es384`], else SHA-256.
    pub const fn digest_len(self) -> usize {
        match self {
            Self::Es256 | Self::Ps256 | Self::Rs256 => 32,
            Self::Es384 => 48,
        }
    }

    /// Whether a key of this type signs so.
    pub const fn suits(self, key_type: ResidentType) -> bool {
        match self {
            Self::Es256 => matches!(key_type, ResidentType::EcP256),
            Self::Es384 => matches!(key_type, ResidentType::EcP384),
            Self::Ps256 | Self::Rs256 => matches!(key_type, ResidentType::Rsa2048 | ResidentType::Rsa4096),
        }
    }
}

codes! {
    /// How a resident RSA key decrypts, by the names of RFC 7518.
    pub enum Decryption {
        /// RSA-OAEP with SHA-256 and MGF1 with SHA-256.
        RsaOaep256 = "RSA-OAEP-256",
        /// RSA-OAEP with SHA-1, which nothing has to resist collisions of here. For HSMs that know no other.
        RsaOaep = "RSA-OAEP",
    }
}

/// A resident key as its provider knows it: at most 255 printable ASCII characters (KM-13).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResidentId(String);

/// A text that no provider gives as a key's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a resident key is named by 1 to 255 printable ASCII characters")]
pub struct ParseResidentIdError;

impl ResidentId {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for ResidentId {
    type Err = ParseResidentIdError;

    fn from_str(text: &str) -> Result<Self, ParseResidentIdError> {
        if !(1..=255).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ParseResidentIdError);
        }
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Display for ResidentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The public half of a resident key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResidentPublic {
    /// What the key is.
    pub key_type: ResidentType,
    /// `SubjectPublicKeyInfo` in DER ([RFC 5280 §4.1](https://www.rfc-editor.org/rfc/rfc5280#section-4.1)).
    pub spki: Vec<u8>,
}

/// How a resident key ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destruction {
    /// It is gone.
    Done,
    /// It does nothing any more and is gone at that moment, unless somebody cancels at the provider.
    Scheduled(Timestamp),
}

/// Why a resident key did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ResidentError {
    /// The provider did not answer. Trying later may help.
    #[error("the key provider is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The provider has no such key.
    #[error("the key provider has no such key")]
    NotFound,
    /// The key, or the provider, does not do this: another type, another use, another algorithm.
    #[error("the key provider cannot do this with this key")]
    Unsupported,
    /// The ciphertext does not open, or the digest has not the algorithm's length.
    #[error("the key provider refuses this input")]
    Refused,
    /// The provider or the key cannot be used as it is.
    #[error("{0}")]
    Misconfigured(String),
}

/// Keys that a provider generates, keeps and uses; no private half ever leaves it.
///
/// Contract, proven by `chancery_testkit::resident_keys_conformance!`: a signature verifies under [`Self::public`]
/// and under no other key; what was encrypted to it decrypts, and with a byte changed is [`ResidentError::Refused`];
/// a key does only what it was generated for; a key that is gone is [`ResidentError::NotFound`].
#[async_trait]
pub trait ResidentKeys: Send + Sync {
    /// The kind of the provider.
    fn kind(&self) -> ProviderKind;

    /// Makes a key in the provider. `name` is for people who look at the provider; it need not be the only one of its name.
    async fn generate(
        &self,
        name: &str,
        key_type: ResidentType,
        r#use: ResidentUse,
    ) -> Result<ResidentId, ResidentError>;

    /// The public half.
    async fn public(&self, id: &ResidentId) -> Result<ResidentPublic, ResidentError>;

    /// Signs the digest of a message, made with the algorithm's own hash.
    async fn sign(&self, id: &ResidentId, signing: Signing, digest: &[u8]) -> Result<Vec<u8>, ResidentError>;

    /// Decrypts what was encrypted to the public half.
    async fn decrypt(
        &self,
        id: &ResidentId,
        decryption: Decryption,
        ciphertext: &[u8],
    ) -> Result<Secret<Vec<u8>>, ResidentError>;

    /// Destroys the key, or has it destroyed after the provider's waiting time.
    async fn destroy(&self, id: &ResidentId) -> Result<Destruction, ResidentError>;
}
