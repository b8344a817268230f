//! Which second factors somebody has.

use super::FactorError;
use crate::{
    ids::{SessionId, UserId},
    store::{StoreError, View},
    time::Timestamp,
};

/// A person's second factors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Since when one-time codes are enrolled.
    pub(crate) totp_since: Option<Timestamp>,
    /// How many passkeys there are.
    pub(crate) passkeys: usize,
    /// How many recovery codes are left.
    pub(crate) codes: usize,
}

impl Standing {
    /// Those of a user.
    pub(crate) async fn of(rows: &mut (dyn View + '_), user: UserId) -> Result<Self, StoreError> {
        let totp_since = rows.totp(user).await?.and_then(|totp| totp.confirmed_at);
        let codes = rows.recovery_codes(user).await?.iter().filter(|code| code.used_at.is_none()).count();
        Ok(Self { totp_since, passkeys: rows.passkeys(user).await?.len(), codes })
    }

    /// Whether there is one. Recovery codes are none: they stand in for one.
    pub(crate) const fn is_enrolled(self) -> bool {
        self.totp_since.is_some() || self.passkeys > 0
    }
}

/// Of a session that ended while its request was on the way, here or on another node: it changes no factors. Asked once its user is
/// held, so that it cannot end after that.
pub(crate) async fn check_session(
    rows: &mut (dyn View + '_),
    session: Option<SessionId>,
    now: Timestamp,
) -> Result<(), FactorError> {
    let session = session.ok_or(FactorError::NoSession)?;
    let stored = rows.session(session).await?.filter(|stored| stored.goes_on(now));
    stored.map(drop).ok_or(FactorError::NoSession)
}
