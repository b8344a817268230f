//! Logging in with a passkey: instead of a password, or after one.

use chancery_crypto::Secret;

use super::{
    AssertionAnswer, AssertionOptions,
    ceremony::{answered, methods, prove, user_of, verifier},
    challenge::{Bound, Purpose},
    client_data::Ceremony,
};
use crate::{
    Instance, TenantId,
    access::{Call, RequestInfo, authenticate::caller_halfway},
    audit::{Detail, Event, EventKind},
    factors::{FactorError, Halfway, open},
    instance::Failure,
    one_time::OneTimeKind,
    sessions::{self, Amr, Authentication, Person, SessionTokens},
    store::StoreError,
    users::{UserState, directory_entry},
};

fn bound_to_tenant(tenant: TenantId) -> Bound {
    Bound { purpose: Purpose::Login, tenant, user: None, within: None }
}

fn bound_to_step(halfway: &Halfway) -> Bound {
    Bound {
        purpose: Purpose::Step,
        tenant: halfway.entry.id,
        user: Some(halfway.user.id),
        within: Some(halfway.token.to_bytes()),
    }
}

/// Begins a login without a password. Nothing is stored, and whether there is such a tenant is not told.
///
/// # Errors
///
/// [`FactorError::NotOffered`], [`FactorError::Failed`].
pub async fn begin_login(instance: &Instance, tenant: &str) -> Result<AssertionOptions, FactorError> {
    let party = verifier(instance)?.relying_party().clone();
    let entry = directory_entry(instance, tenant).await?;
    let challenge = bound_to_tenant(entry.map_or(TenantId::PLATFORM, |entry| entry.id)).challenge(instance).await?;
    Ok(AssertionOptions { party, challenge: challenge.bytes, allow: Vec::new(), expires_at: challenge.expires_at })
}

/// Logs in without a password, with a passkey that the browser found. Its user was verified by it: that counts as two factors.
///
/// # Errors
///
/// [`FactorError`]; whatever was wrong looks alike to whoever logs in.
pub async fn login(
    instance: &Instance,
    request: &RequestInfo,
    tenant: &str,
    answer: &AssertionAnswer,
) -> Result<SessionTokens, FactorError> {
    let party = verifier(instance)?.relying_party();
    let entry = directory_entry(instance, tenant).await?.ok_or(FactorError::Refused("no such tenant"))?;
    let said = (Ceremony::Get, answer.client_data.as_slice());
    let challenge = answered(instance, party, said, bound_to_tenant(entry.id)).await?;
    let handle = answer.user_handle.as_deref().ok_or(FactorError::Passkey("no user handle"))?;
    let named = user_of(entry.id, handle).ok_or(FactorError::Passkey("another tenant's user handle"))?;
    let mut view = instance.store().fresh_view(entry.id).await?;
    let passkey = view.passkey_by_credential(&answer.credential).await?.filter(|passkey| passkey.user == named);
    let passkey = passkey.ok_or(FactorError::Passkey("no such passkey"))?;
    let user = view.user(named).await?.filter(|user| user.state == UserState::Active);
    let user = user.ok_or(FactorError::Refused("user not active"))?;
    drop(view);
    let caller = caller_halfway(entry.id, entry.slug.clone(), &user);
    let call = Call { caller, request: request.clone(), once: None };
    let change = prove(instance, &call, entry.id, &passkey, (&challenge, answer), None).await?;
    change.commit(passed(&passkey)).await?;
    let authentication = Authentication { methods: methods(&passkey).to_vec(), at: instance.now() };
    let person = Person { tenant: entry.id, slug: &entry.slug, user: &user };
    match sessions::open(instance, request, person, authentication, None).await {
        Err(Failure::Store(StoreError::Changed("user"))) => Err(FactorError::Refused("user changed meanwhile")),
        opened => Ok(opened?),
    }
}

/// Begins the second step of a login.
///
/// # Errors
///
/// [`FactorError`].
pub async fn begin_step(
    instance: &Instance,
    request: &RequestInfo,
    token: &Secret<String>,
) -> Result<AssertionOptions, FactorError> {
    let party = verifier(instance)?.relying_party().clone();
    let halfway = Halfway::find(instance, request, token, OneTimeKind::Factor).await?;
    let passkeys = instance.store().view(halfway.entry.id).await?.passkeys(halfway.user.id).await?;
    if passkeys.is_empty() {
        return Err(FactorError::NotEnrolled);
    }
    let challenge = bound_to_step(&halfway).challenge(instance).await?;
    let allow = passkeys.into_iter().map(Into::into).collect();
    Ok(AssertionOptions { party, challenge: challenge.bytes, allow, expires_at: challenge.expires_at })
}

/// Finishes a login with a passkey.
///
/// # Errors
///
/// [`FactorError`]; whatever was wrong looks alike to whoever logs in.
pub async fn step(
    instance: &Instance,
    request: &RequestInfo,
    token: &Secret<String>,
    answer: &AssertionAnswer,
) -> Result<SessionTokens, FactorError> {
    let party = verifier(instance)?.relying_party();
    let halfway = Halfway::find(instance, request, token, OneTimeKind::Factor).await?;
    let tenant = halfway.entry.id;
    let said = (Ceremony::Get, answer.client_data.as_slice());
    let challenge = answered(instance, party, said, bound_to_step(&halfway)).await?;
    let passkey = instance.store().fresh_view(tenant).await?.passkey_by_credential(&answer.credential).await?;
    let passkey = passkey.filter(|passkey| passkey.user == halfway.user.id);
    let passkey = passkey.ok_or(FactorError::Passkey("no such passkey"))?;
    let proof = (&challenge, answer);
    let change = prove(instance, &halfway.call, tenant, &passkey, proof, Some(halfway.token)).await?;
    change.commit(passed(&passkey)).await?;
    let methods = [Amr::Password].into_iter().chain(methods(&passkey)).collect();
    open(instance, request, &halfway, methods).await
}

pub(super) fn passed(passkey: &super::Passkey) -> Event {
    Event::new(EventKind::FactorPassed)
        .on("user", passkey.user)
        .with("factor", Detail::Code("passkey"))
        .with("passkey", Detail::Id(passkey.id.to_string()))
}
