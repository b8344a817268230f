//! Which second factors somebody has.

use crate::{
    ids::UserId,
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
