//! Rotates the platform root: a new version, every tenant key moved under it, the old version retired.
//!
//! Data is never touched: only tenant keys are under the root. Each step is one commit and can be repeated, so that a crash at
//! any moment leaves every tenant key under a version that some recipient gives:
//!
//! 1. [`begin`] wraps the new version for every recipient, reads it back, and from its commit on the old one wraps nothing new.
//! 2. [`sweep`] moves tenant keys one tenant at a time, each by compare-and-swap.
//! 3. [`finish`] counts what is left; only at zero the old version's wraps go.

use std::{collections::BTreeSet, sync::Arc};

use chancery_crypto::{Handle, Key256};

use super::{
    Drawn, Known, PlatformRoot, RootError, RootState, RootVersion, commit_all, needed, platform, recipient, request,
    sure, unsure, wraps,
};
use crate::{
    Instance,
    access::RequestInfo,
    audit::{Change, Detail, Event, EventKind, stamp::Actor},
    ids::TenantId,
    instance::Failure,
    keyring::{
        KeyProvider, KeyState, RootRecipient, TenantKey,
        completed::{self, Retired},
        root::live,
        tenant_keys,
    },
    store::{StoreError, TenantEntry},
};

/// How many tenants are read at a time.
const PAGE: u32 = 500;

/// A rotation under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// The newest version: everything moves under it.
    pub version: u32,
    /// Whether an earlier run began it.
    pub resumed: bool,
}

/// What was moved, and what was not.
#[derive(Debug, Default)]
pub struct Moved {
    /// How many tenant keys were moved.
    pub moved: u64,
    /// Tenants whose keys could not be moved now, and why. A later run moves them.
    pub left: Vec<(TenantId, Failure)>,
}

/// Why the root was not rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// These recipients hold the root, and nobody gave what wraps for them.
    #[error("{} recipient(s) of the root are not at hand", .0.len())]
    NotAtHand(Vec<RootRecipient>),
    /// Keys are under older versions still.
    #[error("{0} tenant key(s) are under an older root")]
    Left(u64),
    /// As for any change of the root.
    #[error(transparent)]
    Root(#[from] RootError),
}

impl From<StoreError> for RotateError {
    fn from(error: StoreError) -> Self {
        Self::Root(error.into())
    }
}

/// Makes a new version for `providers`, or finds the one that an earlier run made.
///
/// A recipient that is not among `providers` would be left behind, so there must be none but those in `without`.
///
/// # Errors
///
/// [`RotateError`]; the store is as before, except perhaps after [`RootError::Unsure`].
pub async fn begin(
    instance: &Instance,
    providers: &[Arc<dyn KeyProvider>],
    without: &[RootRecipient],
) -> Result<Rotation, RotateError> {
    let (ports, settings) = instance.outside();
    let versions = ports.store.view(TenantId::PLATFORM).await?.roots().await?;
    let known = Known::read(ports, settings).await?;
    if versions.iter().any(|one| one.state == RootState::Superseded) {
        return Ok(Rotation { version: known.version, resumed: true });
    }
    let given = |one: &RootRecipient| providers.iter().any(|provider| wraps(&**provider, one));
    let absent = |one: &&RootRecipient| !given(one) && without.iter().all(|other| other.id != one.id);
    let absent: Vec<RootRecipient> = live(&known.recipients).into_iter().filter(absent).cloned().collect();
    if !absent.is_empty() {
        return Err(RotateError::NotAtHand(absent));
    }
    let needed = needed(settings);
    if providers.len() < needed {
        return Err(RootError::TooFew { remaining: providers.len(), needed }.into());
    }
    if providers.iter().all(|provider| provider.kind().needs_people()) {
        return Err(RootError::NeedsPeople.into());
    }
    let old = known.first_that_gives(ports, known.version, settings.environment.as_str()).await?;
    let random = &*ports.random;
    let new = Drawn {
        root: Key256::make(random).map_err(RootError::from)?,
        version: known.version + 1,
        handle: Handle::make(random).map_err(RootError::from)?,
    };
    let now = instance.now();
    let mut recipients = Vec::new();
    for provider in providers {
        recipients.push(recipient(&**provider, &new, ports, settings, now).await?);
    }
    let mut secrets = vec![old.secret_under(&new, random).map_err(sure)?];
    for kept in known.secrets.iter().filter(|kept| kept.version != old.version) {
        secrets.push(platform::rewrapped(kept, &old.wrapping(), &new, random).map_err(sure)?);
    }

    let request = request(instance, "root rotate")?;
    let ring = instance.keyring(TenantId::PLATFORM).await.map_err(sure)?;
    let begun = Change::begin_with(instance, Actor::System(&request), TenantId::PLATFORM, ring).await;
    let mut change = begun.map_err(sure)?;
    let rows = change.rows();
    // Waits for whoever stores a key under it, and refuses those who come later.
    rows.supersede_root(old.version, now).await?;
    let row = RootVersion {
        version: new.version,
        state: RootState::Active,
        created_at: now,
        superseded_at: None,
        retired_at: None,
    };
    rows.insert_root(&row).await?;
    for recipient in &recipients {
        rows.insert_root_recipient(recipient).await?;
    }
    for secret in &secrets {
        rows.put_root_secret(secret).await?;
    }
    let count = u64::try_from(recipients.len()).unwrap_or(u64::MAX);
    let event = Event::new(EventKind::RootVersionAdded)
        .with("version", Detail::Count(u64::from(new.version)))
        .with("recipients", Detail::Count(count));
    let version = new.version;
    change.commit(event).await.map_err(unsure)?;
    instance.follow_root().await?;
    Ok(Rotation { version, resumed: false })
}

