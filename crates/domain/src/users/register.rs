//! People who register themselves, where their tenant lets them.
//!
//! Whether a name or an address is known already is not told: the answer is the same, and so is the work.

use std::sync::Arc;

use chancery_crypto::{Phi, Secret};

use super::{
    NewUser, User, UserState,
    create::{CreateUserError, check_username, sealed},
    form::{check_email, check_person_name, seal, trimmed},
    login::directory_entry,
    password::take_token,
};
use crate::{
    Instance,
    access::{Call, RequestInfo, authenticate::caller_halfway},
    audit::{Change, Detail, Event, EventKind, Outcome, stamp::Actor},
    faults::Faults,
    fields::system,
    ids::UserId,
    instance::{Failure, fails},
    keyring::KeyringError,
    lockdown::refuse_suspects,
    one_time::{self, OneTimeKind},
    passwords::{self, HashError, Password},
    store::{StoreError, TenantEntry},
    tenants::Registration,
};

/// Who wants to be a user.
#[derive(Debug)]
pub struct NewRegistration {
    /// The tenant's short name or id.
    pub tenant: String,
    /// The token of an invitation; it says which user this is.
    pub invitation: Option<Secret<String>>,
    /// The name at login; not with an invitation.
    pub username: Option<String>,
    /// The e-mail; not with an invitation.
    pub email: Option<Phi<String>>,
    /// The password.
    pub password: Password,
    /// The first name.
    pub first_name: Option<Phi<String>>,
    /// The last name.
    pub last_name: Option<Phi<String>>,
}

/// Why nobody was registered. That a name or an address is taken is none: nobody is told.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// There is no such tenant, or nobody registers there in this way; nobody is told which.
    #[error("nobody registers there")]
    Closed,
    /// Fields are not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// Too many at once.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(RegisterError);

/// Registers a user: with an invitation the one that was invited; without, where that is open, a new one without any role.
///
/// # Errors
///
/// [`RegisterError`].
pub async fn register(
    instance: &Instance,
    request: &RequestInfo,
    wanted: NewRegistration,
) -> Result<(), RegisterError> {
    let wanted = NewRegistration {
        email: wanted.email.map(trimmed),
        first_name: wanted.first_name.map(trimmed),
        last_name: wanted.last_name.map(trimmed),
        ..wanted
    };
    check(&wanted)?;
    let entry = directory_entry(instance, &wanted.tenant).await?.ok_or(RegisterError::Closed)?;
    match (entry.registration, wanted.invitation.is_some()) {
        (Registration::Invited | Registration::Open, true) => invited(instance, request, entry, wanted).await,
        (Registration::Open, false) => openly(instance, request, entry, wanted).await,
        (Registration::Closed, _) | (Registration::Invited, false) => Err(RegisterError::Closed),
    }
}

/// The user whom an administrator made and invited, with a password and the names that it goes by.
async fn invited(
    instance: &Instance,
    request: &RequestInfo,
    entry: TenantEntry,
    wanted: NewRegistration,
) -> Result<(), RegisterError> {
    let unknown = || Faults::one("/invitation", "invalid", "the invitation is unknown, used or over");
    let Some(invitation) = &wanted.invitation else { return Err(RegisterError::Closed) };
    let found = one_time::find(instance, invitation, &[OneTimeKind::Invite]).await?;
    let (of, token) = found.filter(|(of, _)| of.id == entry.id).ok_or_else(unknown)?;
    let user = instance.store().view(of.id).await?.user(token.user).await?;
    let user = user.filter(|user| user.state == UserState::Active).ok_or_else(unknown)?;
    let hash = instance.passwords.hash(wanted.password, instance.random()).await?;
    let call = Call { caller: caller_halfway(of.id, of.slug, &user), request: request.clone(), once: None };
    let mut change = Change::begin(instance, &call, of.id).await?;
    if !take_token(&mut change, token.id).await? {
        return Err(unknown().into());
    }
    let held = change.rows().hold_user(user.id).await?.filter(|held| held.state == UserState::Active);
    let mut user = held.ok_or_else(unknown)?;
    let (ring, row) = (Arc::clone(change.keyring()), user.id.to_string());
    let parts = [
        (system::user_first_name(), wanted.first_name, &mut user.first_name),
        (system::user_last_name(), wanted.last_name, &mut user.last_name),
    ];
    for (field, value, slot) in parts {
        if let Some(value) = value {
            *slot = Some(seal(instance, &ring, &field, &row, &value).map_err(unsealable)?);
        }
    }
    change.rows().update_user(&user).await?;
    change.rows().set_password_hash(user.id, &hash).await?;
    change.rows().end_one_time_tokens_of(user.id).await?;
    let event = Event::new(EventKind::UserRegistered).on("user", user.id).with("by", Detail::Code("invitation"));
    change.commit(event).await?;
    instance.callers.forget_all();
    Ok(())
}

