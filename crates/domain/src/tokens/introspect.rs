//! Says what a token is, to a program of the same tenant (RFC 7662).

use chancery_crypto::Secret;

use super::{FIRST_PARTY, Who, verify};
use crate::{
    Instance,
    access::{
        Call, RoleSet, Subject,
        authenticate::{AuthenticateError, of_token},
    },
    audit::{Detail, Event, EventKind, receipt::note},
    ids::{SessionId, TenantId, TokenId},
    instance::Failure,
    sessions::{self, Authentication},
    time::Timestamp,
};

codes! {
    /// What kind of token.
    pub enum TokenKind {
        /// For the API.
        Access = "access_token",
        /// For the next tokens of a session.
        Refresh = "refresh_token",
    }
}

/// What an active token says, as things stand now.
#[derive(Debug)]
pub struct ActiveToken {
    /// What kind of token.
    pub kind: TokenKind,
    /// Whose data.
    pub tenant: TenantId,
    /// Who holds it.
    pub subject: Subject,
    /// To which client it was given.
    pub client_id: String,
    /// The person's name at login.
    pub username: Option<String>,
    /// The roles that it has now.
    pub roles: RoleSet,
    /// Its `jti`.
    pub id: Option<TokenId>,
    /// The session that it belongs to.
    pub session: Option<SessionId>,
    /// By what and when its holder proved who it is.
    pub authentication: Option<Authentication>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// Its end.
    pub expires_at: Timestamp,
    /// The thumbprint of the key that it is bound to.
    pub key: Option<String>,
}

/// What a token says, if it would be accepted now and is of the caller's tenant. Everything else looks the same.
///
/// # Errors
///
/// [`Failure`].
pub async fn introspect(
    instance: &Instance,
    call: &Call,
    text: &Secret<String>,
) -> Result<Option<ActiveToken>, Failure> {
    let found = find(instance, call, text).await?;
    let mut event = Event::new(EventKind::TokenIntrospected)
        .with("active", Detail::Code(if found.is_some() { "yes" } else { "no" }));
    if let Some(token) = &found {
        event = event.with("holder", Detail::Id(token.subject.to_string()));
        if let Some(id) = token.id {
            event = event.on("token", id);
        } else if let Some(session) = token.session {
            event = event.on("session", session);
        }
    }
    note(instance, call, call.tenant(), event).await?;
    Ok(found)
}

async fn find(instance: &Instance, call: &Call, text: &Secret<String>) -> Result<Option<ActiveToken>, Failure> {
    if let Some((session, user)) = sessions::inspect(instance, call.tenant(), text).await? {
        return Ok(Some(ActiveToken {
            kind: TokenKind::Refresh,
            tenant: call.tenant(),
            subject: Subject::User(user.id),
            client_id: FIRST_PARTY.to_owned(),
            username: Some(user.username),
            roles: user.roles,
            id: None,
            session: Some(session.id),
            authentication: Some(session.authentication),
            issued_at: session.head.since,
            expires_at: session.head.expires_at,
            key: session.key,
        }));
    }
    let verified = match verify(instance, text.expose()).await {
        Ok(verified) if verified.tenant == call.tenant() => verified,
        Ok(_) | Err(AuthenticateError::Invalid(..) | AuthenticateError::Suspended(_)) => return Ok(None),
        Err(AuthenticateError::Failed(failure)) => return Err(failure),
    };
    // From where it may be used is between its holder and us: whoever asks is somewhere else.
    let caller = match of_token(instance, &verified).await {
        Ok((caller, _)) => caller,
        Err(AuthenticateError::Invalid(..) | AuthenticateError::Suspended(_)) => return Ok(None),
        Err(AuthenticateError::Failed(failure)) => return Err(failure),
    };
    let client_id = match &verified.who {
        Who::Person { .. } => FIRST_PARTY.to_owned(),
        Who::Client(id) => id.to_string(),
    };
    Ok(Some(ActiveToken {
        kind: TokenKind::Access,
        tenant: caller.tenant(),
        subject: caller.subject(),
        client_id,
        username: caller.username().map(str::to_owned),
        roles: caller.roles(),
        id: Some(verified.jti),
        session: caller.session(),
        authentication: caller.authentication().cloned(),
        issued_at: verified.issued_at,
        expires_at: verified.expires_at,
        key: verified.key,
    }))
}
