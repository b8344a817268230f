//! How the log is guarded against those who hold its store (ADR 0022).
//!
//! | against | by |
//! | --- | --- |
//! | changed rows, tiles, heads | what is stored is hashed again: before a head is signed, and all of it in cycles ([`step`]) |
//! | a store that was put back to yesterday | [`Pin`]s: the last signed head, outside of the store; [`Epochs`] |
//! | a log that is gone as a whole | [`look_for_logs`]: its pin is left |
//! | a clock that went back | [`look_at_clock`]: the log knows a later time |
//! | rows of a queue that are no events, or behind a log's end | they are put aside ([`GuardWrites::quarantine`]), each is told of |
//! | a tenant's log that is shown in two forms | [`note_head`]: its heads stand in the platform's log |
//! | the same of the platform's log | [`cosign`]: witnesses outside |

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use chancery_crypto::merkle::Hash;

use super::{LoggedEvent, StoredCheckpoint};
use crate::{
    access::RequestInfo,
    ids::{EventId, RequestId, TenantId},
    instance::{Failure, Instance},
    store::StoreError,
    time::Timestamp,
};

mod anchored;
mod clock;
mod edge;
mod epochs;
mod heads;
mod heard;
mod leaves;
mod missing;
mod pin;
mod quarantine;
mod queue;
mod scrub;
mod witness;

pub(crate) use anchored::{Anchored, anchored, newest_anchored};
pub use clock::look_at_clock;
pub(super) use edge::clear_edge;
pub use epochs::Epochs;
pub use heads::{Anchor, AnchorError, anchor, log_keys, note_head, verify_anchor};
use heard::Heard;
pub(super) use leaves::rehash;
pub(crate) use leaves::{is_foreign, is_in_tree};
pub use missing::look_for_logs;
pub use pin::{Gap, Pin, PinError, Pins, accept_pins, accept_restore};
pub(super) use pin::{behind, pin_head, pinned};
use quarantine::Lies;
pub(super) use quarantine::{QUEUE, clear_end, clear_queue};
use queue::Queues;
pub use queue::look_at_queue;
pub use scrub::{Scrubbed, begin_again, due, inspect, step};
pub(super) use witness::Witnessed;
pub use witness::{Answered, Cosigned, Witness, WitnessError, WitnessPort, Witnesses, cosign, look_for_witnesses};

codes! {
    /// What did not hold when stored bytes were looked at again.
    pub enum IntegrityCheck {
        /// An entry of the log is not there.
        EntryMissing = "entry_missing",
        /// An entry's bytes do not give the leaf hash beside them.
        EntryHash = "entry_hash",
        /// What an entry is found by is not what its bytes say.
        EntryColumns = "entry_columns",
        /// An entry commits to a personal part, which is not there and was not purged.
        PersonalMissing = "personal_missing",
        /// What an entry is found by is not what it names.
        EntryReferences = "entry_references",
        /// The row of a certificate is not what the log tells of, or says something else than what was signed.
        CertificateRow = "certificate_row",
        /// The log tells that a certificate has ended, and its row does not.
        CertificateEnd = "certificate_end",
        /// A row of the queue was no event, or another one under the id of an event of the log; it was put aside.
        QueueRow = "queue_row",
        /// There is an entry after the end of the log. Before anything comes there, it is put aside.
        EntryBeyondHead = "entry_beyond_head",
        /// A tile is not there.
        TileMissing = "tile_missing",
        /// A tile has more or fewer hashes than the log's size asks for.
        TileWidth = "tile_width",
        /// A tile's hash is not that of what is below it.
        TileHash = "tile_hash",
        /// The tiles do not give the log's root.
        HeadRoot = "head_root",
        /// The keys that sign the log cannot be told.
        LogKeys = "log_keys",
        /// A signed head is no note of this log and size.
        CheckpointForm = "checkpoint_form",
        /// A signed head is not signed by the log's key of that time.
        CheckpointSignature = "checkpoint_signature",
        /// A signed head is no beginning of the log.
        CheckpointRoot = "checkpoint_root",
        /// The log is not a growth of the head that was signed last.
        Pin = "pin",
        /// A hold, or the lack of one, that the log does not tell of.
        HoldRow = "hold_row",
        /// A row says something else of how long the log is kept than the log.
        RetentionRow = "retention_row",
        /// The log tells that a certificate key was revoked, and its row says otherwise.
        KeyRow = "key_row",
        /// A log of which a head was signed is not there at all.
        LogMissing = "log_missing",
    }
}

