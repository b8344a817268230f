use async_trait::async_trait;
use chancery_domain::audit::guard::{
    Cosignature, GuardRows, GuardWrites, RawCheckpoint, RawEntry, RawEvent, RawQueued, Scrub,
};
use chancery_domain::audit::{LoggedEvent, StoredCheckpoint};
use chancery_domain::ids::EventId;
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

use crate::audit::{HEAD_TOLD, HEAD_WITH_PROOF, read_logged};
use crate::rows::swapped;
use crate::{Driver, Row, Rows, Sql, Value};

// Texts as their bytes: what somebody changed need not be text any more, and is to be told of, not to be an error.
// Of a leaf a byte more than the longest has (16 KiB): that is enough to see that it is none, and a page of such rows fits in memory.
const ENTRIES: Sql = Sql::dialects(
    "SELECT idx, CAST(event_id AS BLOB), recorded_at, CAST(kind AS BLOB), CAST(actor AS BLOB), CAST(resource AS BLOB),
        outcome, CAST(request_id AS BLOB), substr(CAST(core AS BLOB), 1, 16385), leaf_hash
     FROM audit_events WHERE tenant_id = $1 AND idx >= $2 ORDER BY idx LIMIT $3",
    "SELECT idx, convert_to(event_id, 'UTF8'), recorded_at, convert_to(kind, 'UTF8'), convert_to(actor, 'UTF8'),
        convert_to(resource, 'UTF8'), outcome, convert_to(request_id, 'UTF8'), substr(convert_to(core, 'UTF8'), 1, 16385), leaf_hash
     FROM audit_events WHERE tenant_id = $1 AND idx >= $2 ORDER BY idx LIMIT $3",
);

/// By ids that lie between `$3` and `$4`, as personal parts are read.
const PERSONAL_PARTS: Sql = Sql::dialects(
    "SELECT event_id FROM audit_sealed WHERE tenant_id = $1 AND event_id IN (SELECT value FROM json_each($2))
        AND +event_id >= $3 AND +event_id <= $4",
    "SELECT s.event_id FROM json_array_elements_text($2::json) AS j(id) CROSS JOIN LATERAL (
        SELECT event_id FROM audit_sealed
        WHERE tenant_id = $1 AND event_id = j.id AND event_id >= $3 AND event_id <= $4 LIMIT 1) AS s",
);

const QUEUED: Sql = Sql::dialects(
    "SELECT seq, CAST(event_id AS BLOB), recorded_at, CAST(kind AS BLOB), CAST(actor AS BLOB), CAST(resource AS BLOB),
        outcome, CAST(request_id AS BLOB), substr(CAST(core AS BLOB), 1, 16385), sealed
     FROM audit_queue WHERE tenant_id = $1 ORDER BY seq LIMIT $2",
    "SELECT seq, convert_to(event_id, 'UTF8'), recorded_at, convert_to(kind, 'UTF8'), convert_to(actor, 'UTF8'),
        convert_to(resource, 'UTF8'), outcome, convert_to(request_id, 'UTF8'), substr(convert_to(core, 'UTF8'), 1, 16385), sealed
     FROM audit_queue WHERE tenant_id = $1 ORDER BY seq LIMIT $2",
);

/// A row of the queue is put aside; where others write too, in one statement with its end in the queue.
const PUT_ASIDE: Sql = Sql::dialects(
    "INSERT INTO audit_quarantine (tenant_id, told_by, taken_at, event_id, recorded_at, kind, actor, resource, outcome,
        request_id, core, sealed)
     SELECT tenant_id, $3, $4, CAST(event_id AS BLOB), recorded_at, CAST(kind AS BLOB), CAST(actor AS BLOB),
        CAST(resource AS BLOB), outcome, CAST(request_id AS BLOB), CAST(core AS BLOB), sealed
     FROM audit_queue WHERE tenant_id = $1 AND seq = $2",
    "WITH taken AS (DELETE FROM audit_queue WHERE tenant_id = $1 AND seq = $2 RETURNING *)
     INSERT INTO audit_quarantine (tenant_id, told_by, taken_at, event_id, recorded_at, kind, actor, resource, outcome,
        request_id, core, sealed)
     SELECT tenant_id, $3::text, $4::bigint, convert_to(event_id, 'UTF8'), recorded_at, convert_to(kind, 'UTF8'),
        convert_to(actor, 'UTF8'), convert_to(resource, 'UTF8'), outcome, convert_to(request_id, 'UTF8'),
        convert_to(core, 'UTF8'), sealed
     FROM taken",
);

