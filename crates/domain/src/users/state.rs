//! Takes users out of use and back into it, for now or for good.

use chancery_crypto::Phi;

use super::{
    ChangeUserError, User, UserState,
    form::seal,
    update::{check_not_last, held},
};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Change, Detail, Event, EventKind},
    fields::system,
    ids::UserId,
    sessions::end_but,
    store::StoreError,
};

codes! {
    /// A change of a user's state.
    pub enum UserChange {
        /// It may not log in until it is enabled.
        Disable = "disable",
        /// It may again.
        Enable = "enable",
        /// It may not log in while somebody looks into it.
        Lock = "lock",
        /// It may again.
        Unlock = "unlock",
    }
}

impl UserChange {
    /// From which state to which, and its event.
    const fn step(self) -> (UserState, UserState, EventKind) {
        match self {
            Self::Disable => (UserState::Active, UserState::Disabled, EventKind::UserDisabled),
            Self::Enable => (UserState::Disabled, UserState::Active, EventKind::UserEnabled),
            Self::Lock => (UserState::Active, UserState::Locked, EventKind::UserLocked),
            Self::Unlock => (UserState::Locked, UserState::Active, EventKind::UserUnlocked),
        }
    }
}

/// Changes the state of a user of the caller's tenant. One that may not log in any more has no session either, and what it holds
/// is refused before it expires.
///
/// # Errors
///
/// [`ChangeUserError`].
pub async fn change_state(
    instance: &Instance,
    call: &Call,
    id: UserId,
    to: UserChange,
) -> Result<User, ChangeUserError> {
    call.require(Permission::UsersUpdate)?;
    let (from, to, kind) = to.step();
    // Stopping somebody is not put off; letting somebody in again is.
    if to == UserState::Active {
        instance.require_recent(call)?;
    }
    if to != UserState::Active && call.caller.user() == Some(id) {
        return Err(ChangeUserError::Own);
    }
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let user = held(instance, call, &mut change, id).await?;
    if user.state != from {
        return Err(ChangeUserError::WrongState(user.state));
    }
    let mut event = Event::new(kind).on("user", id);
    if to != UserState::Active {
        check_not_last(instance, change.rows(), &user).await?;
        event = event.with("sessions_ended", Detail::Count(end_all(instance, &mut change, id).await?));
    }
    let user = User { state: to, ..user };
    change.rows().update_user(&user).await?;
    change.commit(event).await?;
    instance.callers.forget_all();
    Ok(user)
}

/// Deletes a user of the caller's tenant: what identified the person is gone, the name is free, the id stays for the log.
///
/// # Errors
///
/// [`ChangeUserError`].
pub async fn delete(instance: &Instance, call: &Call, id: UserId) -> Result<(), ChangeUserError> {
    call.require(Permission::UsersDelete)?;
    instance.require_recent(call)?;
    if call.caller.user() == Some(id) {
        return Err(ChangeUserError::Own);
    }
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let user = held(instance, call, &mut change, id).await?;
    check_not_last(instance, change.rows(), &user).await?;
    let ended = end_all(instance, &mut change, id).await?;
    change.rows().remove_factors(id).await?;
    change.rows().forget_addresses_of(id).await?;
    change.rows().clear_password_hash(id).await?;
    let nothing = seal(instance, change.keyring(), &system::user_email(), &id.to_string(), &Phi::new(String::new()))?;
    let deleted = User {
        username: id.to_string(),
        email: nothing,
        email_terms: Vec::new(),
        first_name: None,
        last_name: None,
        metadata: None,
        state: UserState::Deleted,
        ..user
    };
    change.rows().update_user(&deleted).await?;
    change
        .commit(Event::new(EventKind::UserDeleted).on("user", id).with("sessions_ended", Detail::Count(ended)))
        .await?;
    instance.callers.forget_all();
    Ok(())
}

/// Ends a user's sessions and one-time tokens, and what an older system gave it; how many sessions.
pub(crate) async fn end_all(instance: &Instance, change: &mut Change<'_>, id: UserId) -> Result<u64, StoreError> {
    change.rows().end_one_time_tokens_of(id).await?;
    end_but(change.rows(), id, None, instance.now()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_out_of_use_comes_back_the_way_it_went() {
        for (there, back) in [(UserChange::Disable, UserChange::Enable), (UserChange::Lock, UserChange::Unlock)] {
            let ((from, to, _), (again, home, _)) = (there.step(), back.step());
            assert_eq!((from, to), (home, again));
            assert_eq!(home, UserState::Active);
        }
    }
}
