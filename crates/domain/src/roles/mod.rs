//! Roles that a tenant defines: subsets of one of the eight, given to its people and programs.
//!
//! A defined role only ever narrows: it holds some of its base's permissions and grants nothing. Whoever may grant the base may
//! define it, give it and take it away. See `docs/adr/0017-api-keys-and-roles.md`.

use async_trait::async_trait;

use crate::{
    access::{PermissionSet, Role, RoleSet},
    store::{StoreError, View},
    time::Timestamp,
};

mod define;
mod explain;
mod give;
mod list;

pub use define::{MAX_DEFINED, RoleError, RoleSpec, define, delete};
pub use explain::{Explanation, Question, Reason, Subject, explain};
pub use give::{Holder, give, take};
pub use list::{Held, Overview, get, list, permissions};

/// A role that a tenant defined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinedRole {
    /// Its name: 2 to 63 of `a-z 0-9 _ -`, beginning with a letter; none of the eight.
    pub name: String,
    /// The role it is a part of.
    pub base: Role,
    /// What a holder may do: some of what a holder of the base may.
    pub permissions: PermissionSet,
    /// What it is for: at most 255 characters.
    pub description: String,
    /// Since when it is as it is.
    pub changed_at: Timestamp,
}

impl DefinedRole {
    /// What it gives. A permission that its base lost in a later version of Chancery is gone.
    pub fn effective(&self) -> PermissionSet {
        self.permissions.intersection(PermissionSet::of(self.base.permissions()))
    }
}

/// Whether a text can be the name of a defined role; asked before it is looked up.
pub(crate) fn is_name(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    (2..=63).contains(&text.len()) && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.bytes().all(letter)
}

/// What these roles give together.
pub(crate) fn permissions_of(roles: &[DefinedRole]) -> PermissionSet {
    roles.iter().fold(PermissionSet::default(), |all, role| all.union(role.effective()))
}

/// Somebody's built-in roles, and those that the defined ones are parts of: who may not grant a role does not touch its holders,
/// nor those of a part of it.
pub(crate) async fn all_of(rows: &mut (dyn View + '_), holder: Holder, roles: RoleSet) -> Result<RoleSet, StoreError> {
    let defined = rows.roles_of(&holder.to_string()).await?;
    Ok(roles.union(RoleSet::of(&defined.iter().map(|role| role.base).collect::<Vec<_>>())))
}

/// Reads defined roles and who holds them.
#[async_trait]
pub trait RoleRows {
    /// All of the tenant's, ordered by name.
    async fn defined_roles(&mut self) -> Result<Vec<DefinedRole>, StoreError>;
    /// By name.
    async fn defined_role(&mut self, name: &str) -> Result<Option<DefinedRole>, StoreError>;
    /// Those of a holder: a user's or an API key's id. Ordered by name.
    async fn roles_of(&mut self, holder: &str) -> Result<Vec<DefinedRole>, StoreError>;
    /// Who holds one, ordered by id, at most `limit`.
    async fn role_holders(&mut self, name: &str, limit: u32) -> Result<Vec<String>, StoreError>;
}

/// Changes defined roles and who holds them.
#[async_trait]
pub trait RoleWrites {
    /// Adds one, or replaces what it is.
    async fn put_role(&mut self, role: &DefinedRole) -> Result<(), StoreError>;
    /// Removes one that nobody holds. [`StoreError::Changed`]`("role")` if there is none.
    async fn delete_role(&mut self, name: &str) -> Result<(), StoreError>;
    /// Gives one to somebody who may hold it already.
    async fn give_role(&mut self, name: &str, holder: &str, at: Timestamp) -> Result<(), StoreError>;
    /// Takes one from somebody. [`StoreError::Changed`]`("role")` if they do not hold it.
    async fn take_role(&mut self, name: &str, holder: &str) -> Result<(), StoreError>;
}
