//! Suspends, resumes and revokes versions of a key, by hand; expires them, by the clock.

use super::{
    Key, KeyError, KeyRef, KeyState, KeyType, KeyVersion, Managed, Revocation,
    rotate::{next_version, retirement},
    uses::note_failure,
};
use crate::{
    Instance,
    access::{Call, Permission},
    approvals::{self, Carried, Deed, DeedKind},
    audit::{Change, Detail, Event, EventKind, stamp::Actor},
    faults::Faults,
    ids::{ApprovalId, KeyId, TenantId},
    instance::Failure,
    tenants::create::activation,
    time::Timestamp,
};

/// Stops versions of a key for now: `version`, or all that can be.
///
/// # Errors
///
/// [`KeyError`]; [`KeyError::Needed`] for the keys that a tenant's log is written with.
pub async fn suspend(instance: &Instance, call: &Call, id: KeyId, version: Option<u32>) -> Result<KeyRef, KeyError> {
    call.require(Permission::KeysSuspend)?;
    called(instance, call, id, version, Shift::Suspend, None).await
}

/// Lets suspended versions go on as what they were; one whose time is over meanwhile is expired.
///
/// # Errors
///
/// [`KeyError`].
pub async fn resume(instance: &Instance, call: &Call, id: KeyId, version: Option<u32>) -> Result<KeyRef, KeyError> {
    call.require(Permission::KeysSuspend)?;
    instance.require_recent(call)?;
    called(instance, call, id, version, Shift::Resume, None).await
}

/// What shall be revoked, and why.
#[derive(Debug, Clone, Copy)]
pub struct Revoking {
    /// Which version; all that can be if none is named.
    pub version: Option<u32>,
    /// Why.
    pub why: Revocation,
    /// Also a version of the subject root that still wraps the keys of persons, which takes two people.
    pub force: bool,
    /// Another person's consent.
    pub approval: Option<ApprovalId>,
}

/// Revokes versions of a key at once and for good. A managed key whose active version goes gets a new one in the same
/// commit: a tenant is never without.
///
/// Keys of persons under a version of the subject root would open no more and could not be moved either. So first they move, which
/// they do by themselves after a rotation; only by force, with two people, it is revoked over them. Erasing them works on.
///
/// # Errors
///
/// [`KeyError`]; [`KeyError::StillHolds`] without force.
pub async fn revoke(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    wanted: Revoking,
) -> Result<Carried<KeyRef>, KeyError> {
    call.require(Permission::KeysRevoke)?;
    instance.require_recent(call)?;
    let Revoking { version, why, force, approval } = wanted;
    let consent = approval.filter(|_| force).map(|approval| (call, approval));
    match called(instance, call, id, version, Shift::Revoke(why), consent).await {
        Err(KeyError::StillHolds(..)) if force && approval.is_none() => {
            let mut view = instance.store().view(call.tenant()).await?;
            let versions = view.key_versions(id).await?;
            drop(view);
            let now = instance.now();
            let named = versions.iter().filter(|found| version.is_none_or(|number| found.version == number));
            let moves = named.filter(|found| Shift::Revoke(why).apply(found, now).is_some());
            let deed = deed(id, why, moves.map(|found| found.version));
            Ok(Carried::waits(approvals::request(instance, call, &deed).await?))
        }
        outcome => outcome.map(Carried::Done),
    }
}

/// What two people consent to: these versions, for this reason.
fn deed(id: KeyId, why: Revocation, versions: impl Iterator<Item = u32>) -> Deed {
    let deed = Deed::new(DeedKind::KeyRevokeHolding, "key", id).of_versions(versions);
    deed.with("reason", Detail::Code(why.reason.as_str()))
}

/// The first of these versions of the subject root under which something still is, and how much.
async fn holding(
    change: &mut Change<'_>,
    key: &Key,
    versions: impl Iterator<Item = &KeyVersion>,
) -> Result<Option<(u32, u64)>, KeyError> {
    if key.managed != Some(Managed::Subject) {
        return Ok(None);
    }
    for version in versions {
        let held = change.rows().subject_holdings(&version.key_id).await?;
        if !held.is_empty() {
            return Ok(Some((version.version, held.keys.saturating_add(held.references))));
        }
    }
    Ok(None)
}

