//! What happened, in a log that nobody can quietly edit.
//!
//! An event is appended to its tenant's queue in the transaction of the change it tells of
//! ([`Change`]), or, for reads of personal data, in a commit shared by many requests
//! ([`append`]) that gives an [`AuditReceipt`]; how such a read ended is told after it
//! ([`intent`]). Within a second the sequencer ([`sequence()`]) moves it into the tenant's
//! Merkle log (RFC 6962).

use async_trait::async_trait;
use chancery_crypto::{merkle::Hash, tiles::TileId};

use crate::{
    ids::{EventId, RequestId, TenantId},
    store::StoreError,
    time::Timestamp,
};

pub mod accounting;
mod action;
pub mod alive;
pub mod application;
pub mod archives;
pub mod change;
pub mod counters;
pub(crate) mod damage;
pub mod details;
mod ended;
mod event;
pub mod export;
pub mod failures;
pub(crate) mod follow;
pub mod formats;
pub mod guard;
pub mod intent;
mod kind;
pub mod leaf;
pub mod mapping;
pub mod months;
pub mod page;
pub(crate) mod personal;
mod proof;
pub mod query;
pub mod receipt;
pub mod refusals;
pub mod retention;
pub mod sampled;
pub mod screen;
pub mod sequence;
pub mod sinks;
pub(crate) mod stamp;

pub use action::Action;
pub use change::Change;
pub use damage::DamagedLog;
pub use event::{Detail, Event, Outcome};
pub(crate) use failures::opens_failed;
pub use failures::{OpenFailure, open_failed};
use intent::Left;
pub use kind::EventKind;
pub use receipt::{Appender, AuditReceipt, OpenIntent, Told, append, told};
pub use sequence::{SequenceError, sequence};

/// An event on its way into the log: the exact bytes that will be hashed, and what to find it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedEvent {
    /// Whose log.
    pub tenant: TenantId,
    /// Its id.
    pub id: EventId,
    /// When it was put into the queue.
    pub recorded_at: Timestamp,
    /// Its kind's code, such as `record.opened`.
    pub kind: String,
    /// Who did it: a user, an API key, `system` or `anonymous`.
    pub actor: String,
    /// The id of what it was done to, if Chancery gave that id.
    pub resource: Option<String>,
    /// Its outcome's code.
    pub outcome: i64,
    /// With which request.
    pub request: RequestId,
    /// The leaf: canonical JSON (RFC 8785).
    pub core: String,
    /// Personal data of the event with the salts of its commitments, sealed.
    pub sealed: Option<Vec<u8>>,
}

/// An event in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEvent {
    /// Its place in the log, from 0. Not in the leaf; the inclusion proof binds it.
    pub index: u64,
    /// The event.
    pub event: QueuedEvent,
    /// SHA-256(0x00 ‖ core).
    pub leaf_hash: Hash,
}

/// How far a tenant's log has grown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogHead {
    /// How many events.
    pub size: u64,
    /// The Merkle tree's root over them.
    pub root: Hash,
}

/// A signed head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// The size it speaks of.
    pub size: u64,
    /// The C2SP signed note.
    pub note: String,
    /// When it was signed.
    pub signed_at: Timestamp,
}

/// What to look for in a log. All bounds count together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFilter {
    /// Recorded at or after.
    pub from: Timestamp,
    /// Recorded before.
    pub to: Timestamp,
    /// With an index above this one.
    pub after: Option<u64>,
    /// By this actor.
    pub actor: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Of a kind that begins so, or one of `kinds`.
    pub prefix: Option<String>,
    /// Of one of these kinds, or one that begins with `prefix`; of any if there are neither.
    pub kinds: Vec<String>,
    /// That name one of these things outside, by their keyed references; whatever they name if there are none.
    pub references: Vec<String>,
    /// On this resource.
    pub resource: Option<String>,
    /// With this outcome.
    pub outcome: Option<i64>,
    /// With this request.
    pub request: Option<RequestId>,
    /// At most so many.
    pub limit: u32,
}

impl EventFilter {
    /// The events of all times that come after an index.
    pub fn after(after: Option<u64>, limit: u32) -> Self {
        let (from, to) = (Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MAX));
        EventSpan { from, to, after, limit }.into()
    }
}

/// A page of a span of time.
#[derive(Debug, Clone, Copy)]
pub struct EventSpan {
    /// Recorded at or after.
    pub from: Timestamp,
    /// Recorded before.
    pub to: Timestamp,
    /// With an index above this one.
    pub after: Option<u64>,
    /// At most so many.
    pub limit: u32,
}

impl From<EventSpan> for EventFilter {
    fn from(span: EventSpan) -> Self {
        let EventSpan { from, to, after, limit } = span;
        Self {
            from,
            to,
            after,
            actor: None,
            kind: None,
            prefix: None,
            kinds: Vec::new(),
            references: Vec::new(),
            resource: None,
            outcome: None,
            request: None,
            limit,
        }
    }
}

