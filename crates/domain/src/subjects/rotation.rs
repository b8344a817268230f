//! Follows a rotation of the subject root: moves every key of a person under the newest version, and with it the keys of
//! references, so that the old version may go.
//!
//! Nothing is noted of how far it is: what is still under an old version says so itself. A batch is one commit, and in it
//! each row is replaced only where it is still the one that was read, so it may be cut off anywhere and done twice.

use std::collections::BTreeMap;

use super::{SubjectKey, lend};
use crate::{
    Instance,
    access::RequestInfo,
    audit::{Change, Detail, Event, EventKind, OpenFailure, Outcome, receipt::note_all, stamp::Actor},
    census,
    ids::{KeyId, RequestId, SubjectId, TenantId},
    instance::Failure,
    jobs,
    keyring::{Key, KeyState, KeyVersion, KeyringError, Managed},
    store::StoreError,
    time::Timestamp,
};

/// The one node that does it, and for how many seconds it has that without saying so again: it does before each batch.
pub const JOB: &str = "subject_keys";
const CLAIM_SECONDS: i64 = 60;
/// Keys of one commit.
const BATCH: u32 = 200;
/// How long a key that does not unwrap is left alone.
const TRY_AGAIN_SECONDS: i64 = 86_400;

/// Keys that did not unwrap, and when each is tried again: one event a day, not one a round.
#[derive(Debug, Default)]
pub struct Unmoved(BTreeMap<(TenantId, SubjectId), Timestamp>);

/// What a batch came to.
struct Batch {
    /// The last key that was looked at; none if there was none.
    last: Option<SubjectId>,
    /// How many were moved.
    moved: u64,
}

/// Moves what is under superseded versions of the subject root of `tenant`, until `stopped` says so or another node has
/// the job; how many keys of persons that were. Asks the store first: a tenant with nothing to move costs no lease.
///
/// # Errors
///
/// [`Failure`]; what was moved until then stays moved, and the next call goes on.
pub async fn move_keys(
    instance: &Instance,
    tenant: TenantId,
    unmoved: &mut Unmoved,
    stopped: &(dyn Fn() -> bool + Send + Sync),
) -> Result<u64, Failure> {
    let now = instance.now();
    unmoved.0.retain(|_, until| now < *until);
    let versions = instance.store().view(tenant).await?.managed_versions().await?;
    let old = versions.into_iter().filter(|(managed, version)| {
        *managed == Managed::Subject && version.state.opens() && version.state != KeyState::Active
    });
    let mut moved = 0;
    for (_, version) in old {
        let held = instance.store().view(tenant).await?.subject_holdings(&version.key_id).await?;
        if held.is_empty() && version.state != KeyState::Rotating {
            continue;
        }
        let mut after = None;
        loop {
            if stopped() || !jobs::claim(instance, JOB, CLAIM_SECONDS).await? {
                return Ok(moved);
            }
            let batch = move_batch(instance, tenant, &version, after, unmoved).await?;
            moved += batch.moved;
            // What does not unwrap stays where it is.
            let Some(last) = batch.last else { break };
            after = Some(last);
        }
        move_references(instance, tenant, &version).await?;
    }
    Ok(moved)
}

