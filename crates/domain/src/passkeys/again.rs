//! A passkey as proof that the person of a session is still there (RFC 9470).

use super::{
    AssertionAnswer, AssertionOptions,
    ceremony::{answered, methods, prove, verifier},
    challenge::{Bound, Purpose},
    client_data::Ceremony,
    login::passed,
};
use crate::{
    Instance,
    access::Call,
    factors::{FactorError, person},
    ids::UserId,
    sessions::{Proved, ReauthenticateError, count_proof, of_factor, proved},
    users::UserState,
};

fn bound(call: &Call, user: UserId) -> Bound {
    let within = call.caller.session().map(|session| session.to_bytes());
    Bound { purpose: Purpose::Again, tenant: call.tenant(), user: Some(user), within }
}

/// Begins a proof with one of the caller's passkeys.
///
/// # Errors
///
/// [`FactorError`].
pub async fn begin_again(instance: &Instance, call: &Call) -> Result<AssertionOptions, FactorError> {
    let user = person(call)?;
    let party = verifier(instance)?.relying_party().clone();
    let passkeys = instance.store().view(call.tenant()).await?.passkeys(user).await?;
    if passkeys.is_empty() {
        return Err(FactorError::NotEnrolled);
    }
    let challenge = bound(call, user).challenge(instance).await?;
    let allow = passkeys.into_iter().map(Into::into).collect();
    Ok(AssertionOptions { party, challenge: challenge.bytes, allow, expires_at: challenge.expires_at })
}

/// Takes a passkey as proof that the person of the caller's session is still there: its user was verified, so no password is
/// asked for besides. As with a password, tries are counted and the session ends after five wrong ones.
///
/// # Errors
///
/// [`ReauthenticateError`].
pub async fn again(instance: &Instance, call: &Call, answer: &AssertionAnswer) -> Result<Proved, ReauthenticateError> {
    let (Some(id), Some(session)) = (call.caller.user(), call.caller.session()) else {
        return Err(ReauthenticateError::NoSession);
    };
    let tenant = call.tenant();
    let party = verifier(instance).map_err(of_factor)?.relying_party();
    let mut view = instance.store().fresh_view(tenant).await?;
    let user = view.user(id).await?.filter(|user| user.state == UserState::Active);
    let user = user.ok_or(ReauthenticateError::NoSession)?;
    let passkey = view.passkey_by_credential(&answer.credential).await?.filter(|passkey| passkey.user == id);
    drop(view);
    count_proof(instance, call, session).await?;
    let passkey = passkey.ok_or(ReauthenticateError::Wrong("no such passkey"))?;
    let said = (Ceremony::Get, answer.client_data.as_slice());
    let challenge = answered(instance, party, said, bound(call, id)).await.map_err(of_factor)?;
    let change = prove(instance, call, tenant, &passkey, (&challenge, answer), None).await;
    let mut change = change.map_err(of_factor)?;
    change.record(passed(&passkey)).await?;
    proved(instance, call, (session, &user), change, methods(&passkey).to_vec()).await
}
