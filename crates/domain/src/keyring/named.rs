//! A named key's version, unwrapped. It does what its purpose says, and never prints.

use chancery_crypto::{
    ColumnKey, Context, Flags, Handle, KeyMaterial, MacKey, OpenError, PublicKey, SealError, Sealed, Secret,
    SignatureAlgorithm, UnwrapError, UseError, WrapContext, WrappingKey, derive_key, parent_of, random::Random,
};
use subtle::ConstantTimeEq as _;

use super::{
    Key, KeyError, KeyPurpose, KeyType, KeyVersion, KeyringError,
    resides::{ResidentHalf, without_context},
    tenant_keys::TenantKeys,
};
use crate::{faults::Faults, ids::TenantId};

codes! {
    /// How a named key signs, encrypts or wraps. Names of RFC 7518, with `-DER` for that form of a signature.
    pub enum Algorithm {
        /// RSA-PSS with SHA-256 and 32 bytes of salt.
        Ps256 = "PS256",
        /// RSA PKCS#1 v1.5 with SHA-256.
        Rs256 = "RS256",
        /// ECDSA P-256 with SHA-256, r ‖ s.
        Es256 = "ES256",
        /// ECDSA P-256 with SHA-256, in DER.
        Es256Der = "ES256-DER",
        /// ECDSA P-384 with SHA-384, r ‖ s.
        Es384 = "ES384",
        /// ECDSA P-384 with SHA-384, in DER.
        Es384Der = "ES384-DER",
        /// Ed25519.
        EdDsa = "EdDSA",
        /// HMAC with SHA-256.
        Hs256 = "HS256",
        /// AES-256-GCM under a key of the message's own, which commits to it (ADR 0001).
        Aes256Gcm = "A256GCM-CHY1",
        /// RSA-OAEP with SHA-256.
        RsaOaep256 = "RSA-OAEP-256",
    }
}

impl Algorithm {
    /// With what a key of this type signs, the usual one first.
    pub const fn of_signatures(key_type: KeyType) -> &'static [Self] {
        match key_type {
            KeyType::Aes256 => &[Self::Hs256],
            KeyType::Rsa2048 | KeyType::Rsa4096 => &[Self::Ps256, Self::Rs256],
            KeyType::EcP256 => &[Self::Es256, Self::Es256Der],
            KeyType::EcP384 => &[Self::Es384, Self::Es384Der],
            KeyType::Ed25519 => &[Self::EdDsa],
        }
    }

    /// With what a key of this type encrypts and wraps.
    pub(crate) const fn of_encryption(key_type: KeyType) -> Self {
        if matches!(key_type, KeyType::Aes256) { Self::Aes256Gcm } else { Self::RsaOaep256 }
    }

    /// The signature that `asked` means for this type, or its usual one.
    pub(crate) fn signing(key_type: KeyType, asked: Option<Self>) -> Result<Self, KeyError> {
        let all = Self::of_signatures(key_type);
        let chosen = asked.or_else(|| all.first().copied());
        chosen.filter(|algorithm| all.contains(algorithm)).ok_or(KeyError::Unsuited("algorithm"))
    }

    const fn signature(self) -> Option<SignatureAlgorithm> {
        Some(match self {
            Self::Ps256 => SignatureAlgorithm::Ps256,
            Self::Rs256 => SignatureAlgorithm::Rs256,
            Self::Es256 => SignatureAlgorithm::Es256,
            Self::Es256Der => SignatureAlgorithm::Es256Der,
            Self::Es384 => SignatureAlgorithm::Es384,
            Self::Es384Der => SignatureAlgorithm::Es384Der,
            Self::EdDsa => SignatureAlgorithm::EdDsa,
            Self::Hs256 | Self::Aes256Gcm | Self::RsaOaep256 => return None,
        })
    }
}

