//! Reads users: their personal data opens under a receipt, like any other.

use chancery_crypto::{Phi, Sealed};

use super::{User, create::email_terms};
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    audit::{Detail, Event, EventKind, OpenFailure, OpenIntent, append, open_failed, receipt::note},
    fields::{Field, system},
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
    Ok(profile(instance, call, tenant, user).await?)
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
    let mut found = Vec::new();
    for user in users {
        let profile = profile(instance, call, tenant, user).await?;
        if crate::fields::Normalizer::Email.normalise(profile.email.expose()) == wanted {
            found.push(profile);
        }
    }
    Ok(found)
}

async fn profile(instance: &Instance, call: &Call, tenant: TenantId, user: User) -> Result<UserProfile, Failure> {
    let fields = [system::user_email(), system::user_first_name(), system::user_last_name(), system::user_metadata()];
    let stored = [Some(user.email.clone()), user.first_name.clone(), user.last_name.clone(), user.metadata.clone()];
    let row = user.id.to_string();
    let sealed = stored
        .map(|bytes| bytes.map(Sealed::from_bytes).transpose().map_err(KeyringError::from))
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    let values: Vec<(Place<'_>, &Sealed)> = fields
        .iter()
        .zip(&sealed)
        .filter_map(|(field, sealed)| Some((Place { field, row: &row }, sealed.as_ref()?)))
        .collect();
    let event = Event::new(EventKind::UserRead).on("user", user.id);
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
    let mut next = |field: &Field| -> Result<Option<Phi<String>>, Failure> {
        let present = values.iter().any(|(place, _)| place.field.id == field.id);
        let value = if present { opened.next() } else { None };
        let text = value.map(|value| value.try_map(|bytes| String::from_utf8(bytes.clone()))).transpose();
        text.map_err(|_| Failure::Internal("a user's field is not UTF-8"))
    };
    let [email, first_name, last_name, metadata] = &fields;
    let email = next(email)?.ok_or(Failure::Internal("a user without an e-mail"))?;
    let (first_name, last_name, metadata) = (next(first_name)?, next(last_name)?, next(metadata)?);
    fence.release(instance, &lease, UserProfile { user, email, first_name, last_name, metadata }).await
}
