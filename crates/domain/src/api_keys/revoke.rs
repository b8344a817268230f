//! Revokes an API key.

use super::{ApiKey, ApiKeyError};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Change, Event, EventKind},
    ids::ApiKeyId,
    store::StoreError,
};

/// Revokes an API key of the caller's tenant. In this process it is refused from the next request on.
///
/// # Errors
///
/// [`ApiKeyError`].
pub async fn revoke(instance: &Instance, call: &Call, id: ApiKeyId) -> Result<ApiKey, ApiKeyError> {
    call.require(Permission::ApiKeysRevoke)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let key = change.rows().api_key(id).await?.ok_or(ApiKeyError::NotFound)?;
    let now = instance.now();
    match change.rows().revoke_api_key(id, now).await {
        Ok(()) => {}
        Err(StoreError::Changed(_)) => return Err(ApiKeyError::AlreadyRevoked),
        Err(error) => return Err(error.into()),
    }
    change.commit(Event::new(EventKind::ApiKeyRevoked).on("api_key", id)).await?;
    instance.callers.forget_all();
    instance.unshelve(id).await;
    Ok(ApiKey { revoked_at: Some(now), ..key })
}