/// A new user without any role, whose address nobody vouches for.
async fn openly(
    instance: &Instance,
    request: &RequestInfo,
    entry: TenantEntry,
    wanted: NewRegistration,
) -> Result<(), RegisterError> {
    let (Some(username), Some(email)) = (wanted.username, wanted.email) else { return Err(RegisterError::Closed) };
    let new = NewUser {
        username,
        email,
        password: None,
        roles: Vec::new(),
        first_name: wanted.first_name,
        last_name: wanted.last_name,
        metadata: None,
    };
    // Before anything is looked up: whether the name is taken makes no difference to what this costs.
    let hash = instance.passwords.hash(wanted.password, instance.random()).await?;
    let id = UserId::make(instance.now(), instance.random())?;
    let ring = instance.keyring(entry.id).await?;
    let mut change = Change::begin_with(instance, Actor::System(request), entry.id, Arc::clone(&ring)).await?;
    refuse_suspects::<RegisterError>(instance, change.rows(), &[("/username", &new.username)]).await?;
    let taken = change.rows().user_by_username(&new.username).await?.is_some();
    let event = Event::new(EventKind::UserRegistered).with("by", Detail::Code("open"));
    let user = sealed(instance, &ring, id, new, Some(hash)).map_err(|error| match error {
        CreateUserError::Invalid(faults) => RegisterError::Invalid(faults),
        CreateUserError::Failed(failure) => failure.into(),
        _ => Failure::Internal("a user that could not be sealed").into(),
    })?;
    if taken {
        change.commit(event.outcome(Outcome::MinorFailure).with("code", Detail::Code("taken"))).await?;
        return Ok(());
    }
    match change.rows().insert_user(&User { email_proven: false, ..user }).await {
        // Somebody was quicker with this name.
        Err(StoreError::Taken(_)) => return Ok(()),
        inserted => inserted?,
    }
    change.commit(event.on("user", id)).await?;
    Ok(())
}

fn unsealable(error: KeyringError) -> RegisterError {
    match error {
        KeyringError::Seal(_) => Faults::one("", "not_sealable", "a value looks like a sealed one").into(),
        error => error.into(),
    }
}

fn check(wanted: &NewRegistration) -> Result<(), Faults> {
    let mut faults = Faults::default();
    passwords::check_rules(&wanted.password, "/password", &mut faults);
    for (pointer, name) in [("/first_name", &wanted.first_name), ("/last_name", &wanted.last_name)] {
        if let Some(name) = name {
            check_person_name(pointer, name, &mut faults);
        }
    }
    match (&wanted.invitation, &wanted.username, &wanted.email) {
        (Some(_), username, email) => {
            let given = [("/username", username.is_some()), ("/email", email.is_some())];
            for (pointer, _) in given.into_iter().filter(|(_, given)| *given) {
                faults.add(pointer, "not_allowed", "the invitation says who is invited; leave this out");
            }
        }
        (None, username, email) => {
            match username {
                Some(username) => check_username(username, &mut faults),
                None => faults.add("/username", "required", "is needed without an invitation"),
            }
            match email {
                Some(email) => check_email(email, &mut faults),
                None => faults.add("/email", "required", "is needed without an invitation"),
            }
        }
    }
    faults.check()
}
