//! Versions of named keys that live in a provider: made there, used there, destroyed there.
//!
//! What needs the public half only, verifying and encrypting, is done here. What needs the private half is asked of the provider,
//! which may take long: never on a thread that serves requests.

use std::{sync::Arc, time::Duration};

use chancery_crypto::{PublicKey, Secret, SignatureAlgorithm, sha256, sha384};

use super::{
    HsmLink, Key, KeyError, KeyPurpose, KeyType, KeyVersion, KeyringError, ProviderError, ProviderKind, ResidentId,
    StoredMaterial,
    create::Drawn,
    named::{Algorithm, NamedKey},
    resident::{Decryption, ResidentError, ResidentKeys, ResidentType, ResidentUse, Signing},
};
use crate::{Instance, faults::Faults, ids::TenantId, instance::Failure};

/// The provider of this kind, if one is configured.
pub(super) fn provider(instance: &Instance, kind: ProviderKind) -> Option<Arc<dyn ResidentKeys>> {
    instance.resident().iter().find(|provider| provider.kind() == kind).map(Arc::clone)
}

/// No provider of that kind is configured; says which are.
pub(super) fn not_configured(instance: &Instance) -> Faults {
    let kinds: Vec<&str> = instance.resident().iter().map(|provider| provider.kind().as_str()).collect();
    let there = if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") };
    Faults::one(
        "/provider",
        "not_configured",
        format!("keys cannot live there: of such providers this server has {there}"),
    )
}