/// The same of a row of the log; one of them, whatever lies there twice.
const PUT_ENTRY_ASIDE: Sql = Sql::dialects(
    "INSERT INTO audit_quarantine (tenant_id, told_by, taken_at, event_id, recorded_at, kind, actor, resource, outcome,
        request_id, core)
     SELECT tenant_id, $3, $4, CAST(event_id AS BLOB), recorded_at, CAST(kind AS BLOB), CAST(actor AS BLOB),
        CAST(resource AS BLOB), outcome, CAST(request_id AS BLOB), CAST(core AS BLOB)
     FROM audit_events WHERE tenant_id = $1 AND idx = $2",
    "WITH one AS (SELECT tableoid AS part, ctid AS place FROM audit_events WHERE tenant_id = $1 AND idx = $2 LIMIT 1),
     taken AS (DELETE FROM audit_events AS e USING one
        WHERE e.tenant_id = $1 AND e.idx = $2 AND e.tableoid = one.part AND e.ctid = one.place RETURNING e.*)
     INSERT INTO audit_quarantine (tenant_id, told_by, taken_at, event_id, recorded_at, kind, actor, resource, outcome,
        request_id, core)
     SELECT tenant_id, $3::text, $4::bigint, convert_to(event_id, 'UTF8'), recorded_at, convert_to(kind, 'UTF8'),
        convert_to(actor, 'UTF8'), convert_to(resource, 'UTF8'), outcome, convert_to(request_id, 'UTF8'),
        convert_to(core, 'UTF8')
     FROM taken",
);
const LEAVE_LOG: &str = "DELETE FROM audit_events WHERE tenant_id = $1 AND idx = $2";
const LEAVE_QUEUE: &str = "DELETE FROM audit_queue WHERE tenant_id = $1 AND seq = $2";

const CHECKPOINTS: Sql = Sql::dialects(
    "SELECT size, signed_at, CAST(note AS BLOB) FROM audit_checkpoints
     WHERE tenant_id = $1 AND (size, signed_at) > ($2, $3) ORDER BY size, signed_at LIMIT $4",
    "SELECT size, signed_at, convert_to(note, 'UTF8') FROM audit_checkpoints
     WHERE tenant_id = $1 AND (size, signed_at) > ($2, $3) ORDER BY size, signed_at LIMIT $4",
);

const CHECKPOINTS_BEFORE: Sql = Sql::dialects(
    "SELECT size, signed_at, CAST(note AS BLOB) FROM audit_checkpoints
     WHERE tenant_id = $1 AND (size, signed_at) < ($2, $3) ORDER BY size DESC, signed_at DESC LIMIT $4",
    "SELECT size, signed_at, convert_to(note, 'UTF8') FROM audit_checkpoints
     WHERE tenant_id = $1 AND (size, signed_at) < ($2, $3) ORDER BY size DESC, signed_at DESC LIMIT $4",
);

fn read_event(row: &mut Row) -> Result<RawEvent, StoreError> {
    Ok(RawEvent {
        id: row.bytes()?,
        recorded_at: row.int()?,
        kind: row.bytes()?,
        actor: row.bytes()?,
        resource: row.opt_bytes()?,
        outcome: row.int()?,
        request: row.bytes()?,
        core: row.bytes()?,
    })
}

fn read_checkpoint(row: &mut Row) -> Result<RawCheckpoint, StoreError> {
    Ok(RawCheckpoint { size: row.int()?, signed_at: row.int()?, note: row.bytes()? })
}

fn read_cosignature(row: &mut Row) -> Result<Cosignature, StoreError> {
    Ok(Cosignature { size: row.number()?, witness: row.text()?, line: row.text()?, cosigned_at: row.time()? })
}

