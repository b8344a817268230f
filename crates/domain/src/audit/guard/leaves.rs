//! Entries and tiles, hashed again from what is stored.

use std::collections::BTreeSet;

use chancery_crypto::{
    canonical,
    merkle::{self, Frontier, Hash},
    tiles::{TileId, Tiles, WIDTH},
};
use serde_json::Value;

use super::{Finding, IntegrityCheck, RawEntry, RawEvent};
use crate::{
    audit::{
        EventKind, LoggedEvent,
        personal::has_commitments,
        retention::Purged,
        sequence::{SequenceError, with_tiles},
    },
    certificates::{EndState, is_as_signed, tells_of},
    ids::{CertificateId, EventId, TenantId},
    instance::Failure,
    store::{StoreError, View},
    time::Timestamp,
};

/// Entries under one tile of leaves.
pub(super) const TILE: u64 = WIDTH as u64;
const HASH: usize = 32;

/// Hashes the entries `from..to` again as they are stored: each must give the leaf that its tile has. Nothing is signed over
/// rows that nobody read back.
///
/// # Errors
///
/// [`SequenceError::Forked`].
pub(in crate::audit) async fn rehash(
    view: &mut dyn View,
    tenant: TenantId,
    from: u64,
    to: u64,
) -> Result<(), SequenceError> {
    let mut first = from;
    while first < to {
        let end = (first - first % TILE + TILE).min(to);
        let mut found = Found::default();
        // What is new is not old enough to be purged.
        check_leaves(view, tenant, first, end, &Purged::default(), &mut found).await?;
        if !found.0.is_empty() {
            return Err(SequenceError::Forked(tenant));
        }
        first = end;
    }
    Ok(())
}

/// An event that ended a certificate.
struct Ended {
    index: u64,
    certificate: CertificateId,
    state: EndState,
}

impl Ended {
    fn told(entry: &RawEntry) -> Option<Self> {
        let text = |bytes| std::str::from_utf8(bytes).ok();
        let state = EndState::told_by(text(&entry.event.kind)?)?;
        let certificate = text(entry.event.resource.as_deref()?)?.parse().ok()?;
        Some(Self { index: entry.index, certificate, state })
    }
}

/// The certificate that an entry tells the issue of.
fn issued(entry: &RawEntry) -> Option<CertificateId> {
    let is_issue = entry.event.kind == EventKind::CertificateIssued.as_str().as_bytes();
    std::str::from_utf8(entry.event.resource.as_deref().filter(|_| is_issue)?).ok()?.parse().ok()
}

/// What lies under one tile of leaves.
#[derive(Default)]
struct Under {
    tile: Option<Vec<u8>>,
    /// Which certificates were issued where.
    issued: Vec<(u64, CertificateId)>,
    /// What ended certificates.
    ended: Vec<Ended>,
    /// Which entries name which things outside.
    named: BTreeSet<(u64, String)>,
    /// Where a personal part is to lie beside, and of which event.
    personal: Vec<(u64, EventId)>,
}

/// Looks at the entries `first..end`, which are all under one tile; gives what is there. What was purged by order is not missed.
async fn check_leaves(
    view: &mut dyn View,
    tenant: TenantId,
    first: u64,
    end: u64,
    purged: &Purged,
    found: &mut Found,
) -> Result<Under, StoreError> {
    let tile = view.tile(TileId { level: 0, index: first / TILE }).await?;
    if tile.is_none() {
        found.note(IntegrityCheck::TileMissing, first - first % TILE);
    }
    let mut entries = view.raw_entries(first, u32::from(WIDTH)).await?.into_iter().peekable();
    let mut under = Under::default();
    for index in first..end {
        let at = usize::try_from(index % TILE).unwrap_or(usize::MAX).saturating_mul(HASH);
        let leaf = tile.as_deref().and_then(|tile| tile.get(at..at + HASH));
        match entries.next_if(|entry| entry.index == index) {
            Some(entry) => {
                let core = check_entry(tenant, &entry, leaf, found);
                under.issued.extend(issued(&entry).map(|certificate| (index, certificate)));
                under.ended.extend(Ended::told(&entry));
                under.named.extend(core.iter().flat_map(named).map(|name| (index, name)));
                under.personal.extend(core.as_ref().and_then(with_personal).map(|event| (index, event)));
            }
            // Its leaf is under the tile's root, as every other.
            None if purged.covers(index) => {}
            None => found.note(IntegrityCheck::EntryMissing, index),
        }
    }
    Ok(Under { tile, ..under })
}

