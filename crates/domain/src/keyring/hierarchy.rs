//! Making a tenant's keys, and unwrapping them again.

use chancery_crypto::{Ed25519SigningKey, Jwk, Key256, P256SigningKey, RsaPrivateKey, RsaSize, Secret, random::Random};

use super::{
    Key, KeyState, KeyType, KeyVersion, Keyring, KeyringError, Managed, PlatformRoot, TenantKey,
    reference::Reference,
    ring::{Material, RingVersion},
    tenant_keys::{self, OwnProviders, TenantKeys},
};
use crate::{
    ids::{KeyId, TenantId},
    instance::{Environment, Failure},
    store::View,
    subjects::SubjectReferences,
    time::Timestamp,
    tokens::TokenAlgorithm,
};

/// The keys of a new tenant: what to store, and the same unwrapped.
pub struct NewHierarchy {
    /// The tenant key under the platform root.
    pub tenant_key: TenantKey,
    /// The managed keys under the tenant key.
    pub keys: Vec<(Key, KeyVersion)>,
    /// All of it, unwrapped.
    pub ring: Keyring,
}

/// Makes the keys of a new tenant, or of the platform, whose token key is for this algorithm.
///
/// # Errors
///
/// [`Failure::Random`], [`Failure::Keyring`].
pub async fn make(
    tenant: TenantId,
    root: &PlatformRoot,
    tokens: TokenAlgorithm,
    now: Timestamp,
    rng: &dyn Random,
) -> Result<NewHierarchy, Failure> {
    let none = OwnProviders { providers: &[], environment: Environment::Development };
    let (tenant_key, wrapping) = tenant_keys::make(tenant, 1, root, None, none, now, rng).await?;
    let wrapping = TenantKeys::first(tenant, wrapping);
    let uses = if tenant.is_platform() { Managed::OF_PLATFORM } else { Managed::OF_TENANT };
    let mut keys = Vec::new();
    let mut versions = Vec::new();
    for &managed in uses {
        let key = Key::managed(KeyId::make(now, rng)?, managed, now);
        let (version, ring_version) = make_version(&key, (managed, tokens), 1, None, &wrapping, now, rng)?;
        keys.push((key, version));
        versions.push(ring_version);
    }
    Ok(NewHierarchy { tenant_key, keys, ring: Keyring::new(tenant, wrapping, versions) })
}

/// Makes one version of a managed key, active from `now`; of the token key for this algorithm.
pub(super) fn make_version(
    key: &Key,
    (managed, tokens): (Managed, TokenAlgorithm),
    version: u32,
    previous: Option<String>,
    wrapping: &TenantKeys,
    now: Timestamp,
    rng: &dyn Random,
) -> Result<(KeyVersion, RingVersion), Failure> {
    let (material, bytes, public) = match (managed, key.key_type) {
        (Managed::Certificate, KeyType::EcP256) => {
            let TokenMaterial { material, bytes, public } = TokenMaterial::make(TokenAlgorithm::Es256, rng)?;
            (material, bytes, Some(public))
        }
        _ => make_material(managed, tokens, rng)?,
    };
    let wrapped = wrapping.wrap(key.id, &key.wrap_purpose(), version, bytes.expose(), rng)?;
    let stored = KeyVersion::fresh(key, version, previous, wrapped, public, now, rng)?;
    let (key_id, public) = (stored.key_id.clone(), stored.public_jwk.clone());
    let (handle, state) = (stored.handle, stored.state);
    let lent = RingVersion { managed, key_id, handle, state, retired_at: None, public, material };
    Ok((stored, lent))
}

/// Makes one version of a certificate key that lives in a provider, active from `now`.
pub(super) fn make_reference(
    key: &Key,
    reference: Reference,
    version: u32,
    previous: Option<String>,
    wrapping: &TenantKeys,
    now: Timestamp,
    rng: &dyn Random,
) -> Result<(KeyVersion, RingVersion), Failure> {
    let bytes = reference.to_material();
    let wrapped = wrapping.wrap(key.id, &key.wrap_purpose(), version, bytes.expose(), rng)?;
    let public = Some(reference.public.clone());
    let stored = KeyVersion::fresh(key, version, previous, wrapped, public.clone(), now, rng)?;
    let (key_id, handle, state) = (stored.key_id.clone(), stored.handle, stored.state);
    let (managed, material) = (Managed::Certificate, Material::There(Box::new(reference)));
    let lent = RingVersion { managed, key_id, handle, state, retired_at: None, public, material };
    Ok((stored, lent))
}

