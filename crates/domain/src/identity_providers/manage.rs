//! Sets providers up, changes them and takes them away.

use std::collections::BTreeSet;

use chancery_crypto::random;

use super::{IdentityProvider, IdentityProviderSpec, MAX_PROVIDERS, MappedRole};
use crate::{
    Instance,
    access::{Call, Denied, Permission, Role, RoleSet, grant},
    audit::{Change, Detail, Event, EventKind, receipt::note},
    faults::Faults,
    ids::{IdentityProviderId, TenantId},
    instance::{Failure, fails},
    lockdown::refuse_suspects,
    store::StoreError,
    time::Timestamp,
};

/// Why nothing was done with a provider.
#[derive(Debug, thiserror::Error)]
pub enum IdentityProviderError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The caller may not give this role, so no provider that it sets up may.
    #[error("the caller may not grant `{0}`")]
    MayNotGrant(Role),
    /// There is no such provider.
    #[error("no such identity provider")]
    NotFound,
    /// An enabled provider takes these tokens already.
    #[error("another identity provider takes these tokens")]
    Taken,
    /// Fields are not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(IdentityProviderError);

/// Sets a provider up in the caller's tenant.
///
/// # Errors
///
/// [`IdentityProviderError`].
pub async fn create(
    instance: &Instance,
    call: &Call,
    spec: IdentityProviderSpec,
) -> Result<IdentityProvider, IdentityProviderError> {
    call.require(Permission::SettingsWrite)?;
    instance.require_recent(call)?;
    spec.check(instance)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    change.rows().hold_tenant().await?;
    check_roles(instance, call, &spec, &mut change).await?;
    if change.rows().identity_providers().await?.len() >= MAX_PROVIDERS {
        let message = format!("a tenant has at most {MAX_PROVIDERS}; delete one that is not needed");
        return Err(Faults::one("", "too_many", message).into());
    }
    let now = instance.now();
    let id = IdentityProviderId::make(now, instance.random())?;
    let provider = made(spec, id, random::array(instance.random())?, now, now);
    put(call.tenant(), &mut change, &provider, None).await?;
    change.commit_new(told(EventKind::IdentityProviderCreated, &provider)).await?;
    Ok(provider)
}

/// Replaces what a provider is. Its subjects stay who they are; its tokens are judged by the new rules from the next request on.
///
/// # Errors
///
/// [`IdentityProviderError`].
pub async fn replace(
    instance: &Instance,
    call: &Call,
    id: IdentityProviderId,
    spec: IdentityProviderSpec,
) -> Result<IdentityProvider, IdentityProviderError> {
    call.require(Permission::SettingsWrite)?;
    instance.require_recent(call)?;
    spec.check(instance)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    // Held, or one that is deleted at the same moment would be put back, and a role given up that the map names.
    change.rows().hold_tenant().await?;
    let before = change.rows().identity_provider(id).await?.ok_or(IdentityProviderError::NotFound)?;
    check_roles(instance, call, &spec, &mut change).await?;
    if spec.issuer != before.issuer {
        // Or a subject of one issuer would become the one of another who is called the same.
        return Err(Faults::one("/issuer", "fixed", "a provider keeps its issuer; set up another one").into());
    }
    let provider = made(spec, id, before.salt, before.created_at, instance.now());
    put(call.tenant(), &mut change, &provider, Some(&before)).await?;
    change.commit(told(EventKind::IdentityProviderUpdated, &provider)).await?;
    instance.callers.forget_all();
    Ok(provider)
}

/// Takes a provider away: its tokens are refused from the next request on.
///
/// # Errors
///
/// [`IdentityProviderError`].
pub async fn delete(instance: &Instance, call: &Call, id: IdentityProviderId) -> Result<(), IdentityProviderError> {
    call.require(Permission::SettingsWrite)?;
    instance.require_recent(call)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    change.rows().hold_tenant().await?;
    match change.rows().delete_identity_provider(id).await {
        Err(StoreError::Changed(_)) => return Err(IdentityProviderError::NotFound),
        deleted => deleted?,
    }
    change.commit(Event::new(EventKind::IdentityProviderDeleted).on("identity_provider", id)).await?;
    instance.callers.forget_all();
    Ok(())
}

/// The providers of the caller's tenant, by id.
///
/// # Errors
///
/// [`IdentityProviderError`].
pub async fn list(instance: &Instance, call: &Call) -> Result<Vec<IdentityProvider>, IdentityProviderError> {
    call.require(Permission::SettingsRead)?;
    let found = instance.store().view(call.tenant()).await?.identity_providers().await?;
    note(instance, call, call.tenant(), Event::new(EventKind::IdentityProviderRead)).await?;
    Ok(found)
}

