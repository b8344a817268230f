use async_trait::async_trait;
use chancery_domain::audit::EventKind;
use chancery_domain::audit::retention::{Hold, Purge, Retention, RetentionRows, RetentionWrites, SpanFacts};
use chancery_domain::ids::EventId;
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

use crate::archives::{ARCHIVES, read_archive};
use crate::rows::swapped;
use crate::{Driver, Row, Rows, Sql, Value};

/// In the order of the log, not of time: what is older lies before, and is mostly gone. Where an engine would rather walk an index
/// on time and sort, the plus tells it not to.
const FIRST_RECORDED: Sql = Sql::dialects(
    "SELECT idx FROM audit_events WHERE tenant_id = $1 AND idx >= $2 AND +recorded_at >= $3 ORDER BY idx LIMIT 1",
    "SELECT idx FROM audit_events WHERE tenant_id = $1 AND idx >= $2 AND recorded_at >= $3 ORDER BY idx LIMIT 1",
);

const FACTS: Sql = Sql::dialects(
    "SELECT COUNT(*), COUNT(CASE WHEN kind NOT IN (SELECT value FROM json_each($4)) THEN 1 END), MIN(recorded_at),
        MAX(recorded_at)
     FROM audit_events WHERE tenant_id = $1 AND idx >= $2 AND idx < $3",
    "SELECT COUNT(*), COUNT(CASE WHEN kind NOT IN (SELECT json_array_elements_text($4::json)) THEN 1 END), MIN(recorded_at),
        MAX(recorded_at)
     FROM audit_events WHERE tenant_id = $1 AND idx >= $2 AND idx < $3",
);

macro_rules! unfiled_rules {
    ($events:literal) => {
        concat!(
            "SELECT idx FROM ",
            $events,
            " WHERE tenant_id = $1 AND resource IS NULL
                AND kind IN ('audit.retention_changed', 'audit.hold_placed', 'audit.hold_lifted')
             ORDER BY idx"
        )
    };
}

/// By an index of just those.
const UNFILED_RULES: Sql = Sql::dialects(unfiled_rules!("audit_events"), unfiled_rules!("audit_events_kept"));

/// What lies at some places: ids and times. By them PostgreSQL knows in which months to look for what goes.
const PLACES: &str = "SELECT event_id, recorded_at FROM audit_events WHERE tenant_id = $1 AND idx >= $2 AND idx < $3";

/// `$3` and `$4` are the lowest and the highest of the ids.
const UNSEAL: Sql = Sql::dialects(
    "DELETE FROM audit_sealed WHERE tenant_id = $1 AND event_id IN (SELECT value FROM json_each($2))
        AND +event_id >= $3 AND +event_id <= $4",
    "DELETE FROM audit_sealed WHERE tenant_id = $1 AND event_id IN (SELECT json_array_elements_text($2::json))
        AND event_id >= $3 AND event_id <= $4",
);

/// `$5` and `$6` are the oldest and the newest time.
const UNREFER: Sql = Sql::dialects(
    "DELETE FROM audit_references WHERE tenant_id = $1 AND idx >= $2 AND idx < $3 AND idx NOT IN
        (SELECT idx FROM audit_events WHERE tenant_id = $1 AND idx >= $2 AND idx < $3
            AND +recorded_at >= $5 AND +recorded_at <= $6 AND kind IN (SELECT value FROM json_each($4)))",
    "DELETE FROM audit_references WHERE tenant_id = $1 AND idx >= $2 AND idx < $3 AND idx NOT IN
        (SELECT idx FROM audit_events WHERE tenant_id = $1 AND idx >= $2 AND idx < $3
            AND recorded_at >= $5 AND recorded_at <= $6 AND kind IN (SELECT json_array_elements_text($4::json)))",
);

const PURGE: Sql = Sql::dialects(
    "DELETE FROM audit_events WHERE tenant_id = $1 AND idx >= $2 AND idx < $3
        AND +recorded_at >= $5 AND +recorded_at <= $6 AND kind NOT IN (SELECT value FROM json_each($4))",
    "DELETE FROM audit_events WHERE tenant_id = $1 AND idx >= $2 AND idx < $3
        AND recorded_at >= $5 AND recorded_at <= $6 AND kind NOT IN (SELECT json_array_elements_text($4::json))",
);

