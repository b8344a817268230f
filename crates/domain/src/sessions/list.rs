//! The sessions that go on: one's own, and those of a user for who runs its tenant.

use super::{Session, SessionState};
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    audit::{Change, Detail, Event, EventKind, receipt::note},
    ids::{SessionId, UserId},
    instance::{Failure, fails},
    store::StoreError,
};

/// Why sessions were neither shown nor ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The caller is no person who logged in.
    #[error("the caller has no session")]
    NoSession,
    /// There is no such user, or no such session of that user that goes on.
    #[error("no such session")]
    NotFound,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(SessionError);

/// The caller's own sessions that go on, oldest first.
///
/// # Errors
///
/// [`SessionError`].
pub async fn list_own(instance: &Instance, call: &Call) -> Result<Vec<Session>, SessionError> {
    listed(instance, call, person(call)?).await
}

/// Ends a session of the caller: this one or another.
///
/// # Errors
///
/// [`SessionError`].
pub async fn end_own(instance: &Instance, call: &Call, id: SessionId) -> Result<(), SessionError> {
    end(instance, call, person(call)?, id, "holder").await
}

/// The sessions of a user of the caller's tenant that go on, oldest first.
///
/// # Errors
///
/// [`SessionError`].
pub async fn list(instance: &Instance, call: &Call, user: UserId) -> Result<Vec<Session>, SessionError> {
    call.require(Permission::TokensRevoke)?;
    instance.store().view(call.tenant()).await?.user(user).await?.ok_or(SessionError::NotFound)?;
    listed(instance, call, user).await
}

/// Ends a session of a user of the caller's tenant, with all its access tokens.
///
/// # Errors
///
/// [`SessionError`].
pub async fn end_of(instance: &Instance, call: &Call, user: UserId, id: SessionId) -> Result<(), SessionError> {
    call.require(Permission::TokensRevoke)?;
    end(instance, call, user, id, "administrator").await
}

fn person(call: &Call) -> Result<UserId, SessionError> {
    call.caller.user().filter(|_| call.caller.session().is_some()).ok_or(SessionError::NoSession)
}

async fn listed(instance: &Instance, call: &Call, user: UserId) -> Result<Vec<Session>, SessionError> {
    let now = instance.now();
    let mut found = instance.store().fresh_view(call.tenant()).await?.active_sessions(user).await?;
    found.retain(|session| now < session.expires_at && now < session.head.expires_at);
    let count = Detail::Count(u64::try_from(found.len()).unwrap_or(u64::MAX));
    let event = Event::new(EventKind::SessionRead).on("user", user).with("count", count);
    note(instance, call, call.tenant(), event).await?;
    Ok(found)
}

async fn end(
    instance: &Instance,
    call: &Call,
    user: UserId,
    id: SessionId,
    by: &'static str,
) -> Result<(), SessionError> {
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let session = change.rows().session(id).await?.filter(|session| session.user == user);
    session.ok_or(SessionError::NotFound)?;
    match change.rows().end_session(id, SessionState::Ended, instance.now()).await {
        Ok(()) => {}
        Err(StoreError::Changed(_)) => return Err(SessionError::NotFound),
        Err(error) => return Err(error.into()),
    }
    let event = Event::new(EventKind::SessionEnded).on("session", id).with("by", Detail::Code(by));
    change.commit(event.with("user", Detail::Id(user.to_string()))).await?;
    instance.callers.forget_all();
    Ok(())
}
