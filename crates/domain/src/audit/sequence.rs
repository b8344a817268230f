//! Moves queued events into the tenant's Merkle log, and signs its head.

use chancery_crypto::{
    Ed25519PublicKey,
    checkpoint::{Checkpoint, SignedCheckpoint, VerifierKey},
    merkle::{self, Hash},
    proof::LogProof,
    runs::{self, Run},
    tiles::{TileError, TileId, Tiles, TreeBuilder},
};

use super::{LogHead, LoggedEvent, StoredCheckpoint, guard};
use crate::{
    Instance,
    ids::TenantId,
    instance::Failure,
    keyring::{
        DeclaredKey, Keyring, KeyringError, Managed,
        declared::{declared, key_at},
        ring::RingVersion,
    },
    store::{StoreError, View},
};

/// How many events one transaction moves at most.
const BATCH: u32 = 1_024;
/// So many heads are read at first; mostly the first one is the newest.
const HEADS: u32 = 4;
/// So many are read at once after those.
const MORE_HEADS: u32 = 256;
/// So many rows that are no heads are passed over before the pin is asked.
const PASSED_OVER: usize = 1_024;
/// So many batches of one log are moved at a turn.
const TURN: u32 = 16;
/// How often a lost race against another node is tried again.
const RACES: u32 = 8;

