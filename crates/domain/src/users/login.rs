//! Logs a user in by password.

use chancery_crypto::Phi;

use super::{User, UserState, create::email_terms};
use crate::{
    Instance,
    access::RequestInfo,
    factors::{self, SecondFactor},
    ids::{TenantId, UserId},
    instance::{Failure, fails},
    lockouts::{self, Try},
    passwords::{HashError, Password},
    sessions::{self, Amr, Authentication, Person, SessionTokens},
    store::{StoreError, TenantEntry, Tx},
    tenants::TenantState,
};

/// How far a right password gets.
#[derive(Debug)]
pub enum LoginOutcome {
    /// To a session.
    Session(Box<SessionTokens>),
    /// To the question for a second factor.
    SecondFactor(SecondFactor),
}

/// Why a login failed. All failures by the caller's fault look alike, in words and in time.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Unknown tenant, unknown user, wrong password, disabled: nobody is told which.
    #[error("invalid credentials: {0}")]
    Invalid(&'static str),
    /// Too many failed before: not heard for so many seconds. Says nothing of whether there is such a user.
    #[error("failed logins cost a pause of {0} s")]
    Paused(u32),
    /// Too many logins at once.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(LoginError);

/// Logs in by username or e-mail; who has a second factor or needs one is asked for it. `tenant` is a short name or an id;
/// it only says in which directory to look.
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
) -> Result<LoginOutcome, LoginError> {
    let entry = directory_entry(instance, tenant).await?;
    // Without a tenant the platform's rows are asked for a name that nobody has: the same work.
    let home = entry.as_ref().map_or(TenantId::PLATFORM, |entry| entry.id);
    let found = find(instance, home, username).await?;
    let account = (found.as_ref().map(|user| user.id), username);
    let tried = begin(instance, request, home, account).await?;
    let user = found.filter(|user| user.state == UserState::Active && entry.is_some());
    let stored = user.as_ref().and_then(|user| user.password_hash.clone());
    let checked = match (instance.passwords.verify(&password, stored).await, &tried) {
        (Err(error), Some(tried)) => {
            tried.undone(instance).await?;
            return Err(error.into());
        }
        (checked, _) => checked?,
    };
    let (Some(entry), Some(user), true) = (entry, user, checked.matched) else {
        tracing::info!("Refused a login");
        return Err(LoginError::Invalid("no match"));
    };
    if let Some(tried) = tried {
        tried.succeeded(instance).await?;
    }
    let better = match checked.outdated {
        true => Some(instance.passwords.hash(password, instance.random()).await?),
        false => None,
    };
    let place = (entry.id, entry.slug.as_str());
    let asked = factors::challenge(instance, request, place, &user, better.as_deref()).await;
    if let Some(asked) = asked.map_err(overtaken)? {
        return Ok(LoginOutcome::SecondFactor(asked));
    }
    let authentication = Authentication { methods: vec![Amr::Password], at: instance.now() };
    let person = Person { tenant: entry.id, slug: &entry.slug, user: &user };
    let tokens = sessions::open(instance, request, person, authentication, better.as_deref()).await;
    Ok(LoginOutcome::Session(Box::new(tokens.map_err(overtaken)?)))
}

/// Counts the try as failed until it succeeds.
async fn begin(
    instance: &Instance,
    request: &RequestInfo,
    tenant: TenantId,
    account: (Option<UserId>, &str),
) -> Result<Option<Try>, LoginError> {
    let settings = &instance.settings().limits;
    if !(settings.enabled && settings.lockouts) {
        return Ok(None);
    }
    lockouts::begin(instance, request, tenant, account).await?.map(Some).map_err(LoginError::Paused)
}

/// Whoever was changed while its password was compared is not logged in with it.
fn overtaken(failure: Failure) -> LoginError {
    match failure {
        Failure::Store(StoreError::Changed("user")) => LoginError::Invalid("changed meanwhile"),
        failure => failure.into(),
    }
}

/// Holds the user of a login until its commit: [`StoreError::Changed`]`("user")` if it is another one by now than when it was
/// looked at. A password that was set meanwhile wins over the hash that this login would keep, and over the login itself.
pub(crate) async fn hold_unchanged(rows: &mut (dyn Tx + '_), user: &User) -> Result<(), StoreError> {
    let held = rows.hold_user(user.id).await?;
    let same =
        |held: User| held.state == user.state && held.password_hash == user.password_hash && held.roles == user.roles;
    if held.is_some_and(same) { Ok(()) } else { Err(StoreError::Changed("user")) }
}

/// A user by its name at login, however it is spelled, or by its e-mail's term if it looks like one (FE-13).
async fn find(instance: &Instance, tenant: TenantId, name: &str) -> Result<Option<User>, Failure> {
    if name.chars().any(char::is_control) {
        return Ok(None);
    }
    let ring = instance.keyring(tenant).await?;
    let terms = email_terms(&ring, &Phi::new(name.to_owned()))?;
    let mut view = instance.store().fresh_view(tenant).await?;
    let named = view.user_by_username(name).await?;
    let mailed = view.users_by_email_terms(&terms).await?;
    // Two users may share an address; then only the name tells them apart. An address that somebody says is theirs is none yet:
    // it would take the login of whose it is.
    let mailed: Vec<User> = mailed.into_iter().filter(|user| user.email_proven).collect();
    let mailed = match <[User; 1]>::try_from(mailed) {
        Ok([user]) => Some(user),
        Err(_) => None,
    };
    Ok(named.or(mailed))
}

/// The tenant, if it is served.
pub(crate) async fn directory_entry(instance: &Instance, tenant: &str) -> Result<Option<TenantEntry>, Failure> {
    if tenant.chars().any(char::is_control) {
        return Ok(None);
    }
    let entry = match tenant.parse::<TenantId>() {
        Ok(id) => instance.directory().tenant(id).await?,
        Err(_) => instance.directory().tenant_by_slug(tenant).await?,
    };
    Ok(entry.filter(|entry| entry.state == TenantState::Active))
}
