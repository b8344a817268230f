//! Logs a user in by password.

use chancery_crypto::Secret;

use super::UserState;
use crate::{
    Instance,
    access::{Call, RequestInfo, authenticate::caller_of_user},
    audit::{Event, EventKind, receipt::note},
    ids::TenantId,
    instance::{Failure, fails},
    passwords::{HashError, Password},
    store::TenantEntry,
    tenants::TenantState,
    tokens::{self, Holder},
};

/// What a login gives.
#[derive(Debug)]
pub struct Tokens {
    /// The access token.
    pub access: Secret<String>,
    /// Its life in seconds.
    pub expires_in: i64,
}

/// Why a login failed. All failures by the caller's fault look alike, in words and in time.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Unknown tenant, unknown user, wrong password, disabled: nobody is told which.
    #[error("invalid credentials: {0}")]
    Invalid(&'static str),
    /// Too many logins at once.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(LoginError);

impl From<Failure> for LoginError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Logs in. `tenant` is a short name or an id; it only says in which directory to look.
///
/// # Errors
///
/// [`LoginError`].
pub async fn login(
    instance: &Instance,
    request: &RequestInfo,
    tenant: &str,
    username: &str,
    password: Password,
) -> Result<Tokens, LoginError> {
    let entry = directory_entry(instance, tenant).await?;
    let user = match &entry {
        Some(entry) => instance.store().view(entry.id).await?.user_by_username(username).await?,
        None => None,
    };
    let user = user.filter(|user| user.state == UserState::Active);
    let stored = user.as_ref().and_then(|user| user.password_hash.clone());
    let fits = instance.passwords.verify(password, stored).await?;
    let (Some(entry), Some(user), true) = (entry, user, fits) else {
        tracing::info!("Refused a login");
        return Err(LoginError::Invalid("no match"));
    };
    let holder = Holder { tenant: entry.id, user: user.id, username: &user.username, roles: user.roles };
    let token = tokens::issue(instance, holder).await?;
    let caller = caller_of_user(entry.id, entry.slug, user.id, user.username, user.roles, token.id, token.expires_at);
    let call = Call { caller, request: request.clone(), once: None };
    note(instance, &call, entry.id, Event::new(EventKind::UserLoggedIn).on("user", user.id)).await?;
    Ok(Tokens { access: token.text, expires_in: token.expires_in })
}

/// The tenant, if it is served.
async fn directory_entry(instance: &Instance, tenant: &str) -> Result<Option<TenantEntry>, Failure> {
    let entry = match tenant.parse::<TenantId>() {
        Ok(id) => instance.directory().tenant(id).await?,
        Err(_) => instance.directory().tenant_by_slug(tenant).await?,
    };
    Ok(entry.filter(|entry| entry.state == TenantState::Active))
}
