//! How programs log in.

use async_trait::async_trait;
use ipnet::IpNet;

use crate::{
    access::RoleSet,
    ids::{ApiKeyId, UserId},
    store::StoreError,
    time::Timestamp,
};

pub mod create;
mod list;
pub mod revoke;
pub mod text;

pub use create::{CreateApiKeyError, IssuedApiKey, NewApiKey, create};
pub use list::{ApiKeyError, list};
pub use revoke::revoke;
pub use text::{ApiKeyText, KeyEnv};

/// An API key as stored. The secret is nowhere; its digest is in the directory too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id, a part of the key's text.
    pub id: ApiKeyId,
    /// What it is for: 1 to 255 characters.
    pub description: String,
    /// Its roles; with a user, at most that user's.
    pub roles: RoleSet,
    /// The user it acts as.
    pub user: Option<UserId>,
    /// HMAC-SHA-256 of the secret under the pepper.
    pub digest: [u8; 32],
    /// The version of the root that the pepper derives from.
    pub pepper_version: u32,
    /// From where it may be used; empty means anywhere.
    pub allowed_cidrs: Vec<IpNet>,
    /// Since when.
    pub created_at: Timestamp,
    /// Until when.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Reads API keys.
#[async_trait]
pub trait ApiKeyRows {
    /// By id.
    async fn api_key(&mut self, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError>;
    /// Ordered by id, `limit` at a time, those after `after`.
    async fn api_keys(&mut self, after: Option<ApiKeyId>, limit: u32) -> Result<Vec<ApiKey>, StoreError>;
    /// How many usable keys (not revoked, not expired at `now`) hold `role`.
    async fn count_api_keys_with_role(&mut self, role: crate::access::Role, now: Timestamp) -> Result<u32, StoreError>;
}

/// Changes API keys, and the directory's entry with them.
#[async_trait]
pub trait ApiKeyWrites {
    /// Adds one.
    async fn insert_api_key(&mut self, key: &ApiKey) -> Result<(), StoreError>;
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
