//! What is sealed in an archive: a line of canonical JSON for each event, in the order of the log.

use chancery_crypto::{
    BLOB_HEADER, BlobHeader, Secret, canonical,
    merkle::{self, Hash},
};
use data_encoding::BASE64;
use serde_json::{Value, json};

use super::ArchiveError;
use crate::{
    Instance,
    audit::{AuditReceipt, EventFilter, LoggedEvent, QueuedEvent},
    fields::system,
    ids::TenantId,
    instance::Failure,
    keyring::{Keyring, KeyringError, ring::Place, subject_keys::Subjects},
    store::{StoreError, View},
};

/// How many events are read at once: with all the text an application may send, they are a few megabytes.
const PAGE: u32 = 100;
/// When so many bytes of lines are there, the archive ends: it is made in memory, of which there are a few copies at one time.
const ENOUGH: usize = 16 << 20;

/// The events of a part of a log.
pub(super) struct Content {
    /// A line each.
    pub(super) lines: Vec<u8>,
    /// Their leaf hashes, one after the other.
    pub(super) leaves: Vec<u8>,
    /// The place after the last of them.
    pub(super) end: u64,
}

/// Reads a part of a log, of which nothing may be missing, or as much of its beginning as is enough for one archive.
pub(super) async fn gather(view: &mut dyn View, (first, end): (u64, u64)) -> Result<Content, ArchiveError> {
    let mut content = Content { lines: Vec::new(), leaves: Vec::new(), end };
    let mut next = first;
    while next < end {
        if content.lines.len() >= ENOUGH {
            content.end = next;
            break;
        }
        let limit = PAGE.min(u32::try_from(end - next).unwrap_or(PAGE));
        let page = view.logged_events(&EventFilter::after(next.checked_sub(1), limit)).await?;
        for logged in page {
            // What is missing within it was purged or is damage: either way this is no archive of it.
            if logged.index != next || merkle::leaf_hash(logged.event.core.as_bytes()) != logged.leaf_hash {
                return Err(StoreError::Damaged("event").into());
            }
            content.leaves.extend_from_slice(&logged.leaf_hash);
            content.lines.extend_from_slice(&line(&logged)?);
            content.lines.push(b'\n');
            next += 1;
        }
        if next < end && view.first_event(next).await?.is_none_or(|(at, _)| at != next) {
            return Err(StoreError::Damaged("event").into());
        }
    }
    Ok(content)
}

fn line(logged: &LoggedEvent) -> Result<Vec<u8>, Failure> {
    let mut line = json!({"core": logged.event.core, "index": logged.index});
    if let (Some(sealed), Some(members)) = (&logged.event.sealed, line.as_object_mut()) {
        members.insert("sealed".to_owned(), json!(BASE64.encode(sealed)));
    }
    canonical::to_vec(&line).map_err(|_| Failure::Internal("a line of an archive is not canonical"))
}

/// The events of opened lines, each at its place and with the leaf that the archive proves.
pub(super) fn events(tenant: TenantId, first: u64, lines: &[u8], leaves: &[u8]) -> Option<Vec<LoggedEvent>> {
    let (leaves, rest) = leaves.as_chunks::<32>();
    let lines: Vec<&[u8]> = lines.strip_suffix(b"\n")?.split(|byte| *byte == b'\n').collect();
    if lines.len() != leaves.len() || !rest.is_empty() {
        return None;
    }
    let placed = (first..).zip(lines).zip(leaves);
    placed.map(|((index, line), leaf)| event(tenant, index, line, leaf)).collect()
}

fn event(tenant: TenantId, index: u64, line: &[u8], leaf: &Hash) -> Option<LoggedEvent> {
    let line = canonical::parse(line).ok()?;
    let core = line.get("core")?.as_str()?.to_owned();
    let leaf_hash = merkle::leaf_hash(core.as_bytes());
    if leaf_hash != *leaf || line.get("index")?.as_u64()? != index {
        return None;
    }
    let sealed = match line.get("sealed") {
        Some(sealed) => Some(BASE64.decode(sealed.as_str()?.as_bytes()).ok()?),
        None => None,
    };
    let read: Value = serde_json::from_str(&core).ok()?;
    let text = |pointer: &str| read.pointer(pointer).and_then(Value::as_str);
    let event = QueuedEvent {
        tenant,
        id: text("/event_id")?.parse().ok()?,
        recorded_at: text("/recorded_at")?.parse().ok()?,
        kind: text("/type")?.to_owned(),
        actor: text("/actor/ref")?.to_owned(),
        resource: text("/resource/id").map(str::to_owned),
        outcome: read.pointer("/outcome")?.as_i64()?,
        request: text("/request_id")?.parse().ok()?,
        core,
        sealed,
    };
    Some(LoggedEvent { index, event, leaf_hash })
}

