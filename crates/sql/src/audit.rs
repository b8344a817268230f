use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use chancery_crypto::merkle;
use chancery_crypto::tiles::TileId;
use chancery_domain::TenantId;
use chancery_domain::audit::intent::{Left, Mark, mark};
use chancery_domain::audit::retention::KEPT;
use chancery_domain::audit::{
    AuditRows, AuditWrites, EventFilter, EventKind, LogHead, LoggedEvent, QueuedEvent, StoredCheckpoint,
};
use chancery_domain::ids::{EventId, RequestId};
use chancery_domain::store::{Epochs, StoreError};
use chancery_domain::time::Timestamp;

use self::find::{FIND, FIND_REFERENCED, PLACES, REFERENCED_PLACES, bounds, bounds_of_named};
use self::moving::UNQUEUE;
use crate::rows::swapped;
use crate::statement::batch;
use crate::{Batch, Driver, Row, Rows, Sql, Value, directory};

// The personal part lies beside the log, so that it can go while the log stays; `with_personal` adds it.
macro_rules! select_logged {
    ($events:literal, $rest:literal) => {
        concat!(
            "SELECT e.event_id, recorded_at, kind, actor, resource, outcome, request_id, core, NULL, e.idx, leaf_hash
             FROM ",
            $events,
            " AS e WHERE e.tenant_id = $1 ",
            $rest
        )
    };
}

mod find;
mod moving;

const QUEUE: Batch = batch!(
    "INSERT INTO audit_queue (tenant_id, event_id, recorded_at, kind, actor, resource, outcome, request_id, core, sealed)",
    sqlite: "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    postgres: "SELECT * FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[],
        $7::bigint[], $8::text[], $9::text[], $10::bytea[])"
);

const OPEN: Batch = batch!(
    "INSERT INTO audit_intents (tenant_id, event_id, node_id, boot, opened_at)",
    sqlite: "(?, ?, ?, ?, ?)",
    postgres: "SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])"
);

/// Forgets intents; gives those that were there.
const CLOSE: Sql = Sql::dialects(
    "DELETE FROM audit_intents WHERE tenant_id = $1 AND event_id IN (SELECT value FROM json_each($2)) RETURNING event_id",
    "DELETE FROM audit_intents WHERE tenant_id = $1 AND event_id IN (SELECT json_array_elements_text($2::json))
     RETURNING event_id",
);

/// Those of these intents that are noted.
const OPEN_AMONG: Sql = Sql::dialects(
    "SELECT event_id FROM audit_intents WHERE tenant_id = $1 AND event_id IN (SELECT value FROM json_each($2))",
    "SELECT event_id FROM audit_intents
     WHERE tenant_id = $1 AND event_id IN (SELECT json_array_elements_text($2::json))",
);

const PUT_TILE: &str = "INSERT INTO audit_tiles (tenant_id, level, idx, hashes) VALUES ($1, $2, $3, $4)
    ON CONFLICT (tenant_id, level, idx) DO UPDATE SET hashes = excluded.hashes
    WHERE substr(excluded.hashes, 1, length(audit_tiles.hashes)) = audit_tiles.hashes";

/// An event by its id, which says when it was made: mostly in the month that it was recorded in.
const NEAR: &str =
    select_logged!("audit_events", "AND e.event_id = $2 AND e.recorded_at >= $3 AND e.recorded_at <= $4");
const ANYWHERE: &str = select_logged!("audit_events", "AND e.event_id = $2");
/// How far from its id an event is looked for first, in seconds.
const NEAR_SECONDS: i64 = 24 * 60 * 60;

/// Personal parts, by ids that lie between `$3` and `$4`: so PostgreSQL knows in which months to look. It is to look for one after
/// the other there, not to read all between: of a page that was searched for, few of many are wanted.
const PERSONAL: Sql = Sql::dialects(
    "SELECT event_id, sealed FROM audit_sealed WHERE tenant_id = $1 AND event_id IN (SELECT value FROM json_each($2))
        AND +event_id >= $3 AND +event_id <= $4",
    "SELECT s.event_id, s.sealed FROM json_array_elements_text($2::json) AS j(id) CROSS JOIN LATERAL (
        SELECT event_id, sealed FROM audit_sealed
        WHERE tenant_id = $1 AND event_id = j.id AND event_id >= $3 AND event_id <= $4 LIMIT 1) AS s",
);

