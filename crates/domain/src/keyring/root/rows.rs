//! What is remembered of the platform root.

use async_trait::async_trait;

use crate::{ids::RecipientId, keyring::RootRecipient, store::StoreError, time::Timestamp};

codes! {
    /// What a version of the platform root may do.
    pub enum RootState {
        /// Wraps; there is one.
        Active = "active",
        /// Wraps nothing new; tenant keys are moved off it.
        Superseded = "superseded",
        /// Nothing is under it, and no recipient holds it.
        Retired = "retired",
    }
}

/// One version of the platform root, without any of its material.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootVersion {
    /// 1, 2, 3…
    pub version: u32,
    /// What it may do.
    pub state: RootState,
    /// Since when.
    pub created_at: Timestamp,
    /// Since when it wraps nothing new.
    pub superseded_at: Option<Timestamp>,
    /// Since when nothing is under it.
    pub retired_at: Option<Timestamp>,
}

/// What derives from an older version of the root and is still needed, under a newer version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootSecret {
    /// The version that it derives from.
    pub version: u32,
    /// The pepper and the key of idempotency.
    pub wrapped: Vec<u8>,
    /// The version that wraps it.
    pub root_version: u32,
}

/// Reads the versions of the platform root.
#[async_trait]
pub trait RootRows {
    /// All versions, oldest first; visible from every tenant.
    async fn roots(&mut self) -> Result<Vec<RootVersion>, StoreError>;
    /// What is kept of older versions, oldest first; in the platform's rows only.
    async fn root_secrets(&mut self) -> Result<Vec<RootSecret>, StoreError>;
}

/// Changes the versions of the platform root, in the platform's rows.
#[async_trait]
pub trait RootWrites {
    /// Adds a version. [`StoreError::Taken`]`("root")` if there is one, or another is active.
    async fn insert_root(&mut self, root: &RootVersion) -> Result<(), StoreError>;

    /// Holds the active version until the end of the transaction, shared, from any tenant: as long as it is held
    /// nobody supersedes it. [`StoreError::Changed`]`("root")` if it is not active any more.
    async fn hold_root(&mut self, version: u32) -> Result<(), StoreError>;

    /// From now on it wraps nothing new; waits for those who hold it. [`StoreError::Changed`]`("root")` if it is not active.
    async fn supersede_root(&mut self, version: u32, at: Timestamp) -> Result<(), StoreError>;

    /// Nothing is under it. [`StoreError::Changed`]`("root")` if it is not superseded.
    async fn retire_root(&mut self, version: u32, at: Timestamp) -> Result<(), StoreError>;

    /// Keeps what derives from an older version, in place of how it was kept before.
    async fn put_root_secret(&mut self, secret: &RootSecret) -> Result<(), StoreError>;

    /// All recipients, held until the end of the transaction: nobody else takes one away meanwhile.
    async fn seize_root_recipients(&mut self) -> Result<Vec<RootRecipient>, StoreError>;

    /// Takes a recipient away. [`StoreError::Changed`]`("root_recipient")` if there is none.
    async fn remove_root_recipient(&mut self, id: RecipientId) -> Result<(), StoreError>;

    /// Notes that a recipient did not give the root back. [`StoreError::Changed`]`("root_recipient")` if there is none.
    async fn fail_root_recipient(&mut self, id: RecipientId, at: Timestamp) -> Result<(), StoreError>;
}