impl KeyType {
    /// The same type in the words of the maths.
    pub(crate) const fn maths(self) -> chancery_crypto::KeyType {
        match self {
            Self::Aes256 => chancery_crypto::KeyType::Aes256,
            Self::Rsa2048 => chancery_crypto::KeyType::Rsa2048,
            Self::Rsa4096 => chancery_crypto::KeyType::Rsa4096,
            Self::EcP256 => chancery_crypto::KeyType::EcP256,
            Self::EcP384 => chancery_crypto::KeyType::EcP384,
            Self::Ed25519 => chancery_crypto::KeyType::Ed25519,
        }
    }

    /// The type of a key that was read.
    pub(crate) const fn of(material: chancery_crypto::KeyType) -> Self {
        match material {
            chancery_crypto::KeyType::Aes256 => Self::Aes256,
            chancery_crypto::KeyType::Rsa2048 => Self::Rsa2048,
            chancery_crypto::KeyType::Rsa4096 => Self::Rsa4096,
            chancery_crypto::KeyType::EcP256 => Self::EcP256,
            chancery_crypto::KeyType::EcP384 => Self::EcP384,
            chancery_crypto::KeyType::Ed25519 => Self::Ed25519,
        }
    }

    /// Whether its private operations take milliseconds, so that they must not hold up other requests.
    pub(crate) const fn is_slow(self) -> bool {
        matches!(self, Self::Rsa2048 | Self::Rsa4096)
    }
}

/// One version of a named key in the clear, for as long as the tenant's lease.
pub(crate) struct NamedKey {
    tenant: TenantId,
    key: crate::ids::KeyId,
    handle: Handle,
    secret: SecretHalf,
}

enum SecretHalf {
    /// The keys derived from one AES key, one per use, so that no output of one is an input of another.
    Symmetric(Box<Symmetric>),
    /// An AES key that makes codes and nothing else.
    Mac(Box<MacKey>),
    /// A private key with its public half.
    Private(Box<Pair>),
    /// A private half in a provider, with its public half here.
    Resident(Box<ResidentHalf>),
}

struct Pair {
    key: KeyMaterial,
    public: PublicKey,
}

struct Symmetric {
    seals: ColumnKey,
    wraps: WrappingKey,
}

impl NamedKey {
    /// Unwraps a version of `key`, which must be of that type and purpose.
    pub(crate) fn open(
        tenant: TenantId,
        tenant_keys: &TenantKeys,
        key: &Key,
        version: &KeyVersion,
    ) -> Result<Self, KeyringError> {
        let bytes = tenant_keys.unwrap(&key.wrap_purpose(), version)?;
        let material =
            KeyMaterial::from_material(key.key_type.maths(), bytes.expose()).map_err(|_| KeyringError::Unwrap)?;
        let public = material.public();
        // A row's public half is a copy for readers. Whoever can write rows cannot make us believe another one.
        let jwk = public.as_ref().map(PublicKey::jwk);
        if jwk != version.public_jwk || jwk.is_some_and(|jwk| jwk.thumbprint() != version.key_id) {
            return Err(KeyringError::Unwrap);
        }
        let secret = match (material, public) {
            (KeyMaterial::Aes256(root), _) if key.purpose == KeyPurpose::ApiKey => {
                SecretHalf::Mac(Box::new(MacKey::from(&root)))
            }
            (KeyMaterial::Aes256(root), _) => SecretHalf::Symmetric(Box::new(Symmetric {
                seals: ColumnKey::from_key(&derive_key(&root, "chancery/named/seal/1", &[]), version.handle),
                wraps: WrappingKey::new(&derive_key(&root, "chancery/named/wrap/1", &[]), version.handle),
            })),
            (key, Some(public)) => SecretHalf::Private(Box::new(Pair { key, public })),
            (_, None) => return Err(KeyringError::Unwrap),
        };
        Ok(Self { tenant, key: key.id, handle: version.handle, secret })
    }

    /// A version whose private half is in a provider.
    pub(crate) fn resident(tenant: TenantId, key: crate::ids::KeyId, handle: Handle, half: ResidentHalf) -> Self {
        Self { tenant, key, handle, secret: SecretHalf::Resident(Box::new(half)) }
    }

