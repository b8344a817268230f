//! Defines a role, and gives one up.

use super::{DefinedRole, is_name};
use crate::{
    Instance,
    access::{Call, Denied, Permission, PermissionSet, Role, RoleSet, grant},
    audit::{Change, Detail, Event, EventKind},
    faults::Faults,
    instance::{Failure, fails},
    lockdown::refuse_suspects,
    store::{StoreError, Tx},
};

/// How many roles a tenant defines at most.
pub const MAX_DEFINED: usize = 100;
/// Names that older versions used for two of the eight.
const OLD_NAMES: [&str; 2] = ["user", "admin"];

/// What a role shall be.
#[derive(Debug, Clone)]
pub struct RoleSpec {
    /// The role it is a part of.
    pub base: Role,
    /// What a holder may do: at least one of the base's permissions.
    pub permissions: Vec<Permission>,
    /// What it is for: at most 255 characters.
    pub description: String,
}

/// Why nothing was done with a role.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The caller may not give this role, so it may neither define nor give or take a part of it.
    #[error("the caller may not grant `{0}`")]
    MayNotGrant(Role),
    /// There is no such role, or nobody with this id.
    #[error("no such role or holder")]
    NotFound,
    /// Somebody holds it, or an identity provider gives it.
    #[error("somebody holds the role")]
    Held,
    /// Fields are not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(RoleError);

/// Defines a role of the caller's tenant, or changes it: whoever holds it has its new permissions from the next request on.
///
/// # Errors
///
/// [`RoleError`].
pub async fn define(instance: &Instance, call: &Call, name: &str, spec: RoleSpec) -> Result<DefinedRole, RoleError> {
    call.require(Permission::SettingsWrite)?;
    instance.require_recent(call)?;
    check(name, &spec)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let base = RoleSet::of(&[spec.base]);
    grant::check(instance, call, call.tenant(), base, change.rows()).await?.map_err(RoleError::MayNotGrant)?;
    let all = change.rows().defined_roles().await?;
    let before = all.iter().find(|role| role.name == name);
    let mut texts = vec![("/description", spec.description.as_str())];
    if before.is_none() {
        texts.push(("/name", name));
    }
    refuse_suspects::<RoleError>(instance, change.rows(), &texts).await?;
    match before {
        None if all.len() >= MAX_DEFINED => {
            return Err(Faults::one("", "too_many", format!("a tenant defines at most {MAX_DEFINED} roles")).into());
        }
        Some(before) if before.base != spec.base => {
            // Its holders were checked against its base.
            return Err(Faults::one("/base", "fixed", "a role keeps its base; define another one").into());
        }
        _ => {}
    }
    let role = DefinedRole {
        name: name.to_owned(),
        base: spec.base,
        permissions: PermissionSet::of(&spec.permissions),
        description: spec.description.trim().to_owned(),
        changed_at: instance.now(),
    };
    change.rows().put_role(&role).await?;
    let permissions = role.permissions.iter().map(|permission| permission.as_str().to_owned()).collect();
    let event = Event::new(EventKind::RoleDefined).on("role", name).with("base", Detail::Code(role.base.as_str()));
    change.commit(event.with("permissions", Detail::Names(permissions))).await?;
    instance.callers.forget_all();
    Ok(role)
}

/// Gives up a role of the caller's tenant that nobody holds and no identity provider gives.
///
/// # Errors
///
/// [`RoleError`].
pub async fn delete(instance: &Instance, call: &Call, name: &str) -> Result<(), RoleError> {
    call.require(Permission::SettingsWrite)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    givable(instance, call, name, change.rows()).await?;
    // A provider's map that names it holds it too: or it would give whatever comes to be called so later.
    change.rows().hold_tenant().await?;
    let mapped = change.rows().identity_providers().await?.iter().any(|provider| provider.maps(name));
    if mapped || !change.rows().role_holders(name, 1).await?.is_empty() {
        return Err(RoleError::Held);
    }
    match change.rows().delete_role(name).await {
        Err(StoreError::Changed(_)) => return Err(RoleError::NotFound),
        deleted => deleted?,
    }
    change.commit(Event::new(EventKind::RoleDeleted).on("role", name)).await?;
    Ok(())
}

/// The role with this name, if the caller may give it: who may not neither gives, takes nor deletes it.
pub(super) async fn givable(
    instance: &Instance,
    call: &Call,
    name: &str,
    rows: &mut (dyn Tx + '_),
) -> Result<DefinedRole, RoleError> {
    if !is_name(name) {
        return Err(RoleError::NotFound);
    }
    let role = rows.defined_role(name).await?.ok_or(RoleError::NotFound)?;
    let base = RoleSet::of(&[role.base]);
    grant::check(instance, call, call.tenant(), base, rows).await?.map_err(RoleError::MayNotGrant)?;
    Ok(role)
}

fn check(name: &str, spec: &RoleSpec) -> Result<(), Faults> {
    let mut faults = Faults::default();
    if !is_name(name) {
        faults.add("/name", "format", "use 2 to 63 of a-z, 0-9, _ and -, beginning with a letter");
    } else if name.parse::<Role>().is_ok() || OLD_NAMES.contains(&name) {
        faults.add("/name", "reserved", "this is the name of a built-in role");
    }
    if spec.permissions.is_empty() {
        faults.add("/permissions", "empty", "name at least one permission");
    }
    let held = PermissionSet::of(spec.base.permissions());
    for (position, permission) in spec.permissions.iter().enumerate() {
        if !held.contains(*permission) {
            let message = format!("the base {} does not have this permission", spec.base);
            faults.add(format!("/permissions/{position}"), "not_held", message);
        }
    }
    if spec.description.chars().count() > 255 || spec.description.chars().any(char::is_control) {
        faults.add("/description", "length", "use at most 255 characters, no control characters");
    }
    faults.check()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(name: &str, base: Role, permissions: &[Permission]) -> Vec<(String, &'static str)> {
        let spec = RoleSpec { base, permissions: permissions.to_vec(), description: String::new() };
        match check(name, &spec) {
            Ok(()) => Vec::new(),
            Err(faults) => faults.0.into_iter().map(|fault| (fault.pointer, fault.code)).collect(),
        }
    }

    #[test]
    fn a_role_is_a_part_of_its_base() {
        assert_eq!(codes("night-desk", Role::Staff, &[Permission::DataSeal]), []);
        let wider = codes("night-desk", Role::Staff, &[Permission::DataSeal, Permission::DataOpenRestricted]);
        assert_eq!(wider, [("/permissions/1".to_owned(), "not_held")]);
        assert_eq!(codes("night-desk", Role::Staff, &[]), [("/permissions".to_owned(), "empty")]);
    }

    #[test]
    fn built_in_names_and_odd_ones_are_refused() {
        for name in ["staff", "platform_admin", "user", "admin"] {
            assert_eq!(codes(name, Role::Staff, &[Permission::DataSeal]), [("/name".to_owned(), "reserved")], "{name}");
        }
        for name in ["", "a", "Night", "1night", "night desk", "night.desk", &"a".repeat(64)] {
            assert_eq!(codes(name, Role::Staff, &[Permission::DataSeal]), [("/name".to_owned(), "format")], "{name}");
        }
    }
}
