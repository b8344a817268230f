//! What a person sees of its second factors and does with them; and what an administrator does for somebody who lost them.

use chancery_crypto::Secret;

use super::{FactorError, attempt::attempt, codes, enrol::person, required};
use crate::{
    Instance,
    access::{Call, Permission, grant},
    audit::{Change, Detail, Event, EventKind},
    ids::UserId,
    roles::with_bases,
    time::Timestamp,
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
    let totp_since = view.totp(user).await?.and_then(|totp| totp.confirmed_at);
    let recovery_codes = view.recovery_codes(user).await?.iter().filter(|code| code.used_at.is_none()).count();
    let passkeys = view.passkeys(user).await?.len();
    Ok(Factors { totp_since, passkeys, recovery_codes, required: required(call.caller.roles()) })
}

/// Gives the caller new recovery codes, for a one-time code; those before are worth nothing any more.
///
/// # Errors
///
/// [`FactorError`].
pub async fn make_codes(instance: &Instance, call: &Call, code: &str) -> Result<Vec<Secret<String>>, FactorError> {
    let (tenant, user) = (call.tenant(), person(call)?);
    instance.require_recent(call)?;
    let mut change = attempt(instance, call, (tenant, user), (code, true), None).await?;
    let (stored, shown) = codes::make(instance, tenant, user).await?;
    change.rows().put_recovery_codes(user, &stored).await?;
    change.commit(Event::new(EventKind::RecoveryCodesMade).on("user", user)).await?;
    Ok(shown)
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
    if required(stored.roles) && view.passkeys(user).await?.is_empty() {
        return Err(FactorError::Required);
    }
    drop(view);
    let mut change = attempt(instance, call, (tenant, user), (code, true), None).await?;
    // INVARIANT: held, and looked at again, or of two removals at once each would leave the other's.
    let stored = change.rows().hold_user(user).await?.ok_or(FactorError::NotFound)?;
    change.rows().remove_totp(user).await?;
    if change.rows().passkeys(user).await?.is_empty() {
        if required(stored.roles) {
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
    let user = change.rows().user(id).await?.ok_or(FactorError::NotFound)?;
    let own = change.rows().roles_of(&id.to_string()).await?;
    if grant::check(instance, call, tenant, with_bases(user.roles, &own), change.rows()).await?.is_err() {
        return Err(crate::access::Denied::Forbidden(Permission::UsersUpdate).into());
    }
    let removed = change.rows().remove_factors(id).await? > 0;
    change.rows().end_one_time_tokens_of(id).await?;
    change.rows().end_sessions_of(id, instance.now()).await?;
    change.commit(Event::new(EventKind::FactorReset).on("user", id)).await?;
    instance.callers.forget_all();
    Ok(removed)
}
