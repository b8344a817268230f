//! Revokes a token for whoever holds it (RFC 7009).

use chancery_crypto::Secret;

use super::{Verified, Who, verify};
use crate::{
    Instance,
    access::{
        Call, RequestInfo, Subject,
        authenticate::{AuthenticateError, named_by},
    },
    audit::{Change, Detail, Event, EventKind},
    instance::Failure,
    legacy_tokens,
    revocations::{Revocation, deny},
    sessions,
};

/// What came to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokedToken {
    /// One access token.
    Access,
    /// A session, with all its tokens.
    Session,
    /// Nothing: the token was not in force, or is not the client's to revoke. Nobody is told which.
    Nothing,
}

/// Revokes a token that its holder presents: an access token, or with a refresh token its whole session.
///
/// A person's token is its own proof: whoever has it could use it as well. A program's token is revoked by that program only.
///
/// # Errors
///
/// [`Failure`].
pub async fn revoke(
    instance: &Instance,
    request: &RequestInfo,
    client: Option<&Call>,
    text: &Secret<String>,
) -> Result<RevokedToken, Failure> {
    let tenant = client.map(Call::tenant);
    if legacy_tokens::is_legacy(instance, text.expose()) {
        return legacy_tokens::end_presented(instance, request, tenant, text).await;
    }
    if sessions::end_by_token(instance, request, tenant, text).await? {
        return Ok(RevokedToken::Session);
    }
    let standing = async {
        let verified = verify(instance, text.expose()).await?;
        let (caller, ..) = named_by(instance, &verified).await?;
        Ok::<_, AuthenticateError>((verified, caller))
    };
    let (verified, caller) = match standing.await {
        Ok(found) => found,
        Err(AuthenticateError::Invalid(..) | AuthenticateError::Suspended(_)) => return Ok(RevokedToken::Nothing),
        Err(AuthenticateError::Failed(failure)) => return Err(failure),
    };
    if !may_revoke(client, &verified) {
        return Ok(RevokedToken::Nothing);
    }
    let now = instance.now();
    let reason = "revoked by its holder";
    let revocation = Revocation::of_token(verified.jti, verified.expires_at, caller.user(), reason, now);
    let call = Call { caller, request: request.clone(), once: None };
    let mut change = Change::begin(instance, &call, verified.tenant).await?;
    deny(change.rows(), &revocation).await?;
    let event = Event::new(EventKind::TokenRevoked).on("token", verified.jti).with("by", Detail::Code("holder"));
    change.commit(event).await?;
    instance.callers.forget_all();
    Ok(RevokedToken::Access)
}

fn may_revoke(client: Option<&Call>, verified: &Verified) -> bool {
    match (&verified.who, client) {
        (Who::Person { .. }, None) => true,
        (Who::Person { .. }, Some(client)) => client.tenant() == verified.tenant,
        (Who::Client(_), None) => false,
        (Who::Client(id), Some(client)) => {
            client.tenant() == verified.tenant && client.caller.subject() == Subject::ApiKey(*id)
        }
    }
}