/// Something stored that is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What did not hold.
    pub check: IntegrityCheck,
    /// Where: an entry's index; of a tile the first entry under it; of a head its size; of a queue the log's size. Of a row that says how
    /// long a log is kept or what holds it, the index of the event that it should say the same as, 0 if there is none: a log begins with
    /// the activation of its keys.
    pub at: u64,
}

/// An event as it is stored, whatever is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEvent {
    /// Its id's text.
    pub id: Vec<u8>,
    /// When it was recorded, in microseconds.
    pub recorded_at: i64,
    /// Its kind.
    pub kind: Vec<u8>,
    /// Who.
    pub actor: Vec<u8>,
    /// On what.
    pub resource: Option<Vec<u8>>,
    /// How it went.
    pub outcome: i64,
    /// With which request.
    pub request: Vec<u8>,
    /// The leaf.
    pub core: Vec<u8>,
}

/// An entry of the log as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEntry {
    /// Its place.
    pub index: u64,
    /// The event.
    pub event: RawEvent,
    /// The leaf's hash.
    pub leaf_hash: Vec<u8>,
}

/// A row of a queue as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawQueued {
    /// Its number in the queue.
    pub seq: i64,
    /// The event.
    pub event: RawEvent,
    /// Its personal part.
    pub sealed: Option<Vec<u8>>,
}

/// A signed head as it is stored, whatever is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawCheckpoint {
    /// The size it is filed under.
    pub size: i64,
    /// When it is said to be signed, in microseconds.
    pub signed_at: i64,
    /// The note.
    pub note: Vec<u8>,
}

impl RawCheckpoint {
    /// The head, if all of it can be read.
    pub(super) fn into_stored(self) -> Option<StoredCheckpoint> {
        let Self { size, signed_at, note } = self;
        let (size, note) = (u64::try_from(size).ok()?, String::from_utf8(note).ok()?);
        Some(StoredCheckpoint { size, note, signed_at: Timestamp::from_micros(signed_at) })
    }
}

/// How far a log was looked at again. What counts is kept beside the pins; the row of the store is for display, and nobody
/// believes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scrub {
    /// The next tile of leaves.
    pub tile: u64,
    /// The signed head that was looked at last: its size and moment in microseconds; −1 before the first.
    pub checkpoint: (i64, i64),
    /// What this cycle found so far.
    pub findings: u64,
    /// When this cycle began.
    pub began_at: Timestamp,
    /// When the last whole cycle ended, and what it found.
    pub ended: Option<(Timestamp, u64)>,
}

/// What a witness signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosignature {
    /// The size of the head.
    pub size: u64,
    /// The witness's name.
    pub witness: String,
    /// The signature line, with its newline.
    pub line: String,
    /// The time that it states.
    pub cosigned_at: Timestamp,
}