/// Why a log was not advanced.
#[derive(Debug, thiserror::Error)]
pub enum SequenceError {
    /// Stored tiles do not give the stored root: the log was changed behind our back. Nothing is signed.
    #[error("the log of {0} does not match its root")]
    Forked(TenantId),
    /// The log is not a growth of what was signed of it last: the store was put back. Nothing is signed until somebody who may
    /// accepts that ([`guard::accept_restore`]).
    #[error("the log of {0} is behind what was signed of it")]
    RolledBack(TenantId),
    /// Another node keeps winning the race.
    #[error("the log is busy")]
    Busy,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for SequenceError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Moves all queued events of a tenant into its log, in queue order; gives the new head.
///
/// # Errors
///
/// As [`turn`].
pub async fn sequence(instance: &Instance, tenant: TenantId) -> Result<LogHead, SequenceError> {
    loop {
        if let Some(head) = turn(instance, tenant).await? {
            return Ok(head);
        }
    }
}

/// Moves queued events of a tenant into its log, in queue order, as many as one turn takes: whoever sees to many logs has none wait for
/// another. Gives the new head; `None` while more may be queued.
///
/// Two sequencers at once give an error in one of them, never a fork: the head moves by compare-and-swap.
///
/// # Errors
///
/// [`SequenceError`]; what was not moved stays queued.
pub async fn turn(instance: &Instance, tenant: TenantId) -> Result<Option<LogHead>, SequenceError> {
    let moved = try_turn(instance, tenant).await;
    remember_fork(instance, tenant, &moved);
    moved
}

/// Readiness fails while a log is known not to match its root ([`Instance::forked_log`]).
pub(super) fn remember_fork<T>(instance: &Instance, tenant: TenantId, outcome: &Result<T, SequenceError>) {
    if matches!(outcome, Err(SequenceError::Forked(_) | SequenceError::RolledBack(_))) {
        instance.forked.lock().unwrap_or_else(|poison| poison.into_inner()).insert(tenant);
    }
}

async fn try_turn(instance: &Instance, tenant: TenantId) -> Result<Option<LogHead>, SequenceError> {
    let (mut batches, mut races) = (0, 0);
    while batches < TURN {
        match move_batch(instance, tenant).await {
            Ok(None) => batches += 1,
            Ok(head) => return Ok(head),
            Err(SequenceError::Failed(Failure::Store(StoreError::Changed(_)))) if races < RACES => races += 1,
            Err(SequenceError::Failed(Failure::Store(StoreError::Changed(_)))) => return Err(SequenceError::Busy),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Moves one batch; gives the head when nothing is left.
async fn move_batch(instance: &Instance, tenant: TenantId) -> Result<Option<LogHead>, SequenceError> {
    // A look without the writer's lock first: most calls find nothing to do.
    // Not of a replica, which may not have heard of what was queued a moment ago.
    let mut view = instance.store().fresh_view(tenant).await?;
    if view.raw_queue(1).await?.is_empty() {
        return Ok(Some(view.log_head().await?));
    }
    let head = view.log_head().await?;
    let is_free = view.raw_entries(head.size, 1).await?.is_empty();
    drop(view);
    if !is_free {
        guard::clear_end(instance, tenant, BATCH).await?;
        return Ok(None);
    }
    match try_batch(instance, tenant).await {
        // One of them is no event, or is in the log already: each is looked at.
        Err(
            error @ SequenceError::Failed(Failure::Store(StoreError::Damaged(guard::QUEUE) | StoreError::Taken(_))),
        ) => {
            if guard::clear_queue(instance, tenant, BATCH).await? == 0 {
                Err(error)
            } else {
                Ok(None)
            }
        }
        // Hashes that somebody wrote behind the end of a tile may be in the way, or keep it from being read.
        Err(
            error @ (SequenceError::Forked(_) | SequenceError::Failed(Failure::Store(StoreError::Changed("tile")))),
        ) => {
            if let Ok(true) = guard::clear_edge(instance, tenant).await {
                Ok(None)
            } else {
                Err(error)
            }
        }
        moved => moved,
    }
}

/// Moves one batch whole. The store takes no id twice ([`StoreError::Taken`]), in whichever month it was recorded.
async fn try_batch(instance: &Instance, tenant: TenantId) -> Result<Option<LogHead>, SequenceError> {
    let mut tx = instance.store().begin(tenant).await?;
    let rows = tx.raw_queue(BATCH).await?;
    let before = tx.log_head().await?;
    if rows.is_empty() {
        return Ok(Some(before));
    }
    let done = rows.len() < usize::try_from(BATCH).unwrap_or(usize::MAX);
    let mut tree = resume(&mut *tx, tenant, before).await?;
    let mut logged = Vec::with_capacity(rows.len());
    for row in rows {
        let event = row.into_event(tenant).ok_or(StoreError::Damaged(guard::QUEUE))?;
        let leaf_hash = merkle::leaf_hash(event.core.as_bytes());
        logged.push(LoggedEvent { index: tree.size(), event, leaf_hash });
        tree.push(leaf_hash);
    }
    let growth = tree.finish().map_err(|_| SequenceError::Forked(tenant))?;
    let after = LogHead { size: growth.size, root: growth.root };
    tx.advance_log(before, after).await?;
    tx.log_events(&logged).await?;
    for (tile, hashes) in &growth.tiles {
        tx.put_tile(*tile, hashes).await?;
    }
    tx.commit().await?;
    Ok(done.then_some(after))
}

/// The tree at its stored head, proven to match the stored root before anything is built on it.
async fn resume(tx: &mut dyn crate::store::Tx, tenant: TenantId, head: LogHead) -> Result<TreeBuilder, SequenceError> {
    let mut edge = Tiles::default();
    for (tile, _) in TileId::edge(head.size) {
        let hashes = tx.tile(tile).await?.ok_or(SequenceError::Forked(tenant))?;
        edge.insert(tile, &hashes).map_err(|_| SequenceError::Forked(tenant))?;
    }
    let tree = TreeBuilder::resume(head.size, edge).map_err(|_| SequenceError::Forked(tenant))?;
    match tree.root() {
        Ok(root) if root == head.root => Ok(tree),
        Ok(_) | Err(_) => Err(SequenceError::Forked(tenant)),
    }
}

/// A view of a log that shows at least its first `size` events: a replica's if it has caught up.
pub(super) async fn caught_up(instance: &Instance, tenant: TenantId, size: u64) -> Result<Box<dyn View>, StoreError> {
    let mut view = instance.store().view(tenant).await?;
    if view.log_head().await?.size >= size {
        return Ok(view);
    }
    drop(view);
    instance.store().fresh_view(tenant).await
}

/// The signed head of the log: the newest one, or a new one if the log grew.
///
/// Before it signs, it proves from the stored tiles that they give the stored root, that the stored rows behind the new leaves
/// give those leaves, and that the log only grew since the newest signed head and since the one that is pinned outside.
///
/// # Errors
///
/// [`SequenceError`].
pub async fn checkpoint(instance: &Instance, tenant: TenantId) -> Result<StoredCheckpoint, SequenceError> {
    sequence(instance, tenant).await?;
    sign(instance, tenant).await
}

/// As [`checkpoint`], of the log as it stands: nothing is moved into it before.
///
/// # Errors
///
/// [`SequenceError`].
pub async fn sign(instance: &Instance, tenant: TenantId) -> Result<StoredCheckpoint, SequenceError> {
    let signed = try_sign(instance, tenant).await;
    remember_fork(instance, tenant, &signed);
    if signed.is_ok() {
        // Its tiles gave its root, and it only grew since the head before: whatever it was, it is whole again.
        instance.forked.lock().unwrap_or_else(|poison| poison.into_inner()).remove(&tenant);
    }
    signed
}

async fn try_sign(instance: &Instance, tenant: TenantId) -> Result<StoredCheckpoint, SequenceError> {
    let lease = instance.lease(tenant).await?;
    let pinned = guard::pinned(instance, tenant).await?;
    let mut view = instance.store().fresh_view(tenant).await?;
    let head = view.log_head().await?;
    let epochs = guard::Epochs::told(&mut *view).await?.ok_or(Failure::Internal("log without an origin"))?;
    let keys = declared(&mut *view, &lease.keyring, Managed::Log).await?;
    let (newest, signed) = newest_signed(instance, &mut *view, tenant, &epochs, &keys).await?.unzip();
    check_growth(&mut *view, tenant, head, signed.as_ref()).await?;
    guard::rehash(&mut *view, tenant, signed.as_ref().map_or(0, |signed| signed.size), head.size).await?;
    if let Some(pin) = &pinned
        && guard::behind(&mut *view, tenant, &epochs, head, pin).await?
    {
        return Err(SequenceError::RolledBack(tenant));
    }
    drop(view);
    if let Some(newest) = newest.filter(|newest| newest.size == head.size) {
        guard::pin_head(instance, tenant, pinned.as_ref(), &newest.note).await?;
        return Ok(newest);
    }
    let key = key_at(&keys, head.size).ok_or(Failure::Keyring(KeyringError::NoActiveKey(Managed::Log)))?;
    let ring = instance.keyring_with(tenant, &key.key_id).await?;
    let signer = ring.version(Managed::Log, &key.key_id).and_then(RingVersion::ed25519).map_err(Failure::Keyring)?;
    let checkpoint = Checkpoint { origin: epochs.name_at(head.size), size: head.size, root: head.root };
    let signed =
        SignedCheckpoint::sign(&checkpoint, signer, &checkpoint.origin).map_err(|_| Failure::Internal("log origin"))?;
    let stored = StoredCheckpoint { size: head.size, note: signed.text().to_owned(), signed_at: instance.now() };
    // Pinned before anybody can see it; the head that it names is in the store already.
    guard::pin_head(instance, tenant, pinned.as_ref(), &stored.note).await?;
    let mut tx = instance.store().begin(tenant).await?;
    match tx.insert_checkpoint(&stored).await {
        Ok(()) => tx.commit().await?,
        // Another request or node signed this size meanwhile; both signatures are true.
        Err(StoreError::Taken(_)) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(stored)
}

/// As [`newest_signed`], by the keys of the log's tenant.
///
/// # Errors
///
/// [`SequenceError`].
pub(super) async fn newest_head(
    instance: &Instance,
    view: &mut dyn View,
    tenant: TenantId,
    ring: &Keyring,
) -> Result<Option<StoredCheckpoint>, SequenceError> {
    let Some(epochs) = guard::Epochs::told(view).await? else { return Ok(None) };
    let keys = declared(view, ring, Managed::Log).await?;
    Ok(newest_signed(instance, view, tenant, &epochs, &keys).await?.map(|(newest, _)| newest))
}

/// The newest head that the log's key of its time signed. A row that is none, whatever size it is filed under, is passed over: it
/// cannot be taken away, and the scrubber tells of it. Among many of them the pinned one counts, and only without one all are read.
///
/// # Errors
///
/// [`SequenceError::Forked`] if there are rows, and none of them is a head.
async fn newest_signed(
    instance: &Instance,
    view: &mut dyn View,
    tenant: TenantId,
    epochs: &guard::Epochs,
    keys: &[DeclaredKey],
) -> Result<Option<(StoredCheckpoint, Checkpoint)>, SequenceError> {
    let signed = |stored: StoredCheckpoint| {
        let head = signed_head(&stored, epochs, keys)?;
        Some((stored, head))
    };
    let (mut before, mut passed, mut limit) = ((i64::MAX, i64::MAX), 0, HEADS);
    loop {
        let page = view.raw_checkpoints_before(before, limit).await?;
        let Some(last) = page.last() else { break };
        (before, limit) = ((last.size, last.signed_at), MORE_HEADS);
        let many = passed < PASSED_OVER && passed + page.len() >= PASSED_OVER;
        passed += page.len();
        if let Some(found) = page.into_iter().find_map(|raw| raw.into_stored().and_then(signed)) {
            return Ok(Some(found));
        }
        if many
            && let Some(pin) = guard::pinned(instance, tenant).await?
            && let Some(found) = view.checkpoint_with(pin.head().size, pin.note()).await?.and_then(signed)
        {
            return Ok(Some(found));
        }
    }
    if passed == 0 { Ok(None) } else { Err(SequenceError::Forked(tenant)) }
}

/// A stored head, if the log's key of that time signed it: rows alone are not believed.
pub(super) fn signed_head(
    stored: &StoredCheckpoint,
    epochs: &guard::Epochs,
    keys: &[DeclaredKey],
) -> Option<Checkpoint> {
    let signed = SignedCheckpoint::parse(&stored.note).ok()?;
    let origin = epochs.name_at(signed.checkpoint().size);
    let key = key_at(keys, signed.checkpoint().size)?;
    let verifier = VerifierKey::new(&origin, Ed25519PublicKey::try_from(&key.jwk).ok()?).ok()?;
    let head = signed.verify(&verifier).ok()?;
    (head.origin == origin && head.size == stored.size).then(|| head.clone())
}

/// Whether the stored tiles give the stored root, and the newest signed head is a beginning of it.
async fn check_growth(
    view: &mut dyn View,
    tenant: TenantId,
    head: LogHead,
    signed: Option<&Checkpoint>,
) -> Result<(), SequenceError> {
    let mut tiles = Tiles::default();
    let root = with_tiles(view, tenant, &mut tiles, |tiles| tiles.root(head.size)).await?;
    if root != head.root || signed.is_some_and(|old| old.size > head.size) {
        return Err(SequenceError::Forked(tenant));
    }
    let Some(old) = signed else { return Ok(()) };
    let proof = with_tiles(view, tenant, &mut tiles, |tiles| tiles.consistency_proof(old.size, head.size)).await?;
    let grown = merkle::verify_consistency(old.size, head.size, &old.root, &head.root, &proof);
    grown.map_err(|_| SequenceError::Forked(tenant))
}

/// Computes something from tiles, fetching those that it misses.
pub(super) async fn with_tiles<T>(
    view: &mut dyn View,
    tenant: TenantId,
    tiles: &mut Tiles,
    compute: impl Fn(&Tiles) -> Result<T, TileError>,
) -> Result<T, SequenceError> {
    loop {
        match compute(tiles) {
            Ok(value) => return Ok(value),
            Err(TileError::Missing { tile, .. }) => {
                // INVARIANT: a tile asked for twice is a damaged one; the loop ends.
                if tiles.to_bytes(tile).is_some() {
                    return Err(SequenceError::Forked(tenant));
                }
                let hashes = view.tile(tile).await?.ok_or(SequenceError::Forked(tenant))?;
                tiles.insert(tile, &hashes).map_err(|_| SequenceError::Forked(tenant))?;
            }
            Err(_) => return Err(SequenceError::Forked(tenant)),
        }
    }
}

/// The proof that the event at `index` is under `checkpoint`.
///
/// # Errors
///
/// [`SequenceError::Forked`] if tiles are missing or damaged.
pub async fn prove(
    view: &mut dyn View,
    tenant: TenantId,
    index: u64,
    checkpoint: &StoredCheckpoint,
) -> Result<LogProof, SequenceError> {
    let proven = prove_all(view, tenant, &[index], checkpoint).await?;
    proven.into_iter().next().ok_or(SequenceError::Failed(Failure::Internal("an event without a proof")))
}

/// The proofs that the events at these indexes are under `checkpoint`. Each tile is read once.
///
/// # Errors
///
/// As [`prove`].
pub async fn prove_all(
    view: &mut dyn View,
    tenant: TenantId,
    indexes: &[u64],
    checkpoint: &StoredCheckpoint,
) -> Result<Vec<LogProof>, SequenceError> {
    let (mut tiles, mut proofs) = (Tiles::default(), Vec::with_capacity(indexes.len()));
    for index in indexes.iter().copied() {
        let proof = with_tiles(view, tenant, &mut tiles, |tiles| tiles.inclusion_proof(index, checkpoint.size)).await;
        let signed = SignedCheckpoint::parse(&checkpoint.note).map_err(|_| SequenceError::Forked(tenant))?;
        proofs.push(LogProof { index, hashes: proof?, checkpoint: signed });
    }
    Ok(proofs)
}

/// The roots of the subtrees between these runs of the first `size` events ([`runs::gaps`]).
///
/// # Errors
///
/// [`SequenceError::Forked`] if tiles are missing or damaged.
pub(crate) async fn prove_runs(
    view: &mut dyn View,
    tenant: TenantId,
    runs: &[Run],
    size: u64,
) -> Result<Vec<Hash>, SequenceError> {
    let gaps = runs::gaps(runs, size).map_err(|_| SequenceError::Forked(tenant))?;
    let mut hashes = Vec::with_capacity(gaps.len());
    let mut tiles = Tiles::default();
    for (number, gap) in gaps.into_iter().enumerate() {
        // Chosen events may lie in as many tiles: those behind us are let go.
        if number % 512 == 511 {
            tiles = Tiles::default();
        }
        let root = |tiles: &Tiles| tiles.subtree(gap.height, gap.index, size);
        hashes.push(with_tiles(view, tenant, &mut tiles, root).await?);
    }
    Ok(hashes)
}