/// As [`shift`], for a caller; what did not work is an event too (AU-02).
async fn called(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    number: Option<u32>,
    what: Shift,
    consent: Option<(&Call, ApprovalId)>,
) -> Result<KeyRef, KeyError> {
    let outcome = shift(instance, Actor::Call(call), call.tenant(), (id, number), what, consent).await;
    if let Err(error) = &outcome
        && !matches!(error, KeyError::NotFound)
    {
        note_failure(instance, call, id, what.operation(), error).await?;
    }
    outcome
}

/// What is done to versions.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shift {
    Suspend,
    Resume,
    Revoke(Revocation),
    Expire,
}

impl Shift {
    const fn operation(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Revoke(_) => "revoke",
            Self::Expire => "expire",
        }
    }

    const fn kind(self) -> EventKind {
        match self {
            Self::Suspend => EventKind::KeySuspended,
            Self::Resume => EventKind::KeyResumed,
            Self::Revoke(_) => EventKind::KeyRevoked,
            Self::Expire => EventKind::KeyExpired,
        }
    }

    /// What `version` becomes.
    fn target(self, version: &KeyVersion, now: Timestamp) -> KeyState {
        let over = version.expires_at.is_some_and(|end| end <= now);
        match self {
            Self::Suspend => KeyState::Suspended,
            Self::Revoke(_) => KeyState::Revoked,
            Self::Expire => KeyState::Expired,
            Self::Resume if over => KeyState::Expired,
            Self::Resume => version.resumes_to.unwrap_or(KeyState::Inactive),
        }
    }

    /// Whether it concerns a version: resuming only what is suspended, expiring only what is over and not stopped.
    /// What waits for its destruction does nothing anyway: it is revoked, or its deletion is cancelled.
    fn concerns(self, version: &KeyVersion, now: Timestamp) -> bool {
        match self {
            Self::Resume => version.state == KeyState::Suspended,
            Self::Expire => {
                let stopped = matches!(version.state, KeyState::Suspended | KeyState::PendingDeletion);
                !stopped && version.expires_at.is_some_and(|end| end <= now)
            }
            Self::Suspend => version.state != KeyState::PendingDeletion,
            // What its provider destroys already does not come back as revoked.
            Self::Revoke(_) => !version.is_being_destroyed(),
        }
    }

    /// `version` after it; `None` if it cannot be.
    fn apply(self, version: &KeyVersion, now: Timestamp) -> Option<KeyVersion> {
        let to = self.target(version, now);
        if !self.concerns(version, now) || !version.state.may_become(to) {
            return None;
        }
        let mut after = KeyVersion { state: to, resumes_to: None, ..version.clone() };
        match self {
            Self::Suspend => after.resumes_to = Some(version.state),
            Self::Revoke(why) => {
                after.revocation = Some(why);
                (after.cancels_to, after.deletion_due_at) = (None, None);
            }
            Self::Resume | Self::Expire => {}
        }
        if !matches!(to, KeyState::Active | KeyState::Suspended) {
            after.retired_at = version.retired_at.or(Some(now));
        }
        Some(after)
    }
}

/// Certificates up to an index are spared: one that is not logged yet spares what is still to come.
fn check_index(index: u64, size: u64) -> Result<(), Faults> {
    if index < size {
        return Ok(());
    }
    Err(Faults::one("/last_valid_index", "range", format!("the log has {size} entries: use an index below that")))
}

