//! Reads users: their personal data opens under a receipt, like any other.

use chancery_crypto::{Phi, Sealed};

use super::{User, UserState, create::email_terms};
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    audit::{Detail, Event, EventKind, OpenFailure, OpenIntent, append, open_failed, receipt::note},
    fields::system,
    ids::{TenantId, UserId},
    instance::{Failure, fails},
    keyring::{KeyringError, ring::Place},
};

/// A user with its personal data in clear.
#[derive(Debug)]
pub struct UserProfile {
    /// The user as stored.
    pub user: User,
    /// Its e-mail.
    pub email: Phi<String>,
    /// Its first name.
    pub first_name: Option<Phi<String>>,
    /// Its last name.
    pub last_name: Option<Phi<String>>,
    /// What the application notes of it: a JSON object.
    pub metadata: Option<Phi<String>>,
}

/// Why a user was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadUserError {
    /// Not allowed, or another tenant's.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There is none with this id in the tenant.
    #[error("no such user")]
    NotFound,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(ReadUserError);

/// A user of the caller's tenant.
///
/// # Errors
///
/// [`ReadUserError`].
pub async fn get(instance: &Instance, call: &Call, id: UserId) -> Result<UserProfile, ReadUserError> {
    call.require(Permission::UsersRead)?;
    let tenant = call.tenant();
    let user = instance.store().view(tenant).await?.user(id).await?.ok_or(ReadUserError::NotFound)?;
    let user = Some(user).filter(|user| user.state != UserState::Deleted).ok_or(ReadUserError::NotFound)?;
    profiles(instance, call, tenant, vec![user]).await?.pop().ok_or(ReadUserError::NotFound)
}

/// A page of the users of `tenant`, ordered by id.
///
/// # Errors
///
/// [`ReadUserError`].
pub async fn list(
    instance: &Instance,
    call: &Call,
    tenant: TenantId,
    after: Option<UserId>,
    limit: u32,
) -> Result<Vec<UserProfile>, ReadUserError> {
    // As in `find_by_email`.
    if tenant != call.tenant() {
        return Err(Denied::NoSuchTenant.into());
    }
    call.require(Permission::UsersRead)?;
    let users = instance.store().view(tenant).await?.users(after, limit).await?;
    if users.is_empty() {
        note(instance, call, tenant, Event::new(EventKind::UserRead).with("count", Detail::Count(0))).await?;
    }
    Ok(profiles(instance, call, tenant, users).await?)
}

/// The users of `tenant` with this e-mail: found by term, compared again after opening.
///
/// # Errors
///
/// [`ReadUserError`].
pub async fn find_by_email(
    instance: &Instance,
    call: &Call,
    tenant: TenantId,
    email: Phi<String>,
) -> Result<Vec<UserProfile>, ReadUserError> {
    // Personal data of another tenant's users is nobody's across tenants: its path is as missing as none.
    if tenant != call.tenant() {
        return Err(Denied::NoSuchTenant.into());
    }
    call.require(Permission::UsersRead)?;
    let ring = instance.keyring(tenant).await?;
    let terms = email_terms(&ring, &email)?;
    let users = instance.store().view(tenant).await?.users_by_email_terms(&terms).await?;
    if users.is_empty() {
        // Asking whether somebody is here is a read too.
        note(instance, call, tenant, Event::new(EventKind::UserRead).with("count", Detail::Count(0))).await?;
    }
    let wanted = crate::fields::Normalizer::Email.normalise(email.expose());
    let mut found = profiles(instance, call, tenant, users).await?;
    found.retain(|profile| crate::fields::Normalizer::Email.normalise(profile.email.expose()) == wanted);
    Ok(found)
}

/// Opens the personal data of users under one receipt, whose event names them.
async fn profiles(
    instance: &Instance,
    call: &Call,
    tenant: TenantId,
    users: Vec<User>,
) -> Result<Vec<UserProfile>, Failure> {
    let fields = [system::user_email(), system::user_first_name(), system::user_last_name(), system::user_metadata()];
    let rows: Vec<String> = users.iter().map(|user| user.id.to_string()).collect();
    let mut values = Vec::new();
    for (user, row) in users.iter().zip(&rows) {
        let stored = [Some(&user.email), user.first_name.as_ref(), user.last_name.as_ref(), user.metadata.as_ref()];
        for (field, bytes) in fields.iter().zip(stored) {
            if let Some(bytes) = bytes {
                let sealed = Sealed::from_bytes(bytes.clone()).map_err(KeyringError::from)?;
                values.push((Place { field, row: row.as_str() }, sealed));
            }
        }
    }
    let values: Vec<(Place<'_>, &Sealed)> = values.iter().map(|(place, sealed)| (*place, sealed)).collect();
    let event = match rows.as_slice() {
        [] => return Ok(Vec::new()),
        [one] => Event::new(EventKind::UserRead).on("user", one),
        many => Event::new(EventKind::UserRead).with("users", Detail::Names(many.to_vec())),
    };
    let intent = OpenIntent::new(system::USERS, values.len(), event);
    let (receipt, fence) = append(instance, call, tenant, vec![intent]).await?.single()?;
    let lease = fence.lease(instance).await?;
    let mut opened = match lease.keyring.open(receipt, system::USERS, &values) {
        Ok(opened) => opened.into_iter(),
        Err((_, error)) => {
            open_failed(instance, call, tenant, system::USERS, OpenFailure::from(&error)).await?;
            return Err(error.into());
        }
    };
    let mut next = |there: bool| -> Result<Option<Phi<String>>, Failure> {
        let value = if there { opened.next() } else { None };
        let text = value.map(|value| value.try_map(|bytes| String::from_utf8(bytes.clone()))).transpose();
        text.map_err(|_| Failure::Internal("a user's field is not UTF-8"))
    };
    let mut found = Vec::with_capacity(users.len());
    for user in users {
        let email = next(true)?.ok_or(Failure::Internal("a user without an e-mail"))?;
        let first_name = next(user.first_name.is_some())?;
        let last_name = next(user.last_name.is_some())?;
        let metadata = next(user.metadata.is_some())?;
        found.push(UserProfile { user, email, first_name, last_name, metadata });
    }
    fence.release(instance, &lease, found).await
}