/// Reads a log as it is stored, and what guards it.
#[async_trait]
pub trait GuardRows {
    /// Entries from this index on, ascending.
    async fn raw_entries(&mut self, first: u64, limit: u32) -> Result<Vec<RawEntry>, StoreError>;
    /// Which of these events have a personal part.
    async fn personal_parts(&mut self, events: &[EventId]) -> Result<Vec<EventId>, StoreError>;
    /// What the entries from `first` to before `end` are found by, each with what names it.
    async fn references_between(&mut self, first: u64, end: u64) -> Result<Vec<(u64, String)>, StoreError>;
    /// The oldest rows of the queue in its order.
    async fn raw_queue(&mut self, limit: u32) -> Result<Vec<RawQueued>, StoreError>;
    /// Signed heads after this size and moment, ascending.
    async fn raw_checkpoints(&mut self, after: (i64, i64), limit: u32) -> Result<Vec<RawCheckpoint>, StoreError>;
    /// Signed heads before this size and moment, descending.
    async fn raw_checkpoints_before(
        &mut self,
        before: (i64, i64),
        limit: u32,
    ) -> Result<Vec<RawCheckpoint>, StoreError>;
    /// The head of this size that is this very note.
    async fn checkpoint_with(&mut self, size: u64, note: &str) -> Result<Option<StoredCheckpoint>, StoreError>;
    /// How far the log was looked at again, for display.
    async fn scrub(&mut self) -> Result<Option<Scrub>, StoreError>;
    /// The last event before a place that tells of a head of this name; in the platform's rows only.
    async fn head_told_before(&mut self, origin: &str, place: u64) -> Result<Option<LoggedEvent>, StoreError>;
    /// The same of events that carry something for a proof.
    async fn head_with_proof_before(&mut self, origin: &str, place: u64) -> Result<Option<LoggedEvent>, StoreError>;
    /// What witnesses signed of the head of this size, by name.
    async fn cosignatures(&mut self, size: u64) -> Result<Vec<Cosignature>, StoreError>;
    /// The newest that this witness signed.
    async fn newest_cosignature(&mut self, witness: &str) -> Result<Option<Cosignature>, StoreError>;
    /// The largest size up to `upto` that has a head and so many rows of witnesses.
    async fn newest_cosigned(&mut self, upto: u64, quorum: u32) -> Result<Option<u64>, StoreError>;
    /// The smallest size above `after` that has a head and so many rows of witnesses.
    async fn first_cosigned(&mut self, after: u64, quorum: u32) -> Result<Option<u64>, StoreError>;
}

/// Notes how the log is guarded.
#[async_trait]
pub trait GuardWrites {
    /// Puts a row of the queue aside, byte for byte, beside the event that tells of it. Nothing takes it from there.
    /// [`StoreError::Changed`]`("queue")` if it is not queued any more.
    async fn quarantine(&mut self, seq: i64, told_by: EventId, at: Timestamp) -> Result<(), StoreError>;
    /// As [`Self::quarantine`], a row of the log in a place behind its end. [`StoreError::Changed`]`("event")` if none lies there.
    async fn quarantine_entry(&mut self, index: u64, told_by: EventId, at: Timestamp) -> Result<(), StoreError>;
    /// Notes how far the log was looked at again, for display.
    async fn put_scrub(&mut self, scrub: &Scrub) -> Result<(), StoreError>;
    /// Keeps what a witness signed, in the place of what it signed of that size before.
    async fn put_cosignature(&mut self, cosignature: &Cosignature) -> Result<(), StoreError>;
}

/// One time that a log is looked at, as this process knows it.
#[derive(Debug, Clone, Copy)]
struct Cycle {
    scrub: Scrub,
    /// The tile at which this process took it up: 0 unless an earlier start of it had got so far.
    from: u64,
    /// How many heads this process looked at.
    heads: u64,
}

/// What this process knows of how its logs are guarded.
#[derive(Default)]
pub struct Guard {
    pins: OnceLock<Arc<dyn Pins>>,
    witnesses: OnceLock<Witnesses>,
    damaged: Mutex<BTreeSet<TenantId>>,
    heard: Mutex<Heard>,
    /// Rows that were told of and are not put aside yet.
    aside: Mutex<BTreeMap<TenantId, BTreeSet<Lies>>>,
    /// Of whose log nothing with a proof says how long it is kept.
    unconfirmed: Mutex<BTreeSet<TenantId>>,
    /// Whose logs were found to be gone.
    missing: Mutex<BTreeSet<TenantId>>,
    /// How far each log was looked at again by this process.
    cycles: Mutex<BTreeMap<TenantId, Cycle>>,
    failures: [AtomicU64; IntegrityCheck::ALL.len()],
    rows: AtomicU64,
    /// Queues that are not empty.
    queues: Queues,
    /// By how many seconds the clock is behind the platform's log.
    clock_behind: AtomicU64,
    /// When a quorum of witnesses signed a head last; before that is known, since when this process asks.
    witnessed: Mutex<Option<Timestamp>>,
}

impl Guard {
    /// Says where the last signed heads are kept outside of the store; once, before the instance is used.
    pub fn pin_at(&self, pins: Arc<dyn Pins>) {
        let _ = self.pins.set(pins);
    }

    /// Says who witnesses the platform's log; once, before the instance is used.
    pub fn witnessed_by(&self, witnesses: Witnesses, now: Timestamp) {
        *self.witnessed.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        let _ = self.witnesses.set(witnesses);
    }

