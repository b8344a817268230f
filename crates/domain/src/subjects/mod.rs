//! The keys of single persons (data subjects). Destroying one erases the person: what was sealed under it opens no more.
//!
//! A person is known by a keyed code of the application's own reference, such as a patient number, and never by the
//! reference itself. Keys are random, wrapped by the subject root, and read from the store for each call: no node keeps
//! one, so erasure holds for all nodes from its commit on. Rows belong into the key bundle, not into the data backup.

pub mod erase;
pub(crate) mod lend;
pub mod rotation;

use async_trait::async_trait;
use chancery_crypto::{Handle, Phi};

pub use erase::{ERASURE_CODE, ERASURE_KIND, Erasure, erase, recreate};
pub use rotation::{Unmoved, move_keys};

use crate::{
    access::Denied,
    approvals::ApprovalError,
    certificates::CertificateError,
    faults::Faults,
    ids::SubjectId,
    instance::{Failure, fails},
    store::StoreError,
    time::Timestamp,
};

/// The longest reference of a person, in bytes.
pub(crate) const MAX_REFERENCE_BYTES: usize = 255;

/// Why a person's key was not lent, destroyed or made.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The reference is not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// Nothing was ever sealed for this person.
    #[error("no such person")]
    NotFound,
    /// The person was erased; nothing more is sealed for them until they are made again.
    #[error("the person was erased")]
    Erased(Phi<String>),
    /// There is nothing left to erase.
    #[error("the person is erased already")]
    AlreadyErased,
    /// The person was not erased, or is made again already.
    #[error("the person is not erased")]
    NotErased,
    /// The approval does not do.
    #[error(transparent)]
    Approval(#[from] ApprovalError),
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(SubjectError);

impl From<CertificateError> for SubjectError {
    fn from(error: CertificateError) -> Self {
        match error {
            CertificateError::Failed(failure) => Self::Failed(failure),
            _ => Self::Failed(Failure::Internal("an erasure could not be certified")),
        }
    }
}

/// Whether a person's reference has a length that it may have.
fn check_reference(subject: &str) -> Result<(), Faults> {
    match subject.len() {
        1..=MAX_REFERENCE_BYTES => Ok(()),
        _ => Err(Faults::one("/subject", "length", "use 1 to 255 bytes")),
    }
}

codes! {
    /// What a person's key may do.
    pub enum SubjectState {
        /// Seals and opens.
        Active = "active",
        /// Gone: a tombstone remains.
        Destroyed = "destroyed",
    }
}

/// The key of one person, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectKey {
    /// Its id.
    pub id: SubjectId,
    /// Names it inside sealed values.
    pub handle: Handle,
    /// HMAC of the application's reference in lower-case hex; never the reference.
    pub reference: String,
    /// The `key_id` of the subject root's version that made the reference.
    pub reference_key: String,
    /// The key under the subject root; `None` once destroyed.
    pub wrapped: Option<Vec<u8>>,
    /// The `key_id` of the subject root's version that wraps it.
    pub root_key: String,
    /// Whether it seals and opens.
    pub state: SubjectState,
    /// Since when.
    pub created_at: Timestamp,
    /// When it was destroyed.
    pub destroyed_at: Option<Timestamp>,
}

/// The key with which a superseded version of the subject root named persons, carried over under a newer version: so
/// persons are found by their references, and the erased are known as such, when the old version is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectReferences {
    /// The `key_id` of the version that made the references.
    pub key_id: String,
    /// Names the key within its wrap.
    pub handle: Handle,
    /// The key under `root_key`.
    pub wrapped: Vec<u8>,
    /// The `key_id` of the version that wraps it.
    pub root_key: String,
}

/// What is under a version of the subject root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubjectHoldings {
    /// Active keys of persons that it wraps.
    pub keys: u64,
    /// Keys of references that it wraps, and its own while rows bear names of its making and it is not carried over.
    pub references: u64,
}

impl SubjectHoldings {
    /// Whether nothing is.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// Reads the keys of persons.
#[async_trait]
pub trait SubjectRows {
    /// Those with one of these references, oldest first; destroyed ones too.
    async fn subject_keys_of(&mut self, references: &[String]) -> Result<Vec<SubjectKey>, StoreError>;
    /// Those with one of these handles, oldest first; destroyed ones too.
    async fn subject_keys_by_handle(&mut self, handles: &[Handle]) -> Result<Vec<SubjectKey>, StoreError>;
    /// Ordered by id, `limit` at a time, those after `after`; destroyed ones too. For the key bundle.
    async fn subject_keys(&mut self, after: Option<SubjectId>, limit: u32) -> Result<Vec<SubjectKey>, StoreError>;
    /// Active ones that this version of the subject root wraps, ordered by id, `limit` at a time, those after `after`.
    async fn subject_keys_under(
        &mut self,
        root_key: &str,
        after: Option<SubjectId>,
        limit: u32,
    ) -> Result<Vec<SubjectKey>, StoreError>;
    /// What is under this version of the subject root. Destroyed keys have names, too.
    async fn subject_holdings(&mut self, root_key: &str) -> Result<SubjectHoldings, StoreError>;
    /// All keys of references that were carried over, ordered by `key_id`.
    async fn subject_references(&mut self) -> Result<Vec<SubjectReferences>, StoreError>;
}

/// Changes the keys of persons.
#[async_trait]
pub trait SubjectWrites {
    /// Adds one. [`StoreError::Taken`]`("subject")` if the person has an active one.
    async fn insert_subject_key(&mut self, key: &SubjectKey) -> Result<(), StoreError>;
    /// Destroys one: its wrapped bytes are overwritten, the rest remains as a tombstone.
    /// [`StoreError::Changed`]`("subject_key")` if it is not active.
    async fn destroy_subject_key(&mut self, id: SubjectId, at: Timestamp) -> Result<(), StoreError>;
    /// Puts an active one under another version of the subject root: wrap and reference of `key` replace those that
    /// were under `from`. [`StoreError::Changed`]`("subject_key")` if it is not active, or not under `from`.
    async fn rewrap_subject_key(&mut self, key: &SubjectKey, from: &str) -> Result<(), StoreError>;
    /// Carries a key of references over. [`StoreError::Taken`]`("subject_references")` if it is.
    async fn insert_subject_references(&mut self, references: &SubjectReferences) -> Result<(), StoreError>;
    /// Puts one under another version of the subject root. [`StoreError::Changed`]`("subject_references")` if it is not
    /// under `from`.
    async fn rewrap_subject_references(&mut self, references: &SubjectReferences, from: &str)
    -> Result<(), StoreError>;
}
