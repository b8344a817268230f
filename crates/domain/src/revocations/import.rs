//! Brings the denylist of an older system, or of an identity provider: tokens that are refused by the id that their issuer gave them.

use super::{Revocation, RevokeTokensError, RevokedKind};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Change, Detail, Event, EventKind},
    faults::Faults,
    lockdown::refuse_suspects,
    text::check_name,
    time::Timestamp,
};

/// The longest id, in bytes, and the longest reason, in characters.
const MAX_ID: usize = 255;
const MAX_REASON: usize = 255;
/// How far in the future a token may expire, in seconds: 40 days, longer than any refresh token of an older system.
const MAX_AHEAD_SECONDS: i64 = 40 * 86_400;
/// A row outlives its token by so much, in seconds: clocks differ.
const MARGIN_SECONDS: i64 = 120;

/// One row of another denylist.
#[derive(Debug, Clone)]
pub struct ForeignRevocation {
    /// The token's `jti`.
    pub jti: String,
    /// When the token expires.
    pub expires_at: Timestamp,
    /// Whose it was: a name at login here. The row names the user if there is one.
    pub user: Option<String>,
    /// Why.
    pub reason: String,
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportedRevocation {
    /// The token is refused from here on.
    Revoked,
    /// It has expired, and nobody needs to refuse it.
    Over,
}

/// Brings rows of another denylist in one commit: for each one what became of it, or what is wrong with it. Brought twice, a row
/// stays.
///
/// # Errors
///
/// [`RevokeTokensError`]; then nothing was changed.
pub async fn import(
    instance: &Instance,
    call: &Call,
    rows: Vec<ForeignRevocation>,
) -> Result<Vec<Result<ImportedRevocation, Faults>>, RevokeTokensError> {
    call.require(Permission::TokensRevoke)?;
    let now = instance.now();
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let (mut outcomes, mut count) = (Vec::with_capacity(rows.len()), 0_u64);
    for row in rows {
        if let Err(faults) = check(&row, now) {
            outcomes.push(Err(faults));
            continue;
        }
        if row.expires_at <= now {
            outcomes.push(Ok(ImportedRevocation::Over));
            continue;
        }
        match refuse_suspects(instance, change.rows(), &[("/reason", &row.reason)]).await {
            Err(RevokeTokensError::Invalid(faults)) => {
                outcomes.push(Err(faults));
                continue;
            }
            looked => looked?,
        }
        let user = match &row.user {
            Some(name) if !name.chars().any(char::is_control) => change.rows().user_by_username(name).await?,
            _ => None,
        };
        let revocation = Revocation {
            kind: RevokedKind::Foreign,
            id: row.jti,
            not_before: None,
            expires_at: row.expires_at.plus_seconds(MARGIN_SECONDS),
            user: user.map(|user| user.id),
            reason: row.reason.trim().to_owned(),
            revoked_at: now,
        };
        change.rows().revoke(&revocation).await?;
        count += 1;
        outcomes.push(Ok(ImportedRevocation::Revoked));
    }
    change.rows().forget_revocations(now).await?;
    let event = Event::new(EventKind::TokensDenied).with("tokens", Detail::Count(count));
    change.commit(event).await?;
    instance.callers.forget_all();
    Ok(outcomes)
}

fn check(row: &ForeignRevocation, now: Timestamp) -> Result<(), Faults> {
    let mut faults = Faults::default();
    if !(1..=MAX_ID).contains(&row.jti.len()) || row.jti.chars().any(char::is_control) {
        faults.add("/jti", "length", "use 1 to 255 characters, no control characters");
    }
    if row.expires_at > now.plus_seconds(MAX_AHEAD_SECONDS) {
        faults.add("/expires_at", "range", "must be within 40 days");
    }
    check_name("/reason", &row.reason, MAX_REASON, &mut faults);
    faults.check()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_names_a_token_and_why() {
        let now = Timestamp::from_seconds(1_790_000_000);
        let row = |jti: &str, days: i64, reason: &str| ForeignRevocation {
            jti: jti.to_owned(),
            expires_at: now.plus_days(days),
            user: None,
            reason: reason.to_owned(),
        };
        assert!(check(&row("3f0e7c1a-0000", 7, "logout"), now).is_ok());
        assert!(check(&row("x", -7, "logout"), now).is_ok(), "it is over, which is no fault");
        for bad in
            [row("", 1, "x"), row(&"x".repeat(256), 1, "x"), row("a\nb", 1, "x"), row("x", 41, "x"), row("x", 1, " ")]
        {
            assert!(check(&bad, now).is_err(), "{bad:?}");
        }
    }
}
