//! Brings the API keys of another system: their SHA-256, never their texts.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{
    ApiKey, CreateApiKeyError,
    create::{check_privileged, names_of},
    old,
};
use crate::{
    Instance,
    access::{Call, Permission, Role, RoleSet, grant},
    audit::{Change, Detail, Event, EventKind},
    faults::Faults,
    ids::{ApiKeyId, UserId},
    instance::Failure,
    text::check_name,
    time::Timestamp,
    users::UserState,
};

/// How many keys one call brings at most.
pub const MAX_IMPORTED: usize = 1_000;

/// A key of another system.
#[derive(Debug, Clone)]
pub struct OldApiKey {
    /// The SHA-256 of its text.
    pub sha256: [u8; 32],
    /// What it is for: 1 to 255 characters.
    pub description: String,
    /// Its roles, at least one.
    pub roles: Vec<Role>,
    /// The user it acts as.
    pub user: Option<UserId>,
    /// Until when.
    pub expires_at: Option<Timestamp>,
    /// From where it may be used; at most 64.
    pub allowed_cidrs: Vec<IpNet>,
}

/// What became of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Its id here.
    pub id: ApiKeyId,
    /// Whether an earlier call brought it.
    pub was_there: bool,
}

/// Brings keys into the caller's tenant, all or none, in their order. A key that is there already stays as it is.
///
/// # Errors
///
/// [`CreateApiKeyError`].
pub async fn import(
    instance: &Instance,
    call: &Call,
    keys: Vec<OldApiKey>,
) -> Result<Vec<Imported>, CreateApiKeyError> {
    call.require(Permission::ApiKeysCreate)?;
    instance.require_recent(call)?;
    check(instance, &keys)?;
    let (tenant, now) = (call.tenant(), instance.now());
    let root = instance.leased_root().await?;
    let mut change = Change::begin(instance, call, tenant).await?;
    let all = RoleSet::of(&keys.iter().flat_map(|key| key.roles.iter().copied()).collect::<Vec<_>>());
    grant::check(instance, call, tenant, all, change.rows()).await?.map_err(CreateApiKeyError::MayNotGrant)?;
    let mut done = Vec::with_capacity(keys.len());
    for (position, key) in keys.into_iter().enumerate() {
        let prefix = old::prefix(&key.sha256);
        let known = instance.directory().old_api_keys(&prefix).await?.into_iter().find(|entry| {
            let pepper = root.pepper_of(entry.pepper_version);
            entry.tenant == tenant
                && pepper.is_some_and(|pepper| old::fits(pepper, entry.id, &key.sha256, &entry.digest))
        });
        if let Some(entry) = known {
            done.push(Imported { id: entry.id, was_there: true });
            continue;
        }
        let roles = RoleSet::of(&key.roles);
        if let Some(user) = key.user {
            let holder = change.rows().user(user).await?.filter(|user| user.state == UserState::Active);
            if !holder.is_some_and(|user| roles.is_subset(user.roles)) {
                let message = "there is no such active user with these roles";
                return Err(Faults::one(format!("/items/{position}/user_id"), "not_found", message).into());
            }
        }
        let id = ApiKeyId::make(now, instance.random())?;
        let (pepper_version, pepper) = root.pepper();
        let made = ApiKey {
            id,
            description: key.description.trim().to_owned(),
            roles,
            defined_roles: Vec::new(),
            user: key.user,
            digest: old::digest(pepper, id, &key.sha256),
            pepper_version,
            allowed_cidrs: key.allowed_cidrs,
            rate_limit: None,
            created_at: now,
            expires_at: key.expires_at,
            revoked_at: None,
            last_used_at: None,
            replaced_by: None,
        };
        change.rows().insert_api_key(&made).await?;
        change.rows().insert_old_api_key(id, &prefix).await?;
        let event = Event::new(EventKind::ApiKeyCreated).on("api_key", id).with("origin", Detail::Code("import"));
        change.record(event.with("roles", Detail::Names(names_of(&made)))).await?;
        done.push(Imported { id, was_there: false });
    }
    let new = done.iter().filter(|key| !key.was_there).count();
    let count = u64::try_from(new).map_err(|_| Failure::Internal("more keys than a number counts"))?;
    change.commit(Event::new(EventKind::ApiKeysImported).with("count", Detail::Count(count))).await?;
    Ok(done)
}

fn check(instance: &Instance, keys: &[OldApiKey]) -> Result<(), Faults> {
    let mut faults = Faults::default();
    if keys.is_empty() || keys.len() > MAX_IMPORTED {
        faults.add("/items", "length", format!("bring 1 to {MAX_IMPORTED} keys"));
    }
    let mut seen = BTreeSet::new();
    for (position, key) in keys.iter().enumerate().take(MAX_IMPORTED) {
        let at = |name: &str| format!("/items/{position}/{name}");
        check_name(&at("description"), &key.description, 255, &mut faults);
        if !seen.insert(key.sha256) {
            faults.add(at("sha256"), "duplicate", "is given twice");
        }
        if key.roles.is_empty() {
            faults.add(at("roles"), "empty", "name at least one role");
        }
        if key.expires_at.is_some_and(|end| end <= instance.now()) {
            faults.add(at("expires_at"), "range", "is over already");
        }
        if key.allowed_cidrs.len() > 64 {
            faults.add(at("allowed_cidrs"), "too_many", "use at most 64 networks");
        }
        let privileged = key.roles.iter().any(|role| role.is_privileged());
        let place = format!("/items/{position}");
        check_privileged(instance, privileged, key.expires_at.is_some(), &key.allowed_cidrs, &place, &mut faults);
    }
    faults.check()
}
