//! What a person does with its passkeys.

use super::{Passkey, register::checked_name};
use crate::{
    Instance,
    access::Call,
    audit::{Change, Detail, Event, EventKind, receipt::note},
    factors::{FactorError, Standing, check_session, needed, person, unchanged},
    ids::PasskeyId,
    lockdown::refuse_suspects,
};

/// The caller's passkeys, oldest first.
///
/// # Errors
///
/// [`FactorError`].
pub async fn list(instance: &Instance, call: &Call) -> Result<Vec<Passkey>, FactorError> {
    let user = person(call)?;
    let found = instance.store().view(call.tenant()).await?.passkeys(user).await?;
    let event = Event::new(EventKind::FactorRead).on("user", user).with("factor", Detail::Code("passkey"));
    note(instance, call, call.tenant(), event).await?;
    Ok(found)
}

/// Names one of the caller's passkeys.
///
/// # Errors
///
/// [`FactorError`].
pub async fn rename(instance: &Instance, call: &Call, id: PasskeyId, name: &str) -> Result<Passkey, FactorError> {
    let user = person(call)?;
    let name = checked_name(name)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    refuse_suspects::<FactorError>(instance, change.rows(), &[("/name", &name)]).await?;
    let renamed = change.rows().rename_passkey(user, id, &name).await;
    unchanged(renamed, FactorError::NotFound)?;
    let found = change.rows().passkeys(user).await?.into_iter().find(|passkey| passkey.id == id);
    let passkey = found.ok_or(FactorError::NotFound)?;
    change.commit(Event::new(EventKind::PasskeyRenamed).on("user", user).with("passkey", of(id))).await?;
    Ok(passkey)
}

/// Removes one of the caller's passkeys, unless it is the last factor and a role needs one. With the last factor the recovery
/// codes go too.
///
/// # Errors
///
/// [`FactorError`].
pub async fn remove(instance: &Instance, call: &Call, id: PasskeyId) -> Result<(), FactorError> {
    let user = person(call)?;
    instance.require_recent(call)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    // INVARIANT: held, or of two removals at once each would leave the other's.
    let stored = change.rows().hold_user(user).await?.ok_or(FactorError::NotFound)?;
    check_session(change.rows(), call.caller.session(), instance.now()).await?;
    let removed = change.rows().remove_passkey(user, id).await;
    unchanged(removed, FactorError::NotFound)?;
    if !Standing::of(change.rows(), user).await?.is_enrolled() {
        if needed(change.rows(), &stored).await? {
            return Err(FactorError::Required);
        }
        change.rows().put_recovery_codes(user, &[]).await?;
    }
    let event = Event::new(EventKind::FactorRemoved).on("user", user);
    change.commit(event.with("factor", Detail::Code("passkey")).with("passkey", of(id))).await?;
    Ok(())
}

fn of(id: PasskeyId) -> Detail {
    Detail::Id(id.to_string())
}