type Bytes = Secret<Vec<u8>>;

/// A new token key, before it belongs to anything.
pub(super) struct TokenMaterial {
    material: Material,
    bytes: Bytes,
    public: Jwk,
}

impl TokenMaterial {
    /// Draws one for this algorithm. RSA takes up to a second.
    pub(super) fn make(algorithm: TokenAlgorithm, rng: &dyn Random) -> Result<Self, KeyringError> {
        let (material, bytes, public) = match algorithm {
            TokenAlgorithm::Es256 => {
                let key = P256SigningKey::make().map_err(|_| KeyringError::Unwrap)?;
                let (bytes, public) = (key.to_material(), key.public().jwk());
                (Material::P256(key), bytes, public)
            }
            TokenAlgorithm::EdDsa => {
                let key = Ed25519SigningKey::make(rng).map_err(|_| KeyringError::Unwrap)?;
                let (bytes, public) = (key.to_material(), key.public().jwk());
                (Material::Ed25519(key), bytes, public)
            }
            TokenAlgorithm::Rs256 => {
                let key = RsaPrivateKey::make(RsaSize::Rsa2048).map_err(|_| KeyringError::Unwrap)?;
                let (bytes, public) = (key.to_material(), key.public().jwk());
                (Material::Rsa(Box::new(key)), bytes, public)
            }
        };
        Ok(Self { material, bytes, public })
    }

    /// Reads one. Its public half says which kind it is, and must then be its public half.
    fn read(public: &Jwk, bytes: &[u8]) -> Result<Material, KeyringError> {
        let damaged = |_| KeyringError::Unwrap;
        Ok(match TokenAlgorithm::of(public).ok_or(KeyringError::Unwrap)? {
            TokenAlgorithm::Es256 => Material::P256(P256SigningKey::from_pkcs8(bytes).map_err(damaged)?),
            TokenAlgorithm::EdDsa => Material::Ed25519(Ed25519SigningKey::from_material(bytes).map_err(damaged)?),
            TokenAlgorithm::Rs256 => Material::Rsa(Box::new(RsaPrivateKey::from_pkcs8(bytes).map_err(damaged)?)),
        })
    }
}

/// A version of the token key from what was drawn before, active from `now`.
pub(super) fn token_version(
    key: &Key,
    version: u32,
    previous: Option<String>,
    wrapping: &TenantKeys,
    drawn: &TokenMaterial,
    now: Timestamp,
    rng: &dyn Random,
) -> Result<KeyVersion, Failure> {
    let wrapped = wrapping.wrap(key.id, &key.wrap_purpose(), version, drawn.bytes.expose(), rng)?;
    Ok(KeyVersion::fresh(key, version, previous, wrapped, Some(drawn.public.clone()), now, rng)?)
}

fn make_material(
    managed: Managed,
    tokens: TokenAlgorithm,
    rng: &dyn Random,
) -> Result<(Material, Bytes, Option<Jwk>), Failure> {
    Ok(match managed {
        Managed::Certificate | Managed::Log => {
            let key = Ed25519SigningKey::make(rng).map_err(|_| KeyringError::Unwrap)?;
            let (bytes, public) = (key.to_material(), key.public().jwk());
            (Material::Ed25519(key), bytes, Some(public))
        }
        Managed::Token => {
            let TokenMaterial { material, bytes, public } = TokenMaterial::make(tokens, rng)?;
            (material, bytes, Some(public))
        }
        Managed::Data | Managed::Index | Managed::Subject | Managed::Audit => {
            let key = Key256::make(rng)?;
            let bytes = Bytes::new(key.expose().to_vec());
            (Material::Root(key), bytes, None)
        }
    })
}

