//! Looks at everything stored again, a little at a time, in cycles: entries, tiles, and every head that was ever signed.

use std::collections::BTreeMap;

use chancery_crypto::{
    Ed25519PublicKey,
    checkpoint::{Checkpoint, SignedCheckpoint, VerifierKey},
    tiles::Tiles,
};

use super::{
    Finding, IntegrityCheck, RawCheckpoint, Scrub,
    leaves::{TILE, check_tile, note},
    pin::{behind, pinned},
    request,
};
use crate::{
    Instance,
    audit::{
        Detail, Event, EventKind, LogHead, Outcome,
        receipt::note_all,
        retention::Purged,
        sequence::{SequenceError, with_tiles},
        stamp::Actor,
    },
    ids::TenantId,
    instance::Failure,
    keyring::{
        DeclaredKey, Lease, Managed,
        declared::{declared, key_at},
    },
    store::{StoreError, View},
    time::Timestamp,
};

/// How many heads are looked at in one go.
const HEADS: u32 = 256;
/// Before the first head.
const NO_HEAD: (i64, i64) = (-1, -1);
/// All of a log is to be looked at within 30 days.
const CYCLE_SECONDS: i64 = 30 * 24 * 60 * 60;
/// A log is not looked at more often than that.
const REST_SECONDS: i64 = 24 * 60 * 60;

/// What one step did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scrubbed {
    /// How many entries and heads were looked at.
    pub rows: u64,
    /// What did not hold.
    pub found: Vec<Finding>,
    /// Whether the log was looked at to its end.
    pub ended: bool,
}

impl Scrub {
    fn begun(now: Timestamp) -> Self {
        Self { tile: 0, checkpoint: NO_HEAD, findings: 0, began_at: now, ended: None }
    }

    fn is_at_start(&self) -> bool {
        self.tile == 0 && self.checkpoint == NO_HEAD
    }
}

/// Whether a log is to be looked at: it is in the middle of that, or was not within a day. Also says again what is known of it.
///
/// # Errors
///
/// [`StoreError`].
pub async fn due(instance: &Instance, tenant: TenantId) -> Result<bool, StoreError> {
    let Some(scrub) = instance.store().view(tenant).await?.scrub().await? else { return Ok(true) };
    // Known before a restart too: a log that was found changed stays so until a whole cycle finds nothing.
    if scrub.findings > 0 || scrub.ended.is_some_and(|(_, findings)| findings > 0) {
        instance.guard().note_damaged(tenant, true);
    }
    // Rows are not believed: an end that is yet to come would keep the log from being looked at until then.
    let now = instance.now();
    let rested = |ended: Timestamp| ended.plus_seconds(REST_SECONDS) <= now || ended > now;
    Ok(!scrub.is_at_start() || scrub.ended.is_none_or(|(ended, _)| rested(ended)))
}

/// Has the next step begin at the log's beginning.
///
/// # Errors
///
/// [`StoreError`].
pub async fn begin_again(instance: &Instance, tenant: TenantId) -> Result<(), StoreError> {
    let mut tx = instance.store().begin(tenant).await?;
    let before = tx.scrub().await?;
    let ended = before.and_then(|before| before.ended);
    tx.put_scrub(&Scrub { ended, ..Scrub::begun(instance.now()) }).await?;
    tx.commit().await
}

/// Forgets what was found of a log, which is looked at again at once: what is wrong is found again.
pub(super) async fn forget(instance: &Instance, tenant: TenantId) -> Result<(), StoreError> {
    let mut tx = instance.store().begin(tenant).await?;
    tx.put_scrub(&Scrub::begun(instance.now())).await?;
    tx.commit().await?;
    instance.guard().note_damaged(tenant, false);
    Ok(())
}

/// Looks at about `budget` more entries and heads of a tenant's log, where the last step stopped. What it finds is an event of
/// the platform's log, is counted, and makes this process not ready until a whole cycle finds nothing.
///
/// # Errors
///
/// [`SequenceError`] if it could not look.
pub async fn step(instance: &Instance, tenant: TenantId, budget: u64) -> Result<Scrubbed, SequenceError> {
    let stored = instance.store().fresh_view(tenant).await?.scrub().await?;
    let mut scrub = stored.unwrap_or_else(|| Scrub::begun(instance.now()));
    if scrub.is_at_start() {
        (scrub.began_at, scrub.findings) = (instance.now(), 0);
    }
    let (done, size) = look(instance, tenant, &mut scrub, budget).await?;
    scrub.findings += done.found.len() as u64;
    tell(instance, tenant, &scrub, &done, size).await?;
    if done.ended {
        if scrub.began_at.plus_seconds(CYCLE_SECONDS) < instance.now() {
            tracing::warn!(%tenant, "Looking at the log of `{tenant}` took more than 30 days; raise audit.scrub_rows_per_minute");
        }
        let ended = Some((instance.now(), scrub.findings));
        scrub = Scrub { ended, ..Scrub::begun(scrub.began_at) };
    }
    let mut tx = instance.store().begin(tenant).await?;
    tx.put_scrub(&scrub).await?;
    tx.commit().await?;
    Ok(done)
}

