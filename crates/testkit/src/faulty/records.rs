//! Rows of personal data, and of certificates.

use async_trait::async_trait;
use chancery_crypto::Handle;
use chancery_domain::census::{CensusRows, CensusWrites, Counted, OwnValue};
use chancery_domain::certificates::{Certificate, CertificateEnd, CertificateRows, CertificateWrites};
use chancery_domain::datasets::{Dataset, DatasetJob, DatasetRows, DatasetWrites};
use chancery_domain::fields::{Field, FieldRows, FieldWrites};
use chancery_domain::ids::{CertificateId, DatasetId, DatasetJobId, KeyId, SubjectId};
use chancery_domain::indexes::{Index, IndexRows, IndexWrites};
use chancery_domain::store::StoreError;
use chancery_domain::subjects::{SubjectHoldings, SubjectKey, SubjectReferences, SubjectRows, SubjectWrites};
use chancery_domain::time::Timestamp;

use super::FaultyTx;

hand_on!(FieldRows { fn fields() -> Vec<Field>; });
hand_on!(FieldWrites { fn put_field(field: &Field) -> (); });
hand_on!(IndexRows { fn indexes() -> Vec<Index>; });
hand_on!(IndexWrites { fn put_index(index: &Index) -> (); });
hand_on!(SubjectRows {
    fn subject_keys_of(references: &[String]) -> Vec<SubjectKey>;
    fn subject_keys_by_handle(handles: &[Handle]) -> Vec<SubjectKey>;
    fn subject_keys(after: Option<SubjectId>, limit: u32) -> Vec<SubjectKey>;
    fn subject_keys_under(root_key: &str, after: Option<SubjectId>, limit: u32) -> Vec<SubjectKey>;
    fn subject_holdings(root_key: &str) -> SubjectHoldings;
    fn subject_references() -> Vec<SubjectReferences>;
});
hand_on!(SubjectWrites {
    fn insert_subject_key(key: &SubjectKey) -> ();
    fn destroy_subject_key(id: SubjectId, at: Timestamp) -> ();
    fn rewrap_subject_key(key: &SubjectKey, from: &str) -> ();
    fn insert_subject_references(references: &SubjectReferences) -> ();
    fn rewrap_subject_references(references: &SubjectReferences, from: &str) -> ();
});
hand_on!(DatasetRows {
    fn datasets() -> Vec<Dataset>;
    fn dataset(name: &str) -> Option<Dataset>;
    fn dataset_job(id: DatasetJobId) -> Option<DatasetJob>;
    fn open_dataset_jobs() -> Vec<DatasetJob>;
});
hand_on!(DatasetWrites {
    fn put_dataset(dataset: &Dataset) -> ();
    fn delete_dataset(id: DatasetId) -> ();
    fn insert_dataset_job(job: &DatasetJob) -> ();
    fn claim_dataset_job(id: DatasetJobId, node: &str, now: Timestamp, until: Timestamp) -> bool;
    fn save_dataset_job(job: &DatasetJob, node: &str) -> ();
});
hand_on!(CensusRows {
    fn counts(key: KeyId) -> Vec<Counted>;
    fn own_sealed() -> Vec<(Handle, u64)>;
    fn own_under(handle: Handle, after: Option<&OwnValue>, limit: u32) -> Vec<OwnValue>;
    fn own_terms() -> u64;
});
hand_on!(CensusWrites {
    fn put_count(count: &Counted) -> ();
    fn swap_own(value: &OwnValue, sealed: &[u8]) -> bool;
});
hand_on!(CertificateRows {
    fn certificate(id: CertificateId) -> Option<Certificate>;
    fn certificate_ends(id: CertificateId) -> Vec<CertificateEnd>;
    fn certificates_about(reference: &str, after: Option<CertificateId>, limit: u32) -> Vec<CertificateId>;
    fn is_certificate_about(id: CertificateId, reference: &str) -> bool;
    fn certificates(kind: Option<&str>, after: Option<CertificateId>, limit: u32) -> Vec<Certificate>;
    fn lockdown_since() -> Option<Timestamp>;
});
hand_on!(CertificateWrites {
    fn insert_certificate(certificate: &Certificate) -> ();
    fn insert_certificate_subject(id: CertificateId, reference: &str) -> ();
    fn insert_certificate_end(end: &CertificateEnd) -> ();
    fn set_lockdown(since: Option<Timestamp>) -> ();
});
