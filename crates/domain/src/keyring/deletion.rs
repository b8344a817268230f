//! Deleting keys: after a waiting time that can be cancelled, or at once by force, and then for good.
//!
//! What a key has sealed dies with it. So unless it is known that nothing is left under it, and always by force, this
//! takes two people. A key that waits neither opens nor signs: whoever still needs it notices before it is too late.

use std::collections::BTreeMap;

use chancery_crypto::Phi;
use serde_json::{Value, json};

use super::{
    BUNDLE_DAYS, BackupState, Key, KeyCopy, KeyRef, KeyState, KeyVersion, Managed, StoredMaterial, Tombstone,
    TombstoneKind, tombstones::fingerprint,
};
use crate::{
    Instance, TenantId,
    access::{Call, Denied, Permission, RequestInfo},
    approvals::{self, ApprovalError, Carried, Deed, DeedKind},
    audit::{Change, Detail, Event, EventKind, stamp::Actor},
    census,
    certificates::{self, Claim},
    faults::Faults,
    ids::{ApprovalId, CertificateId, KeyId, RequestId},
    instance::{Failure, fails},
    time::Timestamp,
};

const DAY_SECONDS: i64 = 86_400;
/// So many copies a certificate names; it counts all of them.
const MAX_STATED: usize = 8;

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
    if wanted.force {
        for version in &targets {
            destroy(instance, &mut change, (&key, version), call.caller.subject(), wanted.approval).await?;
        }
    } else {
        let due = now.plus_seconds(i64::from(wanted.days) * DAY_SECONDS);
        for version in &targets {
            let waiting = KeyVersion {
                state: KeyState::PendingDeletion,
                cancels_to: Some(version.state),
                deletion_due_at: Some(due),
                ..version.clone()
            };
            change.rows().swap_key_version(version, &waiting).await?;
        }
    }
    let versions = change.rows().key_versions(id).await?;
    let mut event = Event::new(EventKind::KeyDeletionScheduled)
        .on("key", id)
        .with("versions", Detail::Names(targets.iter().map(|version| version.version.to_string()).collect()))
        .with("days", Detail::Count(if wanted.force { 0 } else { wanted.days.into() }));
    if let Some(approval) = wanted.approval {
        event = event.with("approval", Detail::Id(approval.to_string()));
    }
    change.commit(event).await?;
    instance.end_lease(tenant);
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
    let waiting: Vec<KeyVersion> = change.rows().seize_versions(id).await?.into_iter().filter(waits).collect();
    if waiting.is_empty() {
        return Err(DeletionError::NothingWaits);
    }
    for version in &waiting {
        let before = KeyVersion {
            // INVARIANT: set with the state. A row that lost it stays stopped.
            state: version.cancels_to.unwrap_or(KeyState::Suspended),
            cancels_to: None,
            deletion_due_at: None,
            ..version.clone()
        };
        change.rows().swap_key_version(version, &before).await?;
    }
    let versions = change.rows().key_versions(id).await?;
    let event = Event::new(EventKind::KeyDeletionCancelled)
        .on("key", id)
        .with("versions", Detail::Names(waiting.iter().map(|version| version.version.to_string()).collect()));
    change.commit(event).await?;
    instance.end_lease(tenant);
    Ok(KeyRef { key, versions })
}

