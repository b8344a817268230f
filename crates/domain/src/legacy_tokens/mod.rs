//! Tokens that an older system signed with a shared secret (HS256): taken for a few days, so that a roll-out logs nobody out.
//!
//! One key, from the configuration. It verifies and never signs, for one tenant, pinned to the `iss`, `aud` and `kid` that its tokens
//! have, and ends by itself at most 8 days after its start. See `docs/adr/0019-identity-providers.md`.

use chancery_crypto::{MacKey, Secret};

use crate::{time::Timestamp, weak};

mod end;
mod exchange;
mod verify;

pub(crate) use end::{end, end_presented};
pub(crate) use exchange::exchange;
pub(crate) use verify::{LegacyUser, Use, is_legacy, verify};

/// How many days such a key lives at most.
pub const MAX_DAYS: u8 = 8;

/// When every token of before a moment is surely over, in seconds from it.
pub(crate) const LONGEST_LEGACY_SECONDS: i64 = (MAX_DAYS as i64 + 1) * 86_400;

/// What the older system's tokens look like, and until when they are taken.
#[derive(Debug)]
pub struct LegacyKey {
    /// Whose users they are of: the tenant's short name or id.
    pub tenant: String,
    /// Their `iss`; they must have none if nothing is said.
    pub issuer: Option<String>,
    /// Their `aud`, likewise.
    pub audience: Option<String>,
    /// Their `kid`, likewise.
    pub kid: Option<String>,
    /// What the older system called the tenant, in `tenant_id`. A token that names another one is refused.
    pub old_tenant: Option<String>,
    /// Since when they are taken.
    pub starts: Timestamp,
    /// Until when.
    ends: Timestamp,
    mac: MacKey,
}

/// Why a secret is no key for older tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LegacyKeyError {
    /// Whoever guesses it is everybody.
    #[error("the secret {0}")]
    Weak(&'static str),
    /// More than 8 days, or none.
    #[error("a key for older tokens lives 1 to 8 days")]
    Days,
}

/// Which tokens, and for how long.
#[derive(Debug, Clone, Default)]
pub struct LegacyTokens {
    /// The tenant's short name or id.
    pub tenant: String,
    /// Their `iss`.
    pub issuer: Option<String>,
    /// Their `aud`.
    pub audience: Option<String>,
    /// Their `kid`.
    pub kid: Option<String>,
    /// Their `tenant_id`.
    pub old_tenant: Option<String>,
}

impl LegacyKey {
    /// A key of this secret, which is that of the older system.
    ///
    /// # Errors
    ///
    /// [`LegacyKeyError`].
    pub fn new(
        secret: &Secret<String>,
        tokens: LegacyTokens,
        starts: Timestamp,
        days: u8,
    ) -> Result<Self, LegacyKeyError> {
        if let Some(fault) = weak::secret_faults(secret.expose()).next() {
            return Err(LegacyKeyError::Weak(fault));
        }
        if !(1..=MAX_DAYS).contains(&days) {
            return Err(LegacyKeyError::Days);
        }
        let LegacyTokens { tenant, issuer, audience, kid, old_tenant } = tokens;
        Ok(Self {
            tenant,
            issuer,
            audience,
            kid,
            old_tenant,
            starts,
            ends: starts.plus_days(i64::from(days)),
            mac: MacKey::of_others(secret.expose().as_bytes()),
        })
    }

    /// Until when such tokens are taken.
    pub fn ends(&self) -> Timestamp {
        self.ends
    }

    /// Whether such tokens are taken at `now`.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.starts <= now && now < self.ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_strong_and_ends_by_itself() {
        let at = Timestamp::from_seconds(1_790_000_000);
        let made = |secret: &str, days| {
            LegacyKey::new(&Secret::new(secret.to_owned()), LegacyTokens::default(), at, days).map(|key| key.ends())
        };
        let good = "0123456789abcdef0123456789abcdef";
        assert_eq!(made(good, 8), Ok(at.plus_seconds(8 * 86_400)));
        assert_eq!(made(good, 9), Err(LegacyKeyError::Days));
        assert_eq!(made(good, 0), Err(LegacyKeyError::Days));
        assert!(matches!(made("your-secret-key", 1), Err(LegacyKeyError::Weak(_))));
        let key = LegacyKey::new(&Secret::new(good.to_owned()), LegacyTokens::default(), at, 1).unwrap();
        assert!(!key.is_open(at.plus_seconds(-1)) && key.is_open(at) && !key.is_open(at.plus_seconds(86_400)));
        assert!(!format!("{key:?}").contains(good));
    }
}