async fn move_batch(
    instance: &Instance,
    tenant: TenantId,
    from: &KeyVersion,
    after: Option<SubjectId>,
    unmoved: &mut Unmoved,
) -> Result<Batch, Failure> {
    let (request, now) = (request(instance)?, instance.now());
    let (mut change, _) = begin(instance, &request, tenant).await?;
    let ring = std::sync::Arc::clone(change.keyring());
    let rows = change.rows().subject_keys_under(&from.key_id, after, BATCH).await?;
    let last = rows.last().map(|row| row.id);
    let (mut moved, mut failed) = (0, Vec::new());
    for row in rows {
        if unmoved.0.contains_key(&(tenant, row.id)) {
            continue;
        }
        let made = match ring.rewrap_subject_key(&row, instance.random()) {
            Ok(made) => made,
            Err(error) => {
                failed.push((row.id, OpenFailure::from(&error)));
                continue;
            }
        };
        let id = row.id;
        let new = SubjectKey { wrapped: Some(made.wrapped), root_key: made.root_key, ..row };
        match change.rows().rewrap_subject_key(&new, &from.key_id).await {
            Ok(()) => moved += 1,
            // Erased since it was read, and stays so.
            Err(StoreError::Changed(_)) => tracing::debug!(%tenant, %id, "A key changed while it was to be moved"),
            Err(error) => return Err(error.into()),
        }
    }
    if moved > 0 {
        change.commit(told(from, moved)).await?;
    } else {
        drop(change);
    }
    let events: Vec<Event> = failed.iter().map(|(id, class)| unopened(instance, from.key, *id, *class)).collect();
    if !events.is_empty() {
        note_all(instance, Actor::System(&request), tenant, events).await?;
        unmoved.0.extend(failed.iter().map(|(id, _)| ((tenant, *id), now.plus_seconds(TRY_AGAIN_SECONDS))));
    }
    Ok(Batch { last, moved })
}

/// Moves the keys of references, carries that of `from` itself over, and retires it if nothing is left: one commit.
async fn move_references(instance: &Instance, tenant: TenantId, from: &KeyVersion) -> Result<(), Failure> {
    let request = request(instance)?;
    let (mut change, key) = begin(instance, &request, tenant).await?;
    let ring = std::sync::Arc::clone(change.keyring());
    let carried = change.rows().subject_references().await?;
    let mut moved = 0;
    for stored in carried.iter().filter(|stored| stored.root_key == from.key_id) {
        let made = ring.rewrap_references(stored, instance.random())?;
        change.rows().rewrap_subject_references(&made, &from.key_id).await?;
        moved += 1;
    }
    let held = change.rows().subject_holdings(&from.key_id).await?;
    if held.references > 0 {
        let made = ring.carry_references(&from.key_id, instance.random())?;
        change.rows().insert_subject_references(&made).await?;
        moved += 1;
    }
    let drained = census::drain(instance, &mut change, &key).await?;
    if moved == 0 && !drained {
        return Ok(());
    }
    change.commit(told(from, 0).with("references", Detail::Count(moved))).await?;
    instance.end_lease(tenant);
    Ok(())
}

fn request(instance: &Instance) -> Result<RequestInfo, Failure> {
    Ok(RequestInfo {
        id: RequestId::make(instance.now(), instance.random())?,
        address: None,
        user_agent: None,
        key: None,
        route: "subjects.rotation",
        method: "JOB",
    })
}

/// Begins a batch. The newest version is held until its end: nothing is moved to one that is superseded meanwhile.
async fn begin<'a>(
    instance: &'a Instance,
    request: &'a RequestInfo,
    tenant: TenantId,
) -> Result<(Change<'a>, Key), Failure> {
    // Another node may have rotated a moment ago: looked up again, once.
    for _ in 0..2 {
        let ring = instance.keyring(tenant).await?;
        let mut change = Change::begin_with(instance, Actor::System(request), tenant, ring).await?;
        match lend::hold_root(&mut change).await {
            Err(Failure::Keyring(KeyringError::Stale)) => instance.end_lease(tenant),
            held => return held.map(|key| (change, key)),
        }
    }
    Err(KeyringError::Stale.into())
}

fn told(from: &KeyVersion, moved: u64) -> Event {
    Event::new(EventKind::SubjectKeysMoved)
        .on("key", from.key)
        .with("from", Detail::Id(from.key_id.clone()))
        .with("count", Detail::Count(moved))
}

fn unopened(instance: &Instance, key: KeyId, id: SubjectId, class: OpenFailure) -> Event {
    instance.open_failures.count(class);
    Event::new(EventKind::KeyUseFailed)
        .outcome(Outcome::SeriousFailure)
        .on("key", key)
        .with("operation", Detail::Code("rewrap"))
        .with("subject", Detail::Id(id.to_string()))
        .with("code", Detail::Code(class.as_str()))
}
