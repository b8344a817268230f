//! Registers passkeys: within a session, or within a login that waits for a first factor.

use chancery_crypto::Secret;

use super::{
    MAX_PASSKEYS, Passkey, RegistrationAnswer, RegistrationOptions,
    ceremony::{answered, methods, user_handle, verifier},
    challenge::{Bound, Challenge, Purpose},
    client_data::Ceremony,
    row,
};
use crate::{
    Instance, TenantId,
    access::{Call, RequestInfo},
    audit::{Change, Detail, Event, EventKind, receipt::note},
    factors::{FactorError, Halfway, Standing, check_session, codes, open, person, unchanged},
    faults::Faults,
    ids::{OneTimeId, SessionId, UserId},
    lockdown::refuse_suspects,
    one_time::OneTimeKind,
    sessions::{Amr, SessionTokens, end_but},
    store::StoreError,
    text::check_name,
};

/// A new passkey.
#[derive(Debug)]
pub struct Registered {
    /// What it is.
    pub passkey: Passkey,
    /// If it is the first factor of its user: recovery codes, shown once.
    pub recovery_codes: Vec<Secret<String>>,
}

/// Where a passkey is registered.
#[derive(Clone, Copy)]
enum Within {
    Session(SessionId),
    /// A login that waits for a first factor.
    Login(OneTimeId),
}

/// Within the caller's session.
fn bound_to_session(call: &Call, user: UserId) -> Bound {
    let within = call.caller.session().map(|session| session.to_bytes());
    Bound { purpose: Purpose::Register, tenant: call.tenant(), user: Some(user), within }
}

fn bound_to_login(halfway: &Halfway) -> Bound {
    Bound {
        purpose: Purpose::RegisterInLogin,
        tenant: halfway.entry.id,
        user: Some(halfway.user.id),
        within: Some(halfway.token.to_bytes()),
    }
}

/// Begins to register a passkey of the caller.
///
/// # Errors
///
/// [`FactorError`].
pub async fn begin(instance: &Instance, call: &Call) -> Result<RegistrationOptions, FactorError> {
    let user = person(call)?;
    // Or a stolen session would make itself a passkey and stay.
    instance.require_recent(call)?;
    let username = call.caller.username().unwrap_or_default().to_owned();
    options(instance, call, (call.tenant(), user), username, bound_to_session(call, user)).await
}

/// Begins to register a first factor within a login that waits for one.
///
/// # Errors
///
/// [`FactorError`].
pub async fn begin_in_login(
    instance: &Instance,
    request: &RequestInfo,
    token: &Secret<String>,
) -> Result<RegistrationOptions, FactorError> {
    let halfway = Halfway::find(instance, request, token, OneTimeKind::Enrol).await?;
    let of = (halfway.entry.id, halfway.user.id);
    options(instance, &halfway.call, of, halfway.user.username.clone(), bound_to_login(&halfway)).await
}

async fn options(
    instance: &Instance,
    call: &Call,
    (tenant, user): (TenantId, UserId),
    username: String,
    bound: Bound,
) -> Result<RegistrationOptions, FactorError> {
    let party = verifier(instance)?.relying_party().clone();
    let passkeys = instance.store().view(tenant).await?.passkeys(user).await?;
    if passkeys.len() >= MAX_PASSKEYS {
        return Err(FactorError::TooMany);
    }
    let challenge = bound.challenge(instance).await?;
    let event = Event::new(EventKind::FactorBegun).on("user", user).with("factor", Detail::Code("passkey"));
    note(instance, call, tenant, event).await?;
    Ok(RegistrationOptions {
        party,
        user_handle: user_handle(tenant, user),
        username,
        challenge: challenge.bytes,
        exclude: passkeys.into_iter().map(Into::into).collect(),
        expires_at: challenge.expires_at,
    })
}

/// Registers a passkey of the caller. Of a first factor the caller's other sessions end: they were begun without one.
///
/// # Errors
///
/// [`FactorError`].
pub async fn register(
    instance: &Instance,
    call: &Call,
    name: &str,
    answer: &RegistrationAnswer,
) -> Result<Registered, FactorError> {
    let user = person(call)?;
    let within = call.caller.session().map(Within::Session).ok_or(FactorError::NoSession)?;
    instance.require_recent(call)?;
    let of = (call.tenant(), user);
    let bound = bound_to_session(call, user);
    let (passkey, challenge) = verified(instance, of, bound, name, answer).await?;
    let change = Change::begin(instance, call, of.0).await?;
    let recovery_codes = added(instance, change, of.0, (&passkey, &challenge), within).await?;
    Ok(Registered { passkey, recovery_codes })
}

