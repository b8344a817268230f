//! From the queue into the log.

use chancery_domain::audit::LoggedEvent;
use chancery_domain::ids::EventId;
use chancery_domain::store::StoreError;

use super::columns;
use crate::statement::batch;
use crate::{Batch, Driver, Row, Rows, Sql, Value};

const LOG: Batch = batch!(
    "INSERT INTO audit_events (tenant_id, event_id, recorded_at, kind, actor, resource, outcome, request_id, core,
        idx, leaf_hash)",
    sqlite: "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    postgres: "SELECT * FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[],
        $7::bigint[], $8::text[], $9::text[], $10::bigint[], $11::bytea[])"
);

const SEAL: Batch = batch!(
    "INSERT INTO audit_sealed (tenant_id, event_id, sealed)",
    sqlite: "(?, ?, ?)",
    postgres: "SELECT * FROM UNNEST($1::text[], $2::text[], $3::bytea[])"
);

/// From queue to log within the database: nothing is read, bound and written again but the ids, the hashes and one number.
/// `$2` lists the ids in the order of the log, `$3` is the first index, `$4` holds the leaf hashes one after another.
const MOVE: &str =
    "INSERT INTO audit_events (tenant_id, event_id, recorded_at, kind, actor, resource, outcome, request_id, core,
        idx, leaf_hash)
    SELECT q.tenant_id, q.event_id, q.recorded_at, q.kind, q.actor, q.resource, q.outcome, q.request_id, q.core,
        $3 + j.key, substr($4, 1 + 32 * j.key, 32)
    FROM json_each($2) AS j CROSS JOIN audit_queue AS q ON q.tenant_id = $1 AND q.event_id = j.value";

const MOVE_SEALED: &str = "INSERT INTO audit_sealed (tenant_id, event_id, sealed)
    SELECT q.tenant_id, q.event_id, q.sealed
    FROM json_each($2) AS j CROSS JOIN audit_queue AS q ON q.tenant_id = $1 AND q.event_id = j.value
    WHERE q.sealed IS NOT NULL";

pub(super) const UNQUEUE: Sql = Sql::dialects(
    "DELETE FROM audit_queue WHERE tenant_id = $1 AND event_id IN (SELECT value FROM json_each($2))",
    "DELETE FROM audit_queue WHERE tenant_id = $1 AND event_id IN (SELECT json_array_elements_text($2::json))",
);

/// A queued one of these events that is in the log already, whatever month it was recorded in: PostgreSQL keeps an id unique within a
/// month alone. `$3` and `$4` are the lowest and the highest id: in months that have none between them a part takes one look.
const LOGGED_AMONG: &str = "SELECT e.event_id FROM audit_events AS e
    WHERE e.tenant_id = $1 AND e.event_id >= $3 AND e.event_id <= $4
        AND e.event_id IN (SELECT json_array_elements_text($2::json))
        AND EXISTS (SELECT 1 FROM audit_queue AS q WHERE q.tenant_id = $1 AND q.event_id = e.event_id)
    LIMIT 1";
/// Ids of one look lie no further apart than this, in seconds: one that was made long ago must not have all since be read.
const AMONG_SECONDS: u64 = 60 * 60;

/// The same where others may do it meanwhile, in one statement: who comes second waits for the rows and finds them gone.
/// Of two sequencers none reads a row that it does not move: rows of the queue never change.
const TAKE: &str = "WITH given AS (
        SELECT j.id, j.at - 1 AS at FROM json_array_elements_text($2::json) WITH ORDINALITY AS j(id, at)
    ), taken AS (
        DELETE FROM audit_queue WHERE tenant_id = $1 AND event_id IN (SELECT id FROM given) RETURNING *
    ), personal AS (
        INSERT INTO audit_sealed (tenant_id, event_id, sealed)
        SELECT t.tenant_id, t.event_id, t.sealed FROM taken AS t WHERE t.sealed IS NOT NULL
    )
    INSERT INTO audit_events (tenant_id, event_id, recorded_at, kind, actor, resource, outcome, request_id, core,
        idx, leaf_hash)
    SELECT t.tenant_id, t.event_id, t.recorded_at, t.kind, t.actor, t.resource, t.outcome, t.request_id, t.core,
        $3::bigint + g.at, substr($4::bytea, 1 + 32 * g.at::int, 32)
    FROM taken AS t JOIN given AS g ON g.id = t.event_id";