    /// Whether its private half is in a provider, for which a use waits.
    pub(crate) const fn is_elsewhere(&self) -> bool {
        matches!(self.secret, SecretHalf::Resident(_))
    }

    /// Signs, or makes a code.
    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match (&self.secret, algorithm.signature()) {
            (SecretHalf::Mac(key), None) => Ok(key.raw(message).to_vec()),
            (SecretHalf::Private(pair), Some(algorithm)) => pair.key.sign(algorithm, message).map_err(used),
            (SecretHalf::Resident(half), Some(_)) => half.sign(algorithm, message),
            _ => Err(KeyError::Unsuited("algorithm")),
        }
    }

    /// Whether this key made `signature` so.
    pub(crate) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Result<bool, KeyError> {
        match (&self.secret, algorithm.signature()) {
            (SecretHalf::Mac(key), None) => Ok(key.raw(message).as_slice().ct_eq(signature).into()),
            (SecretHalf::Private(pair), Some(algorithm)) => Ok(pair.public.verify(algorithm, message, signature)),
            (SecretHalf::Resident(half), Some(algorithm)) => Ok(half.public.verify(algorithm, message, signature)),
            _ => Err(KeyError::Unsuited("algorithm")),
        }
    }

    /// Encrypts for a context that the decryption must repeat.
    pub(crate) fn encrypt(&self, plaintext: &[u8], context: &str, rng: &dyn Random) -> Result<Vec<u8>, KeyError> {
        match &self.secret {
            SecretHalf::Symmetric(key) => {
                let flags = if context.is_empty() { Flags::COLUMN } else { Flags::ROW };
                let sealed =
                    self.with_context(context, |context| key.seals.seal(&context.digest(), flags, plaintext, rng));
                sealed.map(Sealed::into_bytes).map_err(|error| match error {
                    SealError::TooLong => Faults::one("/plaintext", "too_long", "use at most 1 MiB").into(),
                    SealError::AlreadySealed => {
                        Faults::one("/plaintext", "already_sealed", "this is a sealed value already").into()
                    }
                    SealError::Random(error) => error.into(),
                    SealError::Failed => KeyError::Refused,
                })
            }
            SecretHalf::Private(pair) => pair.public.encrypt_oaep(context.as_bytes(), plaintext).map_err(used),
            SecretHalf::Resident(half) => {
                without_context(context)?;
                half.public.encrypt_oaep(&[], plaintext).map_err(used)
            }
            SecretHalf::Mac(_) => Err(KeyError::Unsuited("purpose")),
        }
    }

    /// Decrypts what [`Self::encrypt`] gave under the same context.
    pub(crate) fn decrypt(&self, ciphertext: &[u8], context: &str) -> Result<Secret<Vec<u8>>, KeyError> {
        match &self.secret {
            SecretHalf::Symmetric(key) => {
                let sealed = Sealed::from_bytes(ciphertext.to_vec()).map_err(|_| KeyError::Malformed)?;
                let opened = self.with_context(context, |context| key.seals.open(&context.digest(), &sealed));
                opened.map_err(|error| match error {
                    OpenError::WrongKeyOrContext => KeyError::WrongContext,
                    OpenError::Tampered => KeyError::Tampered,
                })
            }
            SecretHalf::Private(pair) => pair.key.decrypt_oaep(context.as_bytes(), ciphertext).map_err(used),
            SecretHalf::Resident(half) => half.decrypt(ciphertext, context),
            SecretHalf::Mac(_) => Err(KeyError::Unsuited("purpose")),
        }
    }

    /// Wraps another key.
    pub(crate) fn wrap(&self, material: &[u8], context: &str, rng: &dyn Random) -> Result<Vec<u8>, KeyError> {
        match &self.secret {
            SecretHalf::Symmetric(key) => {
                let (tenant, id) = (self.tenant.to_bytes(), self.key.to_bytes());
                key.wraps
                    .wrap(&wrapping(&tenant, &id, context), material, rng)
                    .map_err(|_| Faults::one("/key", "too_long", "use at most 64 KiB").into())
            }
            SecretHalf::Private(pair) => pair.public.encrypt_oaep(context.as_bytes(), material).map_err(used),
            SecretHalf::Resident(half) => {
                without_context(context)?;
                half.public.encrypt_oaep(&[], material).map_err(used)
            }
            SecretHalf::Mac(_) => Err(KeyError::Unsuited("purpose")),
        }
    }

    /// Unwraps what [`Self::wrap`] gave under the same context.
    pub(crate) fn unwrap(&self, wrapped: &[u8], context: &str) -> Result<Secret<Vec<u8>>, KeyError> {
        match &self.secret {
            SecretHalf::Symmetric(key) => {
                let (tenant, id) = (self.tenant.to_bytes(), self.key.to_bytes());
                key.wraps.unwrap(&wrapping(&tenant, &id, context), wrapped).map_err(|error| match error {
                    UnwrapError::Malformed(_) => KeyError::Malformed,
                    UnwrapError::WrongKeyOrContext => KeyError::WrongContext,
                    UnwrapError::Tampered => KeyError::Tampered,
                })
            }
            SecretHalf::Private(pair) => pair.key.decrypt_oaep(context.as_bytes(), wrapped).map_err(used),
            SecretHalf::Resident(half) => half.decrypt(wrapped, context),
            SecretHalf::Mac(_) => Err(KeyError::Unsuited("purpose")),
        }
    }

    fn with_context<T>(&self, context: &str, run: impl FnOnce(Context<'_>) -> T) -> T {
        let (tenant, key) = (self.tenant.to_bytes(), self.key.to_bytes());
        run(Context {
            tenant: &tenant,
            domain: b"named",
            table: &key,
            column: b"",
            row: context.as_bytes(),
            generation: b"",
            schema_type: b"bytes",
        })
    }
}

