//! People who log in.

use async_trait::async_trait;

use crate::{access::RoleSet, ids::UserId, store::StoreError, time::Timestamp};

pub mod create;
pub(crate) mod form;
mod import;
pub mod login;
mod name;
mod password;
mod read;
mod register;
mod state;
mod update;

pub use create::{CreateUserError, NewUser, create};
pub use import::{ImportedUser, import};
pub(crate) use login::directory_entry;
pub(crate) use login::hold_unchanged;
pub use login::{LoginError, LoginOutcome, login};
pub use name::{fold_names, name_key};
pub use password::{change_password, force_reset, invite, set_password};
pub use read::{ReadUserError, UserProfile, find_by_email, get, list};
pub use register::{NewRegistration, RegisterError, register};
pub(crate) use state::end_all;
pub use state::{UserChange, change_state, delete};
pub use update::{ChangeUserError, UserPatch, update};

codes! {
    /// Whether a user may log in.
    pub enum UserState {
        /// Yes.
        Active = "active",
        /// No, and what it holds stops working at once.
        Disabled = "disabled",
        /// The same, for now: somebody looks into it.
        Locked = "locked",
        /// Never again. What identified the person is gone; the id stays, for the log.
        Deleted = "deleted",
    }
}

/// A user as stored: what identifies a person is sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Its name at login as it is spelled, in clear: 1 to 100 characters. However it is spelled, nobody else of the tenant has it:
    /// [`name_key`].
    pub username: String,
    /// Its e-mail, sealed.
    pub email: Vec<u8>,
    /// Search terms of its e-mail, one per live index version.
    pub email_terms: Vec<String>,
    /// Whether somebody vouches for its e-mail: an administrator gave it. One that its user gave alone logs nobody in.
    pub email_proven: bool,
    /// Its first name, sealed.
    pub first_name: Option<Vec<u8>>,
    /// Its last name, sealed.
    pub last_name: Option<Vec<u8>>,
    /// Whatever the application notes of it as JSON, sealed.
    pub metadata: Option<Vec<u8>>,
    /// Argon2id in PHC form, or what another system made of it; `None` for users who do not log in by password.
    pub password_hash: Option<String>,
    /// Its roles.
    pub roles: RoleSet,
    /// Whether it may log in.
    pub state: UserState,
    /// Since when.
    pub created_at: Timestamp,
}

/// Without the password's hash and what identifies the person.
impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "User({}, {:?}, {})", self.id, self.roles, self.state)
    }
}

/// Reads users.
#[async_trait]
pub trait UserRows {
    /// By id.
    async fn user(&mut self, id: UserId) -> Result<Option<User>, StoreError>;
    /// By name at login: who is spelled like this, else who is spelled another way ([`name_key`]).
    async fn user_by_username(&mut self, username: &str) -> Result<Option<User>, StoreError>;
    /// By any of these e-mail terms. Terms are truncated, so the caller checks again after opening.
    async fn users_by_email_terms(&mut self, terms: &[String]) -> Result<Vec<User>, StoreError>;
    /// Those that are not deleted, ordered by id, `limit` at a time, those after `after`.
    async fn users(&mut self, after: Option<UserId>, limit: u32) -> Result<Vec<User>, StoreError>;
    /// Those who have no [`name_key`] yet, ordered by id, `limit` at a time, those after `after`, with their names at login.
    async fn unfolded_users(&mut self, after: Option<UserId>, limit: u32) -> Result<Vec<(UserId, String)>, StoreError>;
    /// How many active users hold `role`.
    async fn count_users_with_role(&mut self, role: crate::access::Role) -> Result<u32, StoreError>;
}

/// Changes users.
#[async_trait]
pub trait UserWrites {
    /// Adds one. [`StoreError::Taken`]`("username")`, however that one spells it.
    async fn insert_user(&mut self, user: &User) -> Result<(), StoreError>;
    /// By id, as it stays until the commit: nobody else changes it meanwhile.
    async fn hold_user(&mut self, id: UserId) -> Result<Option<User>, StoreError>;
    /// Replaces everything of a user but its password hash and its moment of creation: [`StoreError::Taken`]`("username")`,
    /// [`StoreError::Changed`]`("user")`.
    async fn update_user(&mut self, user: &User) -> Result<(), StoreError>;
    /// Takes a user's password away: [`StoreError::Changed`]`("user")`.
    async fn clear_password_hash(&mut self, id: UserId) -> Result<(), StoreError>;
    /// Gives a user who has none its [`name_key`], unless somebody else has the same; whether it has one by this.
    async fn fold_username(&mut self, id: UserId, key: &str) -> Result<bool, StoreError>;
    /// Replaces a password hash.
    async fn set_password_hash(&mut self, id: UserId, hash: &str) -> Result<(), StoreError>;
}