/// What an entry names.
fn named(core: &Value) -> impl Iterator<Item = String> {
    let names = core.pointer("/resource/ref_hmac").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned)
}

/// The event, if it commits to a personal part.
fn with_personal(core: &Value) -> Option<EventId> {
    core.pointer("/event_id").filter(|_| has_commitments(core))?.as_str()?.parse().ok()
}

/// Looks for personal parts that somebody took away; not for those that were purged, or whose key was destroyed.
async fn check_personal(
    view: &mut dyn View,
    personal: &[(u64, EventId)],
    purged: &Purged,
    found: &mut Found,
) -> Result<(), StoreError> {
    let events: Vec<EventId> = personal.iter().map(|(_, event)| *event).collect();
    let there: BTreeSet<EventId> = view.personal_parts(&events).await?.into_iter().collect();
    for (index, event) in personal {
        if !there.contains(event) && !purged.covers(*index) {
            found.note(IntegrityCheck::PersonalMissing, *index);
        }
    }
    Ok(())
}

/// Whether entries are found by just what they name: an accounting of what was done with one person's data asks for nothing else. What
/// was purged by order is found by nothing any more.
async fn check_references(
    view: &mut dyn View,
    (first, end): (u64, u64),
    named: &BTreeSet<(u64, String)>,
    purged: &Purged,
    found: &mut Found,
) -> Result<(), StoreError> {
    let kept = view.references_between(first, end).await?.into_iter().collect();
    for (index, _) in named.symmetric_difference(&kept).filter(|(index, _)| !purged.covers(*index)) {
        found.note(IntegrityCheck::EntryReferences, *index);
    }
    Ok(())
}

/// Looks at the rows of certificates: each is, byte for byte, what the event of its issue tells of, and says what was signed. An event
/// that no row names is nobody's: queues take what is written there.
async fn check_issued(
    view: &mut dyn View,
    tenant: TenantId,
    issued: Vec<(u64, CertificateId)>,
    found: &mut Found,
) -> Result<(), StoreError> {
    for (index, id) in issued {
        let row = match view.certificate(id).await {
            Err(StoreError::Damaged(_)) => {
                found.note(IntegrityCheck::CertificateRow, index);
                continue;
            }
            row => row?,
        };
        let Some(row) = row else { continue };
        let told = match view.logged_event(row.event).await {
            // Which is found where it lies.
            Err(StoreError::Damaged(_)) => continue,
            told => told?,
        };
        let Some(told) = told else {
            found.note(IntegrityCheck::CertificateRow, index);
            continue;
        };
        // The place of this entry is looked at anyway; another one may be nothing of the log.
        let stands = told.index == index || is_in_tree(view, &told).await?;
        let whole = canonical::parse(told.event.core.as_bytes())
            .is_ok_and(|event| tells_of(&event, &row.envelope, tenant, id, &row.key_id) && is_as_signed(&row));
        if !(stands && whole) {
            found.note(IntegrityCheck::CertificateRow, index);
        }
    }
    Ok(())
}

