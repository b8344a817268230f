//! What a person sees of its second factors and does with them; and what an administrator does for somebody who lost them.

use chancery_crypto::Secret;

use super::{FactorError, Standing, attempt::attempt, codes, enrol::person, needed, standing::check_session};
use crate::{
    Instance,
    access::{Call, Denied, Permission, RECENT_SECONDS, grant},
    audit::{Change, Detail, Event, EventKind, receipt::note},
    faults::Faults,
    ids::UserId,
    roles::{self, Holder},
    sessions::Amr,
    time::Timestamp,
    users::end_all,
};

/// A person's second factors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Factors {
    /// Since when one-time codes are enrolled.
    pub totp_since: Option<Timestamp>,
    /// How many passkeys there are.
    pub passkeys: usize,
    /// How many recovery codes are left.
    pub recovery_codes: usize,
    /// Whether a role needs a second factor.
    pub required: bool,
}

/// The caller's second factors.
///
/// # Errors
///
/// [`FactorError`].
pub async fn read(instance: &Instance, call: &Call) -> Result<Factors, FactorError> {
    let user = person(call)?;
    let mut view = instance.store().view(call.tenant()).await?;
    let Standing { totp_since, passkeys, codes } = Standing::of(&mut *view, user).await?;
    // Of the user's roles, not of the token's, which may be fewer.
    let stored = view.user(user).await?.ok_or(FactorError::NotFound)?;
    let required = needed(&mut *view, &stored).await?;
    drop(view);
    note(instance, call, call.tenant(), Event::new(EventKind::FactorRead).on("user", user)).await?;
    Ok(Factors { totp_since, passkeys, recovery_codes: codes, required })
}

/// Gives the caller new recovery codes, for a one-time code, or after a fresh proof by a passkey; those before are worth nothing any
/// more.
///
/// # Errors
///
/// [`FactorError`].
pub async fn make_codes(
    instance: &Instance,
    call: &Call,
    code: Option<&str>,
) -> Result<Vec<Secret<String>>, FactorError> {
    let (tenant, user) = (call.tenant(), person(call)?);
    instance.require_recent(call)?;
    let mut change = match code {
        Some(code) => attempt(instance, call, (tenant, user), (code, true), None).await?,
        None => {
            let mut view = instance.store().view(tenant).await?;
            check_passkey(call, Standing::of(&mut *view, user).await?)?;
            Change::begin(instance, call, tenant).await?
        }
    };
    // INVARIANT: held, or there would be codes beside a last factor that is removed at the same time.
    change.rows().hold_user(user).await?.ok_or(FactorError::NotFound)?;
    check_session(change.rows(), call.caller.session(), instance.now()).await?;
    if !Standing::of(change.rows(), user).await?.is_enrolled() {
        return Err(FactorError::NotEnrolled);
    }
    let (stored, shown) = codes::make(instance, tenant, user).await?;
    change.rows().put_recovery_codes(user, &stored).await?;
    change.commit(Event::new(EventKind::RecoveryCodesMade).on("user", user)).await?;
    Ok(shown)
}

/// Whoever sends no one-time code has shown a passkey: with the login, or with the fresh proof.
fn check_passkey(call: &Call, standing: Standing) -> Result<(), FactorError> {
    if standing.passkeys == 0 {
        let missing = Faults::one("/code", "required", "send a one-time code");
        return Err(standing.totp_since.map_or(FactorError::NotEnrolled, |_| FactorError::Invalid(missing)));
    }
    let by_passkey = |method: &Amr| matches!(method, Amr::HardwareKey | Amr::SoftwareKey);
    let shown = call.caller.authentication().is_some_and(|proof| proof.methods.iter().any(by_passkey));
    if shown { Ok(()) } else { Err(Denied::StepUp(RECENT_SECONDS).into()) }
}

/// Removes the caller's one-time codes, for one of them, unless they are its last factor and a role needs one. With the last
/// factor the recovery codes go too.
///
/// # Errors
///
/// [`FactorError`].
pub async fn remove(instance: &Instance, call: &Call, code: &str) -> Result<(), FactorError> {
    let (tenant, user) = (call.tenant(), person(call)?);
    instance.require_recent(call)?;
    // Those of the user, not of the token, which may hold fewer.
    let mut view = instance.store().view(tenant).await?;
    let stored = view.user(user).await?.ok_or(FactorError::NotFound)?;
    if needed(&mut *view, &stored).await? && Standing::of(&mut *view, user).await?.passkeys == 0 {
        return Err(FactorError::Required);
    }
    drop(view);
    let mut change = attempt(instance, call, (tenant, user), (code, true), None).await?;
    // INVARIANT: held, and looked at again, or of two removals at once each would leave the other's.
    let stored = change.rows().hold_user(user).await?.ok_or(FactorError::NotFound)?;
    check_session(change.rows(), call.caller.session(), instance.now()).await?;
    change.rows().remove_totp(user).await?;
    if !Standing::of(change.rows(), user).await?.is_enrolled() {
        if needed(change.rows(), &stored).await? {
            return Err(FactorError::Required);
        }
        change.rows().put_recovery_codes(user, &[]).await?;
    }
    let event = Event::new(EventKind::FactorRemoved).on("user", user).with("factor", Detail::Code("totp"));
    Ok(change.commit(event).await?)
}

/// Removes the second factors of a user who lost them, and ends its sessions; whether there was one. The next login enrols a new
/// one if a role needs it.
///
/// # Errors
///
/// [`FactorError`].
pub async fn reset(instance: &Instance, call: &Call, id: UserId) -> Result<bool, FactorError> {
    call.require(Permission::UsersUpdate)?;
    instance.require_recent(call)?;
    let tenant = call.tenant();
    if call.caller.user() == Some(id) {
        // Or a stolen session would be rid of the factor that it lacks.
        return Err(FactorError::Own);
    }
    let mut change = Change::begin(instance, call, tenant).await?;
    // Held first, or a factor that is being added at the same moment would outlive the reset.
    let user = change.rows().hold_user(id).await?.ok_or(FactorError::NotFound)?;
    let all = roles::all_of(change.rows(), Holder::User(id), user.roles).await?;
    if grant::check(instance, call, tenant, all, change.rows()).await?.is_err() {
        return Err(Denied::Forbidden(Permission::UsersUpdate).into());
    }
    let removed = change.rows().remove_factors(id).await? > 0;
    end_all(instance, &mut change, id).await?;
    change.commit(Event::new(EventKind::FactorReset).on("user", id)).await?;
    instance.callers.forget_all();
    Ok(removed)
}
