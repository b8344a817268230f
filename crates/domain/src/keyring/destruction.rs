//! How key versions go for good: in their provider first, then here, with a certificate and an event.
//!
//! A provider is asked while nothing is held: an HSM or a KMS may take long, and others write meanwhile. So what lives in one
//! goes in three steps. It is marked as begun, from where nothing leads back; its provider is asked; it is noted as gone. Whatever is
//! cut off between them goes on with the next round, for which a key that is gone from its provider is fine.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use chancery_crypto::Phi;
use serde_json::{Value, json};

use super::{
    BUNDLE_DAYS, BackupState, Key, KeyCopy, KeyState, KeyVersion, StoredMaterial, Tombstone, TombstoneKind,
    deletion::DeletionError, resides, tombstones::fingerprint,
};
use crate::{
    Instance, TenantId,
    access::RequestInfo,
    approvals,
    audit::{Change, Detail, Event, EventKind, stamp::Actor},
    certificates::{self, Claim},
    ids::{ApprovalId, CertificateId, RequestId},
    time::Timestamp,
};

/// So many copies a certificate names; it counts all of them.
const MAX_STATED: usize = 8;
/// So long a caller waits for providers; the next round does the rest.
const CALLER_WAITS: Duration = Duration::from_secs(10);

/// Who destroys.
pub(super) struct Destroyer<'a> {
    pub(super) actor: Actor<'a>,
    /// As tombstones have it.
    pub(super) name: String,
    pub(super) approval: Option<ApprovalId>,
}

/// The providers that did not answer in one round: they are not waited for again with each key and each tenant.
#[derive(Debug, Default)]
pub struct Away(BTreeSet<&'static str>);

/// Destroys the versions of `tenant` whose waiting time is over, each in a commit of its own; how many there were.
///
/// # Errors
///
/// [`DeletionError`] of the first that could not be destroyed; all others are, but for those in a provider that is away.
pub async fn destroy_due(instance: &Instance, tenant: TenantId, away: &mut Away) -> Result<u32, DeletionError> {
    let due = instance.store().view(tenant).await?.versions_to_destroy(instance.now()).await?;
    if due.is_empty() {
        return Ok(0);
    }
    let request = RequestInfo {
        id: RequestId::make(instance.now(), instance.random())?,
        address: None,
        user_agent: None,
        key: None,
        route: "destroy",
        method: "JOB",
    };
    let by = Destroyer { actor: Actor::System(&request), name: "system".to_owned(), approval: None };
    let (mut count, mut failed) = (0, None);
    for version in due {
        let provider = provider(&version);
        // One whose provider is away holds none of the others up.
        if provider.is_some_and(|provider| away.0.contains(provider)) {
            continue;
        }
        let done = certificates::with_key_of_today(instance, tenant, || destroy_one(instance, tenant, &version, &by));
        match done.await {
            Ok(destroyed) => count += u32::from(destroyed),
            Err(error) => {
                away.0.extend(provider);
                failed = failed.or(Some(error));
            }
        }
    }
    failed.map_or(Ok(count), Err)
}

/// Destroys what is due by force, until a provider does not answer or the caller has waited long enough. What is left is pending and
/// due: [`destroy_due`] goes on with it.
pub(super) async fn destroy_forced(instance: &Instance, tenant: TenantId, versions: &[KeyVersion], by: &Destroyer<'_>) {
    let began = Instant::now();
    for version in versions {
        if began.elapsed() >= CALLER_WAITS {
            return;
        }
        let done = certificates::with_key_of_today(instance, tenant, || destroy_one(instance, tenant, version, by));
        if let Err(error) = done.await {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            let (key, version) = (version.key, version.version);
            tracing::warn!(%tenant, %key, version, %error, cause, "A version is not destroyed yet; it is tried again");
            return;
        }
    }
}

/// Where a version lives, if not here.
fn provider(version: &KeyVersion) -> Option<&'static str> {
    match &version.material {
        StoredMaterial::Resident { provider, .. } => Some(provider.as_str()),
        StoredMaterial::Wrapped { .. } => None,
    }
}