/// Looks for the rows of certificates that have ended: without them, lists would have them stand. Who lost one revokes the certificate
/// again.
async fn check_ends(view: &mut dyn View, ended: Vec<Ended>, found: &mut Found) -> Result<(), StoreError> {
    for Ended { index, certificate, state } in ended {
        let known = match view.certificate(certificate).await {
            Err(StoreError::Damaged(_)) => true,
            known => known?.is_some(),
        };
        let rows = match view.certificate_ends(certificate).await {
            Err(StoreError::Damaged(_)) => Vec::new(),
            rows => rows?,
        };
        // One that was revoked is, whatever else became of it.
        if known && !rows.iter().any(|row| state != EndState::Revoked || row.state == EndState::Revoked) {
            found.note(IntegrityCheck::CertificateEnd, index);
        }
    }
    Ok(())
}

/// Looks at one entry. Of its bytes, the hash beside them and the leaf in the tile, the odd one out is found. Gives what it says.
fn check_entry(tenant: TenantId, entry: &RawEntry, leaf: Option<&[u8]>, found: &mut Found) -> Option<Value> {
    let core = serde_json::from_slice::<Value>(&entry.event.core).ok();
    let hash = merkle::leaf_hash(&entry.event.core);
    if entry.leaf_hash != hash {
        found.note(IntegrityCheck::EntryHash, entry.index);
    } else if !core.as_ref().is_some_and(|core| entry.event.is_found_by(tenant, core)) {
        found.note(IntegrityCheck::EntryColumns, entry.index);
    }
    match leaf {
        Some(leaf) if leaf != hash && leaf != entry.leaf_hash => found.note(IntegrityCheck::TileHash, entry.index),
        Some(_) => {}
        None => found.note(IntegrityCheck::TileWidth, entry.index - entry.index % TILE),
    }
    core
}

impl RawEvent {
    /// Whether it is found by what its bytes say.
    pub(super) fn is_found_by(&self, tenant: TenantId, core: &Value) -> bool {
        let text = |pointer: &str| core.pointer(pointer).and_then(Value::as_str);
        let is = |pointer: &str, column: &[u8]| text(pointer).map(str::as_bytes) == Some(column);
        let recorded_at = text("/recorded_at").and_then(|text| text.parse::<Timestamp>().ok());
        text("/tenant_id") == Some(tenant.to_string().as_str())
            && is("/event_id", &self.id)
            && is("/type", &self.kind)
            && is("/actor/ref", &self.actor)
            && is("/request_id", &self.request)
            && text("/resource/id").map(str::as_bytes) == self.resource.as_deref()
            && core.pointer("/outcome").and_then(Value::as_i64) == Some(self.outcome)
            && recorded_at.map(Timestamp::as_micros) == Some(self.recorded_at)
    }
}

/// Looks at the tile of leaves number `index` of a log of `size` entries, at the entries under it and, once it is full, at the
/// tiles above it; gives how many entries that were.
pub(super) async fn check_tile(
    view: &mut dyn View,
    tenant: TenantId,
    index: u64,
    size: u64,
    purged: &Purged,
    found: &mut Found,
) -> Result<u64, StoreError> {
    let first = index * TILE;
    let end = (first + TILE).min(size);
    let id = TileId { level: 0, index };
    let Under { tile, issued, ended, named, personal } = check_leaves(view, tenant, first, end, purged, found).await?;
    check_issued(view, tenant, issued, found).await?;
    check_ends(view, ended, found).await?;
    check_references(view, (first, end), &named, purged, found).await?;
    check_personal(view, &personal, purged, found).await?;
    if let Some(tile) = tile {
        if tile.len() != usize::from(id.width(size)) * HASH {
            found.note(IntegrityCheck::TileWidth, first);
        }
        check_above(view, id, tile, size, found).await?;
    }
    Ok(end - first)
}