/// Looks at a whole log at once, and tells nobody but the caller.
///
/// # Errors
///
/// [`SequenceError`] if it could not look.
pub async fn inspect(instance: &Instance, tenant: TenantId) -> Result<Vec<Finding>, SequenceError> {
    let mut scrub = Scrub::begun(instance.now());
    Ok(look(instance, tenant, &mut scrub, u64::MAX).await?.0.found)
}

/// Looks at about `budget` rows from where `scrub` stands, and moves it; also gives the log's size.
async fn look(
    instance: &Instance,
    tenant: TenantId,
    scrub: &mut Scrub,
    budget: u64,
) -> Result<(Scrubbed, u64), SequenceError> {
    let pin = pinned(instance, tenant).await?;
    let lease = match instance.lease(tenant).await {
        Ok(lease) => Some(lease),
        Err(Failure::Store(error @ StoreError::Unavailable(_))) => return Err(error.into()),
        // Then the heads' signatures are not looked at, which is told of; everything else is.
        Err(_) => None,
    };
    let mut view = instance.store().fresh_view(tenant).await?;
    let mut done = Scrubbed::default();
    let head = match view.log_head().await {
        Ok(head) => head,
        Err(StoreError::Damaged(_)) => {
            note(&mut done.found, IntegrityCheck::HeadRoot, 0);
            done.ended = true;
            return Ok((done, 0));
        }
        Err(error) => return Err(error.into()),
    };
    let whole = check_head(&mut *view, tenant, head, &mut done.found).await?;
    let purged = Purged::told(&mut *view).await?;
    let tiles = head.size.div_ceil(TILE);
    while scrub.tile < tiles && done.rows < budget {
        // A head that somebody made larger has no entries to be missed one by one.
        if !whole && view.raw_entries(scrub.tile * TILE, 1).await?.is_empty() {
            scrub.tile = tiles;
            break;
        }
        done.rows += check_tile(&mut *view, tenant, scrub.tile, head.size, &purged, &mut done.found).await?;
        scrub.tile += 1;
    }
    while scrub.tile >= tiles && done.rows < budget && !done.ended {
        let page = view.raw_checkpoints(scrub.checkpoint, HEADS).await?;
        done.rows += page.len() as u64;
        done.ended = page.len() < HEADS as usize;
        if let Some(last) = page.last() {
            scrub.checkpoint = (last.size, last.signed_at);
        }
        check_heads(lease.as_deref(), &mut *view, tenant, head, &page, &mut done.found).await?;
    }
    if done.ended {
        for first in purged.overdone(&mut *view).await? {
            note(&mut done.found, IntegrityCheck::EntryMissing, first);
        }
    }
    if let (Some(pin), Some(origin), true) = (&pin, view.log_origin().await?, done.ended) {
        match behind(&mut *view, tenant, &origin, head, pin).await {
            Ok(false) => {}
            Ok(true) | Err(SequenceError::Forked(_)) => note(&mut done.found, IntegrityCheck::Pin, pin.head().size),
            Err(error) => return Err(error),
        }
    }
    Ok((done, head.size))
}

