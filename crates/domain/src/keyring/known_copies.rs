//! Which copies of a key there are outside the store, as far as they were made here or told of; and taking one away.

use async_trait::async_trait;

use super::{
    BackupState, CopyError, Key, KeyBackup, KeyDestination, KeyRef, KeyVersion,
    copies::name,
    custody::{CustodyError, destination, has_material, of},
};
use crate::{
    Instance,
    access::{Call, Permission},
    approvals::{self, Carried, Deed, DeedKind},
    audit::{Change, Detail, Event, EventKind, receipt::note},
    ids::{ApprovalId, KeyId},
    store::StoreError,
    time::Timestamp,
};

/// A copy that was begun so long ago is there or never will be: longer than its wrap and its disk may take.
const ON_ITS_WAY_SECONDS: i64 = 60;

/// A copy of a key outside the store: a backup, an escrow, or one that another system says there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCopy {
    /// Of which key.
    pub key: KeyId,
    /// Where: the name of a destination. Empty if an import did not say.
    pub location: String,
    /// Whether it was read back, or only told of: by an import, or by whoever began to make it.
    pub state: BackupState,
    /// The newest version that it holds; it holds all before that were not destroyed.
    pub version: Option<u32>,
    /// Since when.
    pub at: Option<Timestamp>,
    /// Who made it.
    pub by: Option<String>,
}

impl KeyCopy {
    /// The copy that a key's last backup is.
    pub(super) fn of(key: KeyId, backup: &KeyBackup) -> Self {
        let KeyBackup { state, version, location, at, by } = backup.clone();
        Self { key, location: location.unwrap_or_default(), state, version, at, by }
    }

    /// Whether somebody began to make it a moment ago: it may be there at any time.
    fn is_on_its_way(&self, now: Timestamp) -> bool {
        self.state == BackupState::Claimed && self.at.is_some_and(|at| now < at.plus_seconds(ON_ITS_WAY_SECONDS))
    }

    /// Whether it may hold this version.
    pub(super) fn may_hold(&self, version: u32) -> bool {
        self.version.is_none_or(|newest| version <= newest)
    }
}

/// Reads which copies there are.
#[async_trait]
pub trait KeyCopyRows {
    /// The copies of a key, by location.
    async fn key_copies(&mut self, key: KeyId) -> Result<Vec<KeyCopy>, StoreError>;
}

/// Changes which copies there are.
#[async_trait]
pub trait KeyCopyWrites {
    /// Adds a copy, or replaces the one at the same location.
    async fn put_key_copy(&mut self, copy: &KeyCopy) -> Result<(), StoreError>;
    /// Forgets the copy at a location. [`StoreError::Changed`]`("key_copy")` if it is not this one.
    async fn remove_key_copy(&mut self, copy: &KeyCopy) -> Result<(), StoreError>;
}

/// The known copies of a key of the caller's tenant.
///
/// # Errors
///
/// [`CustodyError`].
pub async fn list(instance: &Instance, call: &Call, id: KeyId) -> Result<Vec<KeyCopy>, CustodyError> {
    call.require(Permission::KeysRead)?;
    let mut view = instance.store().view(call.tenant()).await?;
    view.key(id).await?.ok_or(CustodyError::NotFound)?;
    let copies = view.key_copies(id).await?;
    drop(view);
    note(instance, call, call.tenant(), Event::new(EventKind::KeyRead).on("key", id)).await?;
    Ok(copies)
}

/// Takes the copy of a key at `location` away, for good, also that of a destroyed key.
///
/// Nobody takes the last copy of what still stands away alone: unless other verified copies hold as much, it takes two people.
///
/// What is there is taken away outside of any transaction: it may take long. So the copy is marked first, and whoever makes one
/// there meanwhile is refused.
///
/// # Errors
///
/// [`CustodyError`]; [`CopyError::Missing`] if there is none and none is known, [`StoreError::Changed`] if one is on its way there.
/// After any other error it may be gone and still be known: then this is repeated.
pub async fn remove(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    location: &str,
    approval: Option<ApprovalId>,
) -> Result<Carried<KeyRef>, CustodyError> {
    call.require(Permission::KeysCopiesRemove)?;
    instance.require_recent(call)?;
    let tenant = call.tenant();
    let mut view = instance.store().view(tenant).await?;
    view.key(id).await?.ok_or(CustodyError::NotFound)?;
    let is_known = view.key_copies(id).await?.iter().any(|copy| copy.location == location);
    drop(view);
    let destination = destination(instance, location)?;
    // Nobody is asked about a copy that is not there.
    if !is_known && let Err(missing @ CopyError::Missing) = destination.take(&name(tenant, id)).await {
        return Err(missing.into());
    }
    let told = |kind| {
        Event::new(kind)
            .on("key", id)
            .with("location", Detail::Names(vec![destination.name().to_owned()]))
            .with("provider", Detail::Code(destination.provider().kind().as_str()))
    };
    // The log knows before it is gone.
    let mut change = Change::begin(instance, call, tenant).await?;
    change.rows().seize_key(id).await?.ok_or(CustodyError::NotFound)?;
    let copies = change.rows().key_copies(id).await?;
    let alone = only_there(location, &copies, &change.rows().key_versions(id).await?);
    let known = copies.into_iter().find(|copy| copy.location == location);
    if known.as_ref().is_some_and(|copy| copy.is_on_its_way(instance.now())) {
        return Err(StoreError::Changed("key_copy").into());
    }
    if !alone.is_empty() {
        let deed = deed(id, &*destination, &alone);
        let Some(approval) = approval else {
            drop(change);
            return Ok(Carried::waits(approvals::request(instance, call, &deed).await?));
        };
        approvals::consume(instance, call, &mut change, approval, &deed).await?;
    }
    let under = approval.filter(|_| !alone.is_empty());
    let marked = known.map(|copy| KeyCopy { state: BackupState::Removing, ..copy });
    if let Some(marked) = &marked {
        change.rows().put_key_copy(marked).await?;
    }
    change.commit(of(told(EventKind::KeyCopyRemoving), under)).await?;
    // First there: what is recorded as gone is gone.
    match destination.remove(&name(tenant, id)).await {
        Err(CopyError::Missing) if marked.is_some() => {}
        removed => removed?,
    }
    let mut change = Change::begin(instance, call, tenant).await?;
    let mut key = change.rows().seize_key(id).await?.ok_or(CustodyError::NotFound)?;
    let mut event = of(told(EventKind::KeyCopyRemoved), under);
    if let Some(marked) = &marked {
        event = event.with("version", Detail::Count(marked.version.unwrap_or_default().into()));
        forget(&mut change, &mut key, marked).await?;
    }
    let versions = change.rows().key_versions(id).await?;
    change.commit(event).await?;
    Ok(Carried::Done(KeyRef { key, versions }))
}