/// A tenant's keys as they are stored.
pub struct Stored {
    tenant: TenantId,
    tenant_keys: Vec<TenantKey>,
    versions: Vec<(Managed, KeyVersion)>,
    references: Vec<SubjectReferences>,
}

/// Reads a tenant's keys. Unwrapping is apart, since it may ask a provider and no view should wait for that.
///
/// # Errors
///
/// [`Failure::Store`].
pub async fn read(tenant: TenantId, view: &mut dyn View) -> Result<Stored, Failure> {
    let (tenant_keys, versions) = (view.tenant_keys().await?, view.managed_versions().await?);
    Ok(Stored { tenant, tenant_keys, versions, references: view.subject_references().await? })
}

/// Unwraps a tenant's keys.
///
/// # Errors
///
/// [`KeyringError::Unwrap`]: the tenant key is not this root's, or damaged; [`KeyringError::Root`]: under a version of the root that is not
/// among those of `root`; [`KeyringError::Provider`]: the tenant's own provider did not give its part.
pub(crate) async fn unwrap(
    stored: Stored,
    root: &PlatformRoot,
    own: OwnProviders<'_>,
) -> Result<Keyring, KeyringError> {
    let Stored { tenant, tenant_keys, versions: stored_versions, references } = stored;
    let wrapping = TenantKeys::open(tenant, &tenant_keys, root, own).await?;
    let mut versions = Vec::new();
    for (managed, stored) in stored_versions {
        if stored.state == KeyState::Destroyed {
            continue;
        }
        // One that is damaged must not keep the tenant from taking it back. It stays in its place: nothing else is taken
        // for it.
        let material = open_version(managed, &stored, &wrapping).unwrap_or_else(|_| {
            tracing::error!(%tenant, %managed, version = stored.version, "A stored key does not unwrap");
            Material::Damaged
        });
        let public = public_half(&material);
        let KeyVersion { key_id, handle, state, retired_at, .. } = stored;
        versions.push(RingVersion { managed, key_id, handle, state, retired_at, public, material });
    }
    Ok(Keyring::new(tenant, wrapping, versions).with_references(references))
}

fn open_version(managed: Managed, stored: &KeyVersion, wrapping: &TenantKeys) -> Result<Material, KeyringError> {
    let bytes = wrapping.unwrap(managed.as_str(), stored)?;
    let material = read_material(managed, stored.public_jwk.as_ref(), bytes.expose())?;
    let public = public_half(&material);
    // A row's public half is a copy for readers. Whoever can write rows cannot make us believe another one.
    let named = public.as_ref().is_none_or(|jwk| jwk.thumbprint() == stored.key_id);
    if public == stored.public_jwk && named { Ok(material) } else { Err(KeyringError::Unwrap) }
}

fn public_half(material: &Material) -> Option<Jwk> {
    match material {
        Material::Root(_) | Material::Damaged => None,
        Material::Ed25519(key) => Some(key.public().jwk()),
        Material::P256(key) => Some(key.public().jwk()),
        Material::Rsa(key) => Some(key.public().jwk()),
        Material::There(reference) => Some(reference.public.clone()),
    }
}

fn read_material(managed: Managed, public: Option<&Jwk>, bytes: &[u8]) -> Result<Material, KeyringError> {
    let material = match managed {
        Managed::Log => {
            let seed = bytes.try_into().map_err(|_| KeyringError::Unwrap)?;
            Material::Ed25519(Ed25519SigningKey::from_seed(seed).map_err(|_| KeyringError::Unwrap)?)
        }
        Managed::Certificate => match Reference::read(bytes) {
            Some(reference) => Material::There(Box::new(reference?)),
            None => TokenMaterial::read(public.ok_or(KeyringError::Unwrap)?, bytes)?,
        },
        Managed::Token => TokenMaterial::read(public.ok_or(KeyringError::Unwrap)?, bytes)?,
        Managed::Data | Managed::Index | Managed::Subject | Managed::Audit => {
            Material::Root(Key256::from_slice(bytes).ok_or(KeyringError::Unwrap)?)
        }
    };
    Ok(material)
}