/// Seals lines for one place in an archive, which its name tells.
pub(super) fn seal(instance: &Instance, ring: &Keyring, name: &str, lines: &[u8]) -> Result<Vec<u8>, ArchiveError> {
    let field = system::audit_archive();
    let mut sealer = ring.seal_blob(Place { field: &field, row: name }, None, instance.random())?;
    let mut sealed = sealer.header().as_bytes().to_vec();
    sealer.push(lines, &mut sealed).map_err(KeyringError::from)?;
    sealer.finish(&mut sealed).map_err(KeyringError::from)?;
    Ok(sealed)
}

/// Opens them. Consumes the receipt that tells of it: an archive is one value.
pub(super) fn unseal(
    ring: &Keyring,
    receipt: AuditReceipt,
    name: &str,
    sealed: &[u8],
) -> Result<Secret<Vec<u8>>, ArchiveError> {
    let (header, chunks) = sealed.split_at_checked(BLOB_HEADER).ok_or(ArchiveError::Damaged)?;
    let header = BlobHeader::from_bytes(header).map_err(|_| ArchiveError::Damaged)?;
    let field = system::audit_archive();
    let place = Place { field: &field, row: name };
    let opener = ring.open_blob(receipt, place, &Subjects::default(), &header).map_err(|error| match error {
        // Another log's, another part's, or nobody's: it is not what was written here.
        KeyringError::WrongContext | KeyringError::Tampered => ArchiveError::Damaged,
        error => error.into(),
    })?;
    let mut reader = opener.into_reader();
    let mut lines = Secret::new(Vec::new());
    reader.push(chunks, &mut lines).map_err(|_| ArchiveError::Damaged)?;
    reader.finish(&mut lines).map_err(|_| ArchiveError::Damaged)?;
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: TenantId = TenantId::from_bytes([1; 16]);

    fn logged(index: u64, sealed: Option<Vec<u8>>) -> LoggedEvent {
        let core = format!(
            "{{\"actor\":{{\"ref\":\"system\"}},\"event_id\":\"{}\",\"outcome\":0,\"recorded_at\":\"2026-09-01T00:00:00.000000Z\",\
             \"request_id\":\"{}\",\"type\":\"app.step\"}}",
            crate::ids::EventId::from_bytes([7; 16]),
            crate::ids::RequestId::from_bytes([8; 16]),
        );
        let event = QueuedEvent {
            tenant: TENANT,
            id: crate::ids::EventId::from_bytes([7; 16]),
            recorded_at: "2026-09-01T00:00:00Z".parse().unwrap(),
            kind: "app.step".to_owned(),
            actor: "system".to_owned(),
            resource: None,
            outcome: 0,
            request: crate::ids::RequestId::from_bytes([8; 16]),
            core: core.clone(),
            sealed,
        };
        LoggedEvent { index, event, leaf_hash: merkle::leaf_hash(core.as_bytes()) }
    }

    #[test]
    fn lines_read_back_as_the_events_that_they_were_and_nothing_else() {
        let all = [logged(5, Some(vec![1, 2, 255])), logged(6, None)];
        let lines: Vec<u8> = all.iter().flat_map(|event| [line(event).unwrap(), vec![b'\n']].concat()).collect();
        let leaves: Vec<u8> = all.iter().flat_map(|event| event.leaf_hash).collect();
        assert_eq!(events(TENANT, 5, &lines, &leaves).unwrap(), all);
        // Another place, another leaf, fewer lines, a torn one.
        assert!(events(TENANT, 4, &lines, &leaves).is_none());
        let mut other = leaves.clone();
        other[40] ^= 1;
        assert!(events(TENANT, 5, &lines, &other).is_none());
        assert!(events(TENANT, 5, &lines, &leaves[..32]).is_none());
        assert!(events(TENANT, 5, &lines[..lines.len() - 1], &leaves).is_none());
    }
}