/// Registers a first factor within a login, and finishes it.
///
/// # Errors
///
/// [`FactorError`].
pub async fn register_in_login(
    instance: &Instance,
    request: &RequestInfo,
    token: &Secret<String>,
    name: &str,
    answer: &RegistrationAnswer,
) -> Result<(SessionTokens, Registered), FactorError> {
    let halfway = Halfway::find(instance, request, token, OneTimeKind::Enrol).await?;
    let of = (halfway.entry.id, halfway.user.id);
    let (passkey, challenge) = verified(instance, of, bound_to_login(&halfway), name, answer).await?;
    let change = Change::begin(instance, &halfway.call, of.0).await?;
    let within = Within::Login(halfway.token);
    let recovery_codes = added(instance, change, of.0, (&passkey, &challenge), within).await?;
    let methods = [Amr::Password].into_iter().chain(methods(&passkey)).collect();
    let tokens = open(instance, request, &halfway, methods).await?;
    Ok((tokens, Registered { passkey, recovery_codes }))
}

/// What the answer is, if it holds.
async fn verified(
    instance: &Instance,
    of: (TenantId, UserId),
    bound: Bound,
    name: &str,
    answer: &RegistrationAnswer,
) -> Result<(Passkey, Challenge), FactorError> {
    let verifier = verifier(instance)?;
    let name = checked_name(name)?;
    let said = (Ceremony::Create, answer.client_data.as_slice());
    let challenge = answered(instance, verifier.relying_party(), said, bound).await?;
    let made = verifier.registered(&challenge.bytes, answer).map_err(|unverified| {
        tracing::info!(reason = %unverified, "Refused a registration: {unverified}");
        FactorError::Passkey("not verified")
    })?;
    if made.credential != answer.credential {
        return Err(FactorError::Passkey("another credential than was told"));
    }
    // Hints only, and a browser's words: those that are known.
    let known = ["usb", "nfc", "ble", "internal", "hybrid", "smart-card"];
    let told = |hint: &&str| answer.transports.iter().any(|transport| transport == hint);
    let transports = known.into_iter().filter(told).map(str::to_owned).collect();
    Ok((row::made(instance, of, made, (name, transports)).await?, challenge))
}

/// A name as it is kept.
pub(super) fn checked_name(name: &str) -> Result<String, FactorError> {
    let mut faults = Faults::default();
    check_name("/name", name, 100, &mut faults);
    faults.check().map_err(FactorError::Invalid)?;
    Ok(name.trim().to_owned())
}

/// Adds a passkey, uses the challenge up and commits; gives recovery codes if it is the first factor.
async fn added(
    instance: &Instance,
    mut change: Change<'_>,
    tenant: TenantId,
    (passkey, challenge): (&Passkey, &Challenge),
    within: Within,
) -> Result<Vec<Secret<String>>, FactorError> {
    let user = passkey.user;
    // INVARIANT: whoever adds the first factor of somebody waits for who does so at the same time.
    change.rows().hold_user(user).await?.ok_or(FactorError::NotFound)?;
    refuse_suspects::<FactorError>(instance, change.rows(), &[("/name", &passkey.name)]).await?;
    let keep = match within {
        Within::Session(session) => {
            check_session(change.rows(), Some(session), instance.now()).await?;
            Some(session)
        }
        Within::Login(token) => {
            unchanged(change.rows().take_one_time_token(token).await, FactorError::Refused("used up"))?;
            None
        }
    };
    let standing = Standing::of(change.rows(), user).await?;
    if standing.passkeys >= MAX_PASSKEYS {
        return Err(FactorError::TooMany);
    }
    let first = !standing.is_enrolled();
    if first {
        // Of logins that began before it: they would add another one by the password alone.
        change.rows().end_one_time_tokens_of(user).await?;
        end_but(change.rows(), user, keep, instance.now()).await?;
    } else if keep.is_none() {
        return Err(FactorError::Refused("a factor is there already"));
    }
    let spent = change.rows().spend_challenge(&challenge.mark, challenge.expires_at, instance.now()).await;
    unchanged(spent, FactorError::Passkey("a challenge that was used"))?;
    match change.rows().insert_passkey(passkey).await {
        Err(StoreError::Taken("passkey")) => return Err(FactorError::AlreadyRegistered),
        inserted => inserted?,
    }
    let mut shown = Vec::new();
    if first {
        let (stored, made) = codes::make(instance, tenant, user).await?;
        change.rows().put_recovery_codes(user, &stored).await?;
        shown = made;
    }
    let event = Event::new(EventKind::FactorEnrolled)
        .on("user", user)
        .with("factor", Detail::Code("passkey"))
        .with("passkey", Detail::Id(passkey.id.to_string()))
        .with("device", Detail::Code(if passkey.backup_eligible { "synced" } else { "bound" }))
        .with("attestation", Detail::Code(if passkey.attested { "verified" } else { "none" }));
    change.commit(event).await?;
    if first {
        instance.callers.forget_all();
    }
    Ok(shown)
}
