//! Who may give which roles.

use super::{Call, Role, RoleSet};
use crate::{
    Instance,
    ids::TenantId,
    store::{StoreError, Tx},
};

/// Whether the caller may give `roles` in `tenant`; the inner error names the first role that it may not.
///
/// In its own tenant the may-grant sets decide. Inside another tenant the platform's admin sets up
/// the first `tenant_admin`; in development any role, so that a newcomer gets going.
///
/// # Errors
///
/// [`StoreError`].
pub(crate) async fn check(
    instance: &Instance,
    call: &Call,
    tenant: TenantId,
    roles: RoleSet,
    rows: &mut (dyn Tx + '_),
) -> Result<Result<(), Role>, StoreError> {
    if tenant == call.tenant() {
        let mine = call.caller.roles().may_grant();
        return Ok(roles
            .iter()
            .find(|role| !mine.contains(*role) || role.is_platform() != tenant.is_platform())
            .map_or(Ok(()), Err));
    }
    if let Some(platform_role) = roles.iter().find(|role| role.is_platform()) {
        return Ok(Err(platform_role));
    }
    if instance.settings().is_dev() {
        return Ok(Ok(()));
    }
    if let Some(other) = roles.iter().find(|role| *role != Role::TenantAdmin) {
        return Ok(Err(other));
    }
    rows.hold_tenant().await?;
    let admins = rows.count_users_with_role(Role::TenantAdmin).await?
        + rows.count_api_keys_with_role(Role::TenantAdmin, instance.now()).await?;
    Ok(if admins == 0 { Ok(()) } else { Err(Role::TenantAdmin) })
}
