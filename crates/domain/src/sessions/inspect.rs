//! Looks at a refresh token without using it, and ends its session for whoever holds it.

use chancery_crypto::Secret;

use super::{
    Person, RefreshError, Session, SessionState,
    refresh::{Held, genuine, held, is_head},
    token::RefreshToken,
};
use crate::{
    Instance,
    access::RequestInfo,
    audit::{Change, Event, EventKind},
    ids::TenantId,
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
    let goes_on = |held: &Held| {
        let session = &held.session;
        let in_time = now < session.expires_at && now < session.head.expires_at;
        session.state == SessionState::Active && in_time && is_head(session, &token) && held.may_go_on()
    };
    Ok(held(instance, &token).await?.filter(goes_on).map(|Held { session, user, .. }| (session, user)))
}

/// Ends the session of a refresh token, in `tenant` if one is named. Whether there was one to end.
///
/// Any token of the session does it, also one that was used: the worst that a thief can do with it is to log its person out.
/// It ends whether its person may go on with it or not, also while the tenant is suspended: who resumes that wants nobody back who
/// logged out.
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
    if entry.state == TenantState::Erased {
        return Ok(false);
    }
    let Some(Held { session, user, .. }) = held(instance, &token).await? else { return Ok(false) };
    let call = Person { tenant: entry.id, slug: &entry.slug, user: &user }.call(request, &session, None);
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
