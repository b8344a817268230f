//! Reads keys: their versions, states and public halves.

use super::{Key, KeyVersion, Managed};
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    audit::{Event, EventKind, receipt::note},
    ids::KeyId,
    instance::{Failure, fails},
};

/// A key with its versions, oldest first.
#[derive(Debug)]
pub struct KeyRef {
    /// The key.
    pub key: Key,
    /// Its versions; never empty.
    pub versions: Vec<KeyVersion>,
}

impl KeyRef {
    /// The newest version: its state is the key's.
    pub fn newest(&self) -> Option<&KeyVersion> {
        self.versions.last()
    }
}

/// Why a key was not read or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There is none with this id in the tenant.
    #[error("no such key")]
    NotFound,
    /// Chancery made it for itself; it takes no caller-chosen bytes.
    #[error("the key is managed by Chancery")]
    Managed,
    /// It has no active version to rotate from.
    #[error("the key has no active version")]
    NotActive,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(KeyError);

/// The keys of the caller's tenant, ordered by id; of one use if `managed` is given.
///
/// # Errors
///
/// [`KeyError`].
pub async fn list(
    instance: &Instance,
    call: &Call,
    managed: Option<Managed>,
    after: Option<KeyId>,
    limit: u32,
) -> Result<Vec<KeyRef>, KeyError> {
    call.require(Permission::KeysRead)?;
    let mut view = instance.store().view(call.tenant()).await?;
    let keys = match managed {
        Some(managed) => view.managed_key(managed).await?.into_iter().collect(),
        None => view.keys(after, limit).await?,
    };
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        let versions = view.key_versions(key.id).await?;
        found.push(KeyRef { key, versions });
    }
    drop(view);
    note(instance, call, call.tenant(), Event::new(EventKind::KeyRead)).await?;
    Ok(found)
}

/// One key of the caller's tenant.
///
/// # Errors
///
/// [`KeyError`].
pub async fn get(instance: &Instance, call: &Call, id: KeyId) -> Result<KeyRef, KeyError> {
    call.require(Permission::KeysRead)?;
    let mut view = instance.store().view(call.tenant()).await?;
    let key = view.key(id).await?.ok_or(KeyError::NotFound)?;
    let versions = view.key_versions(id).await?;
    drop(view);
    note(instance, call, call.tenant(), Event::new(EventKind::KeyRead).on("key", id)).await?;
    Ok(KeyRef { key, versions })
}

/// Refuses to sign, verify, encrypt, decrypt or export with a managed key: no managed key ever
/// takes caller-chosen bytes, or certificates could be forged through the key API.
///
/// # Errors
///
/// [`KeyError::Managed`] for managed keys, [`KeyError::NotFound`] for missing ones.
pub async fn require_unmanaged(instance: &Instance, call: &Call, id: KeyId) -> Result<Key, KeyError> {
    call.require(Permission::KeysUse)?;
    let key = instance.store().view(call.tenant()).await?.key(id).await?.ok_or(KeyError::NotFound)?;
    if key.managed.is_some() { Err(KeyError::Managed) } else { Ok(key) }
}