impl std::fmt::Debug for NamedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NamedKey({}, {:?}, ..)", self.key, self.handle)
    }
}

const fn wrapping<'a>(tenant: &'a [u8; 16], key: &'a [u8; 16], context: &'a str) -> WrapContext<'a> {
    WrapContext { parent: key, child: tenant, purpose: context.as_bytes(), version: 1 }
}

fn used(error: UseError) -> KeyError {
    match error {
        UseError::WrongType => KeyError::Unsuited("type"),
        UseError::TooLong => {
            Faults::one("", "too_long", "an RSA key takes at most 190 bytes (2048 bits) or 446 bytes (4096 bits)")
                .into()
        }
        UseError::Refused => KeyError::Refused,
    }
}

/// Which version encrypted or wrapped this, if it says so.
pub(crate) fn handle_in(bytes: &[u8]) -> Option<Handle> {
    let sealed = || Sealed::from_bytes(bytes.to_vec()).ok().map(|sealed| sealed.handle());
    parent_of(bytes).ok().or_else(sealed)
}

#[cfg(test)]
mod tests {
    use chancery_crypto::{Key256, SystemRandom};
    use static_assertions::assert_not_impl_any;

    use super::*;
    use crate::{
        ids::KeyId,
        keyring::{KeyOrigin, Managed, create},
        time::Timestamp,
    };

    assert_not_impl_any!(NamedKey: Clone, Copy, serde::Serialize);

    const TENANT: TenantId = TenantId::from_bytes([7; 16]);
    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn tenant_keys() -> TenantKeys {
        TenantKeys::first(TENANT, WrappingKey::new(&Key256::from_bytes([9; 32]), Handle([9; 8])))
    }

    /// A key and its first version, as they would be stored.
    fn stored(key_type: KeyType, purpose: KeyPurpose) -> (Key, KeyVersion) {
        let base = Key::managed(KeyId::from_bytes([1; 16]), Managed::Data, NOW);
        let key = Key { name: "k".to_owned(), key_type, purpose, managed: None, origin: KeyOrigin::Generated, ..base };
        let material = KeyMaterial::generate(key_type.maths(), &SystemRandom).unwrap();
        let public = material.public().map(|public| public.jwk());
        let bytes = material.to_material();
        let wrapped = tenant_keys().wrap(key.id, &key.wrap_purpose(), 1, bytes.expose(), &SystemRandom).unwrap();
        let key_id = public.as_ref().map_or_else(|| "kv".to_owned(), |jwk| jwk.thumbprint());
        let version = create::tests::version(key.id, key_id, wrapped, public);
        (key, version)
    }