const PURGES: &str = "SELECT first_idx, end_idx, month, events, next_idx, certificate_id, event_id, begun_at, ended_at
    FROM audit_purges WHERE tenant_id = $1 ORDER BY first_idx";

fn kinds(kept: &[EventKind]) -> Value {
    Value::list(kept.iter().map(|kind| kind.as_str()))
}

fn read_hold(row: &mut Row) -> Result<Hold, StoreError> {
    Ok(Hold {
        name: row.text()?,
        from: row.opt_time()?,
        to: row.opt_time()?,
        placed_by: row.text()?,
        placed_at: row.time()?,
        event: row.parsed()?,
    })
}

fn read_purge(row: &mut Row) -> Result<Purge, StoreError> {
    Ok(Purge {
        first: row.number()?,
        end: row.number()?,
        month: row.parsed()?,
        events: row.number()?,
        next: row.number()?,
        certificate: row.parsed()?,
        event: row.parsed()?,
        begun_at: row.time()?,
        ended_at: row.opt_time()?,
    })
}

#[async_trait]
impl<D: Driver> RetentionRows for Rows<D> {
    async fn retention(&mut self) -> Result<Option<Retention>, StoreError> {
        let sql = "SELECT months, automatic, archive_first, changed_at FROM audit_retention WHERE tenant_id = $1";
        self.one("retention", sql, [], |row| {
            Ok(Retention {
                months: row.number()?,
                automatic: row.boolean()?,
                archive_first: row.boolean()?,
                changed_at: Some(row.time()?),
            })
        })
        .await
    }

    async fn holds(&mut self) -> Result<Vec<Hold>, StoreError> {
        let sql = "SELECT name, from_at, to_at, placed_by, placed_at, event_id FROM audit_holds WHERE tenant_id = $1
            ORDER BY name";
        self.readable("hold", sql, [], read_hold).await
    }

    async fn unfiled_rules(&mut self) -> Result<Vec<u64>, StoreError> {
        self.all("event", UNFILED_RULES, [], Row::number).await
    }

    async fn purges(&mut self) -> Result<Vec<Purge>, StoreError> {
        self.readable("purge", PURGES, [], read_purge).await
    }

    async fn purge_places(&mut self) -> Result<Vec<u64>, StoreError> {
        let sql = "SELECT first_idx FROM audit_purges WHERE tenant_id = $1 ORDER BY first_idx";
        self.all("purge", sql, [], Row::number).await
    }

    async fn unreadable_rows(&mut self) -> Result<u64, StoreError> {
        let purges = self.all("purge", PURGES, [], |row| Ok(read_purge(row).is_err())).await?;
        let archives = self.all("archive", ARCHIVES, [], |row| Ok(read_archive(row).is_err())).await?;
        Ok(purges.into_iter().chain(archives).map(u64::from).sum())
    }

    async fn first_event(&mut self, from: u64) -> Result<Option<(u64, Timestamp)>, StoreError> {
        let sql = "SELECT idx, recorded_at FROM audit_events WHERE tenant_id = $1 AND idx >= $2 ORDER BY idx LIMIT 1";
        self.one("event", sql, [Value::count(from)], |row| Ok((row.number()?, row.time()?))).await
    }

    async fn first_recorded(&mut self, from: u64, at: Timestamp) -> Result<Option<u64>, StoreError> {
        self.one("event", FIRST_RECORDED, [Value::count(from), Value::time(at)], Row::number).await
    }

    async fn span_facts(&mut self, first: u64, end: u64, kept: &[EventKind]) -> Result<SpanFacts, StoreError> {
        let args = [Value::count(first), Value::count(end), kinds(kept)];
        let facts = self
            .one("event", FACTS, args, |row| {
                let (events, goes, oldest, newest) = (row.number()?, row.number()?, row.opt_time()?, row.opt_time()?);
                Ok(SpanFacts { events, goes, recorded: oldest.zip(newest) })
            })
            .await?;
        facts.ok_or(StoreError::Damaged("event"))
    }
}

#[async_trait]
impl<D: Driver> RetentionWrites for Rows<D> {
    async fn hold_log(&mut self) -> Result<(), StoreError> {
        // SQLite has one writer, so it is held already.
        let sql = Sql::dialects(
            "SELECT origin FROM audit_logs WHERE tenant_id = $1",
            "SELECT origin FROM audit_logs WHERE tenant_id = $1 FOR UPDATE",
        );
        self.one("log", sql, [], Row::text).await?;
        Ok(())
    }

