//! New passwords: one's own with the old one, or with a token that an administrator hands over.

use chancery_crypto::Secret;

use super::{ChangeUserError, UserState, state::end_all, update::held};
use crate::{
    Instance,
    access::{Call, Permission, RequestInfo, authenticate::caller_halfway},
    audit::{Change, Detail, Event, EventKind},
    faults::Faults,
    ids::{OneTimeId, UserId},
    one_time::{self, Issued, OneTimeKind},
    passwords::{self, Password},
    sessions::{self, ReauthenticateError},
    store::StoreError,
};

fn check(new: &Password) -> Result<(), Faults> {
    let mut faults = Faults::default();
    passwords::check_rules(new, "/new_password", &mut faults);
    faults.check()
}

/// Changes the caller's own password, for the old one. Its other sessions end; how many. Wrong ones are counted, as those of
/// [`sessions::reauthenticate()`]: with the fifth the session ends.
///
/// # Errors
///
/// [`ChangeUserError`].
pub async fn change_password(
    instance: &Instance,
    call: &Call,
    old: Password,
    new: Password,
) -> Result<u64, ChangeUserError> {
    let (Some(id), Some(session)) = (call.caller.user(), call.caller.session()) else {
        return Err(ChangeUserError::NoSession);
    };
    // With a second factor that is one too.
    instance.require_recent(call)?;
    check(&new)?;
    let tenant = call.tenant();
    let user = instance.store().view(tenant).await?.user(id).await?.ok_or(ChangeUserError::NotFound)?;
    sessions::count_proof(instance, call, session).await.map_err(of_proof)?;
    let checked = instance.passwords.verify(&old, user.password_hash.clone()).await?;
    if !checked.matched {
        sessions::proof_failed(instance, call, session).await?;
        return Err(ChangeUserError::WrongPassword);
    }
    let hash = instance.passwords.hash(new, instance.random()).await?;
    let mut change = Change::begin(instance, call, tenant).await?;
    let held = change.rows().hold_user(id).await?.ok_or(ChangeUserError::NotFound)?;
    if held.password_hash != user.password_hash {
        // Another request was quicker: this one's old password is no longer the old one.
        return Err(ChangeUserError::WrongPassword);
    }
    sessions::end_tries(change.rows(), session).await.map_err(of_proof)?;
    change.rows().set_password_hash(id, &hash).await?;
    change.rows().end_one_time_tokens_of(id).await?;
    let ended = sessions::end_but(change.rows(), id, Some(session), instance.now()).await?;
    let event = Event::new(EventKind::PasswordChanged).on("user", id).with("sessions_ended", Detail::Count(ended));
    change.commit(event).await?;
    instance.callers.forget_all();
    Ok(ended)
}

fn of_proof(error: ReauthenticateError) -> ChangeUserError {
    match error {
        ReauthenticateError::NoSession => ChangeUserError::NoSession,
        ReauthenticateError::FactorNeeded | ReauthenticateError::Wrong(_) => ChangeUserError::WrongPassword,
        ReauthenticateError::Hash(error) => error.into(),
        ReauthenticateError::Failed(failure) => failure.into(),
    }
}

/// Takes a user's password away at once and ends its sessions; gives a token with which it sets another one.
///
/// # Errors
///
/// [`ChangeUserError`].
pub async fn force_reset(instance: &Instance, call: &Call, id: UserId) -> Result<Issued, ChangeUserError> {
    call.require(Permission::UsersUpdate)?;
    instance.require_recent(call)?;
    if call.caller.user() == Some(id) {
        return Err(ChangeUserError::Own);
    }
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    held(instance, call, &mut change, id).await?;
    change.rows().clear_password_hash(id).await?;
    let ended = end_all(instance, &mut change, id).await?;
    let of = (call.tenant(), id);
    let token = one_time::issue(instance, change.rows(), of, OneTimeKind::Reset).await?;
    let event = Event::new(EventKind::PasswordForced).on("user", id).with("sessions_ended", Detail::Count(ended));
    change.commit(event).await?;
    instance.callers.forget_all();
    Ok(token)
}

/// Gives a token with which a user without a password sets its first one. Invitations before it are worth nothing any more.
///
/// # Errors
///
/// [`ChangeUserError`].
pub async fn invite(instance: &Instance, call: &Call, id: UserId) -> Result<Issued, ChangeUserError> {
    call.require(Permission::UsersUpdate)?;
    instance.require_recent(call)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let user = held(instance, call, &mut change, id).await?;
    if user.password_hash.is_some() {
        return Err(ChangeUserError::HasPassword);
    }
    change.rows().end_one_time_tokens_of(id).await?;
    let of = (call.tenant(), id);
    let token = one_time::issue(instance, change.rows(), of, OneTimeKind::Invite).await?;
    change.commit(Event::new(EventKind::PasswordInvited).on("user", id)).await?;
    Ok(token)
}

/// Sets a password with the token of an invitation or a reset, which is used up. It logs nobody in: a second factor is asked for
/// as ever.
///
/// # Errors
///
/// [`ChangeUserError`].
pub async fn set_password(
    instance: &Instance,
    request: &RequestInfo,
    token: &Secret<String>,
    new: Password,
) -> Result<(), ChangeUserError> {
    check(&new)?;
    let kinds = [OneTimeKind::Invite, OneTimeKind::Reset];
    let (entry, token) = one_time::find(instance, token, &kinds).await?.ok_or(ChangeUserError::WrongToken)?;
    let user = instance.store().view(entry.id).await?.user(token.user).await?;
    let user = user.filter(|user| user.state == UserState::Active).ok_or(ChangeUserError::WrongToken)?;
    let hash = instance.passwords.hash(new, instance.random()).await?;
    let caller = caller_halfway(entry.id, entry.slug, &user);
    let call = Call { caller, request: request.clone(), once: None };
    let mut change = Change::begin(instance, &call, entry.id).await?;
    if !take_token(&mut change, token.id).await? {
        return Err(ChangeUserError::WrongToken);
    }
    change.rows().set_password_hash(user.id, &hash).await?;
    let ended = end_all(instance, &mut change, user.id).await?;
    let event = Event::new(EventKind::PasswordSet).on("user", user.id).with("sessions_ended", Detail::Count(ended));
    change.commit(event).await?;
    instance.callers.forget_all();
    Ok(())
}

/// Uses a token up; whether it was still there.
pub(super) async fn take_token(change: &mut Change<'_>, id: OneTimeId) -> Result<bool, StoreError> {
    match change.rows().take_one_time_token(id).await {
        Ok(()) => Ok(true),
        Err(StoreError::Changed(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