/// The versions that would have no verified copy any more without the one at `location`: those that have something to lose and
/// that no other verified copy holds. None for one whose removal was begun: that was consented to then.
///
/// A copy that nobody read back may be whole, so it counts here, and only here: one that was verified is not worth less because
/// somebody began to make it anew.
fn only_there(location: &str, copies: &[KeyCopy], versions: &[KeyVersion]) -> Vec<u32> {
    let this = copies.iter().find(|copy| copy.location == location);
    if this.is_some_and(|copy| copy.state == BackupState::Removing) {
        return Vec::new();
    }
    let others = || copies.iter().filter(|copy| copy.location != location && copy.state == BackupState::Verified);
    let here = |version: u32| this.is_none_or(|copy| copy.may_hold(version));
    let stand = versions.iter().filter(|version| has_material(version)).map(|version| version.version);
    stand.filter(|version| here(*version) && !others().any(|copy| copy.may_hold(*version))).collect()
}

fn deed(id: KeyId, destination: &dyn KeyDestination, alone: &[u32]) -> Deed {
    Deed::new(DeedKind::KeyCopyRemove, "key", id)
        .of_versions(alone.iter().copied())
        .with("location", Detail::Names(vec![destination.name().to_owned()]))
        .with("provider", Detail::Code(destination.provider().kind().as_str()))
}

/// Forgets a copy; the newest of the others is the key's backup then.
async fn forget(change: &mut Change<'_>, key: &mut Key, copy: &KeyCopy) -> Result<(), StoreError> {
    change.rows().remove_key_copy(copy).await?;
    if key.backup.as_ref().is_some_and(|backup| backup.location.as_deref() == Some(copy.location.as_str())) {
        let others = change.rows().key_copies(key.id).await?.into_iter();
        let left = others.filter(|copy| copy.state != BackupState::Removing).max_by_key(|copy| copy.at);
        key.backup = left.map(|KeyCopy { key: _, location, state, version, at, by }| {
            let location = Some(location).filter(|location| !location.is_empty());
            KeyBackup { state, version, location, at, by }
        });
        change.rows().update_key(key).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::{KeyState, StoredMaterial, create::tests::version};

    fn copy(location: &str, state: BackupState, version: Option<u32>) -> KeyCopy {
        KeyCopy { key: KeyId::from_bytes([1; 16]), location: location.to_owned(), state, version, at: None, by: None }
    }

    fn versions(states: &[KeyState]) -> Vec<KeyVersion> {
        let made = |(state, number): (&KeyState, u32)| {
            let wrapped = StoredMaterial::Wrapped { bytes: Vec::new(), tenant_key_version: 1, check: None };
            let made = version(KeyId::from_bytes([1; 16]), format!("kv_{number}"), wrapped, None);
            KeyVersion { version: number, state: *state, ..made }
        };
        states.iter().zip(1..).map(made).collect()
    }

    #[test]
    fn a_copy_is_the_last_one_of_what_no_other_verified_copy_holds() {
        use BackupState::{Claimed, Removing, Verified};
        let standing = versions(&[KeyState::Destroyed, KeyState::Rotating, KeyState::Active]);
        let (ours, of_two) = (copy("a", Verified, Some(3)), copy("b", Verified, Some(2)));
        let alone = |at: &str, copies: &[KeyCopy]| only_there(at, copies, &standing);
        assert_eq!(alone("a", std::slice::from_ref(&ours)), [2, 3], "what is destroyed already counts no more");
        assert_eq!(alone("a", &[ours.clone(), of_two.clone()]), [3]);
        assert_eq!(alone("b", &[ours.clone(), of_two.clone()]), [0; 0]);
        assert_eq!(alone("b", &[of_two.clone(), copy("a", Claimed, Some(3))]), [2], "nobody read the other one back");
        assert_eq!(alone("b", &[of_two.clone(), copy("a", Removing, Some(3))]), [2], "the other one goes");
        // Begun anew, or not known of: it may be the only one there is.
        assert_eq!(alone("a", &[copy("a", Claimed, Some(3))]), [2, 3]);
        assert_eq!(alone("c", &[of_two]), [3]);
        assert_eq!(alone("a", &[copy("a", Removing, Some(3))]), [0; 0], "that was consented to");
        assert_eq!(only_there("a", &[ours], &versions(&[KeyState::Destroyed])), [0; 0]);
    }
}
