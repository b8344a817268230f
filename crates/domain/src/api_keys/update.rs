//! Changes an API key: what it is for, from where and until when it works. Never what it may do.

use ipnet::IpNet;

use super::{
    ApiKey,
    create::{MAX_CIDRS, check_privileged, check_rate},
};
use crate::{
    Instance,
    access::{Call, Denied, Permission, Role, RoleSet, grant},
    audit::{Change, Detail, Event, EventKind},
    faults::Faults,
    ids::ApiKeyId,
    instance::{Failure, fails},
    lockdown::refuse_suspects,
    roles::{self, Holder},
    store::{StoreError, Tx},
    text::check_name,
};

/// What shall be different.
#[derive(Debug, Clone, Default)]
pub struct ApiKeyChange {
    /// What it is for: 1 to 255 characters.
    pub description: Option<String>,
    /// From where it may be used; at most 64, none means anywhere.
    pub allowed_cidrs: Option<Vec<IpNet>>,
    /// Its life in days from now, 1 to 3650.
    pub expires_in_days: Option<u32>,
    /// How often it may be used in a minute; `Some(None)` takes its own limit away.
    pub rate_limit: Option<Option<u32>>,
}

/// Why an API key was not changed or rotated.
#[derive(Debug, thiserror::Error)]
pub enum ChangeApiKeyError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There is none with this id in the tenant.
    #[error("no such API key")]
    NotFound,
    /// It is revoked or has expired.
    #[error("the API key is revoked or has expired")]
    Over,
    /// Another key replaces it already.
    #[error("`{0}` replaces the API key already")]
    Replaced(ApiKeyId),
    /// The caller may not give the roles that the key has.
    #[error("the caller may not grant `{0}`")]
    MayNotGrant(Role),
    /// Fields are not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(ChangeApiKeyError);

/// Changes an API key of the caller's tenant.
///
/// # Errors
///
/// [`ChangeApiKeyError`].
pub async fn update(
    instance: &Instance,
    call: &Call,
    id: ApiKeyId,
    wanted: ApiKeyChange,
) -> Result<ApiKey, ChangeApiKeyError> {
    // More time or more places are as good as a new key.
    call.require(Permission::ApiKeysCreate)?;
    instance.require_recent(call)?;
    check(&wanted)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    // Held, or what was read before a rotation would be written over what the rotation did.
    let mut key = change.rows().hold_api_key(id).await?.ok_or(ChangeApiKeyError::NotFound)?;
    let now = instance.now();
    if key.is_over(now) {
        return Err(ChangeApiKeyError::Over);
    }
    let given = may_give(instance, call, &key, change.rows()).await?;
    let mut what = Vec::new();
    if let Some(description) = wanted.description {
        let texts = [("/description", description.as_str())];
        refuse_suspects::<ChangeApiKeyError>(instance, change.rows(), &texts).await?;
        key.description = description.trim().to_owned();
        what.push("description".to_owned());
    }
    if let Some(allowed_cidrs) = wanted.allowed_cidrs {
        key.allowed_cidrs = allowed_cidrs;
        what.push("allowed_cidrs".to_owned());
    }
    if let Some(days) = wanted.expires_in_days {
        key.expires_at = Some(now.plus_days(i64::from(days)));
        what.push("expires_at".to_owned());
    }
    if let Some(rate_limit) = wanted.rate_limit {
        key.rate_limit = rate_limit;
        what.push("rate_limit".to_owned());
    }
    let mut faults = Faults::default();
    let privileged = given.iter().any(Role::is_privileged);
    check_privileged(instance, privileged, key.expires_at.is_some(), &key.allowed_cidrs, "", &mut faults);
    faults.check()?;
    save(change.rows(), &key).await?;
    let event = Event::new(EventKind::ApiKeyUpdated).on("api_key", id).with("changed", Detail::Names(what));
    change.commit(event).await?;
    instance.callers.forget_all();
    instance.unshelve(id).await;
    Ok(key)
}

/// The roles of a key and the bases of its defined ones, if the caller may give them all: who keeps a key going gives them anew.
pub(super) async fn may_give(
    instance: &Instance,
    call: &Call,
    key: &ApiKey,
    rows: &mut (dyn Tx + '_),
) -> Result<RoleSet, ChangeApiKeyError> {
    let given = roles::all_of(rows, Holder::ApiKey(key.id), key.roles).await?;
    grant::check(instance, call, call.tenant(), given, rows).await?.map_err(ChangeApiKeyError::MayNotGrant)?;
    Ok(given)
}

/// Saves it, unless somebody revoked it meanwhile.
pub(super) async fn save(rows: &mut (dyn Tx + '_), key: &ApiKey) -> Result<(), ChangeApiKeyError> {
    match rows.update_api_key(key).await {
        Err(StoreError::Changed(_)) => Err(ChangeApiKeyError::Over),
        saved => Ok(saved?),
    }
}

fn check(wanted: &ApiKeyChange) -> Result<(), Faults> {
    let mut faults = Faults::default();
    if let Some(description) = &wanted.description {
        check_name("/description", description, 255, &mut faults);
    }
    if wanted.allowed_cidrs.as_ref().is_some_and(|list| list.len() > MAX_CIDRS) {
        faults.add("/allowed_cidrs", "too_many", format!("use at most {MAX_CIDRS} networks"));
    }
    if wanted.expires_in_days.is_some_and(|days| !(1..=3650).contains(&days)) {
        faults.add("/expires_in_days", "range", "use 1 to 3650 days");
    }
    check_rate(wanted.rate_limit.flatten(), &mut faults);
    faults.check()
}