/// Moves the tenant keys of every tenant under the newest version; `progress` is told how many tenants are done, of how many.
///
/// # Errors
///
/// [`RotateError`] if the tenants cannot be listed. Those that could not be moved are in the answer.
pub async fn sweep(instance: &Instance, progress: &mut (dyn FnMut(usize, usize) + Send)) -> Result<Moved, RotateError> {
    let request = request(instance, "root rotate")?;
    let tenants = all_tenants(instance).await?;
    let mut outcome = Moved::default();
    for (at, tenant) in tenants.iter().enumerate() {
        match rewrap(instance, *tenant, &request).await {
            Ok(moved) => outcome.moved += moved,
            Err(failure) => outcome.left.push((*tenant, failure)),
        }
        progress(at + 1, tenants.len());
    }
    Ok(outcome)
}

/// How many tenant keys are under older versions than the newest.
///
/// # Errors
///
/// [`RotateError`] if the store does not answer: then it is unknown, never zero.
pub async fn census(instance: &Instance) -> Result<u64, RotateError> {
    let newest = instance.root().version();
    let mut left = 0;
    for tenant in all_tenants(instance).await? {
        let keys = instance.store().view(tenant).await?.tenant_keys().await?;
        left += u64::try_from(keys.iter().filter(|key| stale(key, newest)).count()).unwrap_or(u64::MAX);
    }
    Ok(left)
}

/// Retires the older versions if nothing is under them: their wraps go.
///
/// # Errors
///
/// [`RotateError::Left`] if something is.
pub async fn finish(instance: &Instance) -> Result<(), RotateError> {
    let left = census(instance).await?;
    if left > 0 {
        return Err(RotateError::Left(left));
    }
    let newest = instance.root().version();
    let request = request(instance, "root rotate")?;
    let ring = instance.keyring(TenantId::PLATFORM).await.map_err(sure)?;
    let begun = Change::begin_with(instance, Actor::System(&request), TenantId::PLATFORM, ring).await;
    let mut change = begun.map_err(sure)?;
    let now = instance.now();
    let versions = change.rows().roots().await?;
    let mut events = Vec::new();
    for old in versions.iter().filter(|one| one.state == RootState::Superseded && one.version < newest) {
        change.rows().retire_root(old.version, now).await?;
        events.push(Event::new(EventKind::RootRetired).with("version", Detail::Count(u64::from(old.version))));
    }
    for recipient in change.rows().root_recipients().await?.iter().filter(|one| one.root_version < newest) {
        change.rows().remove_root_recipient(recipient.id).await?;
    }
    if events.is_empty() {
        return Ok(());
    }
    commit_all(change, events).await.map_err(unsure)?;
    instance.follow_root().await?;
    Ok(())
}

async fn all_tenants(instance: &Instance) -> Result<Vec<TenantId>, StoreError> {
    let mut tenants = vec![TenantId::PLATFORM];
    let mut after = None;
    loop {
        let page: Vec<TenantEntry> = instance.directory().tenants(after, PAGE).await?;
        tenants.extend(page.iter().map(|entry| entry.id).filter(|id| !id.is_platform()));
        after = page.last().map(|entry| entry.id);
        if page.len() < PAGE as usize {
            return Ok(tenants);
        }
    }
}

fn stale(key: &TenantKey, newest: u32) -> bool {
    key.root_version < newest && key.state != KeyState::Destroyed
}

/// Moves the keys of one tenant, in one commit with their event.
async fn rewrap(instance: &Instance, tenant: TenantId, request: &RequestInfo) -> Result<u64, Failure> {
    let root: Arc<PlatformRoot> = instance.root();
    let keys = instance.store().view(tenant).await?.tenant_keys().await?;
    let keys: Vec<TenantKey> = keys.into_iter().filter(|key| stale(key, root.version())).collect();
    if keys.is_empty() {
        return Ok(0);
    }
    let ring = instance.keyring(tenant).await?;
    let mut change = Change::begin_with(instance, Actor::System(request), tenant, ring).await?;
    for key in &keys {
        let moved = tenant_keys::under_newest_root(tenant, key, &root, instance.random())?;
        change.rows().rewrap_tenant_key(key, &moved).await?;
    }
    let older: BTreeSet<u32> = keys.iter().map(|key| key.root_version).collect();
    for version in older {
        completed::certify(instance, &mut change, &Retired::Root(version)).await?;
    }
    let count = u64::try_from(keys.len()).unwrap_or(u64::MAX);
    let event = Event::new(EventKind::TenantKeyRewrapped)
        .with("keys", Detail::Count(count))
        .with("root_version", Detail::Count(u64::from(root.version())));
    change.commit(event).await?;
    Ok(count)
}
