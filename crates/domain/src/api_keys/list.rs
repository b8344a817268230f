//! Lists API keys, never their secrets.

use super::ApiKey;
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    audit::{Event, EventKind, receipt::note},
    ids::{ApiKeyId, TenantId},
    instance::{Failure, fails},
};

/// Why API keys were not listed, or one was not revoked.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeyError {
    /// Not allowed, or another tenant's.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There is none with this id in the tenant.
    #[error("no such API key")]
    NotFound,
    /// It is revoked already.
    #[error("the API key is revoked already")]
    AlreadyRevoked,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(ApiKeyError);

/// Lists the API keys of `tenant`, ordered by id.
///
/// # Errors
///
/// [`ApiKeyError`].
pub async fn list(
    instance: &Instance,
    call: &Call,
    tenant: TenantId,
    after: Option<ApiKeyId>,
    limit: u32,
) -> Result<Vec<ApiKey>, ApiKeyError> {
    instance.enter(call, tenant, Permission::ApiKeysRead, Permission::CrossTenantRead).await??;
    let keys = instance.store().view(tenant).await?.api_keys(after, limit).await?;
    note(instance, call, tenant, Event::new(EventKind::ApiKeyRead)).await?;
    Ok(keys)
}

/// One API key of the caller's tenant.
///
/// # Errors
///
/// [`ApiKeyError`].
pub async fn get(instance: &Instance, call: &Call, id: ApiKeyId) -> Result<ApiKey, ApiKeyError> {
    call.require(Permission::ApiKeysRead)?;
    let key = instance.store().view(call.tenant()).await?.api_key(id).await?.ok_or(ApiKeyError::NotFound)?;
    note(instance, call, call.tenant(), Event::new(EventKind::ApiKeyRead).on("api_key", id)).await?;
    Ok(key)
}
