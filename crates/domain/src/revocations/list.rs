//! Shows the denylist to those who run a tenant.

use super::{Revocation, RevokeTokensError};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Event, EventKind, receipt::note},
};

/// What stands against tokens of the caller's tenant now, by id. Rows whose tokens have all expired are not shown.
///
/// # Errors
///
/// [`RevokeTokensError`].
pub async fn list(
    instance: &Instance,
    call: &Call,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<Revocation>, RevokeTokensError> {
    call.require(Permission::TokensRevoke)?;
    let found = instance.store().view(call.tenant()).await?.revocations(instance.now(), after, limit).await?;
    note(instance, call, call.tenant(), Event::new(EventKind::RevocationRead)).await?;
    Ok(found)
}