#[async_trait]
impl<D: Driver> GuardRows for Rows<D> {
    async fn raw_entries(&mut self, first: u64, limit: u32) -> Result<Vec<RawEntry>, StoreError> {
        self.all("event", ENTRIES, [Value::count(first), limit.into()], |row| {
            Ok(RawEntry { index: row.number()?, event: read_event(row)?, leaf_hash: row.bytes()? })
        })
        .await
    }

    async fn personal_parts(&mut self, events: &[EventId]) -> Result<Vec<EventId>, StoreError> {
        let (Some(oldest), Some(newest)) = (events.iter().min(), events.iter().max()) else { return Ok(Vec::new()) };
        let args = [Value::list(events), Value::text(oldest), Value::text(newest)];
        self.all("event", PERSONAL_PARTS, args, Row::parsed).await
    }

    async fn references_between(&mut self, first: u64, end: u64) -> Result<Vec<(u64, String)>, StoreError> {
        let sql = "SELECT idx, reference FROM audit_references WHERE tenant_id = $1 AND idx >= $2 AND idx < $3";
        let args = [Value::count(first), Value::count(end)];
        self.readable("reference", sql, args, |row| Ok((row.number()?, row.text()?))).await
    }

    async fn raw_queue(&mut self, limit: u32) -> Result<Vec<RawQueued>, StoreError> {
        self.all("event", QUEUED, [limit.into()], |row| {
            Ok(RawQueued { seq: row.int()?, event: read_event(row)?, sealed: row.opt_bytes()? })
        })
        .await
    }

    async fn raw_checkpoints(&mut self, after: (i64, i64), limit: u32) -> Result<Vec<RawCheckpoint>, StoreError> {
        self.all("checkpoint", CHECKPOINTS, [after.0.into(), after.1.into(), limit.into()], read_checkpoint).await
    }

    async fn raw_checkpoints_before(
        &mut self,
        before: (i64, i64),
        limit: u32,
    ) -> Result<Vec<RawCheckpoint>, StoreError> {
        let args = [before.0.into(), before.1.into(), limit.into()];
        self.all("checkpoint", CHECKPOINTS_BEFORE, args, read_checkpoint).await
    }

    async fn checkpoint_with(&mut self, size: u64, note: &str) -> Result<Option<StoredCheckpoint>, StoreError> {
        self.one(
            "checkpoint",
            "SELECT size, note, signed_at FROM audit_checkpoints WHERE tenant_id = $1 AND size = $2 AND note = $3
             ORDER BY signed_at LIMIT 1",
            [Value::count(size), note.into()],
            |row| Ok(StoredCheckpoint { size: row.number()?, note: row.text()?, signed_at: row.time()? }),
        )
        .await
    }

    async fn scrub(&mut self) -> Result<Option<Scrub>, StoreError> {
        self.one(
            "scrub",
            "SELECT tile, checkpoint_size, checkpoint_at, findings, began_at, ended_at, ended_findings FROM audit_scrubs
             WHERE tenant_id = $1",
            [],
            |row| {
                let (tile, checkpoint) = (row.number()?, (row.int()?, row.int()?));
                let (findings, began_at) = (row.number()?, row.time()?);
                let ended = match (row.opt_time()?, row.opt_int()?) {
                    (Some(ended), Some(found)) => Some((ended, u64::try_from(found).map_err(|_| row.damaged())?)),
                    _ => None,
                };
                Ok(Scrub { tile, checkpoint, findings, began_at, ended })
            },
        )
        .await
    }

    async fn head_told_before(&mut self, origin: &str, place: u64) -> Result<Option<LoggedEvent>, StoreError> {
        let tenant = self.tenant;
        self.one("event", HEAD_TOLD, [origin.into(), Value::count(place)], |row| read_logged(tenant, row)).await
    }

    async fn head_with_proof_before(&mut self, origin: &str, place: u64) -> Result<Option<LoggedEvent>, StoreError> {
        let tenant = self.tenant;
        self.one("event", HEAD_WITH_PROOF, [origin.into(), Value::count(place)], |row| read_logged(tenant, row)).await
    }

    async fn cosignatures(&mut self, size: u64) -> Result<Vec<Cosignature>, StoreError> {
        self.all(
            "cosignature",
            "SELECT size, witness, line, cosigned_at FROM audit_cosignatures WHERE tenant_id = $1 AND size = $2
             ORDER BY witness",
            [Value::count(size)],
            read_cosignature,
        )
        .await
    }

