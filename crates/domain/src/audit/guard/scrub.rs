//! Looks at everything stored again, a little at a time, in cycles: entries, tiles, and every head that was ever signed.

use std::collections::BTreeMap;

use super::{
    Cycle, Epochs, Finding, IntegrityCheck, Pin, RawCheckpoint, Scrub,
    heard::{AllIsWell, remember_damage},
    leaves::{Found, TILE, check_tile},
    pin::{behind, failed, pinned},
    request,
};
use crate::{
    Instance,
    audit::{
        Detail, Event, EventKind, LogHead, Outcome,
        receipt::note_all,
        retention::{Purged, Rules},
        sequence::{SequenceError, with_tiles},
        stamp::Actor,
    },
    ids::TenantId,
    instance::Failure,
    keyring::{
        DeclaredKey, Lease, Managed,
        declared::{declared, key_at, unrevoked},
    },
    store::{StoreError, View},
    time::Timestamp,
};
use chancery_crypto::{
    Ed25519PublicKey,
    checkpoint::{Checkpoint, SignedCheckpoint, VerifierKey},
    tiles::Tiles,
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
    const fn begun(now: Timestamp) -> Self {
        Self { tile: 0, checkpoint: NO_HEAD, findings: 0, began_at: now, ended: None }
    }

    fn is_at_start(&self) -> bool {
        self.tile == 0 && self.checkpoint == NO_HEAD
    }
}

impl Cycle {
    const fn begun(now: Timestamp) -> Self {
        Self { scrub: Scrub::begun(now), from: 0, heads: 0 }
    }
}

/// Whether a log is to be looked at: this process is in the middle of that, or has not come to its end within a day. Also says
/// again what is known of it.
///
/// # Errors
///
/// [`SequenceError`].
pub async fn due(instance: &Instance, tenant: TenantId) -> Result<bool, SequenceError> {
    remember_damage(instance, tenant).await?;
    // The store's row is not asked: who holds the store could write there that all was looked at a moment ago.
    let Some(Cycle { scrub, .. }) = instance.guard().cycle(tenant) else { return Ok(true) };
    let now = instance.now();
    // A clock that went back is no reason to wait for it.
    let rested = |ended: Timestamp| ended.plus_seconds(REST_SECONDS) <= now || ended > now;
    Ok(!scrub.is_at_start() || scrub.ended.is_none_or(|(ended, _)| rested(ended)))
}

/// Has the next step of this process begin at the log's beginning.
pub fn begin_again(instance: &Instance, tenant: TenantId) {
    instance.guard().keep_cycle(tenant, Cycle::begun(instance.now()));
}

/// Forgets what was found of a log, which is looked at again at once: what is wrong is found again.
pub(super) async fn forget(instance: &Instance, tenant: TenantId) -> Result<(), SequenceError> {
    let begun = Cycle::begun(instance.now());
    keep(instance, tenant, begun, begun.scrub).await?;
    instance.guard().note_damaged(tenant, false);
    Ok(())
}

/// Keeps how far this process is, in its memory and beside the pins; `shown` is what the store's row displays.
async fn keep(instance: &Instance, tenant: TenantId, cycle: Cycle, shown: Scrub) -> Result<(), SequenceError> {
    if let Some(pins) = instance.guard().pins() {
        pins.keep_scrub(tenant, &cycle.scrub).await.map_err(failed)?;
    }
    instance.guard().keep_cycle(tenant, cycle);
    let mut tx = instance.store().begin(tenant).await?;
    tx.put_scrub(&shown).await?;
    Ok(tx.commit().await?)
}

/// Where this process is in a log. One that begins looks at everything anew, but goes on in the middle of a log where an earlier
/// start of it got to: otherwise the end of a log that takes weeks is never seen.
async fn take_up(instance: &Instance, tenant: TenantId) -> Result<Cycle, SequenceError> {
    if let Some(cycle) = instance.guard().cycle(tenant) {
        return Ok(cycle);
    }
    let kept = match instance.guard().pins() {
        Some(pins) => pins.kept_scrub(tenant).await.map_err(failed)?,
        None => None,
    };
    let begun = Cycle::begun(instance.now());
    let taken = |kept: Scrub| Cycle { scrub: Scrub { ended: None, ..kept }, from: kept.tile, heads: 0 };
    Ok(kept.filter(|kept| !kept.is_at_start()).map_or(begun, taken))
}

