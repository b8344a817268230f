//! Creating twice with one `Idempotency-Key` gives one thing.
//!
//! Kept for 24 hours: a keyed hash of the request and the id of what it made; never the response.

use async_trait::async_trait;

use crate::{store::StoreError, time::Timestamp};

/// How long a key is remembered, in seconds.
pub const KEPT_SECONDS: i64 = 24 * 60 * 60;

/// One remembered creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Keyed hash of caller, route and `Idempotency-Key`.
    pub key: [u8; 32],
    /// Keyed hash of the request's body.
    pub request: [u8; 32],
    /// The id of what was made, in text.
    pub resource: String,
    /// When.
    pub created_at: Timestamp,
}

/// Reads remembered creations.
#[async_trait]
pub trait IdempotencyRows {
    /// What this key made, if it is remembered.
    async fn remembered(&mut self, key: &[u8; 32]) -> Result<Option<Remembered>, StoreError>;
}

/// Remembers creations.
#[async_trait]
pub trait IdempotencyWrites {
    /// Remembers one. [`StoreError::Taken`]`("idempotency_key")` if another request was quicker.
    async fn remember(&mut self, entry: &Remembered) -> Result<(), StoreError>;

    /// Forgets those made before `moment`.
    async fn forget_remembered_before(&mut self, moment: Timestamp) -> Result<(), StoreError>;
}
