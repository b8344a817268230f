//! Reads tenant records; never their data.

use super::{Tenant, TenantError};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Event, EventKind, receipt::note},
    ids::TenantId,
};

/// One tenant's record.
///
/// # Errors
///
/// [`TenantError`].
pub async fn get(instance: &Instance, call: &Call, id: TenantId) -> Result<Tenant, TenantError> {
    call.require(Permission::TenantsRead)?;
    let tenant = instance.store().view(TenantId::PLATFORM).await?.tenant_record(id).await?;
    let tenant = tenant.ok_or(TenantError::NotFound)?;
    note(instance, call, TenantId::PLATFORM, Event::new(EventKind::TenantRead).on("tenant", id)).await?;
    Ok(tenant)
}

/// Tenants, ordered by id.
///
/// # Errors
///
/// [`TenantError`].
pub async fn list(
    instance: &Instance,
    call: &Call,
    after: Option<TenantId>,
    limit: u32,
) -> Result<Vec<Tenant>, TenantError> {
    call.require(Permission::TenantsRead)?;
    let tenants = instance.store().view(TenantId::PLATFORM).await?.tenant_records(after, limit).await?;
    note(instance, call, TenantId::PLATFORM, Event::new(EventKind::TenantRead)).await?;
    Ok(tenants)
}
