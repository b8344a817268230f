//! The second half of a login.

use chancery_crypto::Secret;

use super::{
    FactorError,
    attempt::{TRIES, attempt, unchanged},
    challenge::Halfway,
    codes,
};
use crate::{
    Instance,
    access::RequestInfo,
    audit::{Change, Detail, Event, EventKind, Outcome},
    instance::Failure,
    one_time::OneTimeKind,
    sessions::{self, Amr, Authentication, SessionTokens},
};

/// Finishes a login with a one-time code.
///
/// # Errors
///
/// [`FactorError`]; [`FactorError::Refused`] and [`FactorError::Wrong`] look alike to whoever logs in.
pub async fn finish_with_code(
    instance: &Instance,
    request: &RequestInfo,
    token: &Secret<String>,
    code: &str,
) -> Result<SessionTokens, FactorError> {
    let halfway = Halfway::find(instance, request, token, OneTimeKind::Factor).await?;
    let (tenant, user) = (halfway.entry.id, halfway.user.id);
    let change = attempt(instance, &halfway.call, (tenant, user), (code, true), Some(halfway.token)).await?;
    change.commit(Event::new(EventKind::FactorPassed).on("user", user)).await?;
    Ok(open(instance, request, &halfway).await?)
}

/// Finishes a login with a recovery code, which is used up.
///
/// # Errors
///
/// As [`finish_with_code`].
pub async fn finish_with_recovery_code(
    instance: &Instance,
    request: &RequestInfo,
    token: &Secret<String>,
    code: &str,
) -> Result<SessionTokens, FactorError> {
    let halfway = Halfway::find(instance, request, token, OneTimeKind::Factor).await?;
    let (tenant, user) = (halfway.entry.id, halfway.user.id);
    let root = instance.leased_root().await?;
    let mut change = Change::begin(instance, &halfway.call, tenant).await?;
    let counted = change.rows().try_one_time_token(halfway.token, TRIES).await;
    unchanged(counted, FactorError::Refused("used up"))?;
    let stored = change.rows().recovery_codes(user).await?;
    let Some(fitting) = codes::find(&root, (tenant, user), &stored, code) else {
        let event = Event::new(EventKind::FactorFailed).on("user", user).outcome(Outcome::MinorFailure);
        change.commit(event).await?;
        return Err(FactorError::Wrong("wrong recovery code"));
    };
    let used = change.rows().use_recovery_code(user, &fitting.digest, instance.now()).await;
    unchanged(used, FactorError::Wrong("recovery code used"))?;
    change.rows().take_one_time_token(halfway.token).await?;
    let left = stored.iter().filter(|code| code.used_at.is_none()).count().saturating_sub(1);
    let left = Detail::Count(u64::try_from(left).unwrap_or(u64::MAX));
    change.commit(Event::new(EventKind::RecoveryCodeUsed).on("user", user).with("left", left)).await?;
    Ok(open(instance, request, &halfway).await?)
}

/// Begins the session. Its token was used up before: whatever happens here, it does not give a second one.
pub(super) async fn open(
    instance: &Instance,
    request: &RequestInfo,
    halfway: &Halfway,
) -> Result<SessionTokens, Failure> {
    let methods = vec![Amr::Password, Amr::Otp, Amr::MultiFactor];
    let authentication = Authentication { methods, at: instance.now() };
    let place = (halfway.entry.id, halfway.entry.slug.as_str());
    sessions::open(instance, request, place, &halfway.user, authentication, None).await
}
