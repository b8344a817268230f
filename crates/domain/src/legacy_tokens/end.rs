//! Ends one token of the older system, for whoever holds it.

use chancery_crypto::Secret;

use super::verify::{LegacyUser, Use, verify};
use crate::{
    Instance,
    access::{
        Call, RequestInfo,
        authenticate::{AuthenticateError, caller_halfway},
    },
    audit::{Change, Detail, Event, EventKind},
    ids::{TenantId, UserId},
    instance::Failure,
    revocations::{Revocation, deny},
    time::Timestamp,
    tokens::RevokedToken,
};

/// Ends a token that its holder presents (RFC 7009), in `tenant` if one is named.
///
/// # Errors
///
/// [`Failure`].
pub(crate) async fn end_presented(
    instance: &Instance,
    request: &RequestInfo,
    tenant: Option<TenantId>,
    text: &Secret<String>,
) -> Result<RevokedToken, Failure> {
    let found = match verify(instance, text.expose(), Use::Access).await {
        Err(AuthenticateError::Invalid(..)) => verify(instance, text.expose(), Use::Refresh).await,
        found => found,
    };
    let LegacyUser { tenant: home, slug, user, jti, expires_at, .. } = match found {
        Ok(found) => found,
        Err(AuthenticateError::Invalid(..) | AuthenticateError::Suspended(_)) => return Ok(RevokedToken::Nothing),
        Err(AuthenticateError::Failed(failure)) => return Err(failure),
    };
    if tenant.is_some_and(|tenant| tenant != home) {
        return Ok(RevokedToken::Nothing);
    }
    let call = Call { caller: caller_halfway(home, slug, &user), request: request.clone(), once: None };
    end(instance, &call, (&jti, expires_at), user.id).await?;
    Ok(RevokedToken::Access)
}

/// Ends a token by its id there.
///
/// # Errors
///
/// [`Failure`].
pub(crate) async fn end(
    instance: &Instance,
    call: &Call,
    (jti, expires_at): (&str, Timestamp),
    user: UserId,
) -> Result<(), Failure> {
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let row = Revocation::of_foreign(jti, expires_at, Some(user), "ended by its holder", instance.now());
    deny(change.rows(), &row).await?;
    let event = Event::new(EventKind::TokenRevoked).on("user", user).with("by", Detail::Code("holder"));
    change.commit(event.with("kind", Detail::Code("legacy"))).await?;
    instance.callers.forget_all();
    Ok(())
}