/// Files events under what they name. `$2` lists the ids of those that name something; they are in the log by then, recorded
/// between `$3` and `$4`.
const REFER: Sql = Sql::dialects(
    "INSERT INTO audit_references (tenant_id, reference, idx)
    SELECT DISTINCT e.tenant_id, r.value, e.idx
    FROM json_each($2) AS j CROSS JOIN audit_events AS e CROSS JOIN json_each(e.core, '$.resource.ref_hmac') AS r
    WHERE e.tenant_id = $1 AND e.event_id = j.value AND +e.recorded_at >= $3 AND +e.recorded_at <= $4",
    "INSERT INTO audit_references (tenant_id, reference, idx)
    SELECT DISTINCT e.tenant_id, r.reference, e.idx
    FROM json_array_elements_text($2::json) AS j(id) JOIN audit_events AS e ON e.tenant_id = $1 AND e.event_id = j.id
        AND e.recorded_at >= $3 AND e.recorded_at <= $4
        CROSS JOIN LATERAL json_array_elements_text(e.core::json -> 'resource' -> 'ref_hmac') AS r(reference)",
);

impl<D: Driver> Rows<D> {
    /// Whether one of these is queued although it is in the log already, in whichever part of it.
    pub(super) async fn is_any_logged(&mut self, events: &[LoggedEvent]) -> Result<bool, StoreError> {
        let mut ids: Vec<EventId> = events.iter().map(|logged| logged.event.id).collect();
        ids.sort_unstable();
        let near = |one: &EventId, next: &EventId| {
            one.made_at().as_seconds().abs_diff(next.made_at().as_seconds()) <= AMONG_SECONDS
        };
        for group in ids.chunk_by(near) {
            let (Some(lowest), Some(highest)) = (group.first(), group.last()) else { continue };
            let args = [Value::list(group), Value::text(lowest), Value::text(highest)];
            if self.one("event", LOGGED_AMONG, args, Row::text).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Moves queued events to these consecutive indexes of the log. What a row holds stays within the database.
    pub(super) async fn move_events(&mut self, first: u64, events: &[LoggedEvent]) -> Result<(), StoreError> {
        let ids = Value::list(events.iter().map(|logged| logged.event.id));
        let hashes: Vec<u8> = events.iter().flat_map(|logged| logged.leaf_hash).collect();
        let alone = self.is_alone();
        let how = if alone { MOVE } else { TAKE };
        let moved = self.execute(how, [ids.clone(), Value::count(first), Value::Bytes(Some(hashes))]).await?;
        if moved != events.len() as u64 {
            return Err(StoreError::Changed("queue"));
        }
        if alone {
            if events.iter().any(|logged| logged.event.sealed.is_some()) {
                self.execute(MOVE_SEALED, [ids.clone()]).await?;
            }
            self.execute(UNQUEUE, [ids]).await?;
        }
        self.refer(events).await
    }

    /// Moves queued events to whatever indexes of the log, row by row.
    pub(super) async fn move_rows(&mut self, events: &[LoggedEvent]) -> Result<(), StoreError> {
        // First out of the queue: of two sequencers the second waits here, and then finds them gone.
        let ids = Value::list(events.iter().map(|logged| logged.event.id));
        let unqueued = self.execute(UNQUEUE, [ids]).await?;
        if unqueued != events.len() as u64 {
            return Err(StoreError::Changed("queue"));
        }
        let rows = events
            .iter()
            .map(|logged| {
                let mut columns = columns(&logged.event);
                columns.pop(); // the personal part, which is last
                columns.extend([Value::count(logged.index), Value::bytes(&logged.leaf_hash)]);
                columns
            })
            .collect();
        self.insert(&LOG, rows).await?;
        let sealed = events.iter().filter_map(|logged| {
            let bytes = logged.event.sealed.as_deref()?;
            Some(vec![Value::text(logged.event.tenant), Value::text(logged.event.id), Value::bytes(bytes)])
        });
        self.insert(&SEAL, sealed.collect()).await?;
        self.refer(events).await
    }

    /// Files events of the log under what they name.
    async fn refer(&mut self, events: &[LoggedEvent]) -> Result<(), StoreError> {
        let naming = |logged: &&LoggedEvent| logged.event.core.contains("\"ref_hmac\":");
        let ids: Vec<EventId> = events.iter().filter(naming).map(|logged| logged.event.id).collect();
        let recorded = || events.iter().filter(naming).map(|logged| logged.event.recorded_at);
        let (Some(oldest), Some(newest)) = (recorded().min(), recorded().max()) else { return Ok(()) };
        self.execute(REFER, [Value::list(ids), Value::time(oldest), Value::time(newest)]).await.map(drop)
    }
}
