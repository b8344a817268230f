//! Signed statements that anyone can verify offline, with no room for PHI.

use async_trait::async_trait;

use crate::{
    ids::{CertificateId, EventId},
    store::StoreError,
    time::Timestamp,
};

pub mod issue;
pub mod offline;
pub mod pack;
pub mod payload;
pub mod trust;
pub mod verify;
mod zip;

pub use issue::{CertificateError, Issued, get, issue};
pub(crate) use issue::{issue_within, state, with_key_of_today};
pub use offline::{PackReport, PackVerdict, verify_pack};
pub use pack::{PackScope, assemble, export, pack};
pub use payload::{Claim, Evidence};
pub use trust::trust_file;
pub use verify::{Report, Verdict, verify, verify_envelope};

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

/// Reads certificates.
#[async_trait]
pub trait CertificateRows {
    /// By id.
    async fn certificate(&mut self, id: CertificateId) -> Result<Option<Certificate>, StoreError>;
}

/// Adds certificates; nothing changes or removes one.
#[async_trait]
pub trait CertificateWrites {
    /// Adds one.
    async fn insert_certificate(&mut self, certificate: &Certificate) -> Result<(), StoreError>;
}
