//! Chosen events of a pack, and what they say in confidence.

use std::collections::BTreeMap;

use chancery_crypto::Phi;

use super::PackScope;
use crate::{
    Instance,
    access::Call,
    audit::{DamagedLog, Detail, Event, EventKind, LoggedEvent, query, sequence},
    certificates::CertificateError,
    ids::{EventId, TenantId},
    store::StoreError,
};

/// What events say in confidence: texts with the salts of their commitments, as canonical JSON.
pub(super) type Disclosed = BTreeMap<EventId, Phi<Vec<u8>>>;

/// The events that a scope names one by one; all that were acknowledged are there.
pub(super) async fn chosen(
    instance: &Instance,
    tenant: TenantId,
    scope: &PackScope,
) -> Result<Vec<LoggedEvent>, CertificateError> {
    let PackScope::Events { ids, .. } = scope else { return Ok(Vec::new()) };
    sequence(instance, tenant).await?;
    let mut view = instance.store().fresh_view(tenant).await?;
    let mut events = Vec::with_capacity(ids.len());
    for id in ids {
        events.push(match view.logged_event(*id).await {
            Err(StoreError::Damaged(_)) => return Err(DamagedLog { log: tenant, at: None }.into()),
            logged => logged?.ok_or(CertificateError::NotFound)?,
        });
    }
    Ok(events)
}

/// Opens what the chosen events say in confidence, if that is wanted, under an event of its own. A part whose key was destroyed
/// stays closed.
pub(super) async fn disclose(
    instance: &Instance,
    call: &Call,
    tenant: TenantId,
    scope: &PackScope,
    chosen: Vec<LoggedEvent>,
) -> Result<Disclosed, CertificateError> {
    if !scope.discloses() {
        return Ok(Disclosed::new());
    }
    let told = Event::new(EventKind::AuditRead).with("what", Detail::Code("disclosed"));
    let shown = query::release_with(instance, call, tenant, chosen, told, true).await?;
    Ok(shown.into_iter().filter_map(|one| Some((one.logged.event.id, one.personal?))).collect())
}
