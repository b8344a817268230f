//! A store that fails when told to. What fails is here, with the rows of jobs and of the log; rows that are only handed on lie beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use chancery_crypto::tiles::TileId;
use chancery_domain::TenantId;
use chancery_domain::access::{Bearer, Stands};
use chancery_domain::audit::archives::{Archive, ArchiveRows, ArchiveWrites};
use chancery_domain::audit::guard::{Cosignature, GuardRows, GuardWrites, RawCheckpoint, RawEntry, RawQueued, Scrub};
use chancery_domain::audit::intent::Left;
use chancery_domain::audit::months::MonthPart;
use chancery_domain::audit::retention::{Hold, Month, Purge, Retention, RetentionRows, RetentionWrites, SpanFacts};
use chancery_domain::audit::sinks::{SinkCursor, SinkRows, SinkWrites};
use chancery_domain::audit::{
    AuditRows, AuditWrites, EventFilter, EventKind, LogHead, LoggedEvent, QueuedEvent, StoredCheckpoint,
};
use chancery_domain::identity_providers::{AudienceClaim, IdentityProviderEntry};
use chancery_domain::ids::{ApiKeyId, EventId, NodeId, RequestId};
use chancery_domain::jobs::JobWrites;
use chancery_domain::store::{ApiKeyEntry, Directory, Epochs, Store, StoreError, TenantEntry, Tx, View};
use chancery_domain::time::Timestamp;

/// What fails from now on. Each is a switch.
#[derive(Debug, Default)]
pub struct Faults {
    begin: AtomicBool,
    view: AtomicBool,
    commit: AtomicBool,
    /// How many commits are left before they fail; more than anybody makes, unless told.
    commits: Countdown,
    append: AtomicBool,
    /// How often events were appended.
    appends: AtomicU64,
    hang: AtomicBool,
    answer: AtomicBool,
    queue: AtomicBool,
    directory: AtomicBool,
    rooms: AtomicBool,
}

