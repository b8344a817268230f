//! What the scheduler does with a tenant's keys: rotates those whose interval has passed, expires those whose time is
//! over, and reminds of data keys that nobody rotated for a year (SR-05).

use super::{Key, KeyError, Managed, checks, lifecycle, rotate};
use crate::{
    Instance,
    access::RequestInfo,
    audit::{Change, Detail, Event, EventKind, Outcome, receipt::note_all, stamp::Actor},
    ids::{KeyId, RequestId, TenantId},
    instance::Failure,
    time::{DAY_SECONDS, Timestamp},
};

/// The name under which one node claims the work.
pub const JOB: &str = "keys";
/// After so long a data key is due.
const YEAR: i64 = 365 * DAY_SECONDS;
/// How long lies between two reminders.
const AGAIN: i64 = 30 * DAY_SECONDS;

/// What was done for one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Done {
    /// Keys that were rotated.
    pub rotated: u32,
    /// Versions that were expired.
    pub expired: u32,
    /// Whether somebody was reminded.
    pub reminded: bool,
    /// What did not work; each is an event, and is tried again the next time.
    pub failed: u32,
}

/// Does all that is due for `tenant`. Whatever fails leaves its key as it was, and does not keep the others waiting.
///
/// # Errors
///
/// [`Failure`] if it cannot even be found out what is due.
pub async fn run(instance: &Instance, tenant: TenantId) -> Result<Done, Failure> {
    let request = RequestInfo {
        id: RequestId::make(instance.now(), instance.random())?,
        address: None,
        user_agent: None,
        key: None,
        route: "key-schedule",
        method: "JOB",
    };
    let mut view = instance.store().view(tenant).await?;
    let due = view.keys_due(instance.now()).await?;
    let expired = view.versions_expired(instance.now()).await?;
    let data = view.managed_key(Managed::Data).await?;
    drop(view);

    match checks::fill(instance, tenant).await {
        Ok(0) => {}
        Ok(kept) => tracing::info!(%tenant, kept, "Kept the checks of keys that had none"),
        Err(error) => tracing::warn!(%tenant, %error, "Could not keep the checks of keys yet"),
    }
    let mut done = Done::default();
    for key in due {
        match rotate::rotate_as(instance, Actor::System(&request), tenant, key.id, None, None).await {
            Ok(_) => done.rotated += 1,
            // Suspended, or waiting for its destruction: somebody decided so.
            Err(KeyError::NotActive) => {}
            Err(error) => {
                done.failed += 1;
                failed(instance, &request, tenant, key.id, "rotate", &error).await?;
            }
        }
    }
    for version in expired {
        let shift = lifecycle::Shift::Expire;
        let actor = Actor::System(&request);
        match lifecycle::shift(instance, actor, tenant, (version.key, Some(version.version)), shift, None).await {
            Ok(_) => done.expired += 1,
            // Somebody was quicker: suspended or revoked it.
            Err(KeyError::Illegal { .. }) => {}
            Err(error) => {
                done.failed += 1;
                failed(instance, &request, tenant, version.key, "expire", &error).await?;
            }
        }
    }
    if let Some(key) = data.filter(|key| is_overdue(key, instance.now())) {
        remind(instance, &request, tenant, &key).await?;
        done.reminded = true;
    }
    Ok(done)
}

/// Whether a data key without a schedule was not rotated for a year, and nobody was told of it lately.
fn is_overdue(key: &Key, now: Timestamp) -> bool {
    let since = key.last_rotated_at.unwrap_or(key.created_at);
    let told = key.reminded_at.is_some_and(|told| now < told.plus_seconds(AGAIN));
    !key.auto_rotate && since.plus_seconds(YEAR) <= now && !told
}

async fn remind(instance: &Instance, request: &RequestInfo, tenant: TenantId, key: &Key) -> Result<(), Failure> {
    let ring = instance.keyring(tenant).await?;
    let mut change = Change::begin_with(instance, Actor::System(request), tenant, ring).await?;
    let key = change.rows().seize_key(key.id).await?.ok_or(Failure::Internal("a tenant without a data key"))?;
    let since = key.last_rotated_at.unwrap_or(key.created_at);
    change.rows().update_key(&Key { reminded_at: Some(instance.now()), ..key.clone() }).await?;
    let managed = key.managed.map_or("none", Managed::as_str);
    let event = Event::new(EventKind::KeyRotationDue)
        .on("key", key.id)
        .with("managed", Detail::Code(managed))
        .with("since", Detail::At(since));
    change.commit(event).await
}

async fn failed(
    instance: &Instance,
    request: &RequestInfo,
    tenant: TenantId,
    key: KeyId,
    operation: &'static str,
    error: &KeyError,
) -> Result<(), Failure> {
    let event = Event::new(EventKind::KeyUseFailed)
        .outcome(Outcome::SeriousFailure)
        .on("key", key)
        .with("operation", Detail::Code(operation))
        .with("code", Detail::Code(error.code()));
    note_all(instance, Actor::System(request), tenant, vec![event]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_key_is_overdue_after_a_year_without_a_schedule_and_told_of_once_a_month() {
        let made = Timestamp::from_seconds(0);
        let key = Key::managed(KeyId::from_bytes([1; 16]), Managed::Data, made);
        let at = |seconds| made.plus_seconds(seconds);
        assert!(!is_overdue(&key, at(YEAR - 1)));
        assert!(is_overdue(&key, at(YEAR)));
        assert!(!is_overdue(&Key { auto_rotate: true, ..key.clone() }, at(YEAR)));
        assert!(!is_overdue(&Key { last_rotated_at: Some(at(DAY_SECONDS)), ..key.clone() }, at(YEAR)));
        let told = Key { reminded_at: Some(at(YEAR)), ..key };
        assert!(!is_overdue(&told, at(YEAR + AGAIN - 1)));
        assert!(is_overdue(&told, at(YEAR + AGAIN)));
    }
}
