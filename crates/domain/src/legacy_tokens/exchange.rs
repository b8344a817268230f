//! Gives a session for a refresh token of the older system, once.

use chancery_crypto::Secret;

use super::verify::{LegacyUser, Use, verify};
use crate::{
    Instance,
    access::{
        Call, RequestInfo,
        authenticate::{AuthenticateError, caller_halfway},
    },
    audit::{Change, Event, EventKind},
    factors,
    revocations::{Revocation, RevokedKind},
    sessions::{self, Amr, Authentication, Person, RefreshError, SessionTokens},
};

/// Exchanges it. Whoever needs a second factor logs in instead: the older token proves none.
///
/// # Errors
///
/// [`RefreshError`].
pub(crate) async fn exchange(
    instance: &Instance,
    request: &RequestInfo,
    text: &Secret<String>,
) -> Result<SessionTokens, RefreshError> {
    let found = match verify(instance, text.expose(), Use::Refresh).await {
        Ok(found) => found,
        Err(AuthenticateError::Invalid(reason)) => return Err(RefreshError::Invalid(reason)),
        Err(AuthenticateError::Failed(failure)) => return Err(failure.into()),
    };
    let LegacyUser { tenant, slug, user, jti, issued_at, expires_at, .. } = found;
    let own = instance.store().fresh_view(tenant).await?.roles_of(&user.id.to_string()).await?;
    if factors::needed(user.roles, &own) || factors::enrolled(instance, tenant, user.id).await? {
        return Err(RefreshError::Invalid("a second factor is needed: log in"));
    }
    let caller = caller_halfway(tenant, slug.clone(), &user);
    let call = Call { caller, request: request.clone(), once: None };
    let mut change = Change::begin(instance, &call, tenant).await?;
    // Two at once wait for each other here, and the second finds the first's row.
    change.rows().hold_user(user.id).await?.ok_or(RefreshError::Invalid("unknown or disabled user"))?;
    let used = change.rows().foreign_revocations_of(Some(&jti)).await?;
    if used.iter().any(|row| row.kind == RevokedKind::Foreign) {
        return Err(RefreshError::Invalid("exchanged before"));
    }
    let row = Revocation {
        kind: RevokedKind::Foreign,
        id: jti,
        not_before: None,
        expires_at: expires_at.plus_seconds(60),
        user: Some(user.id),
        reason: "exchanged".to_owned(),
        revoked_at: instance.now(),
    };
    change.rows().revoke(&row).await?;
    // Before the session: a process that dies between the two costs a login, never a second session.
    change.commit(Event::new(EventKind::TokenExchanged).on("user", user.id)).await?;
    // The older system's login, not this moment, is when the person proved who it is.
    let authentication = Authentication { methods: vec![Amr::Password], at: issued_at };
    let person = Person { tenant, slug: &slug, user: &user };
    Ok(sessions::open(instance, request, person, authentication, None).await?)
}
