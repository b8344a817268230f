//! Gives a defined role to a user or an API key, and takes it away.

use super::{DefinedRole, RoleError, define::givable};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Change, Detail, Event, EventKind},
    faults::Faults,
    ids::{ApiKeyId, UserId},
    instance::Environment,
    store::{StoreError, Tx},
    users::{UserState, end_all},
};

/// Who may hold a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// A person.
    User(UserId),
    /// A program, by its API key.
    ApiKey(ApiKeyId),
}

impl std::str::FromStr for Holder {
    type Err = crate::ids::ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("apk_") { text.parse().map(Self::ApiKey) } else { text.parse().map(Self::User) }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(id) => id.fmt(f),
            Self::ApiKey(id) => id.fmt(f),
        }
    }
}

/// Gives a role of the caller's tenant to somebody there. Saying so twice changes nothing.
///
/// # Errors
///
/// [`RoleError`].
pub async fn give(instance: &Instance, call: &Call, name: &str, holder: Holder) -> Result<(), RoleError> {
    call.require(match holder {
        Holder::User(_) => Permission::UsersUpdate,
        Holder::ApiKey(_) => Permission::ApiKeysCreate,
    })?;
    instance.require_recent(call)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let role = givable(instance, call, name, change.rows()).await?;
    check(instance, holder, &role, change.rows()).await?;
    change.rows().give_role(name, &holder.to_string(), instance.now()).await?;
    if let (Holder::User(id), true) = (holder, role.base.is_privileged()) {
        // As with built-in roles: one that needs a second factor is not reached by a session without.
        end_all(instance, &mut change, id).await?;
    }
    let event = Event::new(EventKind::RoleGiven).on("role", name).with("holder", Detail::Id(holder.to_string()));
    change.commit(event).await?;
    instance.callers.forget_all();
    Ok(())
}

/// Takes a role of the caller's tenant from somebody, from the next request on.
///
/// # Errors
///
/// [`RoleError`].
pub async fn take(instance: &Instance, call: &Call, name: &str, holder: Holder) -> Result<(), RoleError> {
    call.require(match holder {
        Holder::User(_) => Permission::UsersUpdate,
        Holder::ApiKey(_) => Permission::ApiKeysRevoke,
    })?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    givable(instance, call, name, change.rows()).await?;
    if let Holder::ApiKey(id) = holder {
        // Or a rotation that read its roles before would give this one to its successor.
        change.rows().hold_api_key(id).await?;
    }
    match change.rows().take_role(name, &holder.to_string()).await {
        Err(StoreError::Changed(_)) => return Err(RoleError::NotFound),
        taken => taken?,
    }
    let event = Event::new(EventKind::RoleTaken).on("role", name).with("holder", Detail::Id(holder.to_string()));
    change.commit(event).await?;
    instance.callers.forget_all();
    Ok(())
}

/// Whether somebody may hold the role at all.
async fn check(
    instance: &Instance,
    holder: Holder,
    role: &DefinedRole,
    rows: &mut (dyn Tx + '_),
) -> Result<(), RoleError> {
    match holder {
        Holder::User(id) => {
            let user = rows.user(id).await?.filter(|user| user.state == UserState::Active);
            user.map(|_| ()).ok_or(RoleError::NotFound)
        }
        Holder::ApiKey(id) => {
            let key =
                rows.hold_api_key(id).await?.filter(|key| !key.is_over(instance.now())).ok_or(RoleError::NotFound)?;
            if let Some(user) = key.user {
                let held = rows.roles_of(&user.to_string()).await?;
                if !held.iter().any(|held| held.name == role.name) {
                    return Err(Faults::one("", "not_held", "a key has at most the roles of its user").into());
                }
            }
            let bound = key.expires_at.is_some() && !key.allowed_cidrs.is_empty();
            if role.base.is_privileged() && !bound && instance.settings().environment == Environment::Production {
                let message = "a key with an administrative role needs an expiry and a CIDR list in production";
                return Err(Faults::one("", "required", message).into());
            }
            Ok(())
        }
    }
}
