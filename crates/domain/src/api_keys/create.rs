//! Makes an API key.

use chancery_crypto::Secret;
use ipnet::IpNet;

use super::{ApiKey, ApiKeyText};
use crate::{
    Instance,
    access::{Call, Denied, Permission, Role, RoleSet, grant},
    audit::{Change, Detail, Event, EventKind},
    faults::Faults,
    ids::{ApiKeyId, TenantId, UserId},
    instance::{Environment, Failure, fails},
    text::check_name,
    users::UserState,
};

/// What a new API key shall be.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// What it is for: 1 to 255 characters.
    pub description: String,
    /// Its roles, at least one.
    pub roles: Vec<Role>,
    /// The user it acts as.
    pub user: Option<UserId>,
    /// Its life in days, 1 to 3650.
    pub expires_in_days: Option<u32>,
    /// From where it may be used; at most 64.
    pub allowed_cidrs: Vec<IpNet>,
}

/// A new API key with its text, which nobody can show again.
#[derive(Debug)]
pub struct IssuedApiKey {
    /// The key as stored.
    pub key: ApiKey,
    /// Its text.
    pub text: Secret<String>,
}

/// Why an API key was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateApiKeyError {
    /// Not allowed, or another tenant's.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The caller may not give these roles.
    #[error("the caller may not grant `{0}`")]
    MayNotGrant(Role),
    /// Fields are not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(CreateApiKeyError);

/// Makes an API key of `tenant`.
///
/// # Errors
///
/// [`CreateApiKeyError`].
pub async fn create(
    instance: &Instance,
    call: &Call,
    tenant: TenantId,
    new: NewApiKey,
) -> Result<IssuedApiKey, CreateApiKeyError> {
    instance.enter(call, tenant, Permission::ApiKeysCreate, Permission::TenantsBootstrap).await??;
    check(instance, &new)?;
    let roles = RoleSet::of(&new.roles);
    let mut change = Change::begin(instance, call, tenant).await?;
    grant::check(instance, call, tenant, roles, change.rows()).await?.map_err(CreateApiKeyError::MayNotGrant)?;
    if let Some(user) = new.user {
        let holder = change.rows().user(user).await?.filter(|user| user.state == UserState::Active);
        match holder {
            None => return Err(Faults::one("/user_id", "not_found", "there is no such active user").into()),
            Some(user) if !roles.is_subset(user.roles) => {
                return Err(Faults::one("/roles", "not_held", "a key has at most the roles of its user").into());
            }
            Some(_) => {}
        }
    }
    let now = instance.now();
    let id = ApiKeyId::make(now, instance.random())?;
    let text = ApiKeyText::make(instance.settings().environment.into(), id, instance.random())?;
    let root = instance.root();
    let (pepper_version, pepper) = root.pepper();
    let key = ApiKey {
        id,
        description: new.description.trim().to_owned(),
        roles,
        user: new.user,
        digest: text.digest(pepper),
        pepper_version,
        allowed_cidrs: new.allowed_cidrs,
        created_at: now,
        expires_at: new.expires_in_days.map(|days| now.plus_seconds(i64::from(days) * 86_400)),
        revoked_at: None,
    };
    change.rows().insert_api_key(&key).await?;
    let names = roles.iter().map(|role| role.as_str().to_owned()).collect();
    change
        .commit_new(Event::new(EventKind::ApiKeyCreated).on("api_key", id).with("roles", Detail::Names(names)))
        .await?;
    Ok(IssuedApiKey { key, text: text.reveal() })
}

fn check(instance: &Instance, new: &NewApiKey) -> Result<(), Faults> {
    let mut faults = Faults::default();
    check_name("/description", &new.description, 255, &mut faults);
    if new.roles.is_empty() {
        faults.add("/roles", "empty", "name at least one role");
    }
    if new.expires_in_days.is_some_and(|days| !(1..=3650).contains(&days)) {
        faults.add("/expires_in_days", "range", "use 1 to 3650 days");
    }
    if new.allowed_cidrs.len() > 64 {
        faults.add("/allowed_cidrs", "too_many", "use at most 64 networks");
    }
    if instance.settings().environment == Environment::Production && new.roles.iter().any(|role| role.is_privileged()) {
        if new.expires_in_days.is_none() {
            faults.add(
                "/expires_in_days",
                "required",
                "a key with an administrative role needs an expiry in production",
            );
        }
        if new.allowed_cidrs.is_empty() {
            faults.add(
                "/allowed_cidrs",
                "required",
                "a key with an administrative role needs a CIDR list in production",
            );
        }
    }
    faults.check()
}
