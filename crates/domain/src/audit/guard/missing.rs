//! Logs that are gone as a whole: of a tenant that the store does not have, the pin is left.

use std::{collections::BTreeMap, sync::PoisonError};

use super::{
    Finding, IntegrityCheck,
    pin::{failed, pinned},
    request,
    scrub::finding_event,
};
use crate::{
    Instance,
    audit::{receipt::note_all, sequence::SequenceError, stamp::Actor},
    ids::TenantId,
};

/// Looks for logs of which a head was signed and whose tenant is not there. Each is told of once by a process, in the
/// platform's log, and keeps it from being ready until somebody accepts that ([`accept_restore`](super::accept_restore)).
///
/// # Errors
///
/// [`SequenceError`].
pub async fn look_for_logs(instance: &Instance) -> Result<Vec<(TenantId, Finding)>, SequenceError> {
    let guard = instance.guard();
    let Some(pins) = guard.pins() else { return Ok(Vec::new()) };
    let mut missing = BTreeMap::new();
    for tenant in pins.pinned_tenants().await.map_err(failed)? {
        if tenant.is_platform() || instance.directory().tenant(tenant).await?.is_some() {
            continue;
        }
        // Read after the tenant was looked for: one that was accepted meanwhile has no pin any more.
        if let Some(pin) = pinned(instance, tenant).await? {
            missing.insert(tenant, Finding { check: IntegrityCheck::LogMissing, at: pin.head().size });
        }
    }
    let known = guard.missing.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for back in known.iter().filter(|tenant| !missing.contains_key(tenant)) {
        guard.note_damaged(*back, false);
    }
    let mut events = Vec::new();
    for (tenant, finding) in missing.iter().filter(|(tenant, _)| !known.contains(tenant)) {
        guard.count(finding.check, 1);
        guard.note_damaged(*tenant, true);
        events.push(finding_event(*tenant, finding.check, 1, finding.at));
    }
    let request = request(instance, "scrub", "JOB")?;
    note_all(instance, Actor::System(&request), TenantId::PLATFORM, events).await?;
    *guard.missing.lock().unwrap_or_else(PoisonError::into_inner) = missing.keys().copied().collect();
    Ok(missing.into_iter().collect())
}
