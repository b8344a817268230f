//! The first start: the root, the platform's own keys and log, the first admin's API key.

use std::sync::Arc;

use chancery_crypto::Secret;
use ipnet::IpNet;

use crate::{
    Instance,
    access::{RequestInfo, Role, RoleSet},
    api_keys::{ApiKey, ApiKeyText},
    audit::{Change, Detail, Event, EventKind, stamp::Actor},
    ids::{ApiKeyId, NodeId, RequestId, TenantId},
    instance::{Failure, Ports, Settings},
    keyring::{RootError, hierarchy, root},
    tenants::{Tenant, TenantState, create::activation},
};

/// The slug of the platform.
pub const PLATFORM_SLUG: &str = "platform";

/// What the first admin's API key shall be.
#[derive(Debug, Clone, Default)]
pub struct FirstAdmin {
    /// From where it may be used; empty means anywhere.
    pub allowed_cidrs: Vec<IpNet>,
    /// Its life in days; `None` means without end.
    pub expires_in_days: Option<u32>,
}

/// Hands the first admin's key to the operator: prints it, or writes it into a file.
pub type Deliver<'a> =
    &'a mut (dyn FnMut(&Secret<String>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + Send);

/// Makes an empty store into a Chancery: wraps a new root for every provider of `ports`, and makes the
/// platform's keys, log and first admin in one commit.
///
/// `deliver` gets the admin's key before that commit, so that no crash leaves a store whose admin nobody knows.
///
/// # Errors
///
/// [`RootError`]; the store is as empty as before.
pub async fn initialise(
    ports: &Ports,
    settings: &Settings,
    node: NodeId,
    admin: FirstAdmin,
    deliver: Deliver<'_>,
) -> Result<(), RootError> {
    if !ports.store.view(TenantId::PLATFORM).await?.root_recipients().await?.is_empty() {
        return Err(RootError::AlreadyInitialised);
    }
    let now = ports.clock.now();
    let (root, recipients) = root::make(ports, settings, now).await?;
    let made = hierarchy::make(TenantId::PLATFORM, &root, settings.token_algorithm, now, &*ports.random)
        .await
        .map_err(failed)?;
    let instance = Instance::assemble(ports.clone(), settings.clone(), node, root)?;
    let request = RequestInfo {
        id: RequestId::make(now, &*ports.random)?,
        address: None,
        user_agent: None,
        key: None,
        route: "initialise",
        method: "CLI",
    };
    let (key, text) = admin_key(&instance, &admin)?;

    let hierarchy::NewHierarchy { tenant_key, keys, ring } = made;
    let begun = Change::begin_with(&instance, Actor::System(&request), TenantId::PLATFORM, Arc::new(ring)).await;
    let mut change = begun.map_err(failed)?;
    let rows = change.rows();
    rows.insert_root(&root::first_version(now)).await?;
    for recipient in &recipients {
        rows.insert_root_recipient(recipient).await?;
    }
    rows.insert_tenant(&Tenant {
        id: TenantId::PLATFORM,
        slug: PLATFORM_SLUG.to_owned(),
        name: settings.name.clone(),
        state: TenantState::Active,
        email: None,
        email_terms: Vec::new(),
        metadata: None,
        created_at: now,
    })
    .await?;
    rows.insert_tenant_key(&tenant_key).await?;
    rows.create_log(&format!("{}/platform", settings.name)).await?;
    for (managed, version) in &keys {
        rows.insert_key(managed).await?;
        rows.insert_key_version(version).await?;
    }
    rows.insert_api_key(&key).await?;
    for (managed, version) in &keys {
        change.record(activation(managed, version)).await.map_err(failed)?;
    }
    change.record(Event::new(EventKind::ApiKeyCreated).on("api_key", key.id)).await.map_err(failed)?;
    deliver(&text).map_err(RootError::Undelivered)?;
    let count = u64::try_from(recipients.len()).unwrap_or(u64::MAX);
    change
        .commit(Event::new(EventKind::InstanceInitialised).with("recipients", Detail::Count(count)))
        .await
        .map_err(failed)
}

fn admin_key(instance: &Instance, admin: &FirstAdmin) -> Result<(ApiKey, Secret<String>), RootError> {
    let now = instance.now();
    let id = ApiKeyId::make(now, instance.random())?;
    let text = ApiKeyText::make(instance.settings().environment.into(), id, instance.random())?;
    let root = instance.root();
    let (pepper_version, pepper) = root.pepper();
    let key = ApiKey {
        id,
        description: "first platform admin".to_owned(),
        roles: RoleSet::of(&[Role::PlatformAdmin]),
        defined_roles: Vec::new(),
        user: None,
        digest: text.digest(pepper),
        pepper_version,
        allowed_cidrs: admin.allowed_cidrs.clone(),
        rate_limit: None,
        created_at: now,
        expires_at: admin.expires_in_days.map(|days| now.plus_days(i64::from(days))),
        revoked_at: None,
        last_used_at: None,
        suspended_until: None,
        replaced_by: None,
    };
    Ok((key, text.reveal()))
}

fn failed(failure: Failure) -> RootError {
    RootError::Failed(Box::new(failure))
}
