//! What a provider's role map gives: built-in roles, and the tenant's own.

use std::fmt;

use super::IdentityProvider;
use crate::{
    access::Role,
    roles::DefinedRole,
    store::{StoreError, View},
};

/// A role that a value of the role claim gives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum MappedRole {
    /// One of the eight.
    BuiltIn(Role),
    /// One of the tenant's own, by its name.
    Defined(String),
}

impl MappedRole {
    /// The role with this name: built-in, or else one that the tenant may have.
    pub fn named(name: &str) -> Self {
        name.parse().map_or_else(|_| Self::Defined(name.to_owned()), Self::BuiltIn)
    }

    /// The built-in role that it is.
    pub const fn built_in(&self) -> Option<Role> {
        match self {
            Self::BuiltIn(role) => Some(*role),
            Self::Defined(_) => None,
        }
    }

    /// The name, if it is one of the tenant's own.
    pub fn defined(&self) -> Option<&str> {
        match self {
            Self::BuiltIn(_) => None,
            Self::Defined(name) => Some(name),
        }
    }
}

impl fmt::Display for MappedRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn(role) => role.fmt(f),
            Self::Defined(name) => f.write_str(name),
        }
    }
}

impl IdentityProvider {
    /// Whether its map names this role of the tenant's own.
    pub(crate) fn maps(&self, name: &str) -> bool {
        self.role_map.iter().any(|(_, role)| role.defined() == Some(name))
    }
}

/// The tenant's own roles that a provider's map names, as they are now.
pub(super) async fn defined(
    provider: &IdentityProvider,
    view: &mut (dyn View + '_),
) -> Result<Vec<DefinedRole>, StoreError> {
    if provider.role_map.iter().all(|(_, role)| role.defined().is_none()) {
        return Ok(Vec::new());
    }
    let all = view.defined_roles().await?;
    Ok(all.into_iter().filter(|role| provider.maps(&role.name)).collect())
}