macro_rules! switches {
    ($($(#[$meta:meta])* $set:ident $field:ident,)+) => {
        impl Faults {
            $($(#[$meta])* pub fn $set(&self, fails: bool) { self.$field.store(fails, Ordering::SeqCst); })+
        }
    };
}

switches! {
    /// Opening a transaction, and [`Store::ping`].
    fail_begin begin,
    /// Opening a view.
    fail_view view,
    /// Committing: everything is rolled back.
    fail_commit commit,
    /// [`Store::append_events`]: nothing is queued.
    fail_append append,
    /// [`Store::append_events`]: it answers nothing until this ends, as when a disk hangs, and is done then.
    hang_append hang,
    /// What commits is done and then answered with an error, as when `fsync` fails or the connection is cut at the last moment.
    lose_answers answer,
    /// Putting an event into the queue within a transaction.
    fail_queue queue,
    /// Every question to the directory.
    fail_directory directory,
    /// There is no room for the running month in the log.
    fail_rooms rooms,
}

fn check(fault: &AtomicBool) -> Result<(), StoreError> {
    if fault.load(Ordering::SeqCst) { Err(StoreError::Unavailable("told to fail".into())) } else { Ok(()) }
}

/// A store that fails when told to, and otherwise does as the one within. Clones share the switches.
#[derive(Debug, Clone)]
pub struct Faulty<S> {
    within: S,
    faults: Arc<Faults>,
}

/// Counts down to the moment of failure.
#[derive(Debug)]
struct Countdown(AtomicU64);

impl Default for Countdown {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl Faults {
    /// So many commits work and none after them, as if the process had died; `u64::MAX` ends that.
    pub fn fail_commits_after(&self, commits: u64) {
        self.commits.0.store(commits, Ordering::SeqCst);
    }

    /// How often [`Store::append_events`] was called so far.
    pub fn appends(&self) -> u64 {
        self.appends.load(Ordering::SeqCst)
    }

    fn commit(&self) -> Result<(), StoreError> {
        check(&self.commit)?;
        let spent = |left: u64| if left == u64::MAX { Some(left) } else { left.checked_sub(1) };
        let left = self.commits.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, spent);
        left.map(|_| ()).map_err(|_| StoreError::Unavailable("told to fail".into()))
    }
}

impl<S> Faulty<S> {
    /// Nothing fails yet.
    pub fn new(within: S) -> Self {
        Self { within, faults: Arc::default() }
    }

    /// The switches.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The store that never fails.
    pub const fn within(&self) -> &S {
        &self.within
    }
}

#[async_trait]
impl<S: Store> Store for Faulty<S> {
    async fn begin(&self, tenant: TenantId) -> Result<Box<dyn Tx>, StoreError> {
        check(&self.faults.begin)?;
        let within = self.within.begin(tenant).await?;
        Ok(Box::new(FaultyTx { within, faults: Arc::clone(&self.faults) }))
    }

    async fn view(&self, tenant: TenantId) -> Result<Box<dyn View>, StoreError> {
        check(&self.faults.view)?;
        self.within.view(tenant).await
    }

    async fn fresh_view(&self, tenant: TenantId) -> Result<Box<dyn View>, StoreError> {
        check(&self.faults.view)?;
        self.within.fresh_view(tenant).await
    }

    async fn bearer(&self, tenant: TenantId, bearer: &Bearer) -> Result<Stands, StoreError> {
        check(&self.faults.view)?;
        self.within.bearer(tenant, bearer).await
    }

    async fn append_events(&self, events: &[QueuedEvent]) -> Result<Epochs, StoreError> {
        self.faults.appends.fetch_add(1, Ordering::SeqCst);
        check(&self.faults.append)?;
        while self.faults.hang.load(Ordering::SeqCst) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let done = self.within.append_events(events).await?;
        check(&self.faults.answer)?;
        Ok(done)
    }

    fn take_grown(&self) -> Vec<TenantId> {
        self.within.take_grown()
    }

    async fn scrub(&self) -> Result<(), StoreError> {
        check(&self.faults.begin)?;
        self.within.scrub().await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        check(&self.faults.begin)?;
        self.within.ping().await
    }

    async fn make_room(&self, moments: &[Timestamp]) -> Result<(), StoreError> {
        check(&self.faults.begin)?;
        self.within.make_room(moments).await
    }

    async fn months_open(&self, now: Timestamp, most: u64) -> Result<Option<u64>, StoreError> {
        if self.faults.rooms.load(Ordering::SeqCst) {
            return Ok(Some(0));
        }
        self.within.months_open(now, most).await
    }

    async fn take_out_spent(&self, before: Month) -> Result<Vec<MonthPart>, StoreError> {
        self.within.take_out_spent(before).await
    }

    async fn is_month_spent(&self, part: MonthPart) -> Result<bool, StoreError> {
        self.within.is_month_spent(part).await
    }

    async fn drop_month(&self, part: MonthPart) -> Result<bool, StoreError> {
        self.within.drop_month(part).await
    }

    async fn put_back(&self, part: MonthPart) -> Result<(), StoreError> {
        self.within.put_back(part).await
    }
}

#[async_trait]
impl<S: Directory> Directory for Faulty<S> {
    async fn api_key(&self, id: ApiKeyId) -> Result<Option<ApiKeyEntry>, StoreError> {
        check(&self.faults.directory)?;
        self.within.api_key(id).await
    }

    async fn old_api_keys(&self, prefix: &str) -> Result<Vec<ApiKeyEntry>, StoreError> {
        check(&self.faults.directory)?;
        self.within.old_api_keys(prefix).await
    }

    async fn identity_providers(
        &self,
        issuer: &str,
        audiences: &[(AudienceClaim, &str)],
    ) -> Result<Vec<IdentityProviderEntry>, StoreError> {
        check(&self.faults.directory)?;
        self.within.identity_providers(issuer, audiences).await
    }

    async fn tenant(&self, id: TenantId) -> Result<Option<TenantEntry>, StoreError> {
        check(&self.faults.directory)?;
        self.within.tenant(id).await
    }

    async fn tenant_by_slug(&self, slug: &str) -> Result<Option<TenantEntry>, StoreError> {
        check(&self.faults.directory)?;
        self.within.tenant_by_slug(slug).await
    }

    async fn tenants(&self, after: Option<TenantId>, limit: u32) -> Result<Vec<TenantEntry>, StoreError> {
        check(&self.faults.directory)?;
        self.within.tenants(after, limit).await
    }

    async fn epochs(&self, tenants: &[TenantId]) -> Result<Epochs, StoreError> {
        check(&self.faults.directory)?;
        self.within.epochs(tenants).await
    }

    async fn epochs_since(&self, mark: Option<i64>) -> Result<(Epochs, i64), StoreError> {
        check(&self.faults.directory)?;
        self.within.epochs_since(mark).await
    }
}

struct FaultyTx {
    within: Box<dyn Tx>,
    faults: Arc<Faults>,
}

#[async_trait]
impl View for FaultyTx {}

#[async_trait]
impl Tx for FaultyTx {
    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.faults.commit()?;
        self.within.commit().await?;
        check(&self.faults.answer)
    }

    fn stops_keys(&self) -> bool {
        self.within.stops_keys()
    }
}

/// Hands each call on to the transaction within.
macro_rules! hand_on {
    ($row:ident { $(fn $name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)+ }) => {
        #[async_trait]
        impl $row for FaultyTx {
            $(async fn $name(&mut self, $($arg: $type),*) -> Result<$answer, StoreError> {
                self.within.$name($($arg),*).await
            })+
        }
    };
}

mod access;
mod keys;
mod records;
mod service;

hand_on!(JobWrites {
    fn claim_job(name: &str, node: NodeId, now: Timestamp, until: Timestamp) -> bool;
    fn renew_job(name: &str, node: NodeId, from: Timestamp, until: Timestamp) -> bool;
    fn claim_free_job(name: &str, node: NodeId, until: Timestamp) -> bool;
    fn release_job(name: &str, node: NodeId) -> ();
    fn forget_nodes(own: &str, before: Timestamp) -> ();
});
hand_on!(AuditRows {
    fn log_head() -> LogHead;
    fn queued_events(limit: u32) -> Vec<QueuedEvent>;
    fn logged_event(id: EventId) -> Option<LoggedEvent>;
    fn logged_events(filter: &EventFilter) -> Vec<LoggedEvent>;
    fn logged_places(filter: &EventFilter) -> Vec<u64>;
    fn outcomes(span: (Timestamp, Timestamp), requests: &[RequestId]) -> Vec<LoggedEvent>;
    fn outcome_places(span: (Timestamp, Timestamp), requests: &[RequestId]) -> Vec<u64>;
    fn queued_outcomes(requests: &[RequestId]) -> Vec<QueuedEvent>;
    fn events_on(resource: &str, kinds: &[EventKind]) -> Vec<LoggedEvent>;
    fn tile(id: TileId) -> Option<Vec<u8>>;
    fn checkpoint() -> Option<StoredCheckpoint>;
    fn log_origin() -> Option<String>;
    fn left_intents(left: &Left) -> Vec<EventId>;
    fn open_intents(ids: &[EventId]) -> Vec<EventId>;
});
hand_on!(SinkRows { fn sink_cursors() -> Vec<SinkCursor>; });
hand_on!(SinkWrites { fn save_sink_cursor(cursor: &SinkCursor, from: Option<u64>) -> (); });
hand_on!(GuardRows {
    fn raw_entries(first: u64, limit: u32) -> Vec<RawEntry>;
    fn personal_parts(events: &[EventId]) -> Vec<EventId>;
    fn references_between(first: u64, end: u64) -> Vec<(u64, String)>;
    fn raw_queue(limit: u32) -> Vec<RawQueued>;
    fn raw_checkpoints(after: (i64, i64), limit: u32) -> Vec<RawCheckpoint>;
    fn raw_checkpoints_before(before: (i64, i64), limit: u32) -> Vec<RawCheckpoint>;
    fn checkpoint_with(size: u64, note: &str) -> Option<StoredCheckpoint>;
    fn scrub() -> Option<Scrub>;
    fn head_told_before(origin: &str, place: u64) -> Option<LoggedEvent>;
    fn head_with_proof_before(origin: &str, place: u64) -> Option<LoggedEvent>;
    fn cosignatures(size: u64) -> Vec<Cosignature>;
    fn newest_cosignature(witness: &str) -> Option<Cosignature>;
    fn newest_cosigned(upto: u64, quorum: u32) -> Option<u64>;
    fn first_cosigned(after: u64, quorum: u32) -> Option<u64>;
});
hand_on!(GuardWrites {
    fn quarantine(seq: i64, told_by: EventId, at: Timestamp) -> ();
    fn quarantine_entry(index: u64, told_by: EventId, at: Timestamp) -> ();
    fn put_scrub(scrub: &Scrub) -> ();
    fn put_cosignature(cosignature: &Cosignature) -> ();
});
hand_on!(RetentionRows {
    fn retention() -> Option<Retention>;
    fn holds() -> Vec<Hold>;
    fn unfiled_rules() -> Vec<u64>;
    fn purges() -> Vec<Purge>;
    fn purge_places() -> Vec<u64>;
    fn unreadable_rows() -> u64;
    fn first_event(from: u64) -> Option<(u64, Timestamp)>;
    fn first_recorded(from: u64, at: Timestamp) -> Option<u64>;
    fn span_facts(first: u64, end: u64, kept: &[EventKind]) -> SpanFacts;
});
hand_on!(RetentionWrites {
    fn hold_log() -> ();
    fn put_retention(retention: &Retention) -> ();
    fn insert_hold(hold: &Hold) -> ();
    fn remove_hold(name: &str) -> ();
    fn insert_purge(purge: &Purge) -> ();
    fn purge_events(purge: &Purge, end: u64, kept: &[EventKind]) -> u64;
    fn end_purge(first: u64, at: Timestamp) -> ();
});
hand_on!(ArchiveRows {
    fn archives() -> Vec<Archive>;
});
hand_on!(ArchiveWrites {
    fn insert_archive(archive: &Archive) -> ();
});

#[async_trait]
impl AuditWrites for FaultyTx {
    async fn create_log(&mut self, origin: &str) -> Result<(), StoreError> {
        self.within.create_log(origin).await
    }

    async fn queue_event(&mut self, event: &QueuedEvent) -> Result<(), StoreError> {
        check(&self.faults.queue)?;
        self.within.queue_event(event).await
    }

    async fn log_events(&mut self, events: &[LoggedEvent]) -> Result<(), StoreError> {
        self.within.log_events(events).await
    }
    async fn drop_queued(&mut self, events: &[EventId]) -> Result<(), StoreError> {
        self.within.drop_queued(events).await
    }

    async fn put_tile(&mut self, id: TileId, hashes: &[u8]) -> Result<(), StoreError> {
        self.within.put_tile(id, hashes).await
    }

    async fn trim_tiles(&mut self, last: TileId, width: u16) -> Result<u64, StoreError> {
        self.within.trim_tiles(last, width).await
    }

    async fn advance_log(&mut self, from: LogHead, to: LogHead) -> Result<(), StoreError> {
        self.within.advance_log(from, to).await
    }

    async fn close_intent(&mut self, id: EventId) -> Result<bool, StoreError> {
        self.within.close_intent(id).await
    }

    async fn insert_checkpoint(&mut self, checkpoint: &StoredCheckpoint) -> Result<(), StoreError> {
        self.within.insert_checkpoint(checkpoint).await
    }
}
