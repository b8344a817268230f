//! What roles there are, and what each may do.

use super::{DefinedRole, RoleError, is_name};
use crate::{
    Instance,
    access::{Call, Permission, Role},
    audit::{Event, EventKind, receipt::note},
};

/// How many holders of a role are told.
const MAX_HOLDERS: u32 = 1_000;

/// The roles of a tenant.
#[derive(Debug)]
pub struct Overview {
    /// Those of the eight that it can give.
    pub built_in: Vec<Role>,
    /// Its own, by name.
    pub defined: Vec<DefinedRole>,
}

/// A defined role, and who holds it.
#[derive(Debug)]
pub struct Held {
    /// The role.
    pub role: DefinedRole,
    /// The ids of users and API keys: at most 1,000.
    pub holders: Vec<String>,
}

/// The roles that the caller's tenant can give.
///
/// # Errors
///
/// [`RoleError`].
pub async fn list(instance: &Instance, call: &Call) -> Result<Overview, RoleError> {
    call.require(Permission::SettingsRead)?;
    let defined = instance.store().view(call.tenant()).await?.defined_roles().await?;
    note(instance, call, call.tenant(), Event::new(EventKind::RoleRead)).await?;
    Ok(Overview { built_in: offered(call).collect(), defined })
}

/// The built-in roles of a kind of tenant: the platform's, or all others'.
pub(super) fn offered(call: &Call) -> impl Iterator<Item = Role> {
    let platform = call.tenant().is_platform();
    Role::ALL.iter().copied().filter(move |role| role.is_platform() == platform)
}

/// One of the tenant's own roles, and who holds it.
///
/// # Errors
///
/// [`RoleError`].
pub async fn get(instance: &Instance, call: &Call, name: &str) -> Result<Held, RoleError> {
    call.require(Permission::SettingsRead)?;
    if !is_name(name) {
        return Err(RoleError::NotFound);
    }
    let mut view = instance.store().view(call.tenant()).await?;
    let role = view.defined_role(name).await?.ok_or(RoleError::NotFound)?;
    let holders = view.role_holders(name, MAX_HOLDERS).await?;
    drop(view);
    note(instance, call, call.tenant(), Event::new(EventKind::RoleRead).on("role", name)).await?;
    Ok(Held { role, holders })
}

/// Every permission there is, each with the built-in roles that have it. The same for everybody, so it is no event.
///
/// # Errors
///
/// [`RoleError`].
pub fn permissions(call: &Call) -> Result<Vec<(Permission, Vec<Role>)>, RoleError> {
    call.require(Permission::SettingsRead)?;
    let with = |permission: Permission| -> Vec<Role> {
        Role::ALL.iter().copied().filter(|role| role.permissions().contains(&permission)).collect()
    };
    Ok(Permission::ALL.iter().map(|permission| (*permission, with(*permission))).collect())
}
