//! Proves again who the person of a session is (RFC 9470), for what [`crate::access::Call::require_recent`] asks of.

use super::{Amr, Authentication, Person, SessionState, open::access_token};
use crate::{
    Instance,
    access::Call,
    audit::{Change, Detail, Event, EventKind, Outcome},
    factors::{self, FactorCode, FactorError},
    ids::SessionId,
    instance::{Failure, fails},
    passwords::{HashError, Password},
    store::{StoreError, Tx},
    tokens::AccessToken,
    users::{User, UserState},
};

/// How often a session may be tried before it ends: whoever stole its token does not guess on.
const TRIES: u32 = 5;

/// What a person shows.
#[derive(Debug)]
pub struct Proof {
    /// The password.
    pub password: Password,
    /// The second factor, of whoever has one.
    pub factor: Option<FactorCode>,
}

/// A session whose person has proved again who it is.
#[derive(Debug)]
pub struct Proved {
    /// Which session.
    pub session: SessionId,
    /// An access token that says so. The refresh token stays as it is.
    pub access: AccessToken,
    /// By what and when.
    pub authentication: Authentication,
}

/// Why the proof is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReauthenticateError {
    /// The caller is no person with a session.
    #[error("the caller has no session")]
    NoSession,
    /// The person has a second factor, and showed none.
    #[error("a second factor is needed")]
    FactorNeeded,
    /// Wrong password or code, or too many of them: nobody is told which.
    #[error("the proof is not accepted: {0}")]
    Wrong(&'static str),
    /// Too many passwords at once.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(ReauthenticateError);

/// Takes a person's password, and its second factor if it has one, as proof that it is still there. The session's next tokens say
/// so; those that it had before do not.
///
/// A try is counted before anything is compared. After five wrong ones the session ends.
///
/// # Errors
///
/// [`ReauthenticateError`].
pub async fn reauthenticate(instance: &Instance, call: &Call, proof: Proof) -> Result<Proved, ReauthenticateError> {
    let (Some(id), Some(session)) = (call.caller.user(), call.caller.session()) else {
        return Err(ReauthenticateError::NoSession);
    };
    let tenant = call.tenant();
    let user = instance.store().fresh_view(tenant).await?.user(id).await?;
    let user = user.filter(|user| user.state == UserState::Active).ok_or(ReauthenticateError::NoSession)?;
    let enrolled = factors::enrolled(instance, tenant, id).await?;
    if enrolled && proof.factor.is_none() {
        return Err(ReauthenticateError::FactorNeeded);
    }
    count(instance, call, session).await?;
    let checked = instance.passwords.verify(&proof.password, user.password_hash.clone()).await?;
    if !checked.matched {
        failed(instance, call, session).await?;
        return Err(ReauthenticateError::Wrong("wrong password"));
    }
    let (change, methods) = match &proof.factor {
        Some(code) if enrolled => {
            let change = factors::prove(instance, call, (tenant, id), code).await.map_err(of_factor)?;
            (change, vec![Amr::Password, Amr::Otp, Amr::MultiFactor])
        }
        _ => (Change::begin(instance, call, tenant).await?, vec![Amr::Password]),
    };
    proved(instance, call, (session, &user), change, methods).await
}

/// Notes in the change of the proof that the person of a session is still there, and makes a token that says so.
pub(crate) async fn proved(
    instance: &Instance,
    call: &Call,
    (session, user): (SessionId, &User),
    mut change: Change<'_>,
    methods: Vec<Amr>,
) -> Result<Proved, ReauthenticateError> {
    let tenant = call.tenant();
    let authentication = Authentication { methods, at: instance.now() };
    match change.rows().prove_session(session, &authentication).await {
        Ok(()) => {}
        Err(StoreError::Changed(_)) => return Err(ReauthenticateError::NoSession),
        Err(error) => return Err(error.into()),
    }
    let stored = change.rows().session(session).await?.ok_or(ReauthenticateError::NoSession)?;
    let names = authentication.methods.iter().map(|method| method.as_str().to_owned()).collect();
    let event = Event::new(EventKind::SessionProved).on("session", session).with("methods", Detail::Names(names));
    change.commit(event).await?;
    let person = Person { tenant, slug: call.caller.tenant_slug(), user };
    let access = access_token(instance, person, &stored).await?;
    Ok(Proved { session, access, authentication })
}

/// Counts a try, or ends the session that had too many.
pub(crate) async fn count(instance: &Instance, call: &Call, session: SessionId) -> Result<(), ReauthenticateError> {
    // INVARIANT: durable before anything is compared, so that many at once are not many guesses.
    let mut tx = instance.store().begin(call.tenant()).await?;
    match tx.try_session(session, TRIES).await {
        Ok(()) => return Ok(tx.commit().await?),
        Err(StoreError::Changed(_)) => drop(tx),
        Err(error) => return Err(error.into()),
    }
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    match change.rows().end_session(session, SessionState::Ended, instance.now()).await {
        Ok(()) => {
            let event = Event::new(EventKind::SessionEnded).on("session", session).with("by", Detail::Code("tries"));
            change.commit(event).await?;
            instance.callers.forget_all();
        }
        Err(StoreError::Changed(_)) => {}
        Err(error) => return Err(error.into()),
    }
    Err(ReauthenticateError::Wrong("too many tries"))
}

/// Notes that a password was wrong.
pub(crate) async fn failed(instance: &Instance, call: &Call, session: SessionId) -> Result<(), Failure> {
    let change = Change::begin(instance, call, call.tenant()).await?;
    change.commit(Event::new(EventKind::SessionProofFailed).on("session", session).outcome(Outcome::MinorFailure)).await
}

/// Ends the count of tries after a right one. By what and when the person proved who it is stays.
pub(crate) async fn end_tries(rows: &mut (dyn Tx + '_), session: SessionId) -> Result<(), ReauthenticateError> {
    let stored = rows.session(session).await?.ok_or(ReauthenticateError::NoSession)?;
    match rows.prove_session(session, &stored.authentication).await {
        Err(StoreError::Changed(_)) => Err(ReauthenticateError::NoSession),
        ended => Ok(ended?),
    }
}

pub(crate) fn of_factor(error: FactorError) -> ReauthenticateError {
    match error {
        FactorError::Failed(failure) => failure.into(),
        FactorError::Refused(reason) | FactorError::Wrong(reason) => ReauthenticateError::Wrong(reason),
        FactorError::Passkey(reason) => ReauthenticateError::Wrong(reason),
        FactorError::NoSession
        | FactorError::NotOffered
        | FactorError::AlreadyRegistered
        | FactorError::TooMany
        | FactorError::Invalid(_)
        | FactorError::Denied(_)
        | FactorError::AlreadyEnrolled
        | FactorError::NotEnrolled
        | FactorError::Required
        | FactorError::Own
        | FactorError::NotFound => ReauthenticateError::Wrong("the second factor changed meanwhile"),
    }
}