/// One of them.
///
/// # Errors
///
/// [`IdentityProviderError`].
pub async fn get(
    instance: &Instance,
    call: &Call,
    id: IdentityProviderId,
) -> Result<IdentityProvider, IdentityProviderError> {
    call.require(Permission::SettingsRead)?;
    let found = instance.store().view(call.tenant()).await?.identity_provider(id).await?;
    let found = found.ok_or(IdentityProviderError::NotFound)?;
    let event = Event::new(EventKind::IdentityProviderRead).on("identity_provider", id);
    note(instance, call, call.tenant(), event).await?;
    Ok(found)
}

/// No provider gives what its administrator may not, nor a role that the tenant does not have; nor is it called what nobody may see.
async fn check_roles(
    instance: &Instance,
    call: &Call,
    spec: &IdentityProviderSpec,
    change: &mut Change<'_>,
) -> Result<(), IdentityProviderError> {
    // Its issuer and audiences are another system's codes.
    let texts = [("/name", spec.name.as_str()), ("/role_claim", spec.role_claim.as_deref().unwrap_or_default())];
    refuse_suspects::<IdentityProviderError>(instance, change.rows(), &texts).await?;
    let defined = change.rows().defined_roles().await?;
    let (mut given, mut faults) = (Vec::new(), Faults::default());
    for (at, (_, role)) in spec.role_map.iter().enumerate() {
        let base = |name: &str| defined.iter().find(|role| role.name == name).map(|role| role.base);
        match role.built_in().or_else(|| role.defined().and_then(base)) {
            Some(role) => given.push(role),
            None => faults.add(
                format!("/role_map/{at}/role"),
                "unknown",
                "use one of the eight built-in roles, or one that the tenant has defined",
            ),
        }
    }
    faults.check()?;
    let given = grant::check(instance, call, call.tenant(), RoleSet::of(&given), change.rows()).await?;
    given.map_err(IdentityProviderError::MayNotGrant)
}

async fn put(
    tenant: TenantId,
    change: &mut Change<'_>,
    provider: &IdentityProvider,
    before: Option<&IdentityProvider>,
) -> Result<(), IdentityProviderError> {
    if provider.enabled {
        // Held, or two tenants at once would each find nobody there. Suspended tenants count: they come back.
        let others = change.rows().hold_issuer(&provider.issuer).await?;
        // What it claims already, it may go on to claim: or nobody could narrow one of two that were let in beside each other before
        // this rule.
        let claimed = before.filter(|before| before.enabled).map(|before| before.entries(tenant)).unwrap_or_default();
        let mut entries = provider.entries(tenant);
        entries.retain(|entry| !claimed.contains(entry));
        let mut others = others.iter().filter(|other| (other.tenant, other.id) != (tenant, provider.id));
        if others.any(|other| entries.iter().any(|entry| entry.meets(other))) {
            return Err(IdentityProviderError::Taken);
        }
    }
    match change.rows().put_identity_provider(provider).await {
        Err(StoreError::Taken("identity_provider")) => Err(IdentityProviderError::Taken),
        done => Ok(done?),
    }
}

fn made(
    spec: IdentityProviderSpec,
    id: IdentityProviderId,
    salt: [u8; 32],
    created_at: Timestamp,
    changed_at: Timestamp,
) -> IdentityProvider {
    let profile = spec.profile;
    let mut role_map = spec.role_map.clone();
    role_map.sort();
    IdentityProvider {
        id,
        profile,
        audience_claim: spec.audience_claim.unwrap_or(profile.audience_claim()),
        token_type: spec.token_type.unwrap_or(profile.token_type()),
        second_factor: spec.second_factor.unwrap_or(super::SecondFactor::Claim),
        leeway_seconds: spec.leeway(),
        max_age_seconds: spec.max_age(),
        name: spec.name.trim().to_owned(),
        issuer: spec.issuer,
        jwks_uri: spec.jwks_uri,
        audiences: spec.audiences,
        algorithms: spec.algorithms.unwrap_or_else(|| profile.algorithms().to_vec()),
        tenant_claim: spec.tenant_claim,
        role_claim: spec.role_claim.unwrap_or_else(|| profile.role_claim().to_owned()),
        role_map,
        enabled: spec.enabled,
        ends_at: spec.ends_at,
        salt,
        created_at,
        changed_at,
    }
}

/// What the log tells of it. Names that other systems chose are under seal.
fn told(kind: EventKind, provider: &IdentityProvider) -> Event {
    let roles: BTreeSet<&MappedRole> = provider.role_map.iter().map(|(_, role)| role).collect();
    Event::new(kind)
        .on("identity_provider", provider.id)
        .with("profile", Detail::Code(provider.profile.as_str()))
        .with("enabled", Detail::Code(if provider.enabled { "true" } else { "false" }))
        .with("roles", Detail::Names(roles.iter().map(ToString::to_string).collect()))
        .with("second_factor", Detail::Code(provider.second_factor.as_str()))
        .personal("issuer", provider.issuer.clone())
}
