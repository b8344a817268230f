//! Ends sessions: logging out, here and everywhere.

use super::SessionState;
use crate::{
    Instance,
    access::Call,
    audit::{Change, Detail, Event, EventKind},
    ids::{SessionId, UserId},
    instance::{Failure, fails},
    legacy_tokens,
    revocations::{Revocation, deny},
    store::{StoreError, Tx},
    time::Timestamp,
};

/// Why nothing was ended.
#[derive(Debug, thiserror::Error)]
pub enum EndSessionError {
    /// The caller is no person with a session: API keys are revoked instead.
    #[error("the caller has no session")]
    NoSession,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(EndSessionError);

/// Logs the caller out: its session is over, and its access token with it (ID-11). Saying so twice changes nothing. Of whoever came
/// with a token of an older system, that token is over.
///
/// # Errors
///
/// [`EndSessionError`].
pub async fn end(instance: &Instance, call: &Call) -> Result<(), EndSessionError> {
    if let (Some(id), Some(user)) = (call.caller.older_token(), call.caller.user()) {
        let ends = call.caller.expires_at().unwrap_or_else(|| instance.now());
        return Ok(legacy_tokens::end(instance, call, (id, ends), user).await?);
    }
    let session = call.caller.session().ok_or(EndSessionError::NoSession)?;
    let (tenant, now) = (call.tenant(), instance.now());
    let mut change = Change::begin(instance, call, tenant).await?;
    match change.rows().end_session(session, SessionState::Ended, now).await {
        Ok(()) | Err(StoreError::Changed(_)) => {}
        Err(error) => return Err(error.into()),
    }
    if let (Some(token), Some(expires_at)) = (call.caller.token(), call.caller.expires_at()) {
        let revoked = Revocation::of_token(token, expires_at, call.caller.user(), "logout", now);
        deny(change.rows(), &revoked).await?;
    }
    change.commit(Event::new(EventKind::SessionEnded).on("session", session)).await?;
    instance.callers.forget_all();
    Ok(())
}

/// Logs the caller out everywhere: all its sessions are over, and whatever an older system gave it. How many sessions there were.
///
/// # Errors
///
/// [`EndSessionError`].
pub async fn end_all(instance: &Instance, call: &Call) -> Result<u64, EndSessionError> {
    // A key that acts as a person is a program: it ends nobody's logins.
    let logged_in = call.caller.session().is_some() || call.caller.older_token().is_some();
    let user = call.caller.user().filter(|_| logged_in).ok_or(EndSessionError::NoSession)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let ended = end_but(change.rows(), user, None, instance.now()).await?;
    let event = Event::new(EventKind::SessionEnded).on("user", user).with("count", Detail::Count(ended));
    change.commit(event).await?;
    instance.callers.forget_all();
    Ok(ended)
}

/// Ends what a person is logged in by: its sessions but the one to `keep`, and whatever an older system gave it before now. How many
/// sessions.
pub(crate) async fn end_but(
    rows: &mut (dyn Tx + '_),
    user: UserId,
    keep: Option<SessionId>,
    now: Timestamp,
) -> Result<u64, StoreError> {
    // INVARIANT: held, so that a login and an exchange of an older token come before this and are ended, or after it.
    rows.hold_user(user).await?;
    deny(rows, &Revocation::of_older_tokens(user, now)).await?;
    let Some(keep) = keep else { return rows.end_sessions_of(user, now).await };
    let mut ended = 0;
    for other in rows.active_sessions(user).await?.into_iter().filter(|other| other.id != keep) {
        match rows.end_session(other.id, SessionState::Ended, now).await {
            Ok(()) => ended += 1,
            Err(StoreError::Changed(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(ended)
}
