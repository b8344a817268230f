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
    lockdown::refuse_suspects,
    roles::{DefinedRole, is_name},
    store::Tx,
    text::check_name,
    users::UserState,
};

/// From how many networks a key may be used.
pub(super) const MAX_CIDRS: usize = 64;
/// The most that a key's own limit may be, in requests per minute.
pub(super) const MOST_PER_MINUTE: u32 = 1_000_000;
/// How many roles a key has.
const MAX_ROLES: usize = 32;

/// What a new API key shall be.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// What it is for: 1 to 255 characters.
    pub description: String,
    /// Its roles of the eight.
    pub roles: Vec<Role>,
    /// Its tenant's own roles, by name; with those above at least one.
    pub defined_roles: Vec<String>,
    /// The user it acts as.
    pub user: Option<UserId>,
    /// Its life in days, 1 to 3650.
    pub expires_in_days: Option<u32>,
    /// From where it may be used; at most 64.
    pub allowed_cidrs: Vec<IpNet>,
    /// How often it may be used in a minute, 1 to 1,000,000; as often as the operator says for all if `None`.
    pub rate_limit: Option<u32>,
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
    instance.require_recent(call)?;
    check(&new)?;
    let roles = RoleSet::of(&new.roles);
    let mut change = Change::begin(instance, call, tenant).await?;
    let texts = [("/description", new.description.as_str())];
    refuse_suspects::<CreateApiKeyError>(instance, change.rows(), &texts).await?;
    let defined = defined(change.rows(), &new.defined_roles).await?;
    let bases = RoleSet::of(&defined.iter().map(|role| role.base).collect::<Vec<_>>());
    let given = roles.union(bases);
    grant::check(instance, call, tenant, given, change.rows()).await?.map_err(CreateApiKeyError::MayNotGrant)?;
    let privileged = given.iter().any(Role::is_privileged);
    let mut faults = Faults::default();
    check_privileged(instance, privileged, new.expires_in_days.is_some(), &new.allowed_cidrs, "", &mut faults);
    faults.check()?;
    if let Some(user) = new.user {
        let holder = change.rows().user(user).await?.filter(|user| user.state == UserState::Active);
        let Some(holder) = holder else {
            return Err(Faults::one("/user_id", "not_found", "there is no such active user").into());
        };
        let held = change.rows().roles_of(&user.to_string()).await?;
        let holds = |role: &DefinedRole| held.iter().any(|held| held.name == role.name);
        if !roles.is_subset(holder.roles) || !defined.iter().all(holds) {
            return Err(Faults::one("/roles", "not_held", "a key has at most the roles of its user").into());
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
        defined_roles: defined.into_iter().map(|role| role.name).collect(),
        user: new.user,
        digest: text.digest(pepper),
        pepper_version,
        allowed_cidrs: new.allowed_cidrs,
        rate_limit: new.rate_limit,
        created_at: now,
        expires_at: new.expires_in_days.map(|days| now.plus_days(i64::from(days))),
        revoked_at: None,
        last_used_at: None,
        suspended_until: None,
        replaced_by: None,
    };
    change.rows().insert_api_key(&key).await?;
    let names = Detail::Names(names_of(&key));
    change.commit_new(Event::new(EventKind::ApiKeyCreated).on("api_key", id).with("roles", names)).await?;
    Ok(IssuedApiKey { key, text: text.reveal() })
}

/// The names of all roles of a key, for events.
pub(super) fn names_of(key: &ApiKey) -> Vec<String> {
    let built_in = key.roles.iter().map(|role| role.as_str().to_owned());
    built_in.chain(key.defined_roles.iter().cloned()).collect()
}

/// The tenant's own roles with these names, sorted, each once.
async fn defined(rows: &mut (dyn Tx + '_), names: &[String]) -> Result<Vec<DefinedRole>, CreateApiKeyError> {
    let mut names: Vec<&String> = names.iter().collect();
    names.sort_unstable();
    names.dedup();
    let mut defined = Vec::with_capacity(names.len());
    for name in names {
        let role = if is_name(name) { rows.defined_role(name).await? } else { None };
        defined.push(role.ok_or_else(|| Faults::one("/roles", "not_found", "there is no such role"))?);
    }
    Ok(defined)
}

fn check(new: &NewApiKey) -> Result<(), Faults> {
    let mut faults = Faults::default();
    check_name("/description", &new.description, 255, &mut faults);
    let roles = new.roles.len() + new.defined_roles.len();
    if roles == 0 {
        faults.add("/roles", "empty", "name at least one role");
    } else if roles > MAX_ROLES {
        faults.add("/roles", "too_many", format!("name at most {MAX_ROLES} roles"));
    }
    if new.expires_in_days.is_some_and(|days| !(1..=3650).contains(&days)) {
        faults.add("/expires_in_days", "range", "use 1 to 3650 days");
    }
    if new.allowed_cidrs.len() > MAX_CIDRS {
        faults.add("/allowed_cidrs", "too_many", format!("use at most {MAX_CIDRS} networks"));
    }
    check_rate(new.rate_limit, &mut faults);
    faults.check()
}

/// Notes a fault unless a key's own limit is one.
pub(super) fn check_rate(rate_limit: Option<u32>, faults: &mut Faults) {
    if rate_limit.is_some_and(|rate| !(1..=MOST_PER_MINUTE).contains(&rate)) {
        faults.add("/rate_limit", "range", format!("use 1 to {MOST_PER_MINUTE} requests per minute"));
    }
}

/// A program with an administrative role ends by itself and calls from where it belongs, in production (design §4).
pub(super) fn check_privileged(
    instance: &Instance,
    privileged: bool,
    ends: bool,
    allowed_cidrs: &[IpNet],
    place: &str,
    faults: &mut Faults,
) {
    if !privileged || instance.settings().environment != Environment::Production {
        return;
    }
    if !ends {
        let message = "a key with an administrative role needs an expiry in production";
        faults.add(format!("{place}/expires_in_days"), "required", message);
    }
    if allowed_cidrs.is_empty() {
        let message = "a key with an administrative role needs a CIDR list in production";
        faults.add(format!("{place}/allowed_cidrs"), "required", message);
    }
}
