//! Changes tenant keys and what is under them.

use async_trait::async_trait;

use crate::{
    ids::KeyId,
    keyring::{Key, KeyCheck, KeyVersion, TenantKey},
    store::StoreError,
};

/// Reads what is under which tenant key.
#[async_trait]
pub trait TenantKeyRows {
    /// Key versions with material that is under another version of the tenant key than `newest`, at most `limit`.
    async fn versions_under_others(&mut self, newest: u32, limit: u32) -> Result<Vec<(Key, KeyVersion)>, StoreError>;
    /// Key versions with symmetric material and without its check, made before checks were kept: by key and version, at most `limit`
    /// of those behind `after`.
    async fn versions_unchecked(
        &mut self,
        after: Option<(KeyId, u32)>,
        limit: u32,
    ) -> Result<Vec<(Key, KeyVersion)>, StoreError>;
}

/// Changes tenant keys.
#[async_trait]
pub trait TenantKeyWrites {
    /// Holds the active version until the end of the transaction, shared: as long as it is held nobody supersedes it.
    /// Whoever stores a key under it holds it. [`StoreError::Changed`]`("tenant_key")` if it is not active any more.
    async fn hold_tenant_key(&mut self, version: u32) -> Result<(), StoreError>;

    /// From now on nothing new is under it: `active` becomes `rotating`. Waits for those who hold it.
    /// [`StoreError::Changed`]`("tenant_key")` if it is not active.
    async fn supersede_tenant_key(&mut self, version: u32) -> Result<(), StoreError>;

    /// Puts other wraps in place of those of `from`: same key, same version.
    /// [`StoreError::Changed`]`("tenant_key")` if the wraps are not those of `from` any more.
    async fn rewrap_tenant_key(&mut self, from: &TenantKey, to: &TenantKey) -> Result<(), StoreError>;

    /// Forgets its material: `rotating` becomes `destroyed`. [`StoreError::Changed`]`("tenant_key")` if it is not rotating.
    async fn destroy_tenant_key(&mut self, version: u32) -> Result<(), StoreError>;

    /// Puts the material of a key version under another tenant key.
    /// [`StoreError::Changed`]`("key_version")` if it is not as in `from` any more.
    async fn rewrap_key_version(&mut self, from: &KeyVersion, to: &KeyVersion) -> Result<(), StoreError>;

    /// Keeps the check of a version's material. [`StoreError::Changed`]`("key_version")` if it has another material by now, or a check.
    async fn keep_key_check(&mut self, version: &KeyVersion, check: KeyCheck) -> Result<(), StoreError>;
}
