//! Ends a certificate: it stays, and what became of it is an event of the log.

use serde_json::Value;

use super::{CertificateEnd, CertificateError, EndReason, EndState};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Change, Detail, Event, EventKind, LoggedEvent},
    ids::{CertificateId, EventId},
    store::{StoreError, View},
};

/// The events that end a certificate.
pub(super) const ENDS: [EventKind; 2] = [EndState::Revoked.kind(), EndState::Superseded.kind()];

impl EndState {
    /// The event that tells of it.
    const fn kind(self) -> EventKind {
        match self {
            Self::Revoked => EventKind::CertificateRevoked,
            Self::Superseded => EventKind::CertificateSuperseded,
        }
    }

    /// What an event of this kind tells of, if it is an end.
    pub(crate) fn told_by(kind: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.kind().as_str() == kind)
    }
}

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

/// What became of a certificate, as its rows and the log say. Rows alone are not believed: who owns the tables can take one away,
/// and the certificate would stand again.
pub(super) async fn ends_of(view: &mut dyn View, id: CertificateId) -> Result<Vec<CertificateEnd>, StoreError> {
    let mut ends = view.certificate_ends(id).await?;
    for logged in view.events_on(&id.to_string(), &ENDS).await? {
        let told = read(id, &logged).ok_or(StoreError::Damaged("event"))?;
        if ends.iter().all(|end| end.state != told.state) {
            ends.push(told);
        }
    }
    Ok(ends)
}

/// The end that an event tells of.
fn read(certificate: CertificateId, logged: &LoggedEvent) -> Option<CertificateEnd> {
    let core: Value = serde_json::from_str(&logged.event.core).ok()?;
    let text = |pointer: &str| core.pointer(pointer).and_then(Value::as_str);
    let state = EndState::told_by(&logged.event.kind)?;
    Some(CertificateEnd {
        certificate,
        state,
        reason: text("/detail/reason").and_then(|reason| reason.parse().ok()).unwrap_or(EndReason::Unspecified),
        successor: text("/detail/successor").and_then(|successor| successor.parse().ok()),
        at: logged.event.recorded_at,
        event: logged.event.id,
    })
}

/// The event of an end.
pub(super) fn told(end: &CertificateEnd) -> Event {
    let event = Event::new(end.state.kind())
        .identified(end.event)
        .on("certificate", end.certificate)
        .with("reason", Detail::Code(end.reason.as_str()));
    match end.successor {
        Some(successor) => event.with("successor", Detail::Id(successor.to_string())),
        None => event,
    }
}
