//! Ends sessions: logging out, here and everywhere.

use super::SessionState;
use crate::{
    Instance,
    access::Call,
    audit::{Change, Detail, Event, EventKind},
    instance::{Failure, fails},
    revocations::Revocation,
    store::StoreError,
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

/// Logs the caller out: its session is over, and its access token with it (ID-11). Saying so twice changes nothing.
///
/// # Errors
///
/// [`EndSessionError`].
pub async fn end(instance: &Instance, call: &Call) -> Result<(), EndSessionError> {
    let session = call.caller.session().ok_or(EndSessionError::NoSession)?;
    let (tenant, now) = (call.tenant(), instance.now());
    let mut change = Change::begin(instance, call, tenant).await?;
    match change.rows().end_session(session, SessionState::Ended, now).await {
        Ok(()) | Err(StoreError::Changed(_)) => {}
        Err(error) => return Err(error.into()),
    }
    if let (Some(token), Some(expires_at)) = (call.caller.token(), call.caller.expires_at()) {
        let revoked = Revocation::of_token(token, expires_at, call.caller.user(), "logout", now);
        change.rows().forget_revocations(now).await?;
        change.rows().revoke(&revoked).await?;
    }
    change.commit(Event::new(EventKind::SessionEnded).on("session", session)).await?;
    instance.callers.forget_all();
    Ok(())
}

/// Logs the caller out everywhere: all its sessions are over. How many there were.
///
/// # Errors
///
/// [`EndSessionError`].
pub async fn end_all(instance: &Instance, call: &Call) -> Result<u64, EndSessionError> {
    // A key that acts as a person is a program: it ends nobody's logins.
    let user = call.caller.user().filter(|_| call.caller.session().is_some()).ok_or(EndSessionError::NoSession)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let ended = change.rows().end_sessions_of(user, instance.now()).await?;
    let event = Event::new(EventKind::SessionEnded).on("user", user).with("count", Detail::Count(ended));
    change.commit(event).await?;
    instance.callers.forget_all();
    Ok(ended)
}
