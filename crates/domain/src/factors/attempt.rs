//! One try at a one-time code: counted, whatever comes of it.

use chancery_crypto::{Sealed, totp::TotpKey};

use super::Totp;
use crate::{
    Instance, TenantId,
    access::Call,
    audit::{Change, Event, EventKind, OpenFailure, OpenIntent, Outcome, append, open_failed},
    fields::system,
    ids::{OneTimeId, UserId},
    instance::{Failure, fails},
    keyring::{KeyringError, ring::Place},
    store::StoreError,
    time::Timestamp,
};

/// How often one token of a login may be tried.
pub(crate) const TRIES: u32 = 5;
/// Wrong codes in a row before the factor pauses.
const FREE_FAILURES: u32 = 5;
/// The first pause; each further failure doubles it.
const PAUSE_SECONDS: i64 = 30;
/// The longest pause.
const MAX_PAUSE_SECONDS: i64 = 3_600;

/// Why a second factor was not accepted or not changed.
#[derive(Debug, thiserror::Error)]
pub enum FactorError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] crate::access::Denied),
    /// A login does not go on: nobody is told why.
    #[error("the second step was refused: {0}")]
    Refused(&'static str),
    /// The caller is no person who logged in.
    #[error("the caller has no session")]
    NoSession,
    /// The code is wrong, was used, or came too soon after too many wrong ones.
    #[error("the code is not accepted: {0}")]
    Wrong(&'static str),
    /// What an authenticator said does not hold.
    #[error("the passkey is not accepted: {0}")]
    Passkey(&'static str),
    /// No passkeys here.
    #[error("passkeys are not set up")]
    NotOffered,
    /// The tenant has this credential already.
    #[error("the authenticator is registered already")]
    AlreadyRegistered,
    /// The user has as many passkeys as there may be.
    #[error("too many passkeys")]
    TooMany,
    /// Bad fields.
    #[error(transparent)]
    Invalid(#[from] crate::faults::Faults),
    /// The user has a second factor already.
    #[error("there is a second factor already")]
    AlreadyEnrolled,
    /// The user has none.
    #[error("there is no second factor")]
    NotEnrolled,
    /// One of the user's roles needs it.
    #[error("a role needs a second factor")]
    Required,
    /// Nobody resets their own.
    #[error("another administrator resets a second factor")]
    Own,
    /// There is no such user.
    #[error("no such user")]
    NotFound,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(FactorError);

/// Until when a factor takes no code after wrong ones.
fn paused_until(totp: &Totp) -> Option<Timestamp> {
    let beyond = totp.failures.checked_sub(FREE_FAILURES)?;
    let pause = PAUSE_SECONDS.checked_shl(beyond).filter(|_| beyond < 16).unwrap_or(MAX_PAUSE_SECONDS);
    totp.failed_at.map(|at| at.plus_seconds(pause.min(MAX_PAUSE_SECONDS)))
}

/// What people type between digits is not part of a code.
pub(super) fn digits(code: &str) -> String {
    code.chars().filter(|c| !c.is_whitespace() && *c != '-').collect()
}

/// Tries a code. If it is right, gives the change in which its step and `token` are used up, for more to be done in it;
/// if not, the failure is stored.
pub(super) async fn attempt<'a>(
    instance: &'a Instance,
    call: &'a Call,
    (tenant, user): (TenantId, UserId),
    (code, confirmed): (&str, bool),
    token: Option<OneTimeId>,
) -> Result<Change<'a>, FactorError> {
    let totp = instance.store().view(tenant).await?.totp(user).await?;
    let totp = totp.filter(|totp| totp.confirmed_at.is_some() == confirmed).ok_or(FactorError::NotEnrolled)?;
    let now = instance.now();
    if paused_until(&totp).is_some_and(|until| now < until) {
        return Err(FactorError::Wrong("too many wrong codes"));
    }
    let key = opened(instance, call, tenant, &totp).await?;
    let mut change = Change::begin(instance, call, tenant).await?;
    // INVARIANT: counted as wrong before it is compared. Of many tries at once one gets past this swap, the others are not compared:
    // else a thousand of them would be a thousand guesses and one failure.
    let counted = change.rows().fail_totp(user, totp.failures, now).await;
    unchanged(counted, FactorError::Wrong("another try was quicker"))?;
    if let Some(token) = token {
        let counted = change.rows().try_one_time_token(token, TRIES).await;
        unchanged(counted, FactorError::Refused("used up"))?;
    }
    let Some(step) = key.matching_step(&digits(code), now.as_seconds(), totp.last_step) else {
        let event = Event::new(EventKind::FactorFailed).on("user", user).outcome(Outcome::MinorFailure);
        change.commit(event).await?;
        return Err(FactorError::Wrong("wrong code"));
    };
    let passed = change.rows().pass_totp(&totp, step, now).await;
    unchanged(passed, FactorError::Wrong("another try was quicker"))?;
    if let Some(token) = token {
        change.rows().take_one_time_token(token).await?;
    }
    Ok(change)
}

/// What a compare-and-swap that found another value means here.
pub(crate) fn unchanged(swapped: Result<(), StoreError>, otherwise: FactorError) -> Result<(), FactorError> {
    match swapped {
        Err(StoreError::Changed(_)) => Err(otherwise),
        swapped => Ok(swapped?),
    }
}

/// Opens the secret; the event of the try is durable before.
async fn opened(instance: &Instance, call: &Call, tenant: TenantId, totp: &Totp) -> Result<TotpKey, Failure> {
    let (field, row) = (system::user_totp(), totp.user.to_string());
    let sealed = Sealed::from_bytes(totp.secret.clone()).map_err(KeyringError::from)?;
    let event = Event::new(EventKind::FactorTried).on("user", totp.user);
    let intent = OpenIntent::new(system::USERS, 1, event);
    let (receipt, fence) = append(instance, call, tenant, vec![intent]).await?.single()?;
    let lease = fence.lease(instance).await?;
    let place = Place { field: &field, row: &row };
    let opened = match lease.keyring.open(receipt, system::USERS, &[(place, &sealed)]) {
        Ok(opened) => opened,
        Err((_, error)) => {
            open_failed(instance, call, tenant, system::USERS, OpenFailure::from(&error)).await?;
            return Err(error.into());
        }
    };
    let key = opened.first().and_then(|bytes| TotpKey::from_slice(bytes.expose()));
    let key = key.ok_or(Failure::Internal("a secret of another length"))?;
    fence.release(instance, &lease, key).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_codes_pause_a_factor_for_longer_and_longer() {
        let at = Timestamp::from_micros(1_790_000_000_000_000);
        let pause = |failures| {
            let totp = Totp {
                user: UserId::from_bytes([1; 16]),
                secret: Vec::new(),
                last_step: None,
                failures,
                failed_at: Some(at),
                created_at: at,
                confirmed_at: Some(at),
            };
            paused_until(&totp).map(|until| until.as_seconds() - at.as_seconds())
        };
        assert_eq!([0, 4, 5, 6, 8].map(pause), [None, None, Some(30), Some(60), Some(240)]);
        assert_eq!([12, 13, 100, u32::MAX].map(pause), [Some(3_600); 4]);
    }

    #[test]
    fn blanks_in_a_code_do_not_matter() {
        assert_eq!(digits(" 123 456 "), "123456");
        assert_eq!(digits("123-456"), "123456");
    }
}
