//! Makes a tenant: its keys, its log, its record.

use std::sync::Arc;

use chancery_crypto::Phi;

use super::{Tenant, TenantState};
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    audit::{Change, Detail, Event, EventKind, stamp::Actor},
    faults::Faults,
    fields::system,
    ids::TenantId,
    instance::{Failure, fails},
    keyring::{Keyring, KeyringError, PlatformRoot, RootState, hierarchy, hierarchy::NewHierarchy, ring::Place},
    lockdown::refuse_suspects,
    store::StoreError,
    users::form::trimmed,
};

/// What a new tenant shall be.
#[derive(Debug)]
pub struct NewTenant {
    /// Its name: 1 to 255 characters.
    pub name: String,
    /// Its short name: 2 to 63 of `a-z 0-9 -`, beginning and ending with a letter or digit.
    pub slug: String,
    /// Its contact e-mail; sealed.
    pub email: Option<Phi<String>>,
    /// A JSON object; sealed.
    pub metadata: Option<Phi<String>>,
}

/// Why a tenant was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateTenantError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Fields are not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// Another tenant has this short name.
    #[error("this slug is taken")]
    SlugTaken,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(CreateTenantError);

/// Makes a tenant. Its keys and log come first, in its own rows; it exists once its record does.
///
/// # Errors
///
/// [`CreateTenantError`].
pub async fn create(instance: &Instance, call: &Call, new: NewTenant) -> Result<Tenant, CreateTenantError> {
    call.require(Permission::TenantsCreate)?;
    let new = NewTenant { email: new.email.map(trimmed), ..new };
    check(&new)?;
    let mut view = instance.store().fresh_view(TenantId::PLATFORM).await?;
    let texts = [("/name", new.name.as_str()), ("/slug", new.slug.as_str())];
    refuse_suspects::<CreateTenantError>(instance, &mut *view, &texts).await?;
    drop(view);
    if instance.directory().tenant_by_slug(&new.slug).await?.is_some() {
        return Err(CreateTenantError::SlugTaken);
    }
    let now = instance.now();
    let id = TenantId::make(now, instance.random())?;
    let algorithm = instance.settings().token_algorithm;
    let made = hierarchy::make(id, &*wrapping_root(instance).await?, algorithm, now, instance.random()).await?;
    let root_version = made.tenant_key.root_version;
    found(instance, Actor::Call(call), id, made).await?;

    let mut change = Change::begin(instance, call, TenantId::PLATFORM).await?;
    // Until the record is there, no rotation of the root finds these keys: they must not be under an older version by then.
    change.rows().hold_root(root_version).await?;
    let row = id.to_string();
    let seal = |field: &crate::fields::Field, value: &Phi<String>, ring: &Keyring| {
        ring.seal(Place { field, row: &row }, value.expose().as_bytes(), instance.random())
            .map(|sealed| sealed.into_bytes())
    };
    let ring = Arc::clone(change.keyring());
    let unsealed = |error| match error {
        KeyringError::Seal(_) => {
            CreateTenantError::Invalid(Faults::one("", "not_sealable", "a value looks like a sealed one"))
        }
        error => error.into(),
    };
    let email_terms = new.email.as_ref().map(|email| email_terms(&ring, email)).transpose()?;
    let tenant = Tenant {
        id,
        slug: new.slug,
        name: new.name.trim().to_owned(),
        state: TenantState::Active,
        email_terms: email_terms.unwrap_or_default(),
        email: new.email.map(|value| seal(&system::tenant_email(), &value, &ring)).transpose().map_err(unsealed)?,
        metadata: new
            .metadata
            .map(|value| seal(&system::tenant_metadata(), &value, &ring))
            .transpose()
            .map_err(unsealed)?,
        created_at: now,
    };
    match change.rows().insert_tenant(&tenant).await {
        Ok(()) => {}
        Err(StoreError::Taken(_)) => return Err(CreateTenantError::SlugTaken),
        Err(error) => return Err(error.into()),
    }
    change.commit_new(Event::new(EventKind::TenantCreated).on("tenant", id)).await?;
    Ok(tenant)
}

/// What a tenant is found by.
pub(super) fn email_terms(ring: &Keyring, email: &Phi<String>) -> Result<Vec<String>, Failure> {
    Ok(crate::records::sought(ring, &system::tenant_email(), email.expose())?)
}

/// The root with the version that wraps new keys: another node may have rotated it since this one looked.
async fn wrapping_root(instance: &Instance) -> Result<Arc<PlatformRoot>, Failure> {
    let versions = instance.store().view(TenantId::PLATFORM).await?.roots().await?;
    let active = versions.iter().find(|root| root.state == RootState::Active).map(|root| root.version);
    let held = instance.root();
    if active == Some(held.version()) { Ok(held) } else { instance.renewed_root().await }
}

/// Stores a tenant's keys and starts its log with their activation.
pub(crate) async fn found(
    instance: &Instance,
    actor: Actor<'_>,
    tenant: TenantId,
    made: NewHierarchy,
) -> Result<(), Failure> {
    let origin = new_origin(instance)?;
    let NewHierarchy { tenant_key, keys, ring } = made;
    let mut change = Change::begin_with(instance, actor, tenant, Arc::new(ring)).await?;
    let rows = change.rows();
    rows.insert_tenant_key(&tenant_key).await?;
    rows.create_log(&origin).await?;
    let mut activations = Vec::new();
    for (key, version) in &keys {
        rows.insert_key(key).await?;
        rows.insert_key_version(version).await?;
        activations.push(activation(key, version));
    }
    let last = activations.pop().ok_or(Failure::Internal("a hierarchy without keys"))?;
    for event in activations {
        change.record(event).await?;
    }
    change.commit(last).await
}

/// The event that tells of a key version's first moment.
pub(crate) fn activation(key: &crate::keyring::Key, version: &crate::keyring::KeyVersion) -> Event {
    let managed = key.managed.map_or("none", |managed| managed.as_str());
    Event::new(EventKind::KeyActivated)
        .on("key", key.id)
        .with("key_id", Detail::Id(version.key_id.clone()))
        .with("managed", Detail::Code(managed))
        .with("version", Detail::Count(u64::from(version.version)))
}

/// A log's name: the instance and a random handle that tells nothing of the tenant.
fn new_origin(instance: &Instance) -> Result<String, Failure> {
    let handle: [u8; 16] = chancery_crypto::random::array(instance.random())?;
    Ok(format!("{}/t/{}", instance.settings().name, data_encoding::HEXLOWER.encode(&handle)))
}

fn check(new: &NewTenant) -> Result<(), Faults> {
    let record = super::update::check(Some(&new.name), None, None);
    let mut faults = record.err().unwrap_or_default();
    if !is_slug(&new.slug) {
        faults.add("/slug", "format", "use 2 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit");
    }
    if let Err(sealed) = super::update::check(None, new.email.as_ref(), new.metadata.as_ref()) {
        faults.0.extend(sealed.0);
    }
    faults.check()
}

fn is_slug(slug: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (2..=63).contains(&slug.len())
        && slug.chars().all(|c| edge(c) || c == '-')
        && slug.starts_with(edge)
        && slug.ends_with(edge)
        && slug != "platform"
}