    /// The pin of a tenant's log, if pins are kept.
    ///
    /// # Errors
    ///
    /// [`PinError`].
    pub async fn pinned(&self, tenant: TenantId) -> Result<Option<Pin>, PinError> {
        match self.pins() {
            Some(pins) => pins.pinned(tenant).await,
            None => Ok(None),
        }
    }

    fn pins(&self) -> Option<&Arc<dyn Pins>> {
        self.pins.get()
    }

    pub(crate) fn witnesses(&self) -> Option<&Witnesses> {
        self.witnesses.get()
    }

    /// The first tenant of whose log something stored was found changed, if there is one.
    pub fn damaged_log(&self) -> Option<TenantId> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner).first().copied()
    }

    /// Whether nothing with a proof says how long some log is kept, as builds before proofs left it.
    pub fn is_unconfirmed(&self) -> bool {
        !self.unconfirmed.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// How often each check did not hold since this start.
    pub fn failures(&self) -> impl Iterator<Item = (IntegrityCheck, u64)> {
        IntegrityCheck::ALL.iter().zip(&self.failures).map(|(check, count)| (*check, count.load(Ordering::Relaxed)))
    }

    /// How many entries and heads were looked at again since this start.
    pub fn rows_scrubbed(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// For how many seconds no quorum of witnesses has signed a head; `None` where there are no witnesses.
    pub fn unwitnessed_seconds(&self, now: Timestamp) -> Option<u64> {
        self.witnesses.get()?;
        let since = (*self.witnessed.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(u64::try_from(now.as_seconds().saturating_sub(since.as_seconds())).unwrap_or(0))
    }

    /// Whether witnesses are asked for strictly and have been silent for too long.
    pub fn is_unwitnessed(&self, now: Timestamp) -> bool {
        let strict = self.witnesses.get().filter(|witnesses| witnesses.strict);
        strict.is_some_and(|asked| self.unwitnessed_seconds(now).is_some_and(|age| age > asked.max_age_seconds))
    }

    /// For how long the queue of a log has not moved, in seconds: the longest of all logs.
    pub fn stuck_seconds(&self) -> u64 {
        self.queues.stuck_seconds()
    }

    /// Whether a queue has not moved for too long.
    pub fn is_stuck(&self) -> bool {
        self.queues.is_stuck()
    }

    /// By how many seconds at least the clock of this node is behind the platform's log; 0 if it is not.
    pub fn clock_behind_seconds(&self) -> u64 {
        self.clock_behind.load(Ordering::Relaxed)
    }

    fn note_witnessed(&self, at: Timestamp) {
        *self.witnessed.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    fn cycle(&self, tenant: TenantId) -> Option<Cycle> {
        self.cycles.lock().unwrap_or_else(PoisonError::into_inner).get(&tenant).copied()
    }

    fn keep_cycle(&self, tenant: TenantId, cycle: Cycle) {
        self.cycles.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant, cycle);
    }

    fn count(&self, check: IntegrityCheck, many: u64) {
        let at = IntegrityCheck::ALL.iter().position(|other| *other == check);
        if let Some(counter) = at.and_then(|at| self.failures.get(at)) {
            counter.fetch_add(many, Ordering::Relaxed);
        }
    }

    fn count_rows(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    fn note_damaged(&self, tenant: TenantId, damaged: bool) {
        note(&self.damaged, tenant, damaged);
    }

    pub(super) fn note_unconfirmed(&self, tenant: TenantId, unconfirmed: bool) {
        note(&self.unconfirmed, tenant, unconfirmed);
    }
}

/// Notes whether something is so of a tenant.
fn note(known: &Mutex<BTreeSet<TenantId>>, tenant: TenantId, is_so: bool) {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if is_so {
        known.insert(tenant);
    } else {
        known.remove(&tenant);
    }
}

/// What events of these jobs say of the request that they have none of.
pub(super) fn request(instance: &Instance, route: &'static str, method: &'static str) -> Result<RequestInfo, Failure> {
    let id = RequestId::make(instance.now(), instance.random())?;
    Ok(RequestInfo { id, address: None, user_agent: None, key: None, route, method })
}

fn hex(hash: &Hash) -> String {
    data_encoding::HEXLOWER.encode(hash)
}
