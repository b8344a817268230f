//! How programs log in.

use async_trait::async_trait;
use ipnet::IpNet;

use crate::{
    access::RoleSet,
    ids::{ApiKeyId, UserId},
    store::{ApiKeyEntry, StoreError},
    time::Timestamp,
};

pub mod create;
mod import;
pub mod last_used;
mod list;
pub mod old;
pub mod revoke;
mod rotate;
pub(crate) mod shelf;
pub mod text;
mod update;
mod usage;

pub use create::{CreateApiKeyError, IssuedApiKey, NewApiKey, create};
pub use import::{Imported, MAX_IMPORTED, MAX_OF_PREFIX, OldApiKey, import};
pub use last_used::flush_last_used;
pub use list::{ApiKeyError, get, list};
pub use revoke::revoke;
pub use rotate::{MAX_OVERLAP_SECONDS, rotate};
pub use shelf::{ApiKeyShelf, BELIEVED_SECONDS};
pub use text::{ApiKeyText, KeyEnv};
pub use update::{ApiKeyChange, ChangeApiKeyError, update};
pub use usage::{ApiKeyUse, UsageError, usage};

/// An API key as stored. The secret is nowhere; its digest is in the directory too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id, a part of the key's text.
    pub id: ApiKeyId,
    /// What it is for: 1 to 255 characters.
    pub description: String,
    /// Its roles; with a user, at most that user's.
    pub roles: RoleSet,
    /// The names of its tenant's own roles that it holds, sorted; with a user, at most that user's.
    pub defined_roles: Vec<String>,
    /// The user it acts as.
    pub user: Option<UserId>,
    /// HMAC-SHA-256 of the secret under the pepper.
    pub digest: [u8; 32],
    /// The version of the root that the pepper derives from.
    pub pepper_version: u32,
    /// From where it may be used; empty means anywhere.
    pub allowed_cidrs: Vec<IpNet>,
    /// How often it may be used in a minute; as often as the operator says for all if `None`.
    pub rate_limit: Option<u32>,
    /// Since when.
    pub created_at: Timestamp,
    /// Until when.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Until when it is suspended: its limits refused it again and again. Of what is over by now nothing follows.
    pub suspended_until: Option<Timestamp>,
    /// When it was used last, give or take a minute.
    pub last_used_at: Option<Timestamp>,
    /// The key that replaces it.
    pub replaced_by: Option<ApiKeyId>,
}

impl ApiKey {
    /// Whether it lets nobody in any more.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.revoked_at.is_some() || self.expires_at.is_some_and(|end| end <= now)
    }
}

/// Reads API keys.
#[async_trait]
pub trait ApiKeyRows {
    /// By id.
    async fn api_key(&mut self, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError>;
    /// Ordered by id, `limit` at a time, those after `after`.
    async fn api_keys(&mut self, after: Option<ApiKeyId>, limit: u32) -> Result<Vec<ApiKey>, StoreError>;
    /// How many usable keys (not revoked, neither expired nor suspended at `now`) hold `role`.
    async fn count_api_keys_with_role(&mut self, role: crate::access::Role, now: Timestamp) -> Result<u32, StoreError>;
    /// The tenant's keys of other systems with one of these beginnings of their SHA-256, each with its own: those that were
    /// revoked too. Ordered by beginning and id.
    async fn old_api_keys_of(&mut self, prefixes: &[String]) -> Result<Vec<(String, ApiKeyEntry)>, StoreError>;
}

/// Changes API keys, and the directory's entry with them.
#[async_trait]
pub trait ApiKeyWrites {
    /// As [`ApiKeyRows::api_key`], and nobody else changes it or replaces it until this transaction ends.
    async fn hold_api_key(&mut self, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError>;
    /// Adds one, and gives it its roles.
    async fn insert_api_key(&mut self, key: &ApiKey) -> Result<(), StoreError>;
    /// Replaces its description, its networks, its limit, its end and what replaces it, all as they are in `key`: whoever read
    /// it holds it ([`Self::hold_api_key`]). [`StoreError::Changed`]`("api_key")` if it is revoked.
    async fn update_api_key(&mut self, key: &ApiKey) -> Result<(), StoreError>;
    /// Notes when keys were used last; those that were used later or are gone stay as they are.
    async fn touch_api_keys(&mut self, used: &[(ApiKeyId, Timestamp)]) -> Result<(), StoreError>;
    /// Lets the directory find a key of another system by the beginning of its SHA-256 ([`old::prefix`]).
    async fn insert_old_api_key(&mut self, id: ApiKeyId, prefix: &str) -> Result<(), StoreError>;
    /// Marks it revoked. [`StoreError::Changed`]`("api_key")` if it already is.
    async fn revoke_api_key(&mut self, id: ApiKeyId, at: Timestamp) -> Result<(), StoreError>;
    /// Keeps the digest of the same secret under a newer pepper. [`StoreError::Changed`]`("api_key")` if it is under
    /// another pepper than `from` by now.
    async fn set_api_key_digest(
        &mut self,
        id: ApiKeyId,
        from: u32,
        digest: &[u8; 32],
        pepper_version: u32,
    ) -> Result<(), StoreError>;
}
