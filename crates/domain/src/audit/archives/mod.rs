//! Closed months of a log in files outside the store (ADR 0026).
//!
//! An archive holds the events of one month with their personal parts as they lie in the store, sealed once more as a whole
//! under the tenant's audit root. Beside it, in the clear, are the leaf hashes, the proof that they are under a signed head,
//! and the keys that signed it, so that anybody can check an archive, and only the tenant's keys open it. What was sealed for a
//! person stays so within it: when the person's key is destroyed, an archive does not give it either.
//!
//! An archive is written once, read back, opened and checked before the store says that it is there. What the store says later is
//! looked at again: a row can be written by whoever writes to it, and a file be lost.

use async_trait::async_trait;

use super::{SequenceError, query::ReadAuditError, retention::Month};
use crate::{
    Instance,
    access::Denied,
    certificates::CertificateError,
    ids::{EventId, TenantId},
    instance::{Failure, fails},
    store::StoreError,
    time::Timestamp,
};

mod content;
mod due;
mod read;
mod seen;
mod write;

pub(super) use due::covers;
pub use read::{again, list, open};
pub(crate) use seen::Seen;
pub use write::tend;

/// A part of a month in one place. A month of many events has several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Where it is kept: the name of an [`ArchiveStore`].
    pub place: String,
    /// The first place of the log.
    pub first: u64,
    /// The place after the last one.
    pub end: u64,
    /// In which month its events were recorded.
    pub month: Month,
    /// SHA-256 of the file.
    pub digest: [u8; 32],
    /// How long the file is.
    pub bytes: u64,
    /// The event of the log that tells of it.
    pub event: EventId,
    /// When it was written and read back.
    pub written_at: Timestamp,
}

impl Archive {
    /// The file's name in its place.
    pub fn name(&self, tenant: TenantId) -> String {
        name(tenant, self.month, (self.first, self.end))
    }
}

/// Of one part of one log there is one name, whoever writes it.
fn name(tenant: TenantId, month: Month, (first, end): (u64, u64)) -> String {
    format!("{tenant}/{month}-{first}-{end}.archive")
}

/// Reads what was archived.
#[async_trait]
pub trait ArchiveRows {
    /// Every archive that can be read, by place and where it begins. Rows alone are not believed: it is the file that counts.
    async fn archives(&mut self) -> Result<Vec<Archive>, StoreError>;
}

/// Notes what was archived.
#[async_trait]
pub trait ArchiveWrites {
    /// Notes one. [`StoreError::Taken`]`("archive")` if it is noted already.
    async fn insert_archive(&mut self, archive: &Archive) -> Result<(), StoreError>;
}

/// Keeps files: a folder, or a bucket.
#[async_trait]
pub trait ArchiveStore: Send + Sync {
    /// Its name, by which the store knows it.
    fn name(&self) -> &str;
    /// Keeps a file, durably, and until this moment at least where the place can promise that. A file that is there already
    /// stays as it is: [`ArchiveFault::Exists`].
    async fn put(&self, name: &str, file: &[u8], until: Timestamp) -> Result<(), ArchiveFault>;
    /// The file of this name.
    async fn get(&self, name: &str) -> Result<Vec<u8>, ArchiveFault>;
}

/// Why a place did not keep or give a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveFault {
    /// There is a file of that name.
    #[error("there is a file of that name")]
    Exists,
    /// There is none.
    #[error("there is no file of that name")]
    Missing,
    /// What is there under that name is no file, cannot be read, or is longer than any archive.
    #[error("what is there under that name is no archive")]
    Occupied,
    /// It did not answer, or refused: a stable code such as `io.storage_full`.
    #[error("the place of archives is away: {0}")]
    Away(String),
}

/// Why nothing was archived, or an archive not shown.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There is no such archive, or its place is not configured here.
    #[error("no such archive")]
    NotFound,
    /// Its place does not give or keep it.
    #[error(transparent)]
    Place(#[from] ArchiveFault),
    /// What is there is not what was written.
    #[error("an archive is not what was written")]
    Damaged,
    /// The log cannot be signed, so nothing of it is archived.
    #[error("the log cannot be signed")]
    Unsigned,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(ArchiveError);

impl From<SequenceError> for ArchiveError {
    fn from(error: SequenceError) -> Self {
        match error {
            SequenceError::Failed(failure) => Self::Failed(failure),
            _ => Self::Unsigned,
        }
    }
}

impl From<CertificateError> for ArchiveError {
    fn from(error: CertificateError) -> Self {
        match error {
            CertificateError::Failed(failure) => Self::Failed(failure),
            _ => Self::Failed(Failure::Internal("an archive could not be made")),
        }
    }
}

impl From<ReadAuditError> for ArchiveError {
    fn from(error: ReadAuditError) -> Self {
        match error {
            ReadAuditError::Denied(denied) => Self::Denied(denied),
            ReadAuditError::Failed(failure) => Self::Failed(failure),
            _ => Self::Failed(Failure::Internal("an archive could not be released")),
        }
    }
}

impl Instance {
    /// Keeps archives in these places from here on. Only the first call counts.
    pub fn keep_archives_at(&self, places: Vec<std::sync::Arc<dyn ArchiveStore>>) {
        let _ = self.archives.set(places);
    }

    /// Where archives are kept; nowhere if there are none.
    pub fn archives(&self) -> &[std::sync::Arc<dyn ArchiveStore>] {
        self.archives.get().map(Vec::as_slice).unwrap_or_default()
    }
}
