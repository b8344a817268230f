//! Suspends and resumes a tenant.

use super::{Tenant, TenantState};
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    audit::{Change, Event, EventKind},
    ids::TenantId,
    instance::{Failure, fails},
    store::StoreError,
};

/// Why a tenant was not read or changed.
#[derive(Debug, thiserror::Error)]
pub enum TenantError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There is none with this id.
    #[error("no such tenant")]
    NotFound,
    /// It is not in the state that this needs.
    #[error("the tenant is `{0}`")]
    WrongState(TenantState),
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(TenantError);

/// Stops serving a tenant: in this process its credentials and keys stop at once.
///
/// # Errors
///
/// [`TenantError`].
pub async fn suspend(instance: &Instance, call: &Call, id: TenantId) -> Result<Tenant, TenantError> {
    shift(instance, call, id, TenantState::Active, TenantState::Suspended, EventKind::TenantSuspended).await
}

/// Serves a suspended tenant again.
///
/// # Errors
///
/// [`TenantError`].
pub async fn resume(instance: &Instance, call: &Call, id: TenantId) -> Result<Tenant, TenantError> {
    shift(instance, call, id, TenantState::Suspended, TenantState::Active, EventKind::TenantResumed).await
}

async fn shift(
    instance: &Instance,
    call: &Call,
    id: TenantId,
    from: TenantState,
    to: TenantState,
    kind: EventKind,
) -> Result<Tenant, TenantError> {
    call.require(Permission::TenantsSuspend)?;
    instance.require_recent(call)?;
    let mut change = Change::begin(instance, call, TenantId::PLATFORM).await?;
    let tenant = change.rows().tenant_record(id).await?.filter(|tenant| !tenant.id.is_platform());
    let tenant = tenant.ok_or(TenantError::NotFound)?;
    match change.rows().set_tenant_state(id, from, to).await {
        Ok(()) => {}
        Err(StoreError::Changed(_)) => return Err(TenantError::WrongState(tenant.state)),
        Err(error) => return Err(error.into()),
    }
    change.commit(Event::new(kind).on("tenant", id)).await?;
    instance.callers.forget_all();
    instance.end_lease(id);
    Ok(Tenant { state: to, ..tenant })
}
