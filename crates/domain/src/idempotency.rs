//! Creating twice with one `Idempotency-Key` gives one thing.
//!
//! Kept for 24 hours: a keyed hash of the request and the id of what it made; never the response.
//! [`crate::audit::Change::commit_new`] remembers in the same commit that creates, so no crash and no
//! second node creates twice.

use async_trait::async_trait;
use chancery_crypto::MacKey;

use crate::{
    Instance,
    access::Call,
    ids::TenantId,
    instance::{Failure, fails},
    store::StoreError,
    time::Timestamp,
};

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

/// The right to create once: travels with the call to the commit.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    key: [u8; 32],
    request: [u8; 32],
}

impl Claim {
    /// What to remember of it.
    pub(crate) fn made(self, resource: &str, now: Timestamp) -> Remembered {
        Remembered { key: self.key, request: self.request, resource: resource.to_owned(), created_at: now }
    }
}

/// Whether a creation happened before.
#[derive(Debug)]
pub enum Turn {
    /// No: put the claim into the call.
    First(Claim),
    /// Yes, and this is the id of what it made.
    Again(String),
}

/// Why an `Idempotency-Key` was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// It came with another request before.
    #[error("the key belongs to another request")]
    AnotherRequest,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(ClaimError);

/// Looks whether this caller sent this key for this route before. `target` is the tenant that the new thing will live in.
///
/// # Errors
///
/// [`ClaimError`].
pub async fn claim(
    instance: &Instance,
    call: &Call,
    target: TenantId,
    sent: &str,
    body: &[u8],
) -> Result<Turn, ClaimError> {
    let root = instance.root();
    let (newest, older) = root.idempotency();
    let caller = call.caller.subject().to_string();
    let (home, route) = (call.tenant().to_bytes(), call.request.route.as_bytes());
    let place = target.to_bytes();
    let claim = |mac: &MacKey| Claim {
        key: mac.mac(&[b"key", &home, caller.as_bytes(), route, &place, sent.as_bytes()]),
        request: mac.mac(&[b"body", body]),
    };
    let mut view = instance.store().view(target).await?;
    let oldest = instance.now().plus_seconds(-KEPT_SECONDS);
    // It may have been remembered under an older root.
    for mac in std::iter::once(newest).chain(older) {
        let Claim { key, request } = claim(mac);
        match view.remembered(&key).await?.filter(|entry| entry.created_at > oldest) {
            Some(entry) if entry.request != request => return Err(ClaimError::AnotherRequest),
            Some(entry) => return Ok(Turn::Again(entry.resource)),
            None => {}
        }
    }
    Ok(Turn::First(claim(newest)))
}