    fn opened(key_type: KeyType, purpose: KeyPurpose) -> NamedKey {
        let (key, version) = stored(key_type, purpose);
        NamedKey::open(TENANT, &tenant_keys(), &key, &version).unwrap()
    }

    #[test]
    fn every_type_that_signs_verifies_what_it_signed_and_nothing_else() {
        for (key_type, purpose) in [
            (KeyType::Rsa2048, KeyPurpose::Signing),
            (KeyType::EcP256, KeyPurpose::Jwt),
            (KeyType::EcP384, KeyPurpose::Signing),
            (KeyType::Ed25519, KeyPurpose::Signing),
            (KeyType::Aes256, KeyPurpose::ApiKey),
        ] {
            let key = opened(key_type, purpose);
            for algorithm in Algorithm::of_signatures(key_type) {
                let mut signature = key.sign(*algorithm, b"message").unwrap();
                assert!(key.verify(*algorithm, b"message", &signature).unwrap(), "{algorithm}");
                assert!(!key.verify(*algorithm, b"another", &signature).unwrap(), "{algorithm}");
                assert!(!key.verify(*algorithm, b"message", &[]).unwrap(), "{algorithm}");
                if let Some(last) = signature.last_mut() {
                    *last ^= 1;
                }
                assert!(!key.verify(*algorithm, b"message", &signature).unwrap(), "{algorithm}");
            }
            assert!(
                matches!(key.sign(Algorithm::Aes256Gcm, b"x"), Err(KeyError::Unsuited(_)))
                    || key_type == KeyType::Aes256
            );
        }
    }

    #[test]
    fn every_type_that_encrypts_opens_only_in_its_context() {
        for key_type in [KeyType::Aes256, KeyType::Rsa2048] {
            let key = opened(key_type, KeyPurpose::Encryption);
            for context in ["", "patient/42"] {
                let sealed = key.encrypt(b"Jane", context, &SystemRandom).unwrap();
                assert_eq!(key.decrypt(&sealed, context).unwrap().expose(), b"Jane");
                assert!(matches!(key.decrypt(&sealed, "patient/43"), Err(KeyError::WrongContext | KeyError::Refused)));
                let wrapped = key.wrap(&[5; 32], context, &SystemRandom).unwrap();
                assert_eq!(key.unwrap(&wrapped, context).unwrap().expose(), &[5; 32]);
                assert!(key.unwrap(&wrapped, "other").is_err());
                // What was wrapped is no ciphertext, and the other way round; RSA knows no difference.
                assert_eq!(key.decrypt(&wrapped, context).is_ok(), key_type == KeyType::Rsa2048);
            }
        }
    }

    #[test]
    fn a_row_moved_to_another_type_purpose_key_or_public_half_does_not_unwrap() {
        let (key, version) = stored(KeyType::EcP256, KeyPurpose::Signing);
        let open = |key: &Key, version: &KeyVersion| NamedKey::open(TENANT, &tenant_keys(), key, version).is_ok();
        assert!(open(&key, &version));
        assert!(!open(&Key { purpose: KeyPurpose::Jwt, ..key.clone() }, &version));
        assert!(!open(&Key { key_type: KeyType::EcP384, ..key.clone() }, &version));
        assert!(!open(&key, &KeyVersion { version: 2, ..version.clone() }));
        assert!(!open(&key, &KeyVersion { key: KeyId::from_bytes([2; 16]), ..version.clone() }));
        let (_, other) = stored(KeyType::EcP256, KeyPurpose::Signing);
        assert!(!open(&key, &KeyVersion { public_jwk: other.public_jwk, ..version.clone() }));
        assert!(!open(&key, &KeyVersion { key_id: other.key_id, ..version }));
    }
}
