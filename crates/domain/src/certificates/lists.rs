//! Lists certificates: a tenant's evidence of what it does, such as every completed rotation of a key.

use super::{Certificate, CertificateEnd, CertificateError, payload::is_code, revoke::ends_of, verify::not_after};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Detail, Event, EventKind, receipt::note},
    faults::Faults,
    ids::CertificateId,
    time::Timestamp,
};

/// Which certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFilter {
    /// Of this kind.
    pub kind: Option<String>,
    /// After this one.
    pub after: Option<CertificateId>,
    /// At most so many.
    pub limit: u32,
}

/// A certificate and what became of it. Whether its signature and its key are good, only verifying says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedCertificate {
    /// It.
    pub certificate: Certificate,
    /// What ended it.
    pub ends: Vec<CertificateEnd>,
    /// Until when it says that it is valid; for ever if it says nothing.
    pub not_after: Option<Timestamp>,
    /// Whether that is over.
    pub expired: bool,
}

/// Certificates of the caller's tenant, by id, which is nearly by time, and what became of each.
///
/// # Errors
///
/// [`CertificateError`].
pub async fn list(
    instance: &Instance,
    call: &Call,
    filter: &CertificateFilter,
) -> Result<Vec<ListedCertificate>, CertificateError> {
    call.require(Permission::CertificatesRead)?;
    if filter.kind.as_deref().is_some_and(|kind| !is_code(kind)) {
        return Err(Faults::one("/kind", "format", "query: use a kind such as key-rotation").into());
    }
    let mut view = instance.store().view(call.tenant()).await?;
    let found = view.certificates(filter.kind.as_deref(), filter.after, filter.limit).await?;
    let now = instance.now();
    let mut listed = Vec::with_capacity(found.len());
    for certificate in found {
        let ends = ends_of(&mut *view, certificate.id).await?;
        let not_after = not_after(&certificate.envelope);
        let expired = not_after.is_some_and(|end| end < now);
        listed.push(ListedCertificate { certificate, ends, not_after, expired });
    }
    drop(view);
    let count = u64::try_from(listed.len()).unwrap_or(u64::MAX);
    let event = Event::new(EventKind::CertificateRead).with("count", Detail::Count(count));
    note(instance, call, call.tenant(), event).await?;
    Ok(listed)
}
