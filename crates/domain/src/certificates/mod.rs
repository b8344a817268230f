//! Signed statements that anyone can verify offline, with no room for PHI.

use async_trait::async_trait;

use crate::{
    ids::{CertificateId, EventId},
    store::StoreError,
    time::Timestamp,
};

mod batch;
mod desk;
pub mod issue;
mod lists;
pub mod offline;
pub mod pack;
pub mod payload;
mod revoke;
pub mod trust;
pub mod verify;
mod zip;

pub use batch::issue_all;
pub use issue::{CertificateError, Issued, get, issue};
pub(crate) use issue::{issue_within, state, with_key_of_today};
pub use lists::{CertificateFilter, ListedCertificate, list};
pub(crate) use offline::archive_parts;
pub use offline::{PackReport, PackVerdict, verify_archive, verify_pack};
pub(crate) use pack::archive::ArchiveParts;
pub(crate) use pack::archive::{ArchiveFile, archive};
pub use pack::{PackScope, assemble, export, pack, undisclosed};
pub use payload::{Claim, Evidence};
pub use revoke::revoke;
pub use trust::trust_file;
pub use verify::{Report, Verdict, verify, verify_envelope};
pub(crate) use verify::{is_as_signed, tells_of};

/// The DSSE payload type of a certificate.
pub const PAYLOAD_TYPE: &str = "application/vnd.chancery.certificate.v1+json";

/// A certificate as stored: the exact signed bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its id.
    pub id: CertificateId,
    /// Thumbprint of the key that signed it.
    pub key_id: String,
    /// What it states, such as `access-report`.
    pub kind: String,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// The DSSE envelope as canonical JSON.
    pub envelope: Vec<u8>,
    /// The `certificate.issued` event in the log.
    pub event: EventId,
}

codes! {
    /// What a certificate became.
    pub enum EndState {
        /// It was revoked.
        Revoked = "revoked",
        /// Another one took its place.
        Superseded = "superseded",
    }
}

codes! {
    /// Why a certificate does not stand any more.
    pub enum EndReason {
        /// Not said.
        Unspecified = "unspecified",
        /// What it states is wrong.
        Error = "error",
        /// What it states is no longer so.
        Withdrawn = "withdrawn",
        /// It should not have been issued: somebody had no right to, or deceived.
        Unauthorised = "unauthorised",
        /// Another one states it anew.
        Superseded = "superseded",
    }
}

/// The end of a certificate. Its bytes and its place in the log stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateEnd {
    /// Which certificate.
    pub certificate: CertificateId,
    /// What it became.
    pub state: EndState,
    /// Why.
    pub reason: EndReason,
    /// What took its place.
    pub successor: Option<CertificateId>,
    /// Since when.
    pub at: Timestamp,
    /// The event in the log that says so.
    pub event: EventId,
}

/// Reads certificates.
#[async_trait]
pub trait CertificateRows {
    /// By id.
    async fn certificate(&mut self, id: CertificateId) -> Result<Option<Certificate>, StoreError>;

    /// What became of one: nothing, or one end of each state.
    async fn certificate_ends(&mut self, id: CertificateId) -> Result<Vec<CertificateEnd>, StoreError>;

    /// Those that speak of what has this keyed reference, by id; ids above `after`, at most `limit`.
    async fn certificates_about(
        &mut self,
        reference: &str,
        after: Option<CertificateId>,
        limit: u32,
    ) -> Result<Vec<CertificateId>, StoreError>;

    /// Whether one speaks of what has this keyed reference.
    async fn is_certificate_about(&mut self, id: CertificateId, reference: &str) -> Result<bool, StoreError>;

    /// All, or those of a kind, by id, which is nearly by time; ids above `after`, at most `limit`.
    async fn certificates(
        &mut self,
        kind: Option<&str>,
        after: Option<CertificateId>,
        limit: u32,
    ) -> Result<Vec<Certificate>, StoreError>;

    /// Since when what looks like personal data is refused; `None` if it is not.
    async fn lockdown_since(&mut self) -> Result<Option<Timestamp>, StoreError>;
}

/// Adds certificates; nothing changes or removes one.
#[async_trait]
pub trait CertificateWrites {
    /// Adds one.
    async fn insert_certificate(&mut self, certificate: &Certificate) -> Result<(), StoreError>;

    /// Notes of whom one speaks, by a keyed reference.
    async fn insert_certificate_subject(&mut self, id: CertificateId, reference: &str) -> Result<(), StoreError>;

    /// Ends one. [`StoreError::Taken`]`("certificate_end")` if it became that already.
    async fn insert_certificate_end(&mut self, end: &CertificateEnd) -> Result<(), StoreError>;

    /// Says since when what looks like personal data is refused, or that it is not.
    async fn set_lockdown(&mut self, since: Option<Timestamp>) -> Result<(), StoreError>;
}