/// Looks at about `budget` more entries and heads of a tenant's log, where the last step stopped. What it finds is an event of
/// the platform's log, is counted, and makes this process not ready until a whole cycle finds nothing.
///
/// # Errors
///
/// [`SequenceError`] if it could not look.
pub async fn step(instance: &Instance, tenant: TenantId, budget: u64) -> Result<Scrubbed, SequenceError> {
    let mut cycle = take_up(instance, tenant).await?;
    if cycle.scrub.is_at_start() {
        (cycle.scrub.began_at, cycle.scrub.findings) = (instance.now(), 0);
        (cycle.from, cycle.heads) = (0, 0);
    }
    let (done, size) = look(instance, tenant, &mut cycle, budget).await?;
    cycle.scrub.findings += done.found.len() as u64;
    tell(instance, tenant, &cycle, &done, size).await?;
    let Scrub { began_at, findings, .. } = cycle.scrub;
    if !done.ended {
        keep(instance, tenant, cycle, cycle.scrub).await?;
        return Ok(done);
    }
    if began_at.plus_seconds(CYCLE_SECONDS) < instance.now() {
        tracing::warn!(%tenant, "Looking at the log of `{tenant}` took more than 30 days; raise audit.scrub_rows_per_minute");
    }
    let shown = Scrub { ended: Some((instance.now(), findings)), ..Scrub::begun(began_at) };
    // Who has not seen the beginning itself does not rest before that.
    let ended = shown.ended.filter(|_| cycle.from == 0);
    let next = Cycle { scrub: Scrub { ended, ..shown }, from: 0, heads: 0 };
    keep(instance, tenant, next, shown).await?;
    Ok(done)
}

/// Looks at a whole log at once, and tells nobody but the caller.
///
/// # Errors
///
/// [`SequenceError`] if it could not look.
pub async fn inspect(instance: &Instance, tenant: TenantId) -> Result<Vec<Finding>, SequenceError> {
    let mut cycle = Cycle::begun(instance.now());
    Ok(look(instance, tenant, &mut cycle, u64::MAX).await?.0.found)
}

/// Looks at about `budget` rows from where `cycle` stands, and moves it; also gives the log's size.
async fn look(
    instance: &Instance,
    tenant: TenantId,
    cycle: &mut Cycle,
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
    let (mut found, mut rows, mut ended) = (Found::default(), 0, false);
    let head = match view.log_head().await {
        Ok(head) => head,
        Err(StoreError::Damaged(_)) => {
            found.note(IntegrityCheck::HeadRoot, 0);
            return Ok((Scrubbed { rows, found: found.into_list(), ended: true }, 0));
        }
        Err(error) => return Err(error.into()),
    };
    let whole = check_head(&mut *view, tenant, head, &mut found).await?;
    let purged = match &lease {
        Some(lease) => Purged::told(&mut *view, &lease.keyring).await?,
        // Nobody can say then which certificate is the tenant's.
        None => Purged::default(),
    };
    let tiles = head.size.div_ceil(TILE);
    if cycle.scrub.tile > tiles {
        // Where it stood there is nothing any more: the log was put back.
        (cycle.scrub.tile, cycle.scrub.checkpoint, cycle.from, cycle.heads) = (0, NO_HEAD, 0, 0);
    }
    let scrub = &mut cycle.scrub;
    while scrub.tile < tiles && rows < budget {
        // A head that somebody made larger has no entries to be missed one by one.
        if !whole && view.raw_entries(scrub.tile * TILE, 1).await?.is_empty() {
            scrub.tile = tiles;
            break;
        }
        rows += check_tile(&mut *view, tenant, scrub.tile, head.size, &purged, &mut found).await?;
        scrub.tile += 1;
    }
    while scrub.tile >= tiles && rows < budget && !ended {
        let page = view.raw_checkpoints(scrub.checkpoint, HEADS).await?;
        rows += page.len() as u64;
        cycle.heads += page.len() as u64;
        ended = page.len() < HEADS as usize;
        if let Some(last) = page.last() {
            scrub.checkpoint = (last.size, last.signed_at);
        }
        check_heads(lease.as_deref(), &mut *view, tenant, head, &page, &mut found).await?;
    }
    if ended {
        for first in purged.overdone(&mut *view).await? {
            found.note(IntegrityCheck::EntryMissing, first);
        }
        if let Some(pin) = &pin {
            check_pin(&mut *view, tenant, head, pin, &mut found).await?;
        }
    }
    if let (true, Some(lease)) = (ended, &lease) {
        check_keys(&mut *view, lease, &mut found).await?;
    }
    drop(view);
    if let (true, Some(lease)) = (ended, &lease) {
        check_rules(instance, tenant, lease, &mut found).await?;
    }
    Ok((Scrubbed { rows, found: found.into_list(), ended }, head.size))
}

