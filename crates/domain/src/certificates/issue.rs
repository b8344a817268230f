//! Issues a certificate: signed with the key of the caller's tenant, whichever key the caller may wish for.

use super::{
    Certificate,
    desk::Desk,
    payload::{self, Claim},
};
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    audit::{Change, DamagedLog, Event, EventKind, query::ReadAuditError, receipt::note},
    faults::Faults,
    ids::{CertificateId, TenantId},
    instance::{Fails, Failure, fails},
    keyring::KeyringError,
    lockdown::Detector,
};

/// A certificate, and the salt that lets its holder prove whom it speaks of.
#[derive(Debug)]
pub struct Issued {
    /// The certificate as stored.
    pub certificate: Certificate,
    /// 32 bytes, given out once.
    pub subject_salt: [u8; 32],
}

/// Why a certificate was not issued or read.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Not allowed, or another tenant's.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The claim is not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// There is none with this id in the tenant.
    #[error("no such certificate")]
    NotFound,
    /// It looks as if personal data were in it, and the tenant is locked down: where, and what it looks like.
    #[error("it looks as if personal data were in it")]
    PhiSuspected(Vec<(String, Detector)>),
    /// It does not stand any more.
    #[error("the certificate has ended already")]
    Ended,
    /// Its event did not reach the log in time.
    #[error("the certificate is not in the log yet")]
    NotYetSequenced,
    /// What is stored of the log is not what was logged.
    #[error(transparent)]
    Damaged(#[from] DamagedLog),
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(CertificateError);

impl From<crate::audit::SequenceError> for CertificateError {
    fn from(error: crate::audit::SequenceError) -> Self {
        use crate::audit::SequenceError;
        match error {
            SequenceError::Busy => Self::NotYetSequenced,
            SequenceError::Forked(log) => Self::Damaged(DamagedLog { log, at: None }),
            SequenceError::RolledBack(_) => Self::Failed(Failure::Audit(crate::store::StoreError::Changed("log"))),
            SequenceError::Failed(failure) => Self::Failed(failure),
        }
    }
}

impl From<ReadAuditError> for CertificateError {
    fn from(error: ReadAuditError) -> Self {
        match error {
            ReadAuditError::Denied(denied) => Self::Denied(denied),
            ReadAuditError::Invalid(faults) => Self::Invalid(faults),
            ReadAuditError::NotFound => Self::NotFound,
            ReadAuditError::NotYetSequenced => Self::NotYetSequenced,
            ReadAuditError::RolledBack => Self::Failed(Failure::Audit(crate::store::StoreError::Changed("log"))),
            ReadAuditError::Damaged(damaged) => Self::Damaged(damaged),
            ReadAuditError::Failed(failure) => Self::Failed(failure),
        }
    }
}

/// Issues a certificate of the caller's tenant.
///
/// # Errors
///
/// [`CertificateError`].
pub async fn issue(instance: &Instance, call: &Call, claim: &Claim) -> Result<Issued, CertificateError> {
    payload::require(call)?;
    claim.check(&call.caller, instance.now())?;
    with_key_of_today(instance, call.tenant(), || try_issue(instance, call, claim)).await
}

/// Does a deed that issues a certificate, from its beginning to its commit; once more if another node rotated the tenant's
/// certificate key since this one last looked.
pub(crate) async fn with_key_of_today<T, E: Fails, Doing: Future<Output = Result<T, E>>>(
    instance: &Instance,
    tenant: TenantId,
    deed: impl Fn() -> Doing,
) -> Result<T, E> {
    let outcome = deed().await;
    let failure = outcome.as_ref().err().and_then(Fails::failure);
    if !matches!(failure, Some(Failure::Keyring(KeyringError::NoActiveKey(_)))) {
        return outcome;
    }
    instance.end_lease(tenant);
    deed().await
}

/// States something as Chancery itself, in the caller's commit: the kinds that applications may not use.
pub(crate) async fn state(
    instance: &Instance,
    change: &mut Change<'_>,
    claim: &Claim,
) -> Result<CertificateId, Failure> {
    let issued = issue_within(instance, change, claim).await;
    let (issued, event) = issued.map_err(|error| match error {
        CertificateError::Failed(failure) => failure,
        _ => Failure::Internal("a statement of our own is not valid"),
    })?;
    change.record(event).await?;
    Ok(issued.certificate.id)
}

async fn try_issue(instance: &Instance, call: &Call, claim: &Claim) -> Result<Issued, CertificateError> {
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let (issued, event) = issue_within(instance, &mut change, claim).await?;
    change.commit_new(event).await?;
    Ok(issued)
}

/// Issues a certificate of what a change does, in that change: gives it with the event that tells of it, to be
/// recorded or committed. Its kind may be Chancery's own.
///
/// # Errors
///
/// [`CertificateError`].
pub(crate) async fn issue_within(
    instance: &Instance,
    change: &mut Change<'_>,
    claim: &Claim,
) -> Result<(Issued, Event), CertificateError> {
    Desk::open(change).await?.issue(instance, change, claim).await
}

/// A certificate of `tenant`.
///
/// # Errors
///
/// [`CertificateError`]. A foreign one is as missing as one that never was.
pub async fn get(
    instance: &Instance,
    call: &Call,
    tenant: TenantId,
    id: CertificateId,
) -> Result<Certificate, CertificateError> {
    instance.enter(call, tenant, Permission::CertificatesRead, Permission::CrossTenantRead).await??;
    let certificate = instance.store().view(tenant).await?.certificate(id).await?;
    let certificate = certificate.ok_or(CertificateError::NotFound)?;
    note(instance, call, tenant, Event::new(EventKind::CertificateRead).on("certificate", id)).await?;
    Ok(certificate)
}