/// Makes a version of `key` in the provider that the key names.
///
/// If the store does not keep it afterwards, a key that nobody uses stays in the provider, by the name of this one.
pub(super) async fn make(instance: &Instance, key: &Key) -> Result<Drawn, KeyError> {
    let kind = key.provider.ok_or(KeyError::NoVersion)?;
    let Some(provider) = provider(instance, kind) else { return Err(not_configured(instance).into()) };
    let (key_type, r#use) = shape(key)?;
    let made = provider.generate(&key.id.to_string(), key_type, r#use).await;
    let id = made.map_err(|error| refused(kind, error))?;
    let public = provider.public(&id).await.map_err(|error| refused(kind, error))?;
    if public.key_type != key_type {
        return Err(KeyringError::Unwrap.into());
    }
    let public = PublicKey::from_spki(&public.spki).map_err(|_| KeyringError::Unwrap)?;
    if r#use == ResidentUse::Decrypt
        && let Err(error) = opens(&*provider, &id, &public).await
    {
        if let Err(error) = provider.destroy(&id).await {
            tracing::warn!(%kind, %error, "A key that is of no use stays in its provider");
        }
        return Err(refused(kind, error));
    }
    Ok(Drawn::There { material: StoredMaterial::Resident { provider: kind, id }, public })
}

/// Proves that the provider opens what is encrypted to the key. Encrypting takes the public half alone, so without this
/// what is encrypted to a key of an HSM that knows no OAEP with SHA-256 would never open again.
async fn opens(provider: &dyn ResidentKeys, id: &ResidentId, public: &PublicKey) -> Result<(), ResidentError> {
    const PROBE: &[u8] = b"what is encrypted here opens here";
    let sealed = public.encrypt_oaep(&[], PROBE).map_err(|_| ResidentError::Refused)?;
    let opened = provider.decrypt(id, Decryption::RsaOaep256, &sealed).await?;
    if opened.expose() == PROBE { Ok(()) } else { Err(ResidentError::Refused) }
}

/// What a provider shall make for this key; providers fix the one use when they generate.
fn shape(key: &Key) -> Result<(ResidentType, ResidentUse), Faults> {
    let unsuited = |message| Faults::one("/type", "unsuited", message);
    let key_type = match key.key_type {
        KeyType::EcP256 => ResidentType::EcP256,
        KeyType::EcP384 => ResidentType::EcP384,
        KeyType::Rsa2048 => ResidentType::Rsa2048,
        KeyType::Rsa4096 => ResidentType::Rsa4096,
        KeyType::Aes256 | KeyType::Ed25519 => {
            return Err(unsuited("keys in a provider are ec_p256, ec_p384, rsa_2048 or rsa_4096"));
        }
    };
    let r#use = match key.purpose {
        KeyPurpose::Signing | KeyPurpose::Jwt => ResidentUse::Sign,
        KeyPurpose::Encryption | KeyPurpose::Database | KeyPurpose::Backup | KeyPurpose::HsmWrapping => {
            ResidentUse::Decrypt
        }
        KeyPurpose::ApiKey => return Err(unsuited("a key of this purpose does not live in a provider")),
    };
    Ok((key_type, r#use))
}

/// KM-13's link of a key to where its newest version is.
pub(super) fn link(material: &StoredMaterial) -> Option<HsmLink> {
    match material {
        StoredMaterial::Resident { provider, id } => Some(HsmLink { provider: *provider, key_id: id.clone() }),
        StoredMaterial::Wrapped { .. } => None,
    }
}

/// A version in its provider, as the lease keeps it: asked for its public half once, which must be the stored one.
pub(super) async fn open(
    instance: &Instance,
    tenant: TenantId,
    key: &Key,
    version: &KeyVersion,
) -> Result<Arc<NamedKey>, KeyError> {
    let StoredMaterial::Resident { provider: kind, id } = &version.material else {
        return Err(KeyringError::Unwrap.into());
    };
    let ring = instance.keyring(tenant).await?;
    if let Some(kept) = ring.kept_named(&version.key_id) {
        return Ok(kept);
    }
    let absent = || ProviderError::Misconfigured("the configuration has no provider of this kind".to_owned());
    let provider = provider(instance, *kind);
    let provider = provider.ok_or_else(|| KeyringError::Provider(kind.to_string(), absent()))?;
    let public = provider.public(id).await.map_err(|error| refused(*kind, error))?;
    let public = PublicKey::from_spki(&public.spki).map_err(|_| KeyringError::Unwrap)?;
    let jwk = public.jwk();
    if jwk.thumbprint() != version.key_id || Some(jwk) != version.public_jwk {
        return Err(KeyringError::Unwrap.into());
    }
    let half = ResidentHalf { provider, kind: *kind, id: id.clone(), public };
    let opened = Arc::new(NamedKey::resident(tenant, key.id, version.handle, half));
    ring.keep_named(&version.key_id, &opened);
    Ok(opened)
}

/// The longest that a provider may take to destroy a key. It is asked again later.
const DESTROY_WITHIN: Duration = Duration::from_secs(30);

/// Destroys a version in its provider. One that is gone already is fine: an earlier try got that far. May take long: never while
/// rows are held.
pub(super) async fn destroy(instance: &Instance, material: &StoredMaterial) -> Result<(), Failure> {
    let StoredMaterial::Resident { provider: kind, id } = material else { return Ok(()) };
    let failed = |error| KeyringError::Provider(kind.to_string(), error);
    let Some(provider) = provider(instance, *kind) else {
        let absent = ProviderError::Misconfigured("the configuration has no provider of this kind".to_owned());
        return Err(failed(absent).into());
    };
    let silent = |_| Err(ResidentError::Unavailable("the provider does not answer".into()));
    match tokio::time::timeout(DESTROY_WITHIN, provider.destroy(id)).await.unwrap_or_else(silent) {
        Ok(_) | Err(ResidentError::NotFound) => Ok(()),
        Err(error) => Err(failed(in_provider_words(error)).into()),
    }
}

/// The private half is in the provider; the public one is here.
pub(crate) struct ResidentHalf {
    provider: Arc<dyn ResidentKeys>,
    kind: ProviderKind,
    id: ResidentId,
    pub(crate) public: PublicKey,
}

impl ResidentHalf {
    /// Signs in the provider. Waits: only for threads that may.
    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let (signing, checked, digest) = match algorithm {
            Algorithm::Es256 => (Signing::Es256, SignatureAlgorithm::Es256, sha256(message).to_vec()),
            Algorithm::Es384 => (Signing::Es384, SignatureAlgorithm::Es384, sha384(message).to_vec()),
            Algorithm::Ps256 => (Signing::Ps256, SignatureAlgorithm::Ps256, sha256(message).to_vec()),
            Algorithm::Rs256 => (Signing::Rs256, SignatureAlgorithm::Rs256, sha256(message).to_vec()),
            Algorithm::Es256Der
            | Algorithm::Es384Der
            | Algorithm::EdDsa
            | Algorithm::Hs256
            | Algorithm::Aes256Gcm
            | Algorithm::RsaOaep256 => return Err(KeyError::Unsuited("algorithm")),
        };
        let signature =
            wait(self.provider.sign(&self.id, signing, &digest)).map_err(|error| refused(self.kind, error))?;
        // A provider that signs with another key, or not at all, is not believed.
        if self.public.verify(checked, message, &signature) { Ok(signature) } else { Err(KeyError::Refused) }
    }

    /// Decrypts in the provider, which knows no label. Waits, as [`Self::sign`].
    pub(crate) fn decrypt(&self, ciphertext: &[u8], context: &str) -> Result<Secret<Vec<u8>>, KeyError> {
        without_context(context)?;
        let opened = wait(self.provider.decrypt(&self.id, Decryption::RsaOaep256, ciphertext));
        opened.map_err(|error| refused(self.kind, error))
    }
}

/// What is encrypted to a key in a provider must be without a context: no provider's OAEP takes a label.
pub(crate) fn without_context(context: &str) -> Result<(), KeyError> {
    if context.is_empty() {
        return Ok(());
    }
    Err(Faults::one("/context", "unsupported", "a key in a provider takes no context").into())
}

fn wait<T>(asked: impl Future<Output = T>) -> T {
    tokio::runtime::Handle::current().block_on(asked)
}

pub(super) fn in_provider_words(error: ResidentError) -> ProviderError {
    match error {
        ResidentError::Unavailable(source) => ProviderError::Unavailable(source),
        ResidentError::Misconfigured(text) => ProviderError::Misconfigured(text),
        ResidentError::NotFound => ProviderError::Misconfigured("the provider has no such key".to_owned()),
        ResidentError::Unsupported | ResidentError::Refused => ProviderError::Refused,
    }
}

fn refused(kind: ProviderKind, error: ResidentError) -> KeyError {
    match error {
        ResidentError::Unsupported => KeyError::Unsuited("provider"),
        ResidentError::Refused => KeyError::Refused,
        error => KeyringError::Provider(kind.to_string(), in_provider_words(error)).into(),
    }
}