/// Whether the rows of revoked certificate keys say so.
async fn check_keys(view: &mut dyn View, lease: &Lease, found: &mut Found) -> Result<(), SequenceError> {
    match unrevoked(view, &lease.keyring, Managed::Certificate).await {
        Ok(places) => places.into_iter().for_each(|at| found.note(IntegrityCheck::KeyRow, at)),
        Err(Failure::Store(error @ StoreError::Unavailable(_))) => return Err(error.into()),
        // An event that tells of a key is damaged, which is found where it lies.
        Err(_) => {}
    }
    Ok(())
}

/// Whether the rows of what keeps a log are what the log says.
async fn check_rules(
    instance: &Instance,
    tenant: TenantId,
    lease: &Lease,
    found: &mut Found,
) -> Result<(), SequenceError> {
    match Rules::settled(instance, tenant, Some(&*lease.keyring)).await {
        Ok(rules) => {
            rules.differ.iter().for_each(|finding| found.note(finding.check, finding.at));
            instance.guard().note_unconfirmed(tenant, rules.unconfirmed);
        }
        Err(StoreError::Damaged(_)) => found.note(IntegrityCheck::RetentionRow, 0),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Whether the log is a growth of what is pinned. One that is not there any more is none.
async fn check_pin(
    view: &mut dyn View,
    tenant: TenantId,
    head: LogHead,
    pin: &Pin,
    found: &mut Found,
) -> Result<(), SequenceError> {
    let grown = match Epochs::told(view).await {
        Ok(Some(epochs)) => match behind(view, tenant, &epochs, head, pin).await {
            Ok(behind) => !behind,
            Err(SequenceError::Forked(_)) => false,
            Err(error) => return Err(error),
        },
        Ok(None) | Err(StoreError::Damaged(_)) => false,
        Err(error) => return Err(error.into()),
    };
    if !grown {
        found.note(IntegrityCheck::Pin, pin.head().size);
    }
    Ok(())
}

/// Counts what was found, and writes it into the platform's log: a line for each check, and one for a log that was done, with
/// the places that this process looked at itself.
async fn tell(
    instance: &Instance,
    tenant: TenantId,
    cycle: &Cycle,
    done: &Scrubbed,
    size: u64,
) -> Result<(), SequenceError> {
    let (guard, scrub) = (instance.guard(), &cycle.scrub);
    guard.count_rows(done.rows);
    let clean = done.ended && scrub.findings == 0 && cycle.from == 0;
    if !done.found.is_empty() {
        guard.note_damaged(tenant, true);
    } else if clean {
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
        events.push(finding_event(tenant, check, count, first));
    }
    if done.ended {
        let event = Event::new(EventKind::LogScrubbed)
            .on("tenant", tenant)
            .with("began_at", Detail::At(scrub.began_at))
            .with("end", Detail::Count(size))
            .with("findings", Detail::Count(scrub.findings))
            .with("first", Detail::Count((cycle.from * TILE).min(size)))
            .with("heads", Detail::Count(cycle.heads))
            .with("size", Detail::Count(size));
        events.push(match clean {
            true => AllIsWell::Looked { began_at: scrub.began_at }.prove(instance, tenant, event).await?,
            false => event,
        });
    }
    let request = request(instance, "scrub", "JOB")?;
    note_all(instance, Actor::System(&request), TenantId::PLATFORM, events).await?;
    Ok(())
}

/// What the platform's log tells of one check of a log that did not hold.
pub(super) fn finding_event(tenant: TenantId, check: IntegrityCheck, count: u64, first: u64) -> Event {
    Event::new(EventKind::IntegrityFailed)
        .outcome(Outcome::SeriousFailure)
        .on("tenant", tenant)
        .with("check", Detail::Code(check.as_str()))
        .with("count", Detail::Count(count))
        .with("first", Detail::Count(first))
}

/// Whether the tiles give the log's root; and whether there is something after its end, which is noted.
async fn check_head(
    view: &mut dyn View,
    tenant: TenantId,
    head: LogHead,
    found: &mut Found,
) -> Result<bool, SequenceError> {
    let whole = root(view, tenant, &mut Tiles::default(), head.size).await? == Some(head.root);
    if !whole {
        found.note(IntegrityCheck::HeadRoot, head.size);
    }
    if let Some(entry) = view.raw_entries(head.size, 1).await?.first() {
        found.note(IntegrityCheck::EntryBeyondHead, entry.index);
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
    found: &mut Found,
) -> Result<(), SequenceError> {
    if page.is_empty() {
        return Ok(());
    }
    let epochs = match Epochs::told(view).await {
        Ok(epochs) => epochs.unwrap_or_else(|| Epochs::first(String::new())),
        Err(StoreError::Damaged(_)) => {
            found.note(IntegrityCheck::LogKeys, head.size);
            Epochs::first(view.log_origin().await?.unwrap_or_default())
        }
        Err(error) => return Err(error.into()),
    };
    let keys = match lease {
        Some(lease) => declared(view, &lease.keyring, Managed::Log).await,
        None => Err(Failure::Internal("no keys")),
    };
    let keys = match keys {
        Ok(keys) => Some(keys),
        Err(Failure::Store(error @ StoreError::Unavailable(_))) => return Err(error.into()),
        // A damaged event among those that tell when a key was activated: the heads are still compared with the tree.
        Err(_) => {
            found.note(IntegrityCheck::LogKeys, head.size);
            None
        }
    };
    let mut tiles = Tiles::default();
    for stored in page {
        let at = u64::try_from(stored.size).unwrap_or_default();
        let note_of = std::str::from_utf8(&stored.note).ok().and_then(|text| SignedCheckpoint::parse(text).ok());
        let signed = note_of.filter(|signed| {
            let said = signed.checkpoint();
            said.origin == epochs.name_at(said.size) && i64::try_from(said.size) == Ok(stored.size)
        });
        let Some(signed) = signed else {
            found.note(IntegrityCheck::CheckpointForm, at);
            continue;
        };
        if keys.as_deref().is_some_and(|keys| verified(&signed, keys).is_none()) {
            found.note(IntegrityCheck::CheckpointSignature, at);
        }
        if at > head.size || root(view, tenant, &mut tiles, at).await? != Some(signed.checkpoint().root) {
            found.note(IntegrityCheck::CheckpointRoot, at);
        }
    }
    Ok(())
}

fn verified<'a>(signed: &'a SignedCheckpoint, keys: &[DeclaredKey]) -> Option<&'a Checkpoint> {
    let key = key_at(keys, signed.checkpoint().size)?;
    let name = &signed.checkpoint().origin;
    let verifier = VerifierKey::new(name, Ed25519PublicKey::try_from(&key.jwk).ok()?).ok()?;
    signed.verify(&verifier).ok()
}
