//! Looks at a refresh token without using it, and ends its session for whoever holds it.

use chancery_crypto::Secret;

use super::{
    RefreshError, Session, SessionState,
    refresh::{found, genuine, is_head},
    token::RefreshToken,
};
use crate::{
    Instance,
    access::{Call, RequestInfo, authenticate::caller_of_user},
    audit::{Change, Event, EventKind},
    ids::{TenantId, TokenId},
    instance::Failure,
    store::StoreError,
    tenants::TenantState,
    users::User,
};

/// The session of a refresh token of `tenant` that would go on now, and its person.
///
/// # Errors
///
/// [`Failure`].
pub async fn inspect(
    instance: &Instance,
    tenant: TenantId,
    text: &Secret<String>,
) -> Result<Option<(Session, User)>, Failure> {
    let Some(token) = ours(instance, text).await?.filter(|token| token.tenant() == tenant) else { return Ok(None) };
    let now = instance.now();
    let goes_on = |session: &Session| {
        let in_time = now < session.expires_at && now < session.head.expires_at;
        session.state == SessionState::Active && in_time && is_head(session, &token)
    };
    Ok(found(instance, &token).await?.filter(|(session, _)| goes_on(session)))
}

/// Ends the session of a refresh token, in `tenant` if one is named. Whether there was one to end.
///
/// Any token of the session does it, also one that was used: the worst that a thief can do with it is to log its person out.
///
/// # Errors
///
/// [`Failure`].
pub async fn end_by_token(
    instance: &Instance,
    request: &RequestInfo,
    tenant: Option<TenantId>,
    text: &Secret<String>,
) -> Result<bool, Failure> {
    let ours = ours(instance, text).await?;
    let Some(token) = ours.filter(|token| tenant.is_none_or(|tenant| tenant == token.tenant())) else {
        return Ok(false);
    };
    let Some(entry) = instance.directory().tenant(token.tenant()).await? else { return Ok(false) };
    if entry.state != TenantState::Active {
        return Ok(false);
    }
    let Some((session, user)) = found(instance, &token).await? else { return Ok(false) };
    let mut caller = caller_of_user(
        entry.id,
        entry.slug,
        user.id,
        user.username,
        user.roles,
        TokenId::from_bytes([0; 16]),
        session.expires_at,
    );
    // There is no access token in this.
    caller.token = None;
    caller.session = Some(session.id);
    caller.authentication = Some(session.authentication);
    let call = Call { caller, request: request.clone(), once: None };
    let mut change = Change::begin(instance, &call, entry.id).await?;
    match change.rows().end_session(session.id, SessionState::Ended, instance.now()).await {
        Ok(()) => {}
        Err(StoreError::Changed(_)) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    change.commit(Event::new(EventKind::SessionEnded).on("session", session.id)).await?;
    instance.callers.forget_all();
    Ok(true)
}

/// A refresh token that we made; none for everything else.
async fn ours(instance: &Instance, text: &Secret<String>) -> Result<Option<RefreshToken>, Failure> {
    match genuine(instance, text).await {
        Ok((token, _)) => Ok(Some(token)),
        Err(RefreshError::Failed(failure)) => Err(failure),
        Err(RefreshError::Invalid(_) | RefreshError::Reused) => Ok(None),
    }
}