/// Destroys a version that is due; `false` if it is not any more.
async fn destroy_one(
    instance: &Instance,
    tenant: TenantId,
    due: &KeyVersion,
    by: &Destroyer<'_>,
) -> Result<bool, DeletionError> {
    if provider(due).is_some() {
        if !begin(instance, tenant, due, by).await? {
            return Ok(false);
        }
        resides::destroy(instance, &due.material).await?;
    }
    let ring = instance.keyring(tenant).await?;
    let mut change = Change::begin_with(instance, by.actor, tenant, ring).await?;
    let Some((key, version)) = still_due(instance, &mut change, due).await? else { return Ok(false) };
    destroy(instance, &mut change, (&key, &version), by).await?;
    change.commit(Event::new(EventKind::KeyDeletionDone).on("key", key.id)).await?;
    instance.end_lease(tenant);
    Ok(true)
}

/// Marks a version as one whose provider is asked to destroy it: from here on that is neither cancelled nor overtaken by another
/// state. `false` if it is not due any more.
async fn begin(
    instance: &Instance,
    tenant: TenantId,
    due: &KeyVersion,
    by: &Destroyer<'_>,
) -> Result<bool, DeletionError> {
    let ring = instance.keyring(tenant).await?;
    let mut change = Change::begin_with(instance, by.actor, tenant, ring).await?;
    let Some((key, version)) = still_due(instance, &mut change, due).await? else { return Ok(false) };
    if version.is_being_destroyed() {
        return Ok(true);
    }
    let begun = KeyVersion { cancels_to: None, ..version.clone() };
    change.rows().swap_key_version(&version, &begun).await?;
    let event = Event::new(EventKind::KeyDestroying)
        .on("key", key.id)
        .with("key_id", Detail::Id(version.key_id.clone()))
        .with("version", Detail::Count(version.version.into()))
        .with("provider", Detail::Code(provider(&version).unwrap_or_default()));
    change.commit(event).await?;
    Ok(true)
}

/// The version as it is, held, with its key; none if it was cancelled or is gone.
async fn still_due(
    instance: &Instance,
    change: &mut Change<'_>,
    due: &KeyVersion,
) -> Result<Option<(Key, KeyVersion)>, DeletionError> {
    let key = change.rows().seize_key(due.key).await?.ok_or(DeletionError::NotFound)?;
    let now = instance.now();
    let still = |found: &KeyVersion| {
        let over = found.deletion_due_at.is_some_and(|at| at <= now);
        found.version == due.version && found.state == KeyState::PendingDeletion && over
    };
    let found = change.rows().seize_versions(due.key).await?.into_iter().find(still);
    Ok(found.filter(|found| provider(found) == provider(due)).map(|found| (key, found)))
}

/// Wipes a version's material, sets its tombstone, and states both in a certificate and an event, in the caller's commit.
/// Its provider has destroyed what lives there before.
pub(super) async fn destroy(
    instance: &Instance,
    change: &mut Change<'_>,
    (key, version): (&Key, &KeyVersion),
    by: &Destroyer<'_>,
) -> Result<(), DeletionError> {
    let now = instance.now();
    let (wrapped, tenant_key_version) = match &version.material {
        StoredMaterial::Wrapped { bytes, tenant_key_version, .. } => (bytes.clone(), *tenant_key_version),
        StoredMaterial::Resident { id, .. } => (id.to_string().into_bytes(), 0),
    };
    let print = fingerprint(version.handle, &wrapped);
    let gone = KeyVersion {
        state: KeyState::Destroyed,
        // Nothing of it stays.
        material: StoredMaterial::Wrapped { bytes: Vec::new(), tenant_key_version, check: None },
        cancels_to: None,
        resumes_to: None,
        deletion_due_at: None,
        retired_at: version.retired_at.or(Some(now)),
        ..version.clone()
    };
    change.rows().swap_key_version(version, &gone).await?;
    let copies = change.rows().key_copies(key.id).await?;
    let copies: Vec<KeyCopy> = copies.into_iter().filter(|copy| copy.may_hold(version.version)).collect();
    // The job knows what is due; who decided so is in the approval that was used.
    let approval = match (by.approval, version.deletion_due_at) {
        (None, Some(due)) => approvals::decided(change.rows(), (key.id, version.version), due).await?,
        (given, _) => given,
    };
    let certificate = certify(instance, change, (key, version), (&print, &copies), now).await?;
    let tombstone = Tombstone {
        kind: TombstoneKind::KeyVersion,
        id: version.key_id.clone(),
        handle: version.handle,
        fingerprint: print,
        destroyed_at: now,
        destroyed_by: by.name.clone(),
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
    now.plus_days(i64::from(BUNDLE_DAYS))
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
        supersedes: None,
        occurred_at: Some(now),
        attested_at: None,
        not_after: None,
    };
    Ok(certificates::state(instance, change, &claim).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::KeyId;

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
