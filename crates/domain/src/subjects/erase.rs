//! Erases a person: destroys the key, and certifies it.

use chancery_crypto::Phi;

use super::{SubjectError, SubjectKey, SubjectState, check_reference, lend};
use crate::{
    Instance,
    access::{Call, Permission},
    approvals::{self, Carried, Deed, DeedKind},
    audit::{Change, Detail, EventKind},
    certificates::{Claim, Issued, issue_within, with_key_of_today},
    ids::ApprovalId,
    instance::Failure,
    keyring::{KeyringError, Tombstone, TombstoneKind, destruction::complete_at, tombstones::fingerprint},
    time::Timestamp,
};

/// The kind of certificate that says a person was erased.
pub const ERASURE_KIND: &str = "subject-erasure";
/// What it states.
pub const ERASURE_CODE: &str = "key-destroyed";

/// A person was erased.
#[derive(Debug)]
pub struct Erasure {
    /// The key that is gone.
    pub key: SubjectKey,
    /// States it, with the date of completion.
    pub certificate: Issued,
    /// When the last key bundle that may hold the key has expired.
    pub complete_at: Timestamp,
}

/// Destroys the key of a person. Immediate in the live store, on every node; complete when the last key bundle that
/// may hold the key has expired, which the certificate states. Takes two people: without an approval it is asked for.
///
/// # Errors
///
/// [`SubjectError`].
pub async fn erase(
    instance: &Instance,
    call: &Call,
    subject: &Phi<String>,
    approval: Option<ApprovalId>,
) -> Result<Carried<Erasure>, SubjectError> {
    call.require(Permission::SubjectsErase)?;
    instance.require_recent(call)?;
    check_reference(subject.expose())?;
    let Some(approval) = approval else {
        let mut change = Change::begin(instance, call, call.tenant()).await?;
        let key = active_key(&mut change, subject).await?;
        drop(change);
        return Ok(Carried::waits(approvals::request(instance, call, &deed(&key)).await?));
    };
    let erasure = with_key_of_today(instance, call.tenant(), || try_erase(instance, call, subject, approval)).await?;
    // The erasure stands. Bytes that linger in a write-ahead log go with the next try at the latest.
    if let Err(error) = instance.store().scrub().await {
        tracing::warn!(error = &error as &dyn std::error::Error, "Could not move an erasure into its final place yet");
    }
    Ok(Carried::Done(erasure))
}

/// The key that is to be destroyed.
async fn active_key(change: &mut Change<'_>, subject: &Phi<String>) -> Result<SubjectKey, SubjectError> {
    let keys = lend::keys_of(change, subject.expose()).await?;
    let was_erased = !keys.is_empty();
    let active = keys.into_iter().find(|key| key.state == SubjectState::Active);
    active.ok_or(if was_erased { SubjectError::AlreadyErased } else { SubjectError::NotFound })
}

/// What another person consents to: this key and no other of the same person.
fn deed(key: &SubjectKey) -> Deed {
    Deed::new(DeedKind::SubjectErase, "subject", key.id)
}

async fn try_erase(
    instance: &Instance,
    call: &Call,
    subject: &Phi<String>,
    approval: ApprovalId,
) -> Result<Erasure, SubjectError> {
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let key = active_key(&mut change, subject).await?;
    approvals::consume(instance, call, &mut change, approval, &deed(&key)).await?;
    let now = instance.now();
    let complete_at = complete_at(now);
    change.rows().destroy_subject_key(key.id, now).await?;
    let claim = claim(&key, subject, now, complete_at);
    let (certificate, issued) = issue_within(instance, &mut change, &claim).await?;
    change.record(issued).await?;
    // No backup brings it back: restoring looks for this.
    let tombstone = Tombstone {
        kind: TombstoneKind::SubjectKey,
        id: key.id.to_string(),
        handle: key.handle,
        fingerprint: fingerprint(key.handle, key.wrapped.as_deref().unwrap_or_default()),
        destroyed_at: now,
        destroyed_by: call.caller.subject().to_string(),
        approval: Some(approval),
        certificate: Some(certificate.certificate.id),
    };
    change.rows().insert_tombstone(&tombstone).await?;
    let event = lend::told(change.keyring(), EventKind::SubjectErased, key.id, subject.expose())?
        .with("approval", Detail::Id(approval.to_string()))
        .with("certificate", Detail::Id(certificate.certificate.id.to_string()))
        .with("complete_at", Detail::At(complete_at));
    change.commit(event).await?;
    let key = SubjectKey { state: SubjectState::Destroyed, wrapped: None, destroyed_at: Some(now), ..key };
    Ok(Erasure { key, certificate, complete_at })
}

fn claim(key: &SubjectKey, subject: &Phi<String>, now: Timestamp, complete_at: Timestamp) -> Claim {
    // A date has ten characters; the day after the last second is complete for sure.
    let date = |moment: Timestamp| moment.to_string().chars().take(10).collect::<String>();
    let params = [
        ("key_handle", key.handle.to_hex().to_uppercase()),
        ("destroyed_on", date(now)),
        ("complete_on", date(complete_at.plus_seconds(86_400))),
    ];
    Claim {
        kind: ERASURE_KIND.to_owned(),
        subject_kind: "subject".to_owned(),
        subject_ref: Phi::new(subject.expose().clone()),
        code: ERASURE_CODE.to_owned(),
        params: params.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect(),
        evidence: Vec::new(),
        supersedes: None,
        occurred_at: Some(now),
        attested_at: None,
        not_after: None,
    }
}

/// Makes a new key for a person who was erased, so that values can be sealed for that person again. What was erased stays so.
///
/// # Errors
///
/// [`SubjectError`].
pub async fn recreate(instance: &Instance, call: &Call, subject: &Phi<String>) -> Result<SubjectKey, SubjectError> {
    call.require(Permission::SubjectsErase)?;
    check_reference(subject.expose())?;
    match try_recreate(instance, call, subject).await {
        // Another node rotated the subject root since this one last looked: look again, once.
        Err(SubjectError::Failed(Failure::Keyring(KeyringError::Stale))) => {
            instance.end_lease(call.tenant());
            try_recreate(instance, call, subject).await
        }
        outcome => outcome,
    }
}

async fn try_recreate(instance: &Instance, call: &Call, subject: &Phi<String>) -> Result<SubjectKey, SubjectError> {
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    lend::hold_root(&mut change).await?;
    let keys = lend::keys_of(&mut change, subject.expose()).await?;
    if keys.is_empty() {
        return Err(SubjectError::NotFound);
    }
    if keys.iter().any(|key| key.state == SubjectState::Active) {
        return Err(SubjectError::NotErased);
    }
    let key = lend::new_key(instance, change.keyring(), subject.expose(), instance.now())?;
    change.rows().insert_subject_key(&key).await?;
    let event = lend::told(change.keyring(), EventKind::SubjectRecreated, key.id, subject.expose())?;
    change.commit(event).await?;
    Ok(key)
}
