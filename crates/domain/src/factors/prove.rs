//! The second factor of somebody who is logged in already, and a recovery code wherever one is taken.

use chancery_crypto::Secret;

use super::{
    FactorError, Standing,
    attempt::{TRIES, attempt, unchanged},
    codes,
};
use crate::{
    Instance, TenantId,
    access::Call,
    audit::{Change, Detail, Event, EventKind, Outcome},
    ids::{OneTimeId, UserId},
    store::StoreError,
};

/// A code of a second factor.
#[derive(Debug)]
pub enum FactorCode {
    /// Of the authenticator.
    Totp(Secret<String>),
    /// One of the recovery codes, which is used up.
    Recovery(Secret<String>),
}

/// Whether a user has a second factor.
pub(crate) async fn enrolled(instance: &Instance, tenant: TenantId, user: UserId) -> Result<bool, StoreError> {
    let mut view = instance.store().fresh_view(tenant).await?;
    Ok(Standing::of(&mut *view, user).await?.is_enrolled())
}

/// Tries a code. If it is right, gives the change in which it is used up, for more to be done in it; if not, the failure is stored.
pub(crate) async fn prove<'a>(
    instance: &'a Instance,
    call: &'a Call,
    of: (TenantId, UserId),
    code: &FactorCode,
) -> Result<Change<'a>, FactorError> {
    match code {
        FactorCode::Totp(code) => {
            let mut change = attempt(instance, call, of, (code.expose(), true), None).await?;
            change.record(Event::new(EventKind::FactorPassed).on("user", of.1)).await?;
            Ok(change)
        }
        FactorCode::Recovery(code) => recover(instance, call, of, code.expose(), None).await,
    }
}

/// As [`prove`], with a recovery code; `token` is that of a login, which is used up with it.
pub(super) async fn recover<'a>(
    instance: &'a Instance,
    call: &'a Call,
    (tenant, user): (TenantId, UserId),
    code: &str,
    token: Option<OneTimeId>,
) -> Result<Change<'a>, FactorError> {
    let root = instance.leased_root().await?;
    let mut change = Change::begin(instance, call, tenant).await?;
    if let Some(token) = token {
        let counted = change.rows().try_one_time_token(token, TRIES).await;
        unchanged(counted, FactorError::Refused("used up"))?;
    }
    let stored = change.rows().recovery_codes(user).await?;
    let Some(fitting) = codes::find(&root, (tenant, user), &stored, code) else {
        let event = Event::new(EventKind::FactorFailed).on("user", user).outcome(Outcome::MinorFailure);
        change.commit(event).await?;
        return Err(FactorError::Wrong("wrong recovery code"));
    };
    let used = change.rows().use_recovery_code(user, &fitting.digest, instance.now()).await;
    unchanged(used, FactorError::Wrong("recovery code used"))?;
    if let Some(token) = token {
        change.rows().take_one_time_token(token).await?;
    }
    let left = stored.iter().filter(|code| code.used_at.is_none()).count().saturating_sub(1);
    let left = Detail::Count(u64::try_from(left).unwrap_or(u64::MAX));
    change.record(Event::new(EventKind::RecoveryCodeUsed).on("user", user).with("left", left)).await?;
    Ok(change)
}
