//! What is left of a destroyed key, so that no backup brings it back.

use async_trait::async_trait;
use chancery_crypto::{Handle, lv, sha256};

use crate::{
    ids::{ApprovalId, CertificateId},
    store::StoreError,
    time::Timestamp,
};

/// How long a key bundle of `chancery backup` is kept, in days: for so long a destroyed key may still lie in one.
pub const BUNDLE_DAYS: u32 = 35;

codes! {
    /// What was destroyed.
    pub enum TombstoneKind {
        /// A version of a key.
        KeyVersion = "key_version",
        /// A version of the tenant's own key: everything of the tenant.
        TenantKey = "tenant_key",
        /// A person's key.
        SubjectKey = "subject_key",
    }
}

/// What is left of a destroyed key. Never deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// What it was.
    pub kind: TombstoneKind,
    /// Its name: a version's `key_id`, a tenant key's version, a subject key's id.
    pub id: String,
    /// Its name inside sealed values.
    pub handle: Handle,
    /// What tells its wrapped material from any other; see [`fingerprint`].
    pub fingerprint: [u8; 32],
    /// When.
    pub destroyed_at: Timestamp,
    /// Who: a user, an API key, or `system` when its time had come.
    pub destroyed_by: String,
    /// Under which approval.
    pub approval: Option<ApprovalId>,
    /// The certificate that states it.
    pub certificate: Option<CertificateId>,
}

/// SHA-256 over handle and wrapped material: tells two keys apart and nothing of either.
pub fn fingerprint(handle: Handle, wrapped: &[u8]) -> [u8; 32] {
    let mut framed = Vec::new();
    for part in [b"chancery/tombstone/1".as_slice(), &handle.0, wrapped] {
        lv(&mut framed, part);
    }
    sha256(&framed)
}

/// Reads tombstones.
#[async_trait]
pub trait TombstoneRows {
    /// All of the tenant, by kind and id.
    async fn tombstones(&mut self) -> Result<Vec<Tombstone>, StoreError>;
    /// How many keys of the tenant were destroyed, those of rotated tenant keys included, which have no tombstone.
    async fn destroyed_keys(&mut self) -> Result<u64, StoreError>;
}

/// Sets tombstones. Nothing takes one away.
#[async_trait]
pub trait TombstoneWrites {
    /// Sets one. [`StoreError::Taken`]`("tombstone")` if there is one for this key.
    async fn insert_tombstone(&mut self, tombstone: &Tombstone) -> Result<(), StoreError>;
}