/// From a full tile upward: its root is in the tile above, and if that is full through it, so on.
async fn check_above(
    view: &mut dyn View,
    mut id: TileId,
    mut tile: Vec<u8>,
    size: u64,
    found: &mut Found,
) -> Result<(), StoreError> {
    while tile.len() == usize::from(WIDTH) * HASH && id.level < 7 {
        let mut below = Frontier::default();
        tile.as_chunks::<HASH>().0.iter().for_each(|hash| below.push(*hash));
        let above = TileId { level: id.level + 1, index: id.index / TILE };
        // The first entry under the tile above.
        let first = above.index << (8 * (u32::from(above.level) + 1));
        let Some(stored) = view.tile(above).await? else {
            found.note(IntegrityCheck::TileMissing, first);
            break;
        };
        if stored.len() != usize::from(above.width(size)) * HASH {
            found.note(IntegrityCheck::TileWidth, first);
        }
        let at = usize::try_from(id.index % TILE).unwrap_or(usize::MAX).saturating_mul(HASH);
        if stored.get(at..at + HASH) != Some(below.root().as_slice()) {
            found.note(IntegrityCheck::TileHash, first);
        }
        if id.index % TILE != TILE - 1 {
            break;
        }
        (id, tile) = (above, stored);
    }
    Ok(())
}

/// What was found, each thing once, in the order in which it was found.
#[derive(Default)]
pub(super) struct Found(Vec<Finding>, BTreeSet<Finding>);

impl Found {
    pub(super) fn note(&mut self, check: IntegrityCheck, at: u64) {
        let finding = Finding { check, at };
        if self.1.insert(finding) {
            self.0.push(finding);
        }
    }

    pub(super) fn into_list(self) -> Vec<Finding> {
        self.0
    }
}

/// What the tree has at a place.
async fn leaf_at(view: &mut dyn View, index: u64) -> Result<Option<Hash>, StoreError> {
    let tile = view.tile(TileId { level: 0, index: index / TILE }).await?.unwrap_or_default();
    let at = usize::try_from(index % TILE).unwrap_or(usize::MAX).saturating_mul(HASH);
    Ok(tile.get(at..at.saturating_add(HASH)).and_then(|leaf| leaf.try_into().ok()))
}

/// Whether an event of the log is what the tree has at its place.
///
/// # Errors
///
/// [`StoreError`].
pub(crate) async fn is_in_tree(view: &mut dyn View, logged: &LoggedEvent) -> Result<bool, StoreError> {
    Ok(leaf_at(view, logged.index).await? == Some(logged.leaf_hash))
}

/// Whether an event is none of the log, whoever put its row there: at its place the tree has another leaf, which is under the log's
/// root. A tile that somebody changed takes no event away.
///
/// # Errors
///
/// [`Failure`].
pub(crate) async fn is_foreign(view: &mut dyn View, tenant: TenantId, logged: &LoggedEvent) -> Result<bool, Failure> {
    if is_in_tree(view, logged).await? {
        return Ok(false);
    }
    let head = view.log_head().await?;
    if logged.index >= head.size {
        return Ok(true);
    }
    let Some(leaf) = leaf_at(view, logged.index).await? else { return Ok(false) };
    let proof = |tiles: &Tiles| tiles.inclusion_proof(logged.index, head.size);
    match with_tiles(view, tenant, &mut Tiles::default(), proof).await {
        Ok(proof) => Ok(merkle::verify_inclusion(logged.index, head.size, &leaf, &proof, &head.root).is_ok()),
        Err(SequenceError::Failed(failure)) => Err(failure),
        // The tiles give no proof of anything.
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log that is gone has as many findings as it had entries.
    #[test]
    fn many_findings_are_noted_once_each_and_in_time() {
        let mut found = Found::default();
        for _ in 0..2 {
            (0..200_000).for_each(|at| found.note(IntegrityCheck::EntryMissing, at));
        }
        found.note(IntegrityCheck::EntryHash, 0);
        let list = found.into_list();
        assert_eq!(list.len(), 200_001);
        assert_eq!(list[0], Finding { check: IntegrityCheck::EntryMissing, at: 0 });
        assert_eq!(list.last().unwrap().check, IntegrityCheck::EntryHash);
    }
}
