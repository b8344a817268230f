//! Ends a certificate: it stays, and what became of it is an event of the log.

use super::{CertificateEnd, CertificateError, EndReason, EndState};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Change, Detail, Event, EventKind},
    ids::{CertificateId, EventId},
    store::StoreError,
};

/// Revokes a certificate of the caller's tenant, for good.
///
/// # Errors
///
/// [`CertificateError`]; [`CertificateError::Ended`] if it was revoked before.
pub async fn revoke(
    instance: &Instance,
    call: &Call,
    id: CertificateId,
    reason: EndReason,
) -> Result<CertificateEnd, CertificateError> {
    call.require(Permission::CertificatesRevoke)?;
    instance.require_recent(call)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    change.rows().certificate(id).await?.ok_or(CertificateError::NotFound)?;
    let now = instance.now();
    let end = CertificateEnd {
        certificate: id,
        state: EndState::Revoked,
        reason,
        successor: None,
        at: now,
        event: EventId::make(now, instance.random())?,
    };
    note(&mut change, &end).await?;
    change.commit(told(&end)).await?;
    Ok(end)
}

/// Puts an end into the store.
pub(super) async fn note(change: &mut Change<'_>, end: &CertificateEnd) -> Result<(), CertificateError> {
    match change.rows().insert_certificate_end(end).await {
        Err(StoreError::Taken(_)) => Err(CertificateError::Ended),
        noted => Ok(noted?),
    }
}

/// The event of an end.
pub(super) fn told(end: &CertificateEnd) -> Event {
    let kind = match end.state {
        EndState::Revoked => EventKind::CertificateRevoked,
        EndState::Superseded => EventKind::CertificateSuperseded,
    };
    let event = Event::new(kind)
        .identified(end.event)
        .on("certificate", end.certificate)
        .with("reason", Detail::Code(end.reason.as_str()));
    match end.successor {
        Some(successor) => event.with("successor", Detail::Id(successor.to_string())),
        None => event,
    }
}
