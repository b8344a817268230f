//! Rotates a tenant key, or puts it under another arrangement of providers: a new version, every key of the tenant moved under it,
//! the old version destroyed.
//!
//! Data is never touched: only key rows are under the tenant key. Each step is one commit and can be repeated: while some rows are
//! under the old version and some under the new one, both unwrap.

use super::{make, own::OwnProviders};
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    audit::{Change, Detail, Event, EventKind, receipt::note},
    ids::TenantId,
    instance::{Failure, fails},
    keyring::{
        KeyState, KeyringError, OwnMode, TenantKey,
        completed::{self, Retired},
    },
    store::StoreError,
};

/// How many key rows are moved in one commit.
const BATCH: u32 = 100;

/// Under what a tenant's key shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrangement {
    /// The platform root alone.
    Platform,
    /// The root and a provider of the tenant's own, by its name in the configuration.
    Own(String, OwnMode),
}

/// A tenant's key as its officers see it.
#[derive(Debug, Clone)]
pub struct TenantKeyRef {
    /// The newest version.
    pub key: TenantKey,
    /// How many key versions are under older ones still.
    pub remaining: u64,
}

/// Why a tenant's key was not read or rotated.
#[derive(Debug, thiserror::Error)]
pub enum TenantKeyError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The configuration has no such provider for this tenant.
    #[error("there is no key provider of that name for this tenant")]
    NoSuchProvider,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(TenantKeyError);

/// The key of the caller's tenant.
///
/// # Errors
///
/// [`TenantKeyError`].
pub async fn get(instance: &Instance, call: &Call) -> Result<TenantKeyRef, TenantKeyError> {
    call.require(Permission::KeysRead)?;
    let found = look(instance, call.tenant()).await?;
    note(instance, call, call.tenant(), Event::new(EventKind::KeyRead)).await?;
    Ok(found)
}

/// Gives the tenant key of the caller's tenant a new version, under the same providers.
///
/// # Errors
///
/// [`TenantKeyError`]; whatever was moved is moved, and the next call goes on.
pub async fn rotate(instance: &Instance, call: &Call) -> Result<TenantKeyRef, TenantKeyError> {
    call.require(Permission::KeysRotate)?;
    let arrangement = match look(instance, call.tenant()).await?.key.own {
        Some(own) => Arrangement::Own(own.provider, own.mode),
        None => Arrangement::Platform,
    };
    renew(instance, call, arrangement).await
}

/// Puts the key of the caller's tenant under other providers. The key itself is new too: what opened the old one alone never
/// opens this one.
///
/// # Errors
///
/// As [`rotate`].
pub async fn arrange(instance: &Instance, call: &Call, wanted: Arrangement) -> Result<TenantKeyRef, TenantKeyError> {
    call.require(Permission::KeysRotate)?;
    instance.require_recent(call)?;
    if let Arrangement::Own(name, _) = &wanted {
        let entry = instance.directory().tenant(call.tenant()).await?;
        let slug = entry.map(|entry| entry.slug).unwrap_or_default();
        let ours = instance.own_providers().iter().any(|own| own.name == *name && own.tenants.contains(&slug));
        if !ours {
            return Err(TenantKeyError::NoSuchProvider);
        }
    }
    renew(instance, call, wanted).await
}

async fn look(instance: &Instance, tenant: TenantId) -> Result<TenantKeyRef, Failure> {
    let mut view = instance.store().view(tenant).await?;
    let key = newest(view.tenant_keys().await?)?;
    let remaining = view.versions_under_others(key.version, u32::MAX).await?.len();
    Ok(TenantKeyRef { key, remaining: u64::try_from(remaining).unwrap_or(u64::MAX) })
}

fn newest(keys: Vec<TenantKey>) -> Result<TenantKey, KeyringError> {
    keys.into_iter().rev().find(|key| key.state == KeyState::Active).ok_or(KeyringError::Unwrap)
}