/// Moves versions of a key, in one commit with an event for each; over what they hold only with consent.
pub(super) async fn shift(
    instance: &Instance,
    actor: Actor<'_>,
    tenant: TenantId,
    (id, number): (KeyId, Option<u32>),
    shift: Shift,
    consent: Option<(&Call, ApprovalId)>,
) -> Result<KeyRef, KeyError> {
    let ring = instance.keyring(tenant).await?;
    let mut change = Change::begin_with(instance, actor, tenant, ring).await?;
    let mut key = change.rows().seize_key(id).await?.ok_or(KeyError::NotFound)?;
    let versions = change.rows().seize_versions(id).await?;
    if let Shift::Revoke(Revocation { last_valid_index: Some(index), .. }) = shift {
        check_index(index, change.rows().log_head().await?.size)?;
    }
    // Whoever used one of them has committed by now.
    let now = instance.now();
    let chosen: Vec<&KeyVersion> =
        versions.iter().filter(|version| number.is_none_or(|number| version.version == number)).collect();
    let last = *chosen.last().ok_or(KeyError::NoVersion)?;
    let moves: Vec<(&KeyVersion, KeyVersion)> =
        chosen.iter().filter_map(|version| Some((*version, shift.apply(version, now)?))).collect();
    if moves.is_empty() {
        return Err(KeyError::Illegal { from: last.state, to: shift.target(last, now) });
    }
    if matches!(shift, Shift::Suspend) && matches!(key.managed, Some(Managed::Audit | Managed::Log)) {
        return Err(KeyError::Needed);
    }

    if let Shift::Revoke(why) = shift
        && let Some((version, keys)) = holding(&mut change, &key, moves.iter().map(|(before, _)| *before)).await?
    {
        let (call, approval) = consent.ok_or(KeyError::StillHolds(version, keys))?;
        let deed = deed(id, why, moves.iter().map(|(before, _)| before.version));
        approvals::consume(instance, call, &mut change, approval, &deed).await?;
    }
    let mut events = Vec::new();
    for (before, after) in &moves {
        change.rows().swap_key_version(before, after).await?;
        if before.retired_at.is_none() && after.retired_at.is_some() {
            events.push(retirement(&key, before));
        }
        events.push(event(&key, after, shift));
    }
    let state = |version: &KeyVersion| {
        let moved = moves.iter().find(|(before, _)| before.version == version.version);
        moved.map_or(version.state, |(_, after)| after.state)
    };
    let ended = moves.iter().any(|(_, after)| matches!(after.state, KeyState::Revoked | KeyState::Expired));
    // One that is suspended comes back.
    let stands = |version: &KeyVersion| matches!(state(version), KeyState::Active | KeyState::Suspended);
    let lost = ended && !versions.iter().any(stands);
    if let (true, Some(_), Some(newest)) = (lost, key.managed, versions.last()) {
        replace(instance, &mut change, &mut key, newest, &mut events).await?;
    }
    let versions = change.rows().key_versions(id).await?;
    let last = events.pop().ok_or(Failure::Internal("versions moved without an event"))?;
    for event in events {
        change.record(event).await?;
    }
    change.commit(last).await?;
    instance.end_lease(tenant);
    Ok(KeyRef { key, versions })
}

/// Gives a managed key a new active version after the one it had is gone.
async fn replace(
    instance: &Instance,
    change: &mut Change<'_>,
    key: &mut Key,
    newest: &KeyVersion,
    events: &mut Vec<Event>,
) -> Result<(), KeyError> {
    if key.managed == Some(Managed::Certificate) {
        // What lived in a provider goes on here: nothing waits for a provider while a key is taken out of use. A rotation brings it there.
        key.hsm = None;
        if key.key_type != KeyType::EcP256 {
            key.key_type = KeyType::Ed25519;
        }
    }
    let ring = std::sync::Arc::clone(change.keyring());
    // A rotation of the tenant key does not look again for keys under the old one.
    change.rows().hold_tenant_key(ring.tenant_keys.active()).await?;
    let versions = change.rows().key_versions(key.id).await?;
    let new = match versions.iter().find(|version| version.state == KeyState::Pending) {
        // It is published already: those who verify know it.
        Some(staged) => {
            let new = super::staged::in_force(staged, instance.now());
            change.rows().swap_key_version(staged, &new).await?;
            new
        }
        None => {
            let (new, _) = next_version(instance, &ring, key, newest, None)?;
            let linked = versions.iter().find(|version| version.version == newest.version);
            if let Some(linked) = linked {
                let next = KeyVersion { next: Some(new.key_id.clone()), ..linked.clone() };
                change.rows().swap_key_version(linked, &next).await?;
            }
            change.rows().insert_key_version(&new).await?;
            new
        }
    };
    *key = super::staged::typed(key.clone(), &new)?;
    key.last_rotated_at = Some(new.created_at);
    key.reminded_at = None;
    change.rows().update_key(key).await?;
    events.push(activation(key, &new));
    events.push(Event::new(EventKind::KeyRotated).on("key", key.id).with("key_id", Detail::Id(new.key_id)));
    Ok(())
}

