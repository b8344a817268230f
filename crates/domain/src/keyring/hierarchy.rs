//! Making a tenant's keys, and unwrapping them again.

use chancery_crypto::{
    Ed25519SigningKey, Handle, Jwk, Key256, P256SigningKey, WrapContext, WrappingKey, random::Random,
};

use super::{
    AccessPolicy, Key, KeyState, KeyVersion, Keyring, KeyringError, Managed, PlatformRoot, TenantKey,
    ring::{Material, RingVersion},
};
use crate::{
    ids::{KeyId, KeyVersionId, TenantId},
    instance::Failure,
    store::View,
    time::Timestamp,
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

/// Makes the keys of a new tenant, or of the platform.
///
/// # Errors
///
/// [`Failure::Random`], [`Failure::Keyring`].
pub fn make(tenant: TenantId, root: &PlatformRoot, now: Timestamp, rng: &dyn Random) -> Result<NewHierarchy, Failure> {
    let material = Key256::make(rng)?;
    let handle = Handle::make(rng)?;
    let wrapped = root
        .wrapping
        .wrap(&tenant_key_context(&tenant.to_bytes(), 1), material.expose(), rng)
        .map_err(|_| KeyringError::Unwrap)?;
    let tenant_key = TenantKey {
        version: 1,
        handle,
        wrapped,
        root_version: root.version(),
        state: KeyState::Active,
        created_at: now,
    };
    let wrapping = WrappingKey::new(&material, handle);
    let uses = if tenant.is_platform() { Managed::OF_PLATFORM } else { Managed::OF_TENANT };
    let mut keys = Vec::new();
    let mut versions = Vec::new();
    for &managed in uses {
        let key = Key {
            id: KeyId::make(now, rng)?,
            name: format!("managed/{managed}"),
            key_type: managed.key_type(),
            purpose: managed.purpose(),
            managed: Some(managed),
            access_policy: AccessPolicy::AdminOnly,
            created_at: now,
        };
        let (version, ring_version) = make_version(tenant, &key, managed, 1, None, &wrapping, 1, now, rng)?;
        keys.push((key, version));
        versions.push(ring_version);
    }
    Ok(NewHierarchy { tenant_key, keys, ring: Keyring::new(tenant, wrapping, 1, versions) })
}

/// Makes one version of a managed key, active from `now`.
#[expect(clippy::too_many_arguments, reason = "every part of a version's identity, named")]
pub(super) fn make_version(
    tenant: TenantId,
    key: &Key,
    managed: Managed,
    version: u32,
    previous: Option<String>,
    wrapping: &WrappingKey,
    tenant_key_version: u32,
    now: Timestamp,
    rng: &dyn Random,
) -> Result<(KeyVersion, RingVersion), Failure> {
    let (material, bytes, public) = make_material(managed, rng)?;
    let handle = Handle::make(rng)?;
    let key_id = match &public {
        Some(jwk) => jwk.thumbprint(),
        None => KeyVersionId::make(now, rng)?.to_string(),
    };
    let (tenant_bytes, key_bytes) = (tenant.to_bytes(), key.id.to_bytes());
    let context = version_context(&tenant_bytes, &key_bytes, managed, version);
    let wrapped = wrapping.wrap(&context, bytes.expose(), rng).map_err(|_| KeyringError::Unwrap)?;
    let stored = KeyVersion {
        key: key.id,
        version,
        key_id: key_id.clone(),
        handle,
        state: KeyState::Active,
        wrapped,
        tenant_key_version,
        public_jwk: public.clone(),
        previous,
        next: None,
        created_at: now,
        activated_at: Some(now),
        retired_at: None,
    };
    Ok((stored, RingVersion { managed, key_id, handle, state: KeyState::Active, public, material }))
}

type Bytes = chancery_crypto::Secret<Vec<u8>>;

fn make_material(managed: Managed, rng: &dyn Random) -> Result<(Material, Bytes, Option<Jwk>), Failure> {
    Ok(match managed {
        Managed::Certificate | Managed::Log => {
            let key = Ed25519SigningKey::make(rng).map_err(|_| KeyringError::Unwrap)?;
            let (bytes, public) = (key.to_material(), key.public().jwk());
            (Material::Ed25519(key), bytes, Some(public))
        }
        Managed::Token => {
            let key = P256SigningKey::make().map_err(|_| KeyringError::Unwrap)?;
            let (bytes, public) = (key.to_material(), key.public().jwk());
            (Material::P256(key), bytes, Some(public))
        }
        Managed::Data | Managed::Index | Managed::Subject | Managed::Audit => {
            let key = Key256::make(rng)?;
            let bytes = Bytes::new(key.expose().to_vec());
            (Material::Root(key), bytes, None)
        }
    })
}

/// Reads and unwraps a tenant's keys.
///
/// # Errors
///
/// - [`Failure::Store`].
/// - [`Failure::Keyring`] with [`KeyringError::Unwrap`]: not this root's, or damaged.
pub async fn load(tenant: TenantId, view: &mut dyn View, root: &PlatformRoot) -> Result<Keyring, Failure> {
    let tenant_bytes = tenant.to_bytes();
    let mut wrapping = Vec::new();
    for stored in view.tenant_keys().await? {
        let context = tenant_key_context(&tenant_bytes, stored.version);
        let material = root.wrapping.unwrap(&context, &stored.wrapped).map_err(|_| KeyringError::Unwrap)?;
        let material = Key256::from_slice(material.expose()).ok_or(KeyringError::Unwrap)?;
        wrapping.push((stored.version, stored.state, WrappingKey::new(&material, stored.handle)));
    }
    let mut versions = Vec::new();
    for (managed, stored) in view.managed_versions().await? {
        if stored.state == KeyState::Destroyed {
            continue;
        }
        let key = wrapping.iter().find(|(version, ..)| *version == stored.tenant_key_version);
        let (.., key) = key.ok_or(KeyringError::Unwrap)?;
        let key_bytes = stored.key.to_bytes();
        let context = version_context(&tenant_bytes, &key_bytes, managed, stored.version);
        let bytes = key.unwrap(&context, &stored.wrapped).map_err(|_| KeyringError::Unwrap)?;
        let material = read_material(managed, bytes.expose())?;
        let public = public_half(&material);
        // A row's public half is a copy for readers. Whoever can write rows cannot make us believe another one.
        let named = public.as_ref().is_none_or(|jwk| jwk.thumbprint() == stored.key_id);
        if public != stored.public_jwk || !named {
            return Err(KeyringError::Unwrap.into());
        }
        let (key_id, handle, state) = (stored.key_id, stored.handle, stored.state);
        versions.push(RingVersion { managed, key_id, handle, state, public, material });
    }
    let newest = wrapping.into_iter().rev().find(|(_, state, _)| *state == KeyState::Active);
    let (version, _, key) = newest.ok_or(KeyringError::Unwrap)?;
    Ok(Keyring::new(tenant, key, version, versions))
}

fn public_half(material: &Material) -> Option<Jwk> {
    match material {
        Material::Root(_) => None,
        Material::Ed25519(key) => Some(key.public().jwk()),
        Material::P256(key) => Some(key.public().jwk()),
    }
}

fn read_material(managed: Managed, bytes: &[u8]) -> Result<Material, KeyringError> {
    let material = match managed {
        Managed::Certificate | Managed::Log => {
            let seed = bytes.try_into().map_err(|_| KeyringError::Unwrap)?;
            Material::Ed25519(Ed25519SigningKey::from_seed(seed).map_err(|_| KeyringError::Unwrap)?)
        }
        Managed::Token => Material::P256(P256SigningKey::from_pkcs8(bytes).map_err(|_| KeyringError::Unwrap)?),
        Managed::Data | Managed::Index | Managed::Subject | Managed::Audit => {
            Material::Root(Key256::from_slice(bytes).ok_or(KeyringError::Unwrap)?)
        }
    };
    Ok(material)
}

fn tenant_key_context(tenant: &[u8; 16], version: u32) -> WrapContext<'_> {
    WrapContext { parent: b"platform-root", child: tenant, purpose: b"tenant-key", version }
}

fn version_context<'a>(tenant: &'a [u8; 16], key: &'a [u8; 16], managed: Managed, version: u32) -> WrapContext<'a> {
    WrapContext { parent: tenant, child: key, purpose: managed.as_str().as_bytes(), version }
}
