//! Changes a user: e-mail, names, metadata, roles.

use std::sync::Arc;

use chancery_crypto::Phi;

use super::{
    User, UserState,
    create::email_terms,
    form::{check_email, check_metadata, check_person_name, seal, trimmed},
    state::end_all,
};
use crate::{
    Instance,
    access::{Call, Denied, Permission, Role, RoleSet, grant},
    audit::{Change, Detail, Event, EventKind},
    faults::Faults,
    fields::{Field, system},
    ids::UserId,
    instance::{Failure, fails},
    keyring::KeyringError,
    passwords::HashError,
    roles::{self, Holder},
    store::Tx,
};

/// What shall be another. What is `None` stays; what is `Some(None)` goes.
#[derive(Debug, Default)]
pub struct UserPatch {
    /// Its e-mail.
    pub email: Option<Phi<String>>,
    /// Its first name.
    pub first_name: Option<Option<Phi<String>>>,
    /// Its last name.
    pub last_name: Option<Option<Phi<String>>>,
    /// A JSON object, as a whole.
    pub metadata: Option<Option<Phi<String>>>,
    /// Its roles, all of them.
    pub roles: Option<Vec<Role>>,
}

/// Why a user was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeUserError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The caller may not grant a role that the user has or shall have.
    #[error("the caller may not grant `{0}`")]
    MayNotGrant(Role),
    /// Fields are not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// There is none with this id in the tenant.
    #[error("no such user")]
    NotFound,
    /// Its state does not allow it.
    #[error("the user is {0}")]
    WrongState(UserState),
    /// Nobody takes their own account out of use.
    #[error("another administrator takes an account out of use")]
    Own,
    /// Nobody would be left to administrate.
    #[error("this is the last administrator")]
    LastAdministrator,
    /// The old password is another one.
    #[error("the old password is another one")]
    WrongPassword,
    /// The caller is no person who logged in.
    #[error("the caller has no session")]
    NoSession,
    /// The user has a password already.
    #[error("the user has a password already")]
    HasPassword,
    /// The one-time token is unknown, used or over.
    #[error("the token is not valid")]
    WrongToken,
    /// A password could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(ChangeUserError);

/// The user, held until the commit, if the caller may change it: whoever may not grant a role does not touch its holders.
pub(super) async fn held(
    instance: &Instance,
    call: &Call,
    change: &mut Change<'_>,
    id: UserId,
) -> Result<User, ChangeUserError> {
    let user = change.rows().hold_user(id).await?;
    let user = user.filter(|user| user.state != UserState::Deleted).ok_or(ChangeUserError::NotFound)?;
    let all = roles::all_of(change.rows(), Holder::User(id), user.roles).await?;
    let granted = grant::check(instance, call, call.tenant(), all, change.rows()).await?;
    granted.map_err(ChangeUserError::MayNotGrant)?;
    Ok(user)
}

/// Refuses what would leave a tenant without anybody who administrates it: `user` is about to lose its part in that.
pub(super) async fn check_not_last(
    instance: &Instance,
    rows: &mut (dyn Tx + '_),
    user: &User,
) -> Result<(), ChangeUserError> {
    for role in [Role::TenantAdmin, Role::PlatformAdmin] {
        if user.state != UserState::Active || !user.roles.contains(role) {
            continue;
        }
        rows.hold_tenant().await?;
        let holders =
            rows.count_users_with_role(role).await? + rows.count_api_keys_with_role(role, instance.now()).await?;
        if holders <= 1 {
            return Err(ChangeUserError::LastAdministrator);
        }
    }
    Ok(())
}

/// Changes a user of the caller's tenant. Other roles end its sessions: the next login asks for what they need.
///
/// # Errors
///
/// [`ChangeUserError`].
pub async fn update(instance: &Instance, call: &Call, id: UserId, patch: UserPatch) -> Result<User, ChangeUserError> {
    call.require(Permission::UsersUpdate)?;
    let UserPatch { email, first_name, last_name, metadata, roles } = patch;
    let name = |name: Option<Option<Phi<String>>>| name.map(|name| name.map(trimmed));
    let (email, first_name, last_name) = (email.map(trimmed), name(first_name), name(last_name));
    check(email.as_ref(), first_name.as_ref(), last_name.as_ref(), metadata.as_ref(), roles.as_deref())?;
    if roles.is_some() {
        instance.require_recent(call)?;
    }
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let before = held(instance, call, &mut change, id).await?;
    let mut user = before.clone();
    let (ring, row) = (Arc::clone(change.keyring()), id.to_string());
    let sealed = |field: &Field, value: &Phi<String>| {
        seal(instance, &ring, field, &row, value).map_err(|error| match error {
            KeyringError::Seal(_) => {
                ChangeUserError::Invalid(Faults::one("", "not_sealable", "a value looks like a sealed one"))
            }
            error => error.into(),
        })
    };
    let mut names = Vec::new();
    if let Some(email) = &email {
        user.email = sealed(&system::user_email(), email)?;
        user.email_terms = email_terms(&ring, email)?;
        user.email_proven = true;
        names.push("email");
    }
    let parts = [
        ("first_name", system::user_first_name(), first_name, &mut user.first_name),
        ("last_name", system::user_last_name(), last_name, &mut user.last_name),
        ("metadata", system::user_metadata(), metadata, &mut user.metadata),
    ];
    for (name, field, value, slot) in parts {
        if let Some(value) = value {
            *slot = value.map(|value| sealed(&field, &value)).transpose()?;
            names.push(name);
        }
    }
    if let Some(roles) = roles {
        let roles = RoleSet::of(&roles);
        grant::check(instance, call, call.tenant(), roles, change.rows())
            .await?
            .map_err(ChangeUserError::MayNotGrant)?;
        user.roles = roles;
        names.push("roles");
    }
    let rights_changed = user.roles != before.roles;
    let keeps = |role| user.roles.contains(role) || !before.roles.contains(role);
    if rights_changed && !(keeps(Role::TenantAdmin) && keeps(Role::PlatformAdmin)) {
        check_not_last(instance, change.rows(), &before).await?;
    }
    change.rows().update_user(&user).await?;
    let names = names.into_iter().map(str::to_owned).collect();
    let mut event = Event::new(EventKind::UserUpdated).on("user", id).with("changed", Detail::Names(names));
    if rights_changed {
        let roles = user.roles.iter().map(|role| role.as_str().to_owned()).collect();
        let ended = end_all(instance, &mut change, id).await?;
        event = event.with("roles", Detail::Names(roles)).with("sessions_ended", Detail::Count(ended));
    }
    change.commit(event).await?;
    if rights_changed {
        instance.callers.forget_all();
    }
    Ok(user)
}

type Given<'a> = Option<&'a Option<Phi<String>>>;

fn check(
    email: Option<&Phi<String>>,
    first_name: Given<'_>,
    last_name: Given<'_>,
    metadata: Given<'_>,
    roles: Option<&[Role]>,
) -> Result<(), Faults> {
    let mut faults = Faults::default();
    if let Some(email) = email {
        check_email(email, &mut faults);
    }
    for (pointer, name) in [("/first_name", first_name), ("/last_name", last_name)] {
        if let Some(Some(name)) = name {
            check_person_name(pointer, name, &mut faults);
        }
    }
    if let Some(Some(metadata)) = metadata {
        check_metadata(metadata, &mut faults);
    }
    if roles.is_some_and(<[Role]>::is_empty) {
        faults.add("/roles", "empty", "name at least one role");
    }
    faults.check()
}
