//! Revokes the tokens of others, for those who run a tenant.

use super::{MARGIN_SECONDS, Revocation, RevokedKind, deny};
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    audit::{Change, Detail, Event, EventKind},
    faults::Faults,
    ids::{TokenId, UserId},
    instance::{Failure, fails},
    legacy_tokens::LONGEST_LEGACY_SECONDS,
    lockdown::refuse_suspects,
    text::check_name,
    time::Timestamp,
    tokens::MAX_SECONDS,
};

/// The longest reason, in characters.
const MAX_REASON: usize = 255;

/// Whose tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// One access token, by its `jti`.
    Token(TokenId),
    /// All of a user, whose sessions end too.
    User(UserId),
    /// All of the tenant, people's and programs', and all sessions.
    Everyone,
}

/// What is to be revoked.
#[derive(Debug, Clone)]
pub struct NewRevocation {
    /// Whose tokens.
    pub whom: Whom,
    /// Tokens issued before this moment; now, if nothing is said.
    pub not_before: Option<Timestamp>,
    /// Why. Kept under seal in the log.
    pub reason: String,
}

/// What was revoked.
#[derive(Debug)]
pub struct Revoked {
    /// The row.
    pub revocation: Revocation,
    /// How many sessions ended.
    pub sessions: u64,
}

/// Why nothing was revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeTokensError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Fields are not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// There is no such user in the tenant.
    #[error("no such user")]
    NotFound,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(RevokeTokensError);

/// Revokes access tokens of the caller's tenant before their time.
///
/// A `jti` is taken as it is: whether there is such a token nobody knows, for tokens are not kept. It stops no token of another
/// tenant, for the denylist is the tenant's own.
///
/// # Errors
///
/// [`RevokeTokensError`].
pub async fn revoke(instance: &Instance, call: &Call, new: NewRevocation) -> Result<Revoked, RevokeTokensError> {
    call.require(Permission::TokensRevoke)?;
    let now = instance.now();
    check(&new, now)?;
    let (tenant, not_before) = (call.tenant(), new.not_before.unwrap_or(now));
    let (reason, expires_at) = (new.reason.trim().to_owned(), now.plus_seconds(longest(new.whom) + MARGIN_SECONDS));
    let before = |kind, id, user| {
        let (not_before, reason) = (Some(not_before), reason.clone());
        Revocation { kind, id, not_before, expires_at, user, reason, revoked_at: now }
    };
    let revocation = match new.whom {
        Whom::Token(id) => Revocation::of_token(id, expires_at, None, &reason, now),
        Whom::User(id) => before(RevokedKind::User, id.to_string(), Some(id)),
        Whom::Everyone => before(RevokedKind::Tenant, tenant.to_string(), None),
    };
    let mut change = Change::begin(instance, call, tenant).await?;
    refuse_suspects::<RevokeTokensError>(instance, change.rows(), &[("/reason", &new.reason)]).await?;
    let rows = change.rows();
    let sessions = match new.whom {
        Whom::Token(_) => 0,
        Whom::User(id) => {
            rows.user(id).await?.ok_or(RevokeTokensError::NotFound)?;
            rows.end_sessions_of(id, now).await?
        }
        Whom::Everyone => rows.end_all_sessions(now).await?,
    };
    deny(rows, &revocation).await?;
    let mut event = Event::new(EventKind::TokenRevoked)
        .on(revocation.kind.as_str(), &revocation.id)
        .with("by", Detail::Code("administrator"))
        .with("sessions", Detail::Count(sessions))
        .personal("reason", revocation.reason.clone());
    if let Some(moment) = revocation.not_before {
        event = event.with("not_before", Detail::At(moment));
    }
    change.commit(event).await?;
    instance.callers.forget_all();
    Ok(Revoked { revocation, sessions })
}

/// How long a token lives that such a row speaks of, in seconds. Those of identity providers live a day, those of an older system for days.
const fn longest(whom: Whom) -> i64 {
    match whom {
        Whom::Token(_) => MAX_SECONDS,
        // An older system's tokens may live for days, and its key for 8.
        Whom::User(_) | Whom::Everyone => LONGEST_LEGACY_SECONDS,
    }
}

fn check(new: &NewRevocation, now: Timestamp) -> Result<(), Faults> {
    let mut faults = Faults::default();
    check_name("/reason", &new.reason, MAX_REASON, &mut faults);
    match (new.whom, new.not_before) {
        (Whom::Token(_), Some(_)) => faults.add("/not_before", "unexpected", "one token is revoked as it is"),
        // Or nobody could log in until then.
        (_, Some(moment)) if moment > now => faults.add("/not_before", "range", "must not be in the future"),
        _ => {}
    }
    faults.check()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_of_the_past_and_a_single_token_needs_none() {
        let now = Timestamp::from_seconds(1_790_000_000);
        let user = Whom::User(UserId::from_bytes([1; 16]));
        let new = |whom, not_before| NewRevocation { whom, not_before, reason: "lost laptop".to_owned() };
        assert!(check(&new(user, None), now).is_ok());
        assert!(check(&new(Whom::Everyone, Some(now)), now).is_ok());
        assert!(check(&new(user, Some(now.plus_seconds(1))), now).is_err());
        assert!(check(&new(Whom::Token(TokenId::from_bytes([1; 16])), Some(now)), now).is_err());
        assert!(check(&NewRevocation { reason: " ".to_owned(), ..new(user, None) }, now).is_err());
    }
}
