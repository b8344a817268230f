//! The second half of a login.

use chancery_crypto::Secret;

use super::{FactorError, attempt::attempt, challenge::Halfway, prove::recover};
use crate::{
    Instance,
    access::RequestInfo,
    audit::{Event, EventKind},
    instance::Failure,
    one_time::OneTimeKind,
    sessions::{self, Amr, Authentication, SessionTokens},
    store::StoreError,
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
    open(instance, request, &halfway, with_code()).await
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
    let change = recover(instance, &halfway.call, (tenant, user), code, Some(halfway.token)).await?;
    change.commit(Event::new(EventKind::FactorPassed).on("user", user)).await?;
    open(instance, request, &halfway, with_code()).await
}

/// How a password and a code prove who somebody is.
pub(super) fn with_code() -> Vec<Amr> {
    vec![Amr::Password, Amr::Otp, Amr::MultiFactor]
}

/// Begins the session. Its token was used up before: whatever happens here, it does not give a second one.
pub(crate) async fn open(
    instance: &Instance,
    request: &RequestInfo,
    halfway: &Halfway,
    methods: Vec<Amr>,
) -> Result<SessionTokens, FactorError> {
    let authentication = Authentication { methods, at: instance.now() };
    match sessions::open(instance, request, halfway.person(), authentication, None).await {
        Err(Failure::Store(StoreError::Changed("user"))) => Err(FactorError::Refused("user changed meanwhile")),
        opened => Ok(opened?),
    }
}