async fn renew(instance: &Instance, call: &Call, wanted: Arrangement) -> Result<TenantKeyRef, TenantKeyError> {
    // What an earlier run left.
    let unfinished = look(instance, call.tenant()).await?;
    if unfinished.remaining > 0 {
        move_all(instance, call, unfinished.key.version).await?;
    }
    let version = begin(instance, call, wanted).await?;
    move_all(instance, call, version).await?;
    finish(instance, call, version).await?;
    instance.end_lease(call.tenant());
    Ok(look(instance, call.tenant()).await?)
}

/// Makes the new version; from its commit on nothing new is under the old one.
async fn begin(instance: &Instance, call: &Call, wanted: Arrangement) -> Result<u32, TenantKeyError> {
    let tenant = call.tenant();
    let old = look(instance, tenant).await?.key;
    let root = instance.root();
    let own = OwnProviders { providers: instance.own_providers(), environment: instance.settings().environment };
    let arrangement = match &wanted {
        Arrangement::Platform => None,
        Arrangement::Own(name, mode) => Some((name.as_str(), *mode)),
    };
    // The provider is asked outside of any transaction.
    let made = make(tenant, old.version + 1, &root, arrangement, own, instance.now(), instance.random()).await?;
    let mut change = Change::begin(instance, call, tenant).await?;
    change.rows().hold_root(root.version()).await?;
    change.rows().supersede_tenant_key(old.version).await?;
    change.rows().insert_tenant_key(&made.0).await?;
    let mode = made.0.own.as_ref().map_or("platform", |own| own.mode.as_str());
    let event = Event::new(EventKind::TenantKeyRotated)
        .with("version", Detail::Count(u64::from(made.0.version)))
        .with("arrangement", Detail::Code(mode));
    change.commit(event).await?;
    instance.end_lease(tenant);
    Ok(made.0.version)
}

/// Moves every key row under the newest version, a batch in one commit.
async fn move_all(instance: &Instance, call: &Call, version: u32) -> Result<(), TenantKeyError> {
    loop {
        let mut change = Change::begin(instance, call, call.tenant()).await?;
        let ring = std::sync::Arc::clone(change.keyring());
        let rows = change.rows().versions_under_others(version, BATCH).await?;
        if rows.is_empty() {
            return Ok(());
        }
        if ring.tenant_keys.active() != version {
            return Err(StoreError::Changed("tenant_key").into());
        }
        let mut moved = 0;
        for (key, stored) in &rows {
            let to = ring.tenant_keys.rewrap(&key.wrap_purpose(), stored, instance.random())?;
            change.rows().rewrap_key_version(stored, &to).await?;
            moved += 1;
        }
        let event = Event::new(EventKind::TenantKeyMoved)
            .with("version", Detail::Count(u64::from(version)))
            .with("keys", Detail::Count(moved));
        change.commit(event).await?;
    }
}

/// Destroys the older versions. Nothing is under them: nothing new could come since they were superseded.
async fn finish(instance: &Instance, call: &Call, version: u32) -> Result<(), TenantKeyError> {
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let left = change.rows().versions_under_others(version, 1).await?;
    if !left.is_empty() {
        return Err(Failure::Internal("keys under an older tenant key").into());
    }
    let keys = change.rows().tenant_keys().await?;
    let mut told: Option<Event> = None;
    for old in keys.iter().filter(|key| key.version < version && key.state == KeyState::Rotating) {
        if let Some(event) = told.take() {
            change.record(event).await?;
        }
        change.rows().destroy_tenant_key(old.version).await?;
        completed::certify(instance, &mut change, &Retired::TenantKey(old.version)).await?;
        told = Some(Event::new(EventKind::TenantKeyDestroyed).with("version", Detail::Count(u64::from(old.version))));
    }
    match told {
        Some(event) => Ok(change.commit(event).await?),
        None => Ok(()),
    }
}
