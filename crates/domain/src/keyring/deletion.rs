//! Deleting keys: after a waiting time that can be cancelled, or at once by force, and then for good.
//!
//! What a key has sealed dies with it. So unless it is known that nothing is left under it, and always by force, this
//! takes two people. A key that waits neither opens nor signs: whoever still needs it notices before it is too late. How
//! its versions go in the end: `destruction`.

use super::{
    Key, KeyRef, KeyState, KeyVersion, Managed, StoredMaterial,
    destruction::{Destroyer, destroy, destroy_forced},
};
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    approvals::{self, ApprovalError, Carried, Deed, DeedKind},
    audit::{Change, Detail, Event, EventKind, stamp::Actor},
    census, certificates,
    faults::Faults,
    ids::{ApprovalId, KeyId},
    instance::{Failure, fails},
};

/// What shall be deleted, and when.
#[derive(Debug, Clone, Copy)]
pub struct Deletion {
    /// After how many days, 7 to 30.
    pub days: u32,
    /// Which version; all that are not destroyed if none is named.
    pub version: Option<u32>,
    /// At once. Only what is revoked.
    pub force: bool,
    /// Another person's consent.
    pub approval: Option<ApprovalId>,
}

/// Why a key was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeletionError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The request is not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// There is no such key or version in the tenant.
    #[error("no such key")]
    NotFound,
    /// Chancery needs it to read its own past.
    #[error("the key is managed by Chancery")]
    Managed,
    /// A version is in a state from which this does not lead; names the version and its state.
    #[error("version {0} is {1}")]
    WrongState(u32, KeyState),
    /// Keys of persons are still under a version of the subject root; names the version and how many. They move by
    /// themselves, and then it may go.
    #[error("{1} keys are still under version {0}")]
    StillHolds(u32, u64),
    /// Nothing waits for its deletion.
    #[error("no version waits for its deletion")]
    NothingWaits,
    /// Its provider was asked to destroy it, or is about to be; names the version.
    #[error("the destruction of version {0} has begun")]
    HasBegun(u32),
    /// The approval does not do.
    #[error(transparent)]
    Approval(#[from] ApprovalError),
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(DeletionError);

/// Schedules the destruction of a key or of one version, or by force destroys it.
///
/// By force, what lives in a provider is gone when that was asked: a version whose provider did not answer is returned as it is
/// then, pending and due, and [`destroy_due`](super::destruction::destroy_due) goes on with it.
///
/// # Errors
///
/// [`DeletionError`].
pub async fn schedule(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    wanted: Deletion,
) -> Result<Carried<KeyRef>, DeletionError> {
    call.require(Permission::KeysDelete)?;
    instance.require_recent(call)?;
    if !wanted.force && !(7..=30).contains(&wanted.days) {
        return Err(Faults::one("/days", "range", "wait for 7 to 30 days").into());
    }
    certificates::with_key_of_today(instance, call.tenant(), || try_schedule(instance, call, id, wanted)).await
}

async fn try_schedule(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    wanted: Deletion,
) -> Result<Carried<KeyRef>, DeletionError> {
    let tenant = call.tenant();
    let mut change = Change::begin(instance, call, tenant).await?;
    let (key, targets) = targets(&mut change, id, wanted).await?;
    if !wanted.force {
        holds_no_persons(&mut change, &key, &targets).await?;
    }
    let deed = deed(id, wanted, &targets);
    let me = call.caller.subject().to_string();
    match wanted.approval {
        Some(approval) => drop(approvals::consume(instance, call, &mut change, approval, &deed).await?),
        None if !wanted.force && nothing_is_left(&mut change, &key, &targets, &me).await? => {}
        None => {
            drop(change);
            return Ok(Carried::waits(approvals::request(instance, call, &deed).await?));
        }
    }
    let now = instance.now();
    let by = Destroyer { actor: Actor::Call(call), name: me, approval: wanted.approval };
    let due = if wanted.force { now } else { now.plus_days(i64::from(wanted.days)) };
    let mut elsewhere = Vec::new();
    for version in &targets {
        if wanted.force && matches!(version.material, StoredMaterial::Wrapped { .. }) {
            destroy(instance, &mut change, (&key, version), &by).await?;
            continue;
        }
        let waiting = KeyVersion {
            state: KeyState::PendingDeletion,
            // By force there is no way back: the provider is asked as soon as this is committed.
            cancels_to: (!wanted.force).then_some(version.state),
            deletion_due_at: Some(due),
            ..version.clone()
        };
        change.rows().swap_key_version(version, &waiting).await?;
        elsewhere.push(waiting);
    }
    let mut versions = change.rows().key_versions(id).await?;
    let mut event = Event::new(EventKind::KeyDeletionScheduled)
        .on("key", id)
        .with("versions", Detail::Names(targets.iter().map(|version| version.version.to_string()).collect()))
        .with("days", Detail::Count(if wanted.force { 0 } else { wanted.days.into() }));
    if let Some(approval) = wanted.approval {
        event = event.with("approval", Detail::Id(approval.to_string()));
    }
    change.commit(event).await?;
    instance.end_lease(tenant);
    if wanted.force && !elsewhere.is_empty() {
        destroy_forced(instance, tenant, &elsewhere, &by).await;
        versions = instance.store().fresh_view(tenant).await?.key_versions(id).await?;
    }
    Ok(Carried::Done(KeyRef { key, versions }))
}

/// Refuses to end a version of the subject root while the keys of persons are under it: what they sealed would be lost
/// with it, and nobody has to consent to that, for they are moved.
async fn holds_no_persons(change: &mut Change<'_>, key: &Key, targets: &[KeyVersion]) -> Result<(), DeletionError> {
    if key.managed != Some(Managed::Subject) {
        return Ok(());
    }
    for version in targets {
        let held = change.rows().subject_holdings(&version.key_id).await?;
        if !held.is_empty() {
            return Err(DeletionError::StillHolds(version.version, held.keys.saturating_add(held.references)));
        }
    }
    Ok(())
}

/// Whether it is counted, late enough and not by `me` alone, that nothing is under any of these versions any more.
async fn nothing_is_left(
    change: &mut Change<'_>,
    key: &Key,
    targets: &[KeyVersion],
    me: &str,
) -> Result<bool, Failure> {
    for version in targets {
        // What still seals is at zero for a moment at best.
        let seals = version.retired_at.is_none() || matches!(version.state, KeyState::Active | KeyState::Pending);
        if seals || !census::is_zero_without(change.rows(), key, version, me).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The versions that are meant, each in a state from which deletion leads on.
async fn targets(
    change: &mut Change<'_>,
    id: KeyId,
    wanted: Deletion,
) -> Result<(Key, Vec<KeyVersion>), DeletionError> {
    let key = change.rows().seize_key(id).await?.ok_or(DeletionError::NotFound)?;
    match key.managed {
        // Certificates, heads and the sealed parts of events are believed by these keys, forever.
        Some(Managed::Certificate | Managed::Log | Managed::Audit | Managed::Token) => {
            return Err(DeletionError::Managed);
        }
        Some(Managed::Data | Managed::Index | Managed::Subject) | None => {}
    }
    let versions = change.rows().seize_versions(id).await?;
    let meant = |version: &KeyVersion| match wanted.version {
        Some(number) => version.version == number,
        None => version.state != KeyState::Destroyed,
    };
    let targets: Vec<KeyVersion> = versions.into_iter().filter(meant).collect();
    if targets.is_empty() {
        return Err(DeletionError::NotFound);
    }
    for version in &targets {
        let next = if wanted.force { KeyState::Destroyed } else { KeyState::PendingDeletion };
        let by_force = !wanted.force || version.state == KeyState::Revoked;
        // Without an active one the tenant could seal nothing: rotate first.
        let needed = key.managed.is_some() && version.state == KeyState::Active;
        if !version.state.may_become(next) || !by_force || needed {
            return Err(DeletionError::WrongState(version.version, version.state));
        }
    }
    Ok((key, targets))
}

fn deed(id: KeyId, wanted: Deletion, targets: &[KeyVersion]) -> Deed {
    let kind = if wanted.force { DeedKind::KeyForceDelete } else { DeedKind::KeyDelete };
    let deed = Deed::new(kind, "key", id).of_versions(targets.iter().map(|version| version.version));
    if wanted.force { deed } else { deed.with("days", Detail::Count(wanted.days.into())) }
}

/// Takes a scheduled deletion back: each version becomes what it was.
///
/// # Errors
///
/// [`DeletionError`].
pub async fn cancel(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    version: Option<u32>,
) -> Result<KeyRef, DeletionError> {
    call.require(Permission::KeysDelete)?;
    let tenant = call.tenant();
    let mut change = Change::begin(instance, call, tenant).await?;
    let key = change.rows().seize_key(id).await?.ok_or(DeletionError::NotFound)?;
    let waits = |found: &KeyVersion| {
        found.state == KeyState::PendingDeletion && version.is_none_or(|number| number == found.version)
    };
    let pending: Vec<KeyVersion> = change.rows().seize_versions(id).await?.into_iter().filter(waits).collect();
    let waiting: Vec<(&KeyVersion, KeyState)> =
        pending.iter().filter_map(|version| Some((version, version.cancels_to?))).collect();
    if waiting.is_empty() {
        return Err(pending
            .first()
            .map_or(DeletionError::NothingWaits, |begun| DeletionError::HasBegun(begun.version)));
    }
    for (version, state) in &waiting {
        let before = KeyVersion { state: *state, cancels_to: None, deletion_due_at: None, ..(*version).clone() };
        change.rows().swap_key_version(version, &before).await?;
    }
    let versions = change.rows().key_versions(id).await?;
    let event = Event::new(EventKind::KeyDeletionCancelled)
        .on("key", id)
        .with("versions", Detail::Names(waiting.iter().map(|(version, _)| version.version.to_string()).collect()));
    change.commit(event).await?;
    instance.end_lease(tenant);
    Ok(KeyRef { key, versions })
}