/// Reads the log.
#[async_trait]
pub trait AuditRows {
    /// The log's head; size 0 and the empty root when nothing was sequenced yet.
    async fn log_head(&mut self) -> Result<LogHead, StoreError>;
    /// The oldest queued events in queue order.
    async fn queued_events(&mut self, limit: u32) -> Result<Vec<QueuedEvent>, StoreError>;
    /// One event of the log.
    async fn logged_event(&mut self, id: EventId) -> Result<Option<LoggedEvent>, StoreError>;
    /// Events of the log by index, ascending. [`StoreError::Damaged`] if one of them is not what was logged.
    async fn logged_events(&mut self, filter: &EventFilter) -> Result<Vec<LoggedEvent>, StoreError>;
    /// Where the events lie that [`Self::logged_events`] finds, whatever is stored of them.
    async fn logged_places(&mut self, filter: &EventFilter) -> Result<Vec<u64>, StoreError>;
    /// The outcomes among the events of these requests that were recorded at or after one moment and before another, by index,
    /// ascending; they have no personal part. [`StoreError::Damaged`] if one of them is not what was logged.
    async fn outcomes(
        &mut self,
        span: (Timestamp, Timestamp),
        requests: &[RequestId],
    ) -> Result<Vec<LoggedEvent>, StoreError>;
    /// Where the events lie that [`Self::outcomes`] finds, whatever is stored of them.
    async fn outcome_places(
        &mut self,
        span: (Timestamp, Timestamp),
        requests: &[RequestId],
    ) -> Result<Vec<u64>, StoreError>;
    /// The outcomes among the queued events of these requests, in queue order.
    async fn queued_outcomes(&mut self, requests: &[RequestId]) -> Result<Vec<QueuedEvent>, StoreError>;
    /// The events of these kinds that were done to this resource, by index, ascending. For the few that a key has: without the
    /// kinds, whoever may append events of their own could name it in any number of them.
    async fn events_on(&mut self, resource: &str, kinds: &[EventKind]) -> Result<Vec<LoggedEvent>, StoreError>;
    /// A tile: its hashes one after another, or `None`.
    async fn tile(&mut self, id: TileId) -> Result<Option<Vec<u8>>, StoreError>;
    /// The newest signed head.
    async fn checkpoint(&mut self) -> Result<Option<StoredCheckpoint>, StoreError>;
    /// A tenant-made id of the log, part of its origin; made when the log is.
    async fn log_origin(&mut self) -> Result<Option<String>, StoreError>;
    /// The intents that have no outcome and lost their process, oldest first.
    async fn left_intents(&mut self, left: &Left) -> Result<Vec<EventId>, StoreError>;
    /// Those of these intents that are noted and have no outcome.
    async fn open_intents(&mut self, ids: &[EventId]) -> Result<Vec<EventId>, StoreError>;
}

/// Grows the log. Nothing changes it; what goes when its time is over goes by [`retention::RetentionWrites`].
#[async_trait]
pub trait AuditWrites {
    /// Starts the log with this origin. [`StoreError::Taken`]`("log")` if there is one.
    async fn create_log(&mut self, origin: &str) -> Result<(), StoreError>;
    /// Puts an event into the queue. It must be of the transaction's tenant.
    async fn queue_event(&mut self, event: &QueuedEvent) -> Result<(), StoreError>;
    /// Moves queued events into the log and takes them out of the queue. Fails with
    /// [`StoreError::Changed`]`("queue")` if one of them is no longer queued.
    async fn log_events(&mut self, events: &[LoggedEvent]) -> Result<(), StoreError>;
    /// Takes events out of the queue that are in the log already.
    async fn drop_queued(&mut self, events: &[EventId]) -> Result<(), StoreError>;
    /// Writes a tile, replacing a narrower one.
    async fn put_tile(&mut self, id: TileId, hashes: &[u8]) -> Result<(), StoreError>;
    /// Cuts this tile to so many hashes, and every later one of its level to none; gives how many had more. What the log reaches stays.
    async fn trim_tiles(&mut self, last: TileId, width: u16) -> Result<u64, StoreError>;
    /// Moves the head. [`StoreError::Changed`]`("log")` if it is not at `from`: somebody else sequenced.
    async fn advance_log(&mut self, from: LogHead, to: LogHead) -> Result<(), StoreError>;
    /// Forgets an intent, for its outcome is in this transaction; `false` if it was not open.
    async fn close_intent(&mut self, id: EventId) -> Result<bool, StoreError>;
    /// Adds a signed head.
    async fn insert_checkpoint(&mut self, checkpoint: &StoredCheckpoint) -> Result<(), StoreError>;
}