/// The events of one resource. SQLite has no statistics here and would walk the whole log by its primary key to have the
/// order for nothing; the plus tells it to sort the few it finds by the index on `resource`.
pub const EVENTS_ON: Sql = Sql::dialects(
    select_logged!("audit_events", "AND resource = $2 AND kind IN (SELECT value FROM json_each($3)) ORDER BY +idx"),
    select_logged!(
        "audit_events",
        "AND resource = $2 AND kind IN (SELECT json_array_elements_text($3::json)) ORDER BY idx"
    ),
);

// By time, not by place: whoever reads from a place on in its order reads the log to its end where little is found.
macro_rules! outcomes_of {
    ($requests:literal) => {
        concat!(
            select_logged!("audit_events", "AND e.recorded_at >= $2 AND e.recorded_at < $3 AND request_id IN ("),
            $requests,
            ") AND core LIKE '%\"phase\":\"outcome\"%' ORDER BY +e.idx"
        )
    };
}

/// The outcomes of requests, of a span of time.
pub const OUTCOMES: Sql = Sql::dialects(
    outcomes_of!("SELECT value FROM json_each($4)"),
    outcomes_of!("SELECT json_array_elements_text($4::json)"),
);

macro_rules! outcome_places_of {
    ($requests:literal) => {
        concat!(
            "SELECT e.idx FROM audit_events AS e
             WHERE e.tenant_id = $1 AND e.recorded_at >= $2 AND e.recorded_at < $3 AND request_id IN (",
            $requests,
            ") AND core LIKE '%\"phase\":\"outcome\"%' ORDER BY +e.idx"
        )
    };
}

/// The places alone of what that finds.
const OUTCOME_PLACES: Sql = Sql::dialects(
    outcome_places_of!("SELECT value FROM json_each($4)"),
    outcome_places_of!("SELECT json_array_elements_text($4::json)"),
);

macro_rules! queued_outcomes_of {
    ($requests:literal) => {
        concat!(
            "SELECT event_id, recorded_at, kind, actor, resource, outcome, request_id, core, NULL FROM audit_queue
             WHERE tenant_id = $1 AND request_id IN (",
            $requests,
            ") AND core LIKE '%\"phase\":\"outcome\"%' ORDER BY seq"
        )
    };
}

/// The outcomes of requests that are not in the log yet.
const QUEUED_OUTCOMES: Sql = Sql::dialects(
    queued_outcomes_of!("SELECT value FROM json_each($2)"),
    queued_outcomes_of!("SELECT json_array_elements_text($2::json)"),
);

/// The events of one resource of kinds that stay: in PostgreSQL they lie apart from the months.
const KEPT_ON: Sql = Sql::dialects(
    EVENTS_ON.sqlite(),
    select_logged!(
        "audit_events_kept",
        "AND resource = $2 AND kind IN (SELECT json_array_elements_text($3::json)) ORDER BY idx"
    ),
);

macro_rules! head_told {
    ($events:literal, $that:literal) => {
        concat!(
            select_logged!($events, "AND resource = $2 AND kind = 'log.head_noted' AND e.idx < $3 "),
            $that,
            "ORDER BY e.idx DESC LIMIT 1"
        )
    };
}

/// The last event before a place that tells of a head of a name, by an index of just those: there is one a minute of each log.
pub(crate) const HEAD_TOLD: Sql = Sql::dialects(head_told!("audit_events", ""), head_told!("audit_events_kept", ""));
/// The same with what may be a proof.
pub(crate) const HEAD_WITH_PROOF: Sql = Sql::dialects(
    head_told!("audit_events", "AND core LIKE '%\"proof\":%' "),
    head_told!("audit_events_kept", "AND core LIKE '%\"proof\":%' "),
);

/// Puts events of several tenants into their queues in one transaction; all or none, once it commits.
///
/// Each tenant's events keep their order. Row security is moved from tenant to tenant on the way. Intents are noted, and
/// forgotten with their outcomes; an outcome whose intent is not noted is left out. Gives the tenants' epochs, read last.
pub async fn queue_events(driver: &mut impl Driver, events: &[QueuedEvent]) -> Result<Epochs, StoreError> {
    let mut tenants: BTreeMap<TenantId, Vec<&QueuedEvent>> = BTreeMap::new();
    for event in events {
        tenants.entry(event.tenant).or_default().push(event);
    }
    let named: Vec<TenantId> = tenants.keys().copied().collect();
    for (tenant, events) in tenants {
        driver.enter(&tenant.to_string()).await?;
        let (mut opened, mut closed) = (Vec::new(), Vec::new());
        let marks: Vec<Option<Mark>> = events.iter().map(|event| mark(event)).collect();
        for (event, mark) in events.iter().zip(&marks) {
            match mark {
                Some(Mark::Opens { node, boot }) => opened.push(intent_columns(event, node, boot)),
                Some(Mark::Closes(intent)) => closed.push(*intent),
                None => {}
            }
        }
        if !opened.is_empty() {
            driver.insert(&OPEN, opened).await?;
        }
        let mut closed = close(driver, tenant, &closed).await?;
        let told = events.into_iter().zip(marks).filter(|(_, mark)| match mark {
            Some(Mark::Closes(intent)) => closed.remove(intent),
            Some(Mark::Opens { .. }) | None => true,
        });
        let rows: Vec<Vec<Value>> = told.map(|(event, _)| columns(event)).collect();
        if !rows.is_empty() {
            driver.insert(&QUEUE, rows).await?;
        }
    }
    directory::epochs(driver, named).await
}

/// Puts one event into its queue as it is, for a store that is filled from a backup: its intents come as rows of their own.
pub(crate) async fn queue_again(driver: &mut impl Driver, event: &QueuedEvent) -> Result<(), StoreError> {
    driver.enter(&event.tenant.to_string()).await?;
    driver.insert(&QUEUE, vec![columns(event)]).await
}

/// Forgets these intents; gives those that were open.
async fn close(
    driver: &mut impl Driver,
    tenant: TenantId,
    intents: &[EventId],
) -> Result<BTreeSet<EventId>, StoreError> {
    if intents.is_empty() {
        return Ok(BTreeSet::new());
    }
    let rows = driver.fetch(CLOSE, vec![Value::text(tenant), Value::list(intents)]).await?;
    rows.into_iter().map(|row| Row::new("intent", row).parsed()).collect()
}

fn intent_columns(event: &QueuedEvent, node: &str, boot: &str) -> Vec<Value> {
    vec![Value::text(event.tenant), Value::text(event.id), node.into(), boot.into(), Value::time(event.recorded_at)]
}

fn columns(event: &QueuedEvent) -> Vec<Value> {
    let mut columns = Vec::with_capacity(12);
    columns.extend([
        Value::text(event.tenant),
        Value::text(event.id),
        Value::time(event.recorded_at),
        event.kind.as_str().into(),
        event.actor.as_str().into(),
        Value::opt_text(event.resource.as_deref()),
        event.outcome.into(),
        Value::text(event.request),
        event.core.as_str().into(),
        Value::opt_bytes(event.sealed.as_deref()),
    ]);
    columns
}

fn read_queued(tenant: TenantId, row: &mut Row) -> Result<QueuedEvent, StoreError> {
    Ok(QueuedEvent {
        tenant,
        id: row.parsed()?,
        recorded_at: row.time()?,
        kind: row.text()?,
        actor: row.text()?,
        resource: row.opt_text()?,
        outcome: row.int()?,
        request: row.parsed()?,
        core: row.text()?,
        sealed: row.opt_bytes()?,
    })
}

pub(crate) fn read_logged(tenant: TenantId, row: &mut Row) -> Result<LoggedEvent, StoreError> {
    let event = read_queued(tenant, row)?;
    let logged = LoggedEvent { event, index: row.number()?, leaf_hash: row.array()? };
    // What is read is what was hashed, or it is not given out.
    if merkle::leaf_hash(logged.event.core.as_bytes()) == logged.leaf_hash {
        Ok(logged)
    } else {
        Err(StoreError::Damaged("event"))
    }
}

#[async_trait]
impl<D: Driver> AuditRows for Rows<D> {
    async fn log_head(&mut self) -> Result<LogHead, StoreError> {
        let head = self
            .one("log", "SELECT size, root FROM audit_logs WHERE tenant_id = $1", [], |row| {
                Ok(LogHead { size: row.number()?, root: row.array()? })
            })
            .await?;
        Ok(head.unwrap_or(LogHead { size: 0, root: merkle::EMPTY }))
    }

    async fn queued_events(&mut self, limit: u32) -> Result<Vec<QueuedEvent>, StoreError> {
        let tenant = self.tenant;
        let sql = "SELECT event_id, recorded_at, kind, actor, resource, outcome, request_id, core, sealed
            FROM audit_queue WHERE tenant_id = $1 ORDER BY seq LIMIT $2";
        self.all("event", sql, [limit.into()], |row| read_queued(tenant, row)).await
    }

    async fn logged_event(&mut self, id: EventId) -> Result<Option<LoggedEvent>, StoreError> {
        let tenant = self.tenant;
        let near = |seconds: i64| Value::time(id.made_at().plus_seconds(seconds));
        let args = [Value::text(id), near(-NEAR_SECONDS), near(NEAR_SECONDS)];
        let mut found = self.all("event", NEAR, args, |row| read_logged(tenant, row)).await?;
        if found.is_empty() {
            found = self.all("event", ANYWHERE, [Value::text(id)], |row| read_logged(tenant, row)).await?;
        }
        Ok(self.with_personal(found).await?.pop())
    }

    async fn logged_events(&mut self, filter: &EventFilter) -> Result<Vec<LoggedEvent>, StoreError> {
        let tenant = self.tenant;
        let read = |row: &mut Row| read_logged(tenant, row);
        let found = if filter.references.is_empty() {
            self.all("event", FIND, bounds(filter), read).await?
        } else {
            self.all("event", FIND_REFERENCED, bounds_of_named(filter), read).await?
        };
        self.with_personal(found).await
    }

    async fn logged_places(&mut self, filter: &EventFilter) -> Result<Vec<u64>, StoreError> {
        if filter.references.is_empty() {
            return self.all("event", PLACES, bounds(filter), Row::number).await;
        }
        self.all("event", REFERENCED_PLACES, bounds_of_named(filter), Row::number).await
    }

    async fn outcomes(
        &mut self,
        (from, to): (Timestamp, Timestamp),
        requests: &[RequestId],
    ) -> Result<Vec<LoggedEvent>, StoreError> {
        let tenant = self.tenant;
        let args = [Value::time(from), Value::time(to), Value::list(requests)];
        self.all("event", OUTCOMES, args, |row| read_logged(tenant, row)).await
    }

    async fn outcome_places(
        &mut self,
        (from, to): (Timestamp, Timestamp),
        requests: &[RequestId],
    ) -> Result<Vec<u64>, StoreError> {
        let args = [Value::time(from), Value::time(to), Value::list(requests)];
        self.all("event", OUTCOME_PLACES, args, Row::number).await
    }

    async fn queued_outcomes(&mut self, requests: &[RequestId]) -> Result<Vec<QueuedEvent>, StoreError> {
        let tenant = self.tenant;
        self.all("event", QUEUED_OUTCOMES, [Value::list(requests)], |row| read_queued(tenant, row)).await
    }

    async fn events_on(&mut self, resource: &str, kinds: &[EventKind]) -> Result<Vec<LoggedEvent>, StoreError> {
        let tenant = self.tenant;
        let args = [resource.into(), Value::list(kinds)];
        let sql = if kinds.iter().all(|kind| KEPT.contains(kind)) { KEPT_ON } else { EVENTS_ON };
        let found = self.all("event", sql, args, |row| read_logged(tenant, row)).await?;
        self.with_personal(found).await
    }

    async fn tile(&mut self, id: TileId) -> Result<Option<Vec<u8>>, StoreError> {
        self.one(
            "tile",
            "SELECT hashes FROM audit_tiles WHERE tenant_id = $1 AND level = $2 AND idx = $3",
            [i64::from(id.level).into(), Value::count(id.index)],
            Row::bytes,
        )
        .await
    }

    async fn checkpoint(&mut self) -> Result<Option<StoredCheckpoint>, StoreError> {
        self.one(
            "checkpoint",
            "SELECT size, note, signed_at FROM audit_checkpoints WHERE tenant_id = $1
             ORDER BY size DESC, signed_at DESC LIMIT 1",
            [],
            |row| Ok(StoredCheckpoint { size: row.number()?, note: row.text()?, signed_at: row.time()? }),
        )
        .await
    }

    async fn log_origin(&mut self) -> Result<Option<String>, StoreError> {
        self.one("log", "SELECT origin FROM audit_logs WHERE tenant_id = $1", [], Row::text).await
    }

    async fn left_intents(&mut self, left: &Left) -> Result<Vec<EventId>, StoreError> {
        let args = [
            Value::text(left.node),
            Value::text(left.boot),
            Value::time(left.before),
            Value::time(left.of_any_before),
            Value::text(left.after.map_or_else(String::new, |id| id.to_string())),
            left.limit.into(),
        ];
        self.all(
            "intent",
            "SELECT event_id FROM audit_intents WHERE tenant_id = $1
                AND ((node_id = $2 AND boot <> $3 AND opened_at < $4) OR opened_at < $5) AND event_id > $6
             ORDER BY event_id LIMIT $7",
            args,
            Row::parsed,
        )
        .await
    }

    async fn open_intents(&mut self, ids: &[EventId]) -> Result<Vec<EventId>, StoreError> {
        self.all("intent", OPEN_AMONG, [Value::list(ids)], Row::parsed).await
    }
}

impl<D: Driver> Rows<D> {
    /// The events with their personal parts.
    async fn with_personal(&mut self, mut events: Vec<LoggedEvent>) -> Result<Vec<LoggedEvent>, StoreError> {
        let ids: Vec<EventId> = events.iter().map(|logged| logged.event.id).collect();
        let (Some(oldest), Some(newest)) = (ids.iter().min(), ids.iter().max()) else { return Ok(events) };
        let args = [Value::list(&ids), Value::text(oldest), Value::text(newest)];
        let parts = self.all("event", PERSONAL, args, |row| Ok((row.parsed::<EventId>()?, row.bytes()?))).await?;
        let mut parts: BTreeMap<EventId, Vec<u8>> = parts.into_iter().collect();
        for logged in &mut events {
            logged.event.sealed = parts.remove(&logged.event.id);
        }
        Ok(events)
    }
}

#[async_trait]
impl<D: Driver> AuditWrites for Rows<D> {
    async fn create_log(&mut self, origin: &str) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO audit_logs (tenant_id, origin, size, root) VALUES ($1, $2, 0, $3)",
            [origin.into(), Value::bytes(&merkle::EMPTY)],
        )
        .await?;
        Ok(())
    }

    async fn queue_event(&mut self, event: &QueuedEvent) -> Result<(), StoreError> {
        if event.tenant != self.tenant {
            return Err(StoreError::Unavailable("an event of another tenant was queued".into()));
        }
        self.insert(&QUEUE, vec![columns(event)]).await?;
        self.queued = true;
        Ok(())
    }

    async fn log_events(&mut self, events: &[LoggedEvent]) -> Result<(), StoreError> {
        if events.iter().any(|logged| logged.event.tenant != self.tenant) {
            return Err(StoreError::Unavailable("an event of another tenant was logged".into()));
        }
        // Fixed when it was queued, so a second try has the same month. Where there is no room nothing moves, and it stays queued.
        let moments: Vec<Timestamp> =
            events.iter().flat_map(|logged| [logged.event.recorded_at, logged.event.id.made_at()]).collect();
        self.make_room(&moments).await?;
        if !self.is_alone() && self.is_any_logged(events).await? {
            return Err(StoreError::Taken("event"));
        }
        let consecutive = events.windows(2).all(|pair| matches!(pair, [one, next] if one.index + 1 == next.index));
        if let (true, Some(first)) = (consecutive, events.first()) {
            return self.move_events(first.index, events).await;
        }
        self.move_rows(events).await
    }

    async fn drop_queued(&mut self, events: &[EventId]) -> Result<(), StoreError> {
        self.execute(UNQUEUE, [Value::list(events)]).await.map(drop)
    }

    async fn put_tile(&mut self, id: TileId, hashes: &[u8]) -> Result<(), StoreError> {
        let changed =
            self.execute(PUT_TILE, [i64::from(id.level).into(), Value::count(id.index), Value::bytes(hashes)]).await?;
        swapped(changed, "tile")
    }

    async fn advance_log(&mut self, from: LogHead, to: LogHead) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE audit_logs SET size = $4, root = $5 WHERE tenant_id = $1 AND size = $2 AND root = $3",
                [Value::count(from.size), Value::bytes(&from.root), Value::count(to.size), Value::bytes(&to.root)],
            )
            .await?;
        swapped(changed, "log")
    }

    async fn close_intent(&mut self, id: EventId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM audit_intents WHERE tenant_id = $1 AND event_id = $2";
        Ok(self.execute(sql, [Value::text(id)]).await? == 1)
    }

    async fn insert_checkpoint(&mut self, checkpoint: &StoredCheckpoint) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO audit_checkpoints (tenant_id, size, note, signed_at) VALUES ($1, $2, $3, $4)",
            [Value::count(checkpoint.size), checkpoint.note.as_str().into(), Value::time(checkpoint.signed_at)],
        )
        .await?;
        Ok(())
    }
}