/// Counts what was found, and writes it into the platform's log: a line for each check, and one for a log that was done.
async fn tell(
    instance: &Instance,
    tenant: TenantId,
    scrub: &Scrub,
    done: &Scrubbed,
    size: u64,
) -> Result<(), SequenceError> {
    let guard = instance.guard();
    guard.count_rows(done.rows);
    if !done.found.is_empty() {
        guard.note_damaged(tenant, true);
    } else if done.ended && scrub.findings == 0 {
        guard.note_damaged(tenant, false);
    }
    let mut checks: BTreeMap<IntegrityCheck, (u64, u64)> = BTreeMap::new();
    for finding in &done.found {
        let (count, first) = checks.entry(finding.check).or_insert((0, finding.at));
        *count += 1;
        *first = finding.at.min(*first);
    }
    let mut events = Vec::new();
    for (check, (count, first)) in checks {
        guard.count(check, count);
        let event = Event::new(EventKind::IntegrityFailed)
            .outcome(Outcome::SeriousFailure)
            .on("tenant", tenant)
            .with("check", Detail::Code(check.as_str()))
            .with("count", Detail::Count(count))
            .with("first", Detail::Count(first));
        events.push(event);
    }
    if done.ended {
        let event = Event::new(EventKind::LogScrubbed)
            .on("tenant", tenant)
            .with("began_at", Detail::At(scrub.began_at))
            .with("findings", Detail::Count(scrub.findings))
            .with("size", Detail::Count(size));
        events.push(event);
    }
    let request = request(instance, "scrub", "JOB")?;
    note_all(instance, Actor::System(&request), TenantId::PLATFORM, events).await?;
    Ok(())
}

/// Whether the tiles give the log's root; and whether there is something after its end, which is noted.
async fn check_head(
    view: &mut dyn View,
    tenant: TenantId,
    head: LogHead,
    found: &mut Vec<Finding>,
) -> Result<bool, SequenceError> {
    let whole = root(view, tenant, &mut Tiles::default(), head.size).await? == Some(head.root);
    if !whole {
        note(found, IntegrityCheck::HeadRoot, head.size);
    }
    if let Some(entry) = view.raw_entries(head.size, 1).await?.first() {
        note(found, IntegrityCheck::EntryBeyondHead, entry.index);
    }
    Ok(whole)
}

/// The root of the first `size` entries, from stored tiles; `None` if they do not give one.
async fn root(
    view: &mut dyn View,
    tenant: TenantId,
    tiles: &mut Tiles,
    size: u64,
) -> Result<Option<chancery_crypto::merkle::Hash>, SequenceError> {
    match with_tiles(view, tenant, tiles, |tiles| tiles.root(size)).await {
        Ok(root) => Ok(Some(root)),
        Err(SequenceError::Forked(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Looks at signed heads: each is a note of this log, signed by its key of then, and a beginning of the log. So each is
/// consistent with every other one.
async fn check_heads(
    lease: Option<&Lease>,
    view: &mut dyn View,
    tenant: TenantId,
    head: LogHead,
    page: &[RawCheckpoint],
    found: &mut Vec<Finding>,
) -> Result<(), SequenceError> {
    if page.is_empty() {
        return Ok(());
    }
    let origin = view.log_origin().await?.unwrap_or_default();
    let keys = match lease {
        Some(lease) => declared(view, &lease.keyring, Managed::Log).await,
        None => Err(Failure::Internal("no keys")),
    };
    let keys = match keys {
        Ok(keys) => Some(keys),
        Err(Failure::Store(error @ StoreError::Unavailable(_))) => return Err(error.into()),
        // A damaged event among those that tell when a key was activated: the heads are still compared with the tree.
        Err(_) => {
            note(found, IntegrityCheck::LogKeys, head.size);
            None
        }
    };
    let mut tiles = Tiles::default();
    for stored in page {
        let at = u64::try_from(stored.size).unwrap_or_default();
        let note_of = std::str::from_utf8(&stored.note).ok().and_then(|text| SignedCheckpoint::parse(text).ok());
        let signed = note_of.filter(|signed| {
            let said = signed.checkpoint();
            said.origin == origin && i64::try_from(said.size) == Ok(stored.size)
        });
        let Some(signed) = signed else {
            note(found, IntegrityCheck::CheckpointForm, at);
            continue;
        };
        if keys.as_deref().is_some_and(|keys| verified(&signed, &origin, keys).is_none()) {
            note(found, IntegrityCheck::CheckpointSignature, at);
        }
        if at > head.size || root(view, tenant, &mut tiles, at).await? != Some(signed.checkpoint().root) {
            note(found, IntegrityCheck::CheckpointRoot, at);
        }
    }
    Ok(())
}

fn verified<'a>(signed: &'a SignedCheckpoint, origin: &str, keys: &[DeclaredKey]) -> Option<&'a Checkpoint> {
    let key = key_at(keys, signed.checkpoint().size)?;
    let verifier = VerifierKey::new(origin, Ed25519PublicKey::try_from(&key.jwk).ok()?).ok()?;
    signed.verify(&verifier).ok()
}
