//! A program trades its API key for an access token (RFC 6749 §4.4).

use super::{AccessToken, Client, issue_to_client};
use crate::{
    Instance,
    access::{Call, RoleSet, Subject},
    audit::{Detail, Event, EventKind, receipt::note},
    instance::{Failure, fails},
};

/// Why a client got no token.
#[derive(Debug, thiserror::Error)]
pub enum ClientGrantError {
    /// The caller is a person, acts as one, or has a token already: a token gives no longer life than its own.
    #[error("only the API key of a program gets a token")]
    NotAClient,
    /// It asks for roles that its key does not have, or for none.
    #[error("the scope is not within the roles of the key")]
    Scope,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(ClientGrantError);

/// Gives a program an access token for its API key, and the roles that it has.
///
/// `scope` narrows the roles: names of roles, separated by blanks.
///
/// # Errors
///
/// [`ClientGrantError`].
pub async fn grant(
    instance: &Instance,
    call: &Call,
    scope: Option<&str>,
) -> Result<(AccessToken, RoleSet), ClientGrantError> {
    let caller = &call.caller;
    let (Subject::ApiKey(api_key), None) = (caller.subject(), caller.token()) else {
        return Err(ClientGrantError::NotAClient);
    };
    let roles = match scope {
        None => caller.roles(),
        Some(scope) => RoleSet::from_text(scope).map_err(|_| ClientGrantError::Scope)?,
    };
    if roles.is_empty() || !roles.is_subset(caller.roles()) {
        return Err(ClientGrantError::Scope);
    }
    let client = Client { tenant: call.tenant(), api_key, roles, ends: caller.expires_at() };
    let token = issue_to_client(instance, client).await?;
    let event = Event::new(EventKind::TokenIssued)
        .on("token", token.id)
        .with("kind", Detail::Code("access"))
        .with("roles", Detail::Names(roles.iter().map(|role| role.as_str().to_owned()).collect()))
        .with("expires_at", Detail::At(token.expires_at));
    note(instance, call, call.tenant(), event).await?;
    Ok((token, roles))
}
