//! Chosen events of a pack, and what they say in confidence.

use std::collections::BTreeMap;

use chancery_crypto::Phi;
use serde_json::Value;

use super::PackScope;
use crate::{
    Instance,
    access::Call,
    audit::{DamagedLog, Detail, Event, EventKind, LoggedEvent, personal, query, sequence},
    certificates::{CertificateError, zip},
    ids::{EventId, TenantId},
    store::StoreError,
};

/// What events say in confidence: texts with the salts of their commitments, as canonical JSON.
pub(super) type Disclosed = BTreeMap<EventId, Phi<Vec<u8>>>;

/// The events that a scope names one by one; all that were acknowledged are there. If what they say in confidence is to be disclosed,
/// nobody took any of that away: a pack without it would say that there was nothing.
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
    drop(view);
    if scope.discloses()
        && let Some(at) = personal::missing(instance, tenant, &events).await?.first()
    {
        return Err(DamagedLog { log: tenant, at: Some(*at) }.into());
    }
    Ok(events)
}

/// Opens what the chosen events say in confidence, if that is wanted, under an event of its own. A part whose key was destroyed
/// stays closed; [`undisclosed`] tells of it.
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

/// The events of a pack that say something in confidence of which it shows nothing: it was not asked for, or does not open.
pub fn undisclosed(pack: &[u8]) -> Vec<EventId> {
    let Ok(files) = zip::read(pack) else { return Vec::new() };
    let lines = files.get("log/entries.jsonl").into_iter().flat_map(|lines| lines.split(|byte| *byte == b'\n'));
    closed(lines, |id| files.contains_key(&format!("disclosures/{id}.json")))
}

/// Those of these events that say something in confidence, and are not shown.
pub(super) fn closed<'a>(cores: impl Iterator<Item = &'a [u8]>, is_shown: impl Fn(EventId) -> bool) -> Vec<EventId> {
    let confiding = |core: &[u8]| {
        let core = serde_json::from_slice::<Value>(core).ok().filter(personal::has_commitments)?;
        core.get("event_id")?.as_str()?.parse::<EventId>().ok()
    };
    cores.filter_map(confiding).filter(|id| !is_shown(*id)).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    #[test]
    fn what_an_event_says_in_confidence_and_a_pack_does_not_show_is_told() {
        let of = |name: &str| {
            let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/packs");
            undisclosed(&fs::read(folder.join(name)).unwrap())
        };
        assert_eq!(of("events.zip").len(), 1, "the other event commits to nothing");
        assert_eq!(of("events-with-texts.zip"), []);
        assert_eq!(undisclosed(b"no pack"), []);
    }
}
