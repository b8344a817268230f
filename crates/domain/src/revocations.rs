//! What is refused though its signature and its times are right: the denylist, which every verification asks (ID-10).

use async_trait::async_trait;

use crate::{
    ids::{TokenId, UserId},
    legacy_tokens::LONGEST_LEGACY_SECONDS,
    store::{StoreError, Tx},
    time::Timestamp,
};

mod import;
mod list;
mod revoke;

pub use import::{ForeignRevocation, ImportedRevocation, import};
pub use list::list;
pub use revoke::{NewRevocation, RevokeTokensError, Revoked, Whom, revoke};

/// A row outlives the last token that it speaks of by so many seconds: clocks differ.
pub(crate) const MARGIN_SECONDS: i64 = 60;

codes! {
    /// What is revoked.
    pub enum RevokedKind {
        /// One access token, by its `jti`.
        Token = "token",
        /// Every access token of a user from before a moment.
        User = "user",
        /// Every access token of the tenant from before a moment.
        Tenant = "tenant",
        /// One token of another issuer, by its `jti` there; or, by `user:` and a user's id, every token that an older system gave
        /// that user before a moment.
        Foreign = "foreign",
    }
}

/// One row of the denylist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// What is revoked.
    pub kind: RevokedKind,
    /// Its id: a `jti`, a user, `user:` and a user, or the tenant.
    pub id: String,
    /// Tokens issued before this moment; `None` for one token.
    pub not_before: Option<Timestamp>,
    /// When it can be forgotten: everything it speaks of has expired by then.
    pub expires_at: Timestamp,
    /// Whose token it was.
    pub user: Option<UserId>,
    /// Why, in a word.
    pub reason: String,
    /// When it was revoked.
    pub revoked_at: Timestamp,
}

impl Revocation {
    /// Of one access token, until it would have expired.
    pub fn of_token(token: TokenId, expires_at: Timestamp, user: Option<UserId>, reason: &str, now: Timestamp) -> Self {
        Self {
            kind: RevokedKind::Token,
            id: token.to_string(),
            not_before: None,
            expires_at,
            user,
            reason: reason.to_owned(),
            revoked_at: now,
        }
    }

    /// Of one token of another issuer, by its `jti` there, until it would have expired.
    pub(crate) fn of_foreign(
        jti: &str,
        expires_at: Timestamp,
        user: Option<UserId>,
        reason: &str,
        now: Timestamp,
    ) -> Self {
        Self {
            kind: RevokedKind::Foreign,
            id: jti.to_owned(),
            not_before: None,
            expires_at: expires_at.plus_seconds(MARGIN_SECONDS),
            user,
            reason: reason.to_owned(),
            revoked_at: now,
        }
    }

    /// Of whatever an older system gave a user before `now`. Our own tokens end with their sessions, and that of who asks for this
    /// may go on: [`RevokedKind::User`] would end it too.
    pub(crate) fn of_older_tokens(user: UserId, now: Timestamp) -> Self {
        Self {
            kind: RevokedKind::Foreign,
            id: older_tokens_of(user),
            not_before: Some(now),
            expires_at: now.plus_seconds(LONGEST_LEGACY_SECONDS + MARGIN_SECONDS),
            user: Some(user),
            reason: "sessions ended".to_owned(),
            revoked_at: now,
        }
    }

    /// Whether it stands against a token issued at this moment. Tokens know whole seconds: one of the same second is stopped too.
    pub fn stops(&self, issued_at: Timestamp) -> bool {
        stops(self.not_before, issued_at)
    }
}

/// Whether a row of the denylist with this moment, or of one token alone, stops a token that was issued then.
pub(crate) fn stops(not_before: Option<Timestamp>, issued_at: Timestamp) -> bool {
    not_before.is_none_or(|moment| issued_at.as_seconds() <= moment.as_seconds())
}

/// By what the denylist knows all tokens that an older system gave a user.
pub(crate) fn older_tokens_of(user: UserId) -> String {
    format!("user:{user}")
}

/// Puts a row on the denylist, and takes off it what nobody needs any more.
pub(crate) async fn deny(rows: &mut (dyn Tx + '_), revocation: &Revocation) -> Result<(), StoreError> {
    rows.forget_revocations(revocation.revoked_at).await?;
    rows.revoke(revocation).await
}

/// Reads the denylist.
#[async_trait]
pub trait RevocationRows {
    /// What may stand against a token: of the token itself, of its user if it has one, of the tenant.
    async fn revocations_of(&mut self, token: TokenId, user: Option<UserId>) -> Result<Vec<Revocation>, StoreError>;
    /// All that have not expired by `now`, by id, those after `after`, at most `limit`.
    async fn revocations(
        &mut self,
        now: Timestamp,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Revocation>, StoreError>;
    /// What may stand against a token of another issuer: of its `jti` if it has one, of the tenant. By `user:` and a user's id,
    /// what stands against all that an older system gave that user.
    async fn foreign_revocations_of(&mut self, jti: Option<&str>) -> Result<Vec<Revocation>, StoreError>;
}

/// Changes the denylist.
#[async_trait]
pub trait RevocationWrites {
    /// Adds a row, or makes the one that is there last longer and reach further.
    async fn revoke(&mut self, revocation: &Revocation) -> Result<(), StoreError>;
    /// Forgets what expired before `now`.
    async fn forget_revocations(&mut self, now: Timestamp) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_stops_what_was_issued_before_it() {
        let at = Timestamp::from_micros(1_790_000_000_500_000);
        let row = |not_before| Revocation {
            kind: RevokedKind::User,
            id: String::new(),
            not_before,
            expires_at: at,
            user: None,
            reason: String::new(),
            revoked_at: at,
        };
        assert!(row(None).stops(at.plus_seconds(100)));
        assert!(row(Some(at)).stops(at.plus_seconds(-1)));
        assert!(row(Some(at)).stops(Timestamp::from_seconds(at.as_seconds())));
        assert!(!row(Some(at)).stops(at.plus_seconds(1)));
    }
}
