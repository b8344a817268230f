//! A tenant's own key, unwrapped: it wraps the secret halves of that tenant's keys, and nothing else.

use chancery_crypto::{Key256, Secret, WrapContext, WrappingKey, random::Random};

use super::{KeyState, KeyVersion, KeyringError, PlatformRoot, StoredMaterial, TenantKey};
use crate::ids::{KeyId, TenantId};

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

    /// Unwraps what is stored.
    pub(super) fn open(tenant: TenantId, stored: &[TenantKey], root: &PlatformRoot) -> Result<Self, KeyringError> {
        let bytes = tenant.to_bytes();
        let mut versions = Vec::with_capacity(stored.len());
        let (mut active, mut found) = (0, false);
        for key in stored {
            let context = Self::context(&bytes, key.version);
            let material = root.wrapping.unwrap(&context, &key.wrapped).map_err(|_| KeyringError::Unwrap)?;
            let material = Key256::from_slice(material.expose()).ok_or(KeyringError::Unwrap)?;
            versions.push((key.version, WrappingKey::new(&material, key.handle)));
            if key.state == KeyState::Active {
                (active, found) = (key.version, true);
            }
        }
        if found { Ok(Self { tenant, active, versions }) } else { Err(KeyringError::Unwrap) }
    }

    /// What the wrap of a tenant key under the platform root is bound to.
    pub(super) fn context(tenant: &[u8; 16], version: u32) -> WrapContext<'_> {
        WrapContext { parent: b"platform-root", child: tenant, purpose: b"tenant-key", version }
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
        Ok(StoredMaterial::Wrapped { bytes, tenant_key_version: self.active })
    }

    /// Unwraps a version of a key of this tenant and purpose; of any other it is refused.
    pub(crate) fn unwrap(&self, purpose: &str, stored: &KeyVersion) -> Result<Secret<Vec<u8>>, KeyringError> {
        let StoredMaterial::Wrapped { bytes, tenant_key_version } = &stored.material else {
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