    async fn newest_cosignature(&mut self, witness: &str) -> Result<Option<Cosignature>, StoreError> {
        self.one(
            "cosignature",
            "SELECT size, witness, line, cosigned_at FROM audit_cosignatures WHERE tenant_id = $1 AND witness = $2
             ORDER BY size DESC LIMIT 1",
            [witness.into()],
            read_cosignature,
        )
        .await
    }

    async fn newest_cosigned(&mut self, upto: u64, quorum: u32) -> Result<Option<u64>, StoreError> {
        self.one(
            "cosignature",
            "SELECT c.size FROM audit_cosignatures AS c WHERE c.tenant_id = $1 AND c.size <= $2
                AND EXISTS (SELECT 1 FROM audit_checkpoints AS h WHERE h.tenant_id = $1 AND h.size = c.size)
             GROUP BY c.size HAVING COUNT(*) >= $3 ORDER BY c.size DESC LIMIT 1",
            [Value::count(upto), quorum.into()],
            Row::number,
        )
        .await
    }

    async fn first_cosigned(&mut self, after: u64, quorum: u32) -> Result<Option<u64>, StoreError> {
        self.one(
            "cosignature",
            "SELECT c.size FROM audit_cosignatures AS c WHERE c.tenant_id = $1 AND c.size > $2
                AND EXISTS (SELECT 1 FROM audit_checkpoints AS h WHERE h.tenant_id = $1 AND h.size = c.size)
             GROUP BY c.size HAVING COUNT(*) >= $3 ORDER BY c.size LIMIT 1",
            [Value::count(after), quorum.into()],
            Row::number,
        )
        .await
    }
}

#[async_trait]
impl<D: Driver> GuardWrites for Rows<D> {
    async fn quarantine(&mut self, seq: i64, told_by: EventId, at: Timestamp) -> Result<(), StoreError> {
        let put = self.execute(PUT_ASIDE, [seq.into(), Value::text(told_by), Value::time(at)]).await?;
        swapped(put, "queue")?;
        if self.is_alone() {
            self.execute(LEAVE_QUEUE, [seq.into()]).await?;
        }
        Ok(())
    }

    async fn quarantine_entry(&mut self, index: u64, told_by: EventId, at: Timestamp) -> Result<(), StoreError> {
        let args = [Value::count(index), Value::text(told_by), Value::time(at)];
        swapped(self.execute(PUT_ENTRY_ASIDE, args).await?, "event")?;
        if self.is_alone() {
            self.execute(LEAVE_LOG, [Value::count(index)]).await?;
        }
        Ok(())
    }

    async fn put_scrub(&mut self, scrub: &Scrub) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO audit_scrubs (tenant_id, tile, checkpoint_size, checkpoint_at, findings, began_at, ended_at,
                ended_findings)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (tenant_id) DO UPDATE SET tile = excluded.tile, checkpoint_size = excluded.checkpoint_size,
                checkpoint_at = excluded.checkpoint_at, findings = excluded.findings, began_at = excluded.began_at,
                ended_at = excluded.ended_at, ended_findings = excluded.ended_findings",
            [
                Value::count(scrub.tile),
                scrub.checkpoint.0.into(),
                scrub.checkpoint.1.into(),
                Value::count(scrub.findings),
                Value::time(scrub.began_at),
                Value::opt_time(scrub.ended.map(|(ended, _)| ended)),
                Value::Int(scrub.ended.and_then(|(_, found)| i64::try_from(found).ok())),
            ],
        )
        .await?;
        Ok(())
    }

    async fn put_cosignature(&mut self, cosignature: &Cosignature) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO audit_cosignatures (tenant_id, size, witness, line, cosigned_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (tenant_id, size, witness) DO UPDATE SET line = excluded.line, cosigned_at = excluded.cosigned_at",
            [
                Value::count(cosignature.size),
                cosignature.witness.as_str().into(),
                cosignature.line.as_str().into(),
                Value::time(cosignature.cosigned_at),
            ],
        )
        .await?;
        Ok(())
    }
}
