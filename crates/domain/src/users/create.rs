//! Makes a user. What identifies the person is sealed before it reaches the store.

use std::sync::Arc;

use chancery_crypto::Phi;

use super::{
    User, UserState,
    form::{check_email, check_metadata, check_person_name, seal, trimmed},
    name::name_key,
};
use crate::{
    Instance,
    access::{Call, Denied, Permission, Role, RoleSet, grant},
    audit::{Change, Detail, Event, EventKind},
    faults::Faults,
    fields::{Field, system},
    ids::{TenantId, UserId},
    instance::{Failure, fails},
    keyring::{Keyring, KeyringError},
    lockdown::refuse_suspects,
    passwords::{self, HashError, Password},
    store::StoreError,
    text::is_invisible,
};

/// The longest metadata of a user or tenant, in bytes.
pub(crate) const MAX_METADATA_BYTES: usize = 64 * 1024;

/// What a new user shall be.
#[derive(Debug)]
pub struct NewUser {
    /// Its name at login: 1 to 100 characters without blanks or control characters.
    pub username: String,
    /// Its e-mail.
    pub email: Phi<String>,
    /// Its password; without one it cannot log in by password.
    pub password: Option<Password>,
    /// Its roles, at least one.
    pub roles: Vec<Role>,
    /// Its first name: 1 to 100 characters.
    pub first_name: Option<Phi<String>>,
    /// Its last name: 1 to 100 characters.
    pub last_name: Option<Phi<String>>,
    /// A JSON object.
    pub metadata: Option<Phi<String>>,
}

/// Why a user was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateUserError {
    /// Not allowed, or another tenant's.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The caller may not give these roles.
    #[error("the caller may not grant `{0}`")]
    MayNotGrant(Role),
    /// Fields are not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// Another user of the tenant has this name, perhaps in another spelling.
    #[error("this username is taken")]
    UsernameTaken,
    /// The password could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(CreateUserError);

/// Makes a user of `tenant`.
///
/// # Errors
///
/// [`CreateUserError`].
pub async fn create(instance: &Instance, call: &Call, tenant: TenantId, new: NewUser) -> Result<User, CreateUserError> {
    instance.enter(call, tenant, Permission::UsersCreate, Permission::TenantsBootstrap).await??;
    instance.require_recent(call)?;
    let mut new = new.trimmed();
    check(&new)?;
    if tenant != call.tenant() && new.password.is_none() && !instance.settings().is_dev() {
        // A first administrator who cannot log in would lock the tenant out for ever.
        return Err(Faults::one("/password", "required", "a tenant's first administrator needs a password").into());
    }
    let roles = RoleSet::of(&new.roles);
    // Hashing takes tens of milliseconds; it is done before the writer is taken.
    let password_hash = match new.password.take() {
        Some(password) => Some(instance.passwords.hash(password, instance.random()).await?),
        None => None,
    };
    let mut change = Change::begin(instance, call, tenant).await?;
    refuse_suspects::<CreateUserError>(instance, change.rows(), &[("/username", &new.username)]).await?;
    grant::check(instance, call, tenant, roles, change.rows()).await?.map_err(CreateUserError::MayNotGrant)?;
    let id = UserId::make(instance.now(), instance.random())?;
    let user = sealed(instance, change.keyring(), id, new, password_hash)?;
    match change.rows().insert_user(&user).await {
        Ok(()) => {}
        Err(StoreError::Taken(_)) => return Err(CreateUserError::UsernameTaken),
        Err(error) => return Err(error.into()),
    }
    let names = roles.iter().map(|role| role.as_str().to_owned()).collect();
    change.commit_new(Event::new(EventKind::UserCreated).on("user", id).with("roles", Detail::Names(names))).await?;
    Ok(user)
}

/// A new active user, with what identifies the person sealed.
pub(super) fn sealed(
    instance: &Instance,
    ring: &Arc<Keyring>,
    id: UserId,
    new: NewUser,
    password_hash: Option<String>,
) -> Result<User, CreateUserError> {
    let row = id.to_string();
    let seal = |field: Field, value: &Phi<String>| {
        seal(instance, ring, &field, &row, value).map_err(|error| match error {
            KeyringError::Seal(_) => {
                CreateUserError::Invalid(Faults::one("", "not_sealable", "a value looks like a sealed one"))
            }
            error => error.into(),
        })
    };
    let optional = |field: Field, value: Option<Phi<String>>| value.map(|value| seal(field, &value)).transpose();
    Ok(User {
        id,
        username: new.username,
        email: seal(system::user_email(), &new.email)?,
        email_terms: email_terms(ring, &new.email)?,
        email_proven: true,
        first_name: optional(system::user_first_name(), new.first_name)?,
        last_name: optional(system::user_last_name(), new.last_name)?,
        metadata: optional(system::user_metadata(), new.metadata)?,
        password_hash,
        roles: RoleSet::of(&new.roles),
        state: UserState::Active,
        created_at: instance.now(),
    })
}

impl NewUser {
    /// With its e-mail and names without blanks at both ends.
    pub(super) fn trimmed(self) -> Self {
        Self {
            email: trimmed(self.email),
            first_name: self.first_name.map(trimmed),
            last_name: self.last_name.map(trimmed),
            ..self
        }
    }
}

/// The terms of an e-mail under every live index key.
pub(super) fn email_terms(ring: &Keyring, email: &Phi<String>) -> Result<Vec<String>, Failure> {
    let field = system::user_email();
    Ok(crate::records::sought(ring, &field, email.expose())?)
}

/// All that is wrong with a new user.
pub(super) fn check(new: &NewUser) -> Result<(), Faults> {
    let mut faults = Faults::default();
    check_username(&new.username, &mut faults);
    check_email(&new.email, &mut faults);
    if new.roles.is_empty() {
        faults.add("/roles", "empty", "name at least one role");
    }
    for (pointer, value) in [("/first_name", &new.first_name), ("/last_name", &new.last_name)] {
        if let Some(value) = value {
            check_person_name(pointer, value, &mut faults);
        }
    }
    if let Some(metadata) = &new.metadata {
        check_metadata(metadata, &mut faults);
    }
    if let Some(password) = &new.password {
        passwords::check_rules(password, "/password", &mut faults);
    }
    faults.check()
}

/// Notes a fault unless it is a name at login.
pub(super) fn check_username(name: &str, faults: &mut Faults) {
    if !is_username(name) {
        faults.add("/username", "format", "use 1 to 100 characters that can be seen, without blanks and @");
    }
}

/// Whether a text can be a name at login, also by what it is told from others by: an address here would lie in clear, and could take
/// another's login by e-mail; and what is not seen would make two names look the same.
pub(super) fn is_username(name: &str) -> bool {
    let key = name_key(name);
    !key.is_empty()
        && name.chars().count() <= 100
        && !name.chars().any(|c| c.is_whitespace() || c.is_control() || is_invisible(c))
        && !name.contains('@')
        && !key.contains('@')
}
