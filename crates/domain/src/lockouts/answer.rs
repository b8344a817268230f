//! Answers to limits that were run into again and again: an API key is suspended for a while, a session is stopped. And what pauses is
//! put into the list that administrators see.
//!
//! Only who proved to hold a credential counts against it: a limit of its own or of its account refused a request that it had
//! authenticated. A stranger has no part in that.

use super::{Lockout, LockoutKind, paused::Pausing};
use crate::{
    Instance, TenantId,
    access::{RequestInfo, Role},
    api_keys::ApiKey,
    audit::{Change, Detail, Event, EventKind, stamp::Actor},
    ids::{ApiKeyId, LockoutId, RequestId, SessionId, UserId},
    instance::Failure,
    limits::Offender,
    sessions::SessionState,
    store::{StoreError, Tx},
    time::Timestamp,
};

/// Suspends the API keys and stops the sessions that are due, and lists the users that pause; how many credentials were answered.
///
/// # Errors
///
/// [`Failure`]; what was not answered becomes due again by its next refusals.
pub async fn answer_offenders(instance: &Instance) -> Result<usize, Failure> {
    let mut answered = 0;
    for (offender, (tenant, policy)) in instance.violations.take_offenders() {
        let done = match offender {
            Offender::ApiKey(id) => suspend(instance, tenant, id, policy).await?,
            Offender::Session(id) => stop(instance, tenant, id, policy).await?,
        };
        answered += usize::from(done);
    }
    for ((tenant, user), pausing) in instance.paused_accounts.take() {
        list(instance, tenant, user, pausing).await?;
    }
    Ok(answered)
}

/// Suspends an API key; whether it was not over or suspended already.
async fn suspend(instance: &Instance, tenant: TenantId, id: ApiKeyId, policy: String) -> Result<bool, Failure> {
    let now = instance.now();
    let seconds = instance.settings().limits.suspend_seconds;
    let request = request(instance)?;
    let mut change = begin(instance, &request, tenant).await?;
    let subject = id.to_string();
    let Some(key) = change.rows().hold_api_key(id).await?.filter(|key| !key.is_over(now)) else { return Ok(false) };
    if change.rows().lockout_of(LockoutKind::ApiKey, &subject, now).await?.is_some() {
        return Ok(false);
    }
    if administrates_alone(change.rows(), &key, now).await? {
        tracing::warn!(api_key.id = %id, "`{id}` runs into its limits again and again, and is not suspended: nobody else administrates its tenant");
        return Ok(false);
    }
    let lockout = Lockout {
        id: LockoutId::make(now, instance.random())?,
        kind: LockoutKind::ApiKey,
        subject,
        user: key.user,
        policy: Some(policy.clone()),
        ladders: Vec::new(),
        made_at: now,
        expires_at: now.plus_seconds(seconds.into()),
    };
    change.rows().put_lockout(&lockout).await?;
    let event = Event::new(EventKind::ApiKeySuspended)
        .on("api_key", id)
        .with("seconds", Detail::Count(seconds.into()))
        .with("policy", Detail::Names(vec![policy]));
    change.commit(event).await?;
    instance.callers.forget_all();
    instance.unshelve(id).await;
    tracing::warn!(api_key.id = %id, seconds, "Suspended `{id}`, which its limits refused again and again");
    Ok(true)
}

/// Whether without this key nobody would be left who administrates the tenant.
async fn administrates_alone(rows: &mut (dyn Tx + '_), key: &ApiKey, now: Timestamp) -> Result<bool, StoreError> {
    for role in [Role::TenantAdmin, Role::PlatformAdmin] {
        if !key.roles.contains(role) {
            continue;
        }
        // INVARIANT: held, so that two nodes do not each leave the other's key.
        rows.hold_tenant().await?;
        if rows.count_users_with_role(role).await? + rows.count_api_keys_with_role(role, now).await? <= 1 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Stops a session until its own end: all its tokens are refused. Its person logs in anew. Whether it went on before.
async fn stop(instance: &Instance, tenant: TenantId, id: SessionId, policy: String) -> Result<bool, Failure> {
    let now = instance.now();
    let request = request(instance)?;
    let mut change = begin(instance, &request, tenant).await?;
    let subject = id.to_string();
    let session = change.rows().session(id).await?;
    let goes_on = session.filter(|session| session.state == SessionState::Active && now < session.expires_at);
    let Some(session) = goes_on else { return Ok(false) };
    if change.rows().lockout_of(LockoutKind::Session, &subject, now).await?.is_some() {
        return Ok(false);
    }
    let lockout = Lockout {
        id: LockoutId::make(now, instance.random())?,
        kind: LockoutKind::Session,
        subject,
        user: Some(session.user),
        policy: Some(policy.clone()),
        ladders: Vec::new(),
        made_at: now,
        expires_at: session.expires_at,
    };
    change.rows().put_lockout(&lockout).await?;
    let event = Event::new(EventKind::SessionStopped)
        .on("session", id)
        .with("user", Detail::Id(session.user.to_string()))
        .with("policy", Detail::Names(vec![policy]));
    change.commit(event).await?;
    instance.callers.forget_all();
    tracing::warn!(session.id = %id, "Stopped `{id}`, which limits refused again and again");
    Ok(true)
}

/// Puts a user that pauses into the list. Nothing is decided here, so no event is written: each failed login was told of by itself.
async fn list(instance: &Instance, tenant: TenantId, user: UserId, mut pausing: Pausing) -> Result<(), Failure> {
    let now = instance.now();
    if pausing.until <= now {
        return Ok(());
    }
    let mut tx = instance.store().begin(tenant).await?;
    tx.forget_lockouts(now).await?;
    let subject = user.to_string();
    let known = tx.lockout_of(LockoutKind::Account, &subject, now).await?;
    let made_at = known.as_ref().map_or(now, |known| known.made_at);
    if let Some(known) = known {
        let mut all = Pausing { ladders: known.ladders, until: known.expires_at };
        all.add(&pausing.ladders, pausing.until);
        pausing = all;
    }
    let lockout = Lockout {
        id: LockoutId::make(now, instance.random())?,
        kind: LockoutKind::Account,
        subject,
        user: Some(user),
        policy: None,
        ladders: pausing.ladders,
        made_at,
        expires_at: pausing.until,
    };
    tx.put_lockout(&lockout).await?;
    Ok(tx.commit().await?)
}

async fn begin<'a>(instance: &'a Instance, request: &'a RequestInfo, tenant: TenantId) -> Result<Change<'a>, Failure> {
    let ring = instance.keyring(tenant).await?;
    let mut change = Change::begin_with(instance, Actor::System(request), tenant, ring).await?;
    change.rows().forget_lockouts(instance.now()).await?;
    Ok(change)
}

fn request(instance: &Instance) -> Result<RequestInfo, Failure> {
    Ok(RequestInfo {
        id: RequestId::make(instance.now(), instance.random())?,
        address: None,
        user_agent: None,
        key: None,
        route: "limit-answers",
        method: "JOB",
    })
}