    async fn put_retention(&mut self, retention: &Retention) -> Result<(), StoreError> {
        let sql = "INSERT INTO audit_retention (tenant_id, months, automatic, archive_first, changed_at)
            VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (tenant_id) DO UPDATE SET months = excluded.months, automatic = excluded.automatic,
                archive_first = excluded.archive_first, changed_at = excluded.changed_at";
        let changed_at = retention.changed_at.ok_or(StoreError::Damaged("retention"))?;
        let args = [
            retention.months.into(),
            retention.automatic.into(),
            retention.archive_first.into(),
            Value::time(changed_at),
        ];
        self.execute(sql, args).await?;
        Ok(())
    }

    async fn insert_hold(&mut self, hold: &Hold) -> Result<(), StoreError> {
        let sql = "INSERT INTO audit_holds (tenant_id, name, from_at, to_at, placed_by, placed_at, event_id)
            VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let args = [
            hold.name.as_str().into(),
            Value::opt_time(hold.from),
            Value::opt_time(hold.to),
            hold.placed_by.as_str().into(),
            Value::time(hold.placed_at),
            Value::text(hold.event),
        ];
        self.execute(sql, args).await?;
        Ok(())
    }

    async fn remove_hold(&mut self, name: &str) -> Result<(), StoreError> {
        let removed = self.execute("DELETE FROM audit_holds WHERE tenant_id = $1 AND name = $2", [name.into()]).await?;
        swapped(removed, "hold")
    }

    async fn insert_purge(&mut self, purge: &Purge) -> Result<(), StoreError> {
        let sql = "INSERT INTO audit_purges (tenant_id, first_idx, end_idx, month, events, next_idx, certificate_id,
                event_id, begun_at, ended_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let args = [
            Value::count(purge.first),
            Value::count(purge.end),
            Value::text(purge.month),
            Value::count(purge.events),
            Value::count(purge.next),
            Value::text(purge.certificate),
            Value::text(purge.event),
            Value::time(purge.begun_at),
            Value::opt_time(purge.ended_at),
        ];
        self.execute(sql, args).await?;
        Ok(())
    }

    async fn purge_events(&mut self, purge: &Purge, end: u64, kept: &[EventKind]) -> Result<u64, StoreError> {
        let (from, to) = (Value::count(purge.next), Value::count(end));
        // First, so that of two nodes the second finds it elsewhere.
        let moved = self
            .execute(
                "UPDATE audit_purges SET next_idx = $4 WHERE tenant_id = $1 AND first_idx = $2 AND next_idx = $3
                    AND ended_at IS NULL",
                [Value::count(purge.first), from.clone(), to.clone()],
            )
            .await?;
        swapped(moved, "purge")?;
        let there: Vec<(EventId, Timestamp)> =
            self.all("event", PLACES, [from.clone(), to.clone()], |row| Ok((row.parsed()?, row.time()?))).await?;
        let (ids, times) = (there.iter().map(|(id, _)| *id), there.iter().map(|(_, at)| *at));
        if let (Some(lowest), Some(highest)) = (ids.clone().min(), ids.clone().max()) {
            self.execute(UNSEAL, [Value::list(ids), Value::text(lowest), Value::text(highest)]).await?;
        }
        // Without an event there, what names one goes all the same.
        let oldest = Value::time(times.clone().min().unwrap_or(Timestamp::from_micros(0)));
        let newest = Value::time(times.max().unwrap_or(Timestamp::from_micros(0)));
        let bounds = [from, to, kinds(kept), oldest, newest];
        self.execute(UNREFER, bounds.clone()).await?;
        self.execute(PURGE, bounds).await
    }

    async fn end_purge(&mut self, first: u64, at: Timestamp) -> Result<(), StoreError> {
        let ended = self
            .execute(
                "UPDATE audit_purges SET ended_at = $3 WHERE tenant_id = $1 AND first_idx = $2 AND next_idx = end_idx
                    AND ended_at IS NULL",
                [Value::count(first), Value::time(at)],
            )
            .await?;
        swapped(ended, "purge")
    }
}
