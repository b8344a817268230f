//! A tenant's own key: it wraps the secret halves of that tenant's keys, and nothing else. Itself it is under the platform root, or
//! under the root and a provider of the tenant's own.

use chancery_crypto::{Secret, WrapContext, WrappingKey, random::Random};

use super::{KeyCheck, KeyState, KeyVersion, KeyringError, PlatformRoot, StoredMaterial, TenantKey};
use crate::ids::{KeyId, TenantId};

mod own;
pub mod rotate;
mod rows;

pub use own::OwnProvider;
pub(crate) use own::{OwnProviders, make, under_newest_root};
pub use rotate::{Arrangement, TenantKeyError, TenantKeyRef};
pub use rows::{TenantKeyRows, TenantKeyWrites};

/// The versions of a tenant's key, unwrapped. The newest active one wraps; all of them unwrap.
pub(crate) struct TenantKeys {
    tenant: TenantId,
    active: u32,
    versions: Vec<(u32, WrappingKey)>,
}

impl TenantKeys {
    /// With one version: a new tenant's.
    pub(super) fn first(tenant: TenantId, key: WrappingKey) -> Self {
        Self { tenant, active: 1, versions: vec![(1, key)] }
    }

    /// Unwraps what is stored. Destroyed versions have nothing under them.
    pub(super) async fn open(
        tenant: TenantId,
        stored: &[TenantKey],
        root: &PlatformRoot,
        own: OwnProviders<'_>,
    ) -> Result<Self, KeyringError> {
        let mut versions = Vec::with_capacity(stored.len());
        let (mut active, mut found) = (0, false);
        for key in stored.iter().filter(|key| key.state != KeyState::Destroyed) {
            let material = own::open(tenant, key, root, own).await?;
            versions.push((key.version, WrappingKey::new(&material, key.handle)));
            if key.state == KeyState::Active {
                (active, found) = (key.version, true);
            }
        }
        if found { Ok(Self { tenant, active, versions }) } else { Err(KeyringError::Unwrap) }
    }

    /// The version that wraps. Whoever stores what it wrapped holds it ([`TenantKeyWrites::hold_tenant_key`]).
    pub(crate) const fn active(&self) -> u32 {
        self.active
    }

    /// The material of a version of a key under the version that wraps, read back.
    pub(crate) fn rewrap(
        &self,
        purpose: &str,
        stored: &KeyVersion,
        rng: &dyn Random,
    ) -> Result<KeyVersion, KeyringError> {
        let bytes = self.unwrap(purpose, stored)?;
        let material = self.wrap(stored.key, purpose, stored.version, bytes.expose(), rng)?;
        let moved = KeyVersion { material, ..stored.clone() };
        if self.unwrap(purpose, &moved)?.expose() == bytes.expose() { Ok(moved) } else { Err(KeyringError::Unwrap) }
    }

    /// Wraps the material of version `version` of `key` for its one `purpose`.
    pub(crate) fn wrap(
        &self,
        key: KeyId,
        purpose: &str,
        version: u32,
        material: &[u8],
        rng: &dyn Random,
    ) -> Result<StoredMaterial, KeyringError> {
        let (tenant, child) = (self.tenant.to_bytes(), key.to_bytes());
        let context = WrapContext { parent: &tenant, child: &child, purpose: purpose.as_bytes(), version };
        let bytes = self.find(self.active)?.wrap(&context, material, rng).map_err(|_| KeyringError::Unwrap)?;
        let check = KeyCheck::of(&context, material);
        Ok(StoredMaterial::Wrapped { bytes, tenant_key_version: self.active, check })
    }

    /// What tells this material from any other in the place of `stored`.
    pub(crate) fn check(&self, purpose: &str, stored: &KeyVersion, material: &[u8]) -> Option<KeyCheck> {
        let (tenant, child) = (self.tenant.to_bytes(), stored.key.to_bytes());
        let purpose = purpose.as_bytes();
        KeyCheck::of(&WrapContext { parent: &tenant, child: &child, purpose, version: stored.version }, material)
    }

    /// Unwraps a version of a key of this tenant and purpose; of any other it is refused.
    pub(crate) fn unwrap(&self, purpose: &str, stored: &KeyVersion) -> Result<Secret<Vec<u8>>, KeyringError> {
        let StoredMaterial::Wrapped { bytes, tenant_key_version, .. } = &stored.material else {
            return Err(KeyringError::Unwrap);
        };
        let (tenant, child) = (self.tenant.to_bytes(), stored.key.to_bytes());
        let purpose = purpose.as_bytes();
        let context = WrapContext { parent: &tenant, child: &child, purpose, version: stored.version };
        self.find(*tenant_key_version)?.unwrap(&context, bytes).map_err(|_| KeyringError::Unwrap)
    }

    fn find(&self, version: u32) -> Result<&WrappingKey, KeyringError> {
        let found = self.versions.iter().find(|(number, _)| *number == version);
        found.map(|(_, key)| key).ok_or(KeyringError::Unwrap)
    }
}
