//! Brings the API keys of another system: their SHA-256, never their texts.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::{
    ApiKey, CreateApiKeyError,
    create::{check_privileged, names_of},
    old,
};
use crate::{
    Instance,
    access::{Call, Permission, Role, RoleSet, authenticate::root_with, grant},
    audit::{Change, Detail, Event, EventKind},
    faults::Faults,
    ids::{ApiKeyId, UserId},
    instance::Failure,
    keyring::KeyringError,
    lockdown::refuse_suspects,
    store::{ApiKeyEntry, Tx},
    text::check_name,
    time::Timestamp,
    users::UserState,
};

/// How many keys one call brings at most.
pub const MAX_IMPORTED: usize = 1_000;
/// How many living keys of other systems a tenant may have that share the first 32 bits of their SHA-256.
pub const MAX_OF_PREFIX: usize = 8;
/// And how many with those that were revoked.
const MAX_EVER_OF_PREFIX: usize = 64;

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
    // Or two calls at once would each find a key missing and bring it, and a key that is there twice is nobody's.
    change.rows().hold_tenant().await?;
    let places: Vec<String> = (0..keys.len()).map(|position| format!("/items/{position}/description")).collect();
    let texts = places.iter().zip(&keys).map(|(place, key)| (place.as_str(), key.description.as_str()));
    refuse_suspects::<CreateApiKeyError>(instance, change.rows(), &texts.collect::<Vec<_>>()).await?;
    let all = RoleSet::of(&keys.iter().flat_map(|key| key.roles.iter().copied()).collect::<Vec<_>>());
    grant::check(instance, call, tenant, all, change.rows()).await?.map_err(CreateApiKeyError::MayNotGrant)?;
    let known = known(instance, &keys, change.rows()).await?;
    let mut done = Vec::with_capacity(keys.len());
    for (position, (key, known)) in keys.into_iter().zip(known).enumerate() {
        if let Some(id) = known {
            done.push(Imported { id, was_there: true });
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
            suspended_until: None,
            replaced_by: None,
        };
        change.rows().insert_api_key(&made).await?;
        change.rows().insert_old_api_key(id, &old::prefix(&key.sha256)).await?;
        let event = Event::new(EventKind::ApiKeyCreated).on("api_key", id).with("origin", Detail::Code("import"));
        change.record(event.with("roles", Detail::Names(names_of(&made)))).await?;
        done.push(Imported { id, was_there: false });
    }
    let new = done.iter().filter(|key| !key.was_there).count();
    let count = u64::try_from(new).map_err(|_| Failure::Internal("more keys than a number counts"))?;
    change.commit(Event::new(EventKind::ApiKeysImported).with("count", Detail::Count(count))).await?;
    Ok(done)
}

/// Which of these keys are there already, by their place; a fault for each that has too many beside it.
///
/// One look-up for all of them. The limits keep what is compared for one key small, here under the store's lock and at each login:
/// keys that share 32 bits of their SHA-256 by chance are two or three, more of them somebody made on purpose.
async fn known(
    instance: &Instance,
    keys: &[OldApiKey],
    rows: &mut (dyn Tx + '_),
) -> Result<Vec<Option<ApiKeyId>>, CreateApiKeyError> {
    let prefixes: Vec<String> = keys.iter().map(|key| old::prefix(&key.sha256)).collect();
    let distinct: Vec<String> = prefixes.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect();
    let mut there: BTreeMap<String, Vec<ApiKeyEntry>> = BTreeMap::new();
    for (prefix, entry) in rows.old_api_keys_of(&distinct).await? {
        there.entry(prefix).or_default().push(entry);
    }
    let mut new: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut known, mut faults) = (Vec::with_capacity(keys.len()), Faults::default());
    for (position, (key, prefix)) in keys.iter().zip(&prefixes).enumerate() {
        let entries = there.get(prefix).map(Vec::as_slice).unwrap_or_default();
        let found = same(instance, key, entries).await?;
        if found.is_none() {
            let more = new.entry(prefix).or_default();
            *more += 1;
            let living = entries.iter().filter(|entry| !entry.revoked).count();
            if living + *more > MAX_OF_PREFIX || entries.len() + *more > MAX_EVER_OF_PREFIX {
                let message = format!("more than {MAX_OF_PREFIX} keys would share the first 32 bits of their SHA-256");
                faults.add(format!("/items/{position}/sha256"), "too_many", message);
            }
        }
        known.push(found);
    }
    faults.check()?;
    Ok(known)
}

/// The entry among these that is this key.
async fn same(instance: &Instance, key: &OldApiKey, entries: &[ApiKeyEntry]) -> Result<Option<ApiKeyId>, Failure> {
    for entry in entries {
        let root = root_with(instance, entry.pepper_version).await?;
        let pepper = root.pepper_of(entry.pepper_version).ok_or(KeyringError::Root(entry.pepper_version))?;
        if old::fits(pepper, entry.id, &key.sha256, &entry.digest) {
            return Ok(Some(entry.id));
        }
    }
    Ok(None)
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
