//! Reads keys: their versions, states and public halves.

use super::{
    AccessPolicy, Key, KeyState, KeyVersion, Managed,
    policy::Operation,
    uses::{note_failure, told},
};
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    approvals::ApprovalError,
    audit::{Event, EventKind, receipt::note},
    faults::Faults,
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

/// Why a key was not read, used or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The key's access policy does not let this caller do that.
    #[error("the key's access policy is `{0}`")]
    Policy(AccessPolicy),
    /// Fields are not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// There is none with this id in the tenant.
    #[error("no such key")]
    NotFound,
    /// Chancery made it for itself; it takes no caller-chosen bytes.
    #[error("the key is managed by Chancery")]
    Managed,
    /// A tenant cannot go on without it.
    #[error("the tenant's log needs the key")]
    Needed,
    /// The key's type, purpose or algorithm does not do that; says which of them.
    #[error("the key's {0} does not do that")]
    Unsuited(&'static str),
    /// No version of the key has this id.
    #[error("the key has no such version")]
    NoVersion,
    /// The version does not do that in its state.
    #[error("the key version is `{0}`")]
    Stopped(KeyState),
    /// Keys of persons are still under a version of the subject root; names the version and how many. They move by themselves
    /// after a rotation, and then it may go.
    #[error("{1} keys are still under version {0}")]
    StillHolds(u32, u64),
    /// The approval does not do.
    #[error(transparent)]
    Approval(#[from] ApprovalError),
    /// It has no active version to rotate from.
    #[error("the key has no active version")]
    NotActive,
    /// Others must know the next version before it is used, and that takes its time.
    #[error("the key has a next version already, or three are published")]
    AlreadyStaged,
    /// No version can go from its state to this one.
    #[error("a key that is `{from}` does not become `{to}`")]
    Illegal {
        /// What it is.
        from: KeyState,
        /// What it was to become.
        to: KeyState,
    },
    /// Not what this key gives.
    #[error("not a ciphertext of this kind of key")]
    Malformed,
    /// Another key or another context.
    #[error("made with another key or for another context")]
    WrongContext,
    /// Bytes were changed.
    #[error("changed after encryption")]
    Tampered,
    /// It did not work, and why is not told.
    #[error("the key refuses this input")]
    Refused,
    /// Another living key of the tenant has this name.
    #[error("another key has this name")]
    NameTaken,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

impl KeyError {
    /// The code of the event that tells of it.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Denied(_) => "denied",
            Self::Policy(_) => "policy",
            Self::Invalid(_) => "invalid",
            Self::NotFound => "not_found",
            Self::Managed => "managed",
            Self::Needed => "needed",
            Self::Unsuited(_) => "unsuited",
            Self::NoVersion => "no_version",
            Self::Stopped(_) => "stopped",
            Self::StillHolds(..) => "still_holds",
            Self::Approval(_) => "approval",
            Self::NotActive => "not_active",
            Self::AlreadyStaged => "already_staged",
            Self::Illegal { .. } => "illegal_transition",
            Self::Malformed => "malformed",
            Self::WrongContext => "wrong_context",
            Self::Tampered => "tampered",
            Self::Refused => "refused",
            Self::NameTaken => "name_taken",
            Self::Failed(_) => "failed",
        }
    }
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

/// The public half of a key's version: of the one with `key_id`, or of the newest that verifies.
///
/// # Errors
///
/// [`KeyError`]; [`KeyError::Unsuited`] for symmetric keys.
pub async fn public(instance: &Instance, call: &Call, id: KeyId, key_id: Option<&str>) -> Result<KeyVersion, KeyError> {
    let outcome = read_public(instance, call, id, key_id).await;
    let version = told(instance, call, id, Operation::ReadPublic, outcome).await?;
    let event = Event::new(EventKind::KeyRead)
        .on("key", id)
        .with("operation", crate::audit::Detail::Code(Operation::ReadPublic.as_str()))
        .with("key_id", crate::audit::Detail::Id(version.key_id.clone()));
    note(instance, call, call.tenant(), event).await?;
    Ok(version)
}

async fn read_public(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    key_id: Option<&str>,
) -> Result<KeyVersion, KeyError> {
    let mut view = instance.store().view(call.tenant()).await?;
    let key = view.key(id).await?.ok_or(KeyError::NotFound)?;
    if !key.permits(&call.caller, Operation::ReadPublic) {
        // Whoever may neither read keys nor use them learns nothing of one.
        call.require(Permission::KeysUse)?;
        return Err(KeyError::Policy(key.access_policy));
    }
    let versions = view.key_versions(id).await?;
    let chosen = match key_id {
        Some(key_id) => versions.into_iter().find(|version| version.key_id == key_id).ok_or(KeyError::NoVersion)?,
        None => {
            let newest = versions.iter().rposition(|version| version.state.opens());
            let at = newest.unwrap_or(versions.len().saturating_sub(1));
            versions.into_iter().nth(at).ok_or(KeyError::NoVersion)?
        }
    };
    if chosen.public_jwk.is_none() { Err(KeyError::Unsuited("type")) } else { Ok(chosen) }
}

/// Refuses to sign, verify, encrypt, decrypt, wrap or export with a managed key: no managed key ever
/// takes caller-chosen bytes, or certificates could be forged through the key API.
///
/// # Errors
///
/// [`KeyError::Managed`] for managed keys, [`KeyError::NotFound`] for missing ones.
pub async fn require_unmanaged(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    operation: &'static str,
) -> Result<Key, KeyError> {
    call.require(Permission::KeysUse)?;
    let key = instance.store().view(call.tenant()).await?.key(id).await?.ok_or(KeyError::NotFound)?;
    if key.managed.is_none() {
        return Ok(key);
    }
    note_failure(instance, call, id, operation, &KeyError::Managed).await?;
    Err(KeyError::Managed)
}