/// Destroys the versions of `tenant` whose waiting time is over, each in a commit of its own; how many there were.
///
/// # Errors
///
/// [`DeletionError`] of the first that could not be destroyed; all others are.
pub async fn destroy_due(instance: &Instance, tenant: TenantId) -> Result<u32, DeletionError> {
    let due = instance.store().view(tenant).await?.versions_to_destroy(instance.now()).await?;
    let (mut count, mut failed) = (0, None);
    for version in due {
        // One whose provider is away holds none of the others up.
        match certificates::with_key_of_today(instance, tenant, || destroy_one(instance, tenant, &version)).await {
            Ok(destroyed) => count += u32::from(destroyed),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(count), Err)
}

/// Destroys a version whose waiting time is over; `false` if it was cancelled since it was read.
async fn destroy_one(instance: &Instance, tenant: TenantId, due: &KeyVersion) -> Result<bool, DeletionError> {
    let request = RequestInfo {
        id: RequestId::make(instance.now(), instance.random())?,
        address: None,
        user_agent: None,
        key: None,
        route: "destroy",
        method: "JOB",
    };
    let ring = instance.keyring(tenant).await?;
    let mut change = Change::begin_with(instance, Actor::System(&request), tenant, ring).await?;
    let key = change.rows().seize_key(due.key).await?.ok_or(DeletionError::NotFound)?;
    // Cancelled since? Then it is not the same any more.
    let still = change.rows().seize_versions(due.key).await?;
    let Some(version) = still.into_iter().find(|found| found == due) else { return Ok(false) };
    destroy(instance, &mut change, (&key, &version), "system", None).await?;
    change.commit(Event::new(EventKind::KeyDeletionDone).on("key", key.id)).await?;
    instance.end_lease(tenant);
    Ok(true)
}

/// Wipes a version's material, sets its tombstone, and states both in a certificate and an event, in the caller's commit.
async fn destroy(
    instance: &Instance,
    change: &mut Change<'_>,
    (key, version): (&Key, &KeyVersion),
    by: impl ToString + Send,
    approval: Option<ApprovalId>,
) -> Result<(), DeletionError> {
    // First there, while the rows are held: a deletion that was cancelled in time destroys nothing. A commit that fails after
    // this is made good by the next run, for which a key that is gone is fine.
    super::resides::destroy(instance, &version.material).await?;
    let now = instance.now();
    let (wrapped, tenant_key_version) = match &version.material {
        StoredMaterial::Wrapped { bytes, tenant_key_version } => (bytes.clone(), *tenant_key_version),
        StoredMaterial::Resident { id, .. } => (id.to_string().into_bytes(), 0),
    };
    let print = fingerprint(version.handle, &wrapped);
    let gone = KeyVersion {
        state: KeyState::Destroyed,
        // Nothing of it stays.
        material: StoredMaterial::Wrapped { bytes: Vec::new(), tenant_key_version },
        cancels_to: None,
        resumes_to: None,
        deletion_due_at: None,
        retired_at: version.retired_at.or(Some(now)),
        ..version.clone()
    };
    change.rows().swap_key_version(version, &gone).await?;
    let copies = change.rows().key_copies(key.id).await?;
    let copies: Vec<KeyCopy> = copies.into_iter().filter(|copy| copy.may_hold(version.version)).collect();
    let certificate = certify(instance, change, (key, version), (&print, &copies), now).await?;
    let tombstone = Tombstone {
        kind: TombstoneKind::KeyVersion,
        id: version.key_id.clone(),
        handle: version.handle,
        fingerprint: print,
        destroyed_at: now,
        destroyed_by: by.to_string(),
        approval,
        certificate: Some(certificate),
    };
    change.rows().insert_tombstone(&tombstone).await?;
    let event = Event::new(EventKind::KeyDestroyed)
        .on("key", key.id)
        .with("key_id", Detail::Id(version.key_id.clone()))
        .with("version", Detail::Count(version.version.into()))
        .with("fingerprint", Detail::Id(data_encoding::HEXLOWER.encode(&print)))
        .with("certificate", Detail::Id(certificate.to_string()))
        .with("copies", Detail::Count(u64::try_from(copies.len()).unwrap_or(u64::MAX)))
        .with("copy_locations", Detail::Names(made_here(&copies).map(|copy| copy.location.clone()).collect()))
        .with("complete_at", Detail::At(complete_at(now)));
    change.record(event).await?;
    Ok(())
}

/// The copies that Chancery made itself: their locations are names of the operator's configuration.
fn made_here(copies: &[KeyCopy]) -> impl Iterator<Item = &KeyCopy> {
    copies.iter().filter(|copy| copy.state != BackupState::Claimed)
}

/// What a certificate states of the copies that may still hold a destroyed key: how many, and of those made here where and
/// since when. Of one that an import told of it is known that it was told of.
fn stated(copies: &[KeyCopy]) -> impl Iterator<Item = (String, Value)> {
    let made = made_here(copies).count();
    let counts = [("copies".to_owned(), json!(made)), ("copies_claimed".to_owned(), json!(copies.len() - made))];
    let each = made_here(copies).take(MAX_STATED).zip(1..).flat_map(|(copy, number)| {
        let at = copy.at.map(|at| (format!("copy_{number}_on"), json!(day(at))));
        std::iter::once((format!("copy_{number}_location"), json!(copy.location))).chain(at)
    });
    counts.into_iter().chain(each.collect::<Vec<_>>())
}

fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

/// When the last key bundle that may hold a key destroyed at `now` has expired.
pub fn complete_at(now: Timestamp) -> Timestamp {
    now.plus_seconds(i64::from(BUNDLE_DAYS) * DAY_SECONDS)
}

/// The certificate of a destruction, stated by Chancery itself.
async fn certify(
    instance: &Instance,
    change: &mut Change<'_>,
    (key, version): (&Key, &KeyVersion),
    (print, copies): (&[u8; 32], &[KeyCopy]),
    now: Timestamp,
) -> Result<CertificateId, DeletionError> {
    let upper = |text: &str| text.rsplit('_').next().unwrap_or_default().to_owned();
    let mut params = BTreeMap::from([
        ("complete_on".to_owned(), json!(day(complete_at(now)))),
        ("fingerprint".to_owned(), json!(data_encoding::HEXLOWER.encode(print))),
        ("handle".to_owned(), json!(data_encoding::HEXUPPER.encode(&version.handle.0))),
        ("key".to_owned(), json!(upper(&key.id.to_string()))),
        ("key_type".to_owned(), json!(key.key_type.as_str().to_ascii_uppercase())),
        ("version".to_owned(), json!(version.version)),
    ]);
    params.extend(stated(copies));
    let claim = Claim {
        kind: "key-destruction".to_owned(),
        subject_kind: "key".to_owned(),
        subject_ref: Phi::new(version.key_id.clone()),
        code: "key.destroyed".to_owned(),
        params,
        evidence: Vec::new(),
        occurred_at: Some(now),
        attested_at: None,
    };
    Ok(certificates::state(instance, change, &claim).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_counts_all_copies_and_names_those_made_here() {
        let copy = |location: &str, state| KeyCopy {
            key: KeyId::from_bytes([1; 16]),
            location: location.to_owned(),
            state,
            version: (state == BackupState::Verified).then_some(2),
            at: Some(Timestamp::from_seconds(86_400)),
            by: None,
        };
        let copies = [copy("somebody's drawer", BackupState::Claimed), copy("vault_1", BackupState::Verified)];
        let params: BTreeMap<String, Value> = stated(&copies).collect();
        let wanted = json!({"copies": 1, "copies_claimed": 1, "copy_1_location": "vault_1", "copy_1_on": "1970-01-02"});
        assert_eq!(json!(params), wanted);
        let many: Vec<KeyCopy> = (0..20).map(|n| copy(&n.to_string(), BackupState::Verified)).collect();
        assert_eq!((stated(&many).count(), stated(&many).next().unwrap().1), (2 + 2 * MAX_STATED, json!(20)));
        // A version made after the copy is not in it; what an import told of may hold any.
        assert!(copies[1].may_hold(2) && !copies[1].may_hold(3) && copies[0].may_hold(3));
    }
}