fn event(key: &Key, version: &KeyVersion, shift: Shift) -> Event {
    let event = Event::new(shift.kind())
        .on("key", key.id)
        .with("key_id", Detail::Id(version.key_id.clone()))
        .with("version", Detail::Count(u64::from(version.version)))
        .with("state", Detail::Code(version.state.as_str()));
    match shift {
        Shift::Revoke(Revocation { reason, last_valid_index }) => {
            let event = event.with("reason", Detail::Code(reason.as_str()));
            match last_valid_index {
                Some(index) => event.with("last_valid_index", Detail::Count(index)),
                None => event,
            }
        }
        Shift::Suspend | Shift::Resume | Shift::Expire => event,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::{RevocationReason, StoredMaterial};

    const NOW: Timestamp = Timestamp::from_seconds(1_000);
    const WHY: Revocation = Revocation { reason: RevocationReason::KeyCompromise, last_valid_index: None };

    fn version(state: KeyState) -> KeyVersion {
        let wrapped = StoredMaterial::Wrapped { bytes: Vec::new(), tenant_key_version: 1, check: None };
        let active = crate::keyring::create::tests::version(KeyId::from_bytes([1; 16]), "kv".to_owned(), wrapped, None);
        KeyVersion { state, ..active }
    }

    /// The states that a verb takes on, with what they become.
    fn table(shift: Shift, make: impl Fn(KeyState) -> KeyVersion) -> Vec<String> {
        let moved = |state: &KeyState| Some(format!("{state} → {}", shift.apply(&make(*state), NOW)?.state));
        KeyState::ALL.iter().filter_map(moved).collect()
    }

    #[test]
    fn each_verb_takes_on_what_the_table_says_and_refuses_the_rest() {
        assert_eq!(
            table(Shift::Suspend, version),
            ["active → suspended", "rotating → suspended", "inactive → suspended", "expired → suspended"]
        );
        let waits = |state| KeyVersion { cancels_to: Some(KeyState::Active), ..version(state) };
        assert_eq!(
            table(Shift::Revoke(WHY), waits),
            [
                "pending → revoked",
                "active → revoked",
                "rotating → revoked",
                "inactive → revoked",
                "suspended → revoked",
                "expired → revoked",
                "pending_deletion → revoked",
            ]
        );
        assert!(Shift::Revoke(WHY).apply(&version(KeyState::PendingDeletion), NOW).is_none(), "being destroyed");
        let of_active = |state| KeyVersion { resumes_to: Some(KeyState::Active), ..version(state) };
        assert_eq!(table(Shift::Resume, of_active), ["suspended → active"]);
        let over = |state| KeyVersion { expires_at: Some(NOW), ..version(state) };
        assert_eq!(table(Shift::Expire, version), [""; 0]);
        assert_eq!(table(Shift::Expire, over), ["active → expired", "rotating → expired", "inactive → expired"]);
    }

    #[test]
    fn what_is_resumed_is_what_it_was_unless_its_time_is_over() {
        for state in [KeyState::Active, KeyState::Rotating, KeyState::Inactive] {
            let suspended = Shift::Suspend.apply(&version(state), NOW).unwrap();
            assert_eq!((suspended.resumes_to, suspended.retired_at), (Some(state), None));
            assert_eq!(Shift::Resume.apply(&suspended, NOW).unwrap().state, state);
            let over = KeyVersion { expires_at: Some(NOW), ..suspended };
            assert_eq!(Shift::Resume.apply(&over, NOW).unwrap().state, KeyState::Expired);
        }
    }

    #[test]
    fn a_revoked_version_is_retired_and_says_why() {
        let revoked = Shift::Revoke(WHY).apply(&version(KeyState::Active), NOW).unwrap();
        assert_eq!((revoked.retired_at, revoked.revocation), (Some(NOW), Some(WHY)));
        let earlier = KeyVersion { retired_at: Some(Timestamp::from_seconds(1)), ..version(KeyState::Rotating) };
        let revoked = Shift::Revoke(WHY).apply(&earlier, NOW).unwrap();
        assert_eq!(revoked.retired_at, earlier.retired_at, "it signed no more since then");
    }
}
