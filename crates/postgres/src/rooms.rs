//! Tables of single months of the audit log: room for what comes, and the end of what is gone for everybody (ADR 0028).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chancery_domain::audit::months::MonthPart;
use chancery_domain::audit::retention::Month;
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;
use chancery_sql::{month_part, month_table};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use crate::WRITE;
use crate::begin::begin;
use crate::driver::Open;
use crate::error::store;

/// Whoever changes tables of the log does not make others wait for long behind it.
const PATIENCE: &str = "SET LOCAL lock_timeout = '2s'";

/// Every part of one month, with the table it is a part of, and whether it is half out.
const PARTS: &str =
    "SELECT t.parent, p.part, p.leaving FROM (VALUES ('audit_events_months'), ('audit_sealed_months')) AS t(parent)
    CROSS JOIN LATERAL chancery_parts(t.parent::regclass) AS p ORDER BY p.part";

/// Parts that are out: they are called so and are no part of anything.
const OUT: &str = "SELECT c.relname::text FROM pg_class AS c
    WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'audit_events'::regclass)
        AND c.relkind = 'r' AND NOT c.relispartition AND c.relname ~ '^audit_(events|sealed)_(until_)?[0-9]{4}_[0-9]{2}$'
    ORDER BY c.relname";

/// Makes room and takes it away. Clones share what they know.
#[derive(Debug, Clone)]
pub(crate) struct Rooms {
    pool: PgPool,
    /// A connection for what changes tables: whoever needs room has one of the pool already.
    aside: PgPool,
    /// From when to when there is room, as far as we have looked.
    known: Arc<Mutex<Vec<(i64, i64)>>>,
}

impl Rooms {
    pub(crate) fn new(pool: PgPool, aside: PgPool) -> Self {
        Self { pool, aside, known: Arc::default() }
    }

    pub(crate) async fn close(&self) {
        self.aside.close().await;
    }

    /// Makes room for events of these moments, each month in a transaction of its own.
    pub(crate) async fn make(&self, moments: &[Timestamp]) -> Result<(), StoreError> {
        for at in moments {
            let at = at.as_micros();
            if !self.known().iter().any(|(from, to)| (*from..=*to).contains(&at)) {
                let bounds = self.make_one(at).await.map_err(store)?;
                self.known().push(bounds);
            }
        }
        Ok(())
    }

    async fn make_one(&self, at: i64) -> Result<(i64, i64), sqlx::Error> {
        let mut tx = self.patient().await?;
        let (from, to): (Option<i64>, Option<i64>) =
            sqlx::query_as("SELECT from_at, to_at FROM chancery_make_room($1)").bind(at).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok((from.unwrap_or(i64::MIN), to.map_or(i64::MAX, |to| to - 1)))
    }

    /// Looks again the next time.
    pub(crate) fn forget(&self) {
        self.known().clear();
    }

    /// For how many months from that of `now` on there is room.
    pub(crate) async fn open(&self, now: Timestamp, most: u64) -> Result<u64, StoreError> {
        let counted = sqlx::query_scalar("SELECT chancery_room($1, $2)")
            .bind(now.as_micros())
            .bind(i64::try_from(most).unwrap_or(i64::MAX));
        let open: i64 = counted.fetch_one(&self.pool).await.map_err(store)?;
        Ok(u64::try_from(open).unwrap_or_default())
    }

    /// Takes out of the log the parts of months before `before` in which nobody has a row; gives those that are out.
    ///
    /// They go out while others read and write. Whoever dies in between leaves them half out or out, and the next one goes on there.
    pub(crate) async fn take_out_spent(&self, before: Month) -> Result<Vec<MonthPart>, StoreError> {
        self.forget();
        let parts: Vec<(String, String, bool)> = sqlx::query_as(PARTS).fetch_all(&self.pool).await.map_err(store)?;
        for (parent, name, leaving) in parts {
            let Some(part) = month_part(&name) else { continue };
            if leaving {
                self.detach(&parent, part, "FINALIZE").await.map_err(store)?;
            } else if part.until <= before && self.is_spent(&name).await.map_err(store)? {
                self.detach(&parent, part, "CONCURRENTLY").await.map_err(store)?;
            }
        }
        let out: Vec<String> = sqlx::query_scalar(OUT).fetch_all(&self.pool).await.map_err(store)?;
        Ok(out.iter().filter_map(|name| month_part(name)).collect())
    }

    async fn is_spent(&self, name: &str) -> Result<bool, sqlx::Error> {
        let mut tx = self.patient().await?;
        let spent = sqlx::query_scalar("SELECT chancery_is_spent($1)").bind(name).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(spent)
    }

    /// On a plain connection: this runs within no transaction.
    async fn detach(&self, parent: &str, part: MonthPart, how: &'static str) -> Result<(), sqlx::Error> {
        // Names cannot be bound. The parent is one of two in this file, and the part's name is made from numbers.
        let statement = format!("ALTER TABLE {parent} DETACH PARTITION {} {how}", month_table(part));
        let mut connection = self.aside.acquire().await?;
        alter(&mut connection, statement).await
    }

    /// Whether nobody has anything in a part.
    pub(crate) async fn is_part_spent(&self, part: MonthPart) -> Result<bool, StoreError> {
        self.is_spent(&month_table(part)).await.map_err(store)
    }

    /// Drops a part that is out and in which nobody has anything; `false` if it is not so.
    pub(crate) async fn drop_part(&self, part: MonthPart) -> Result<bool, StoreError> {
        let dropped = async {
            let mut tx = self.patient().await?;
            let dropped = sqlx::query_scalar("SELECT chancery_drop_part($1)").bind(month_table(part));
            let dropped: bool = dropped.fetch_one(&mut *tx).await?;
            tx.commit().await?;
            Ok(dropped)
        };
        dropped.await.map_err(store)
    }

    /// A transaction of whoever may change tables.
    pub(crate) async fn begin(&self) -> Result<Open, sqlx::Error> {
        begin(&self.aside, WRITE).await
    }

    /// Puts a part that is out back into the log.
    pub(crate) async fn put_back(&self, part: MonthPart) -> Result<(), StoreError> {
        let back = async {
            let mut tx = self.patient().await?;
            let back = sqlx::query("SELECT chancery_return_part($1)").bind(month_table(part));
            back.execute(&mut *tx).await?;
            tx.commit().await
        };
        back.await.map_err(store)
    }

    async fn patient(&self) -> Result<Open, sqlx::Error> {
        let mut tx = begin(&self.aside, WRITE).await?;
        sqlx::query(PATIENCE).execute(&mut *tx).await?;
        Ok(tx)
    }

    fn known(&self) -> MutexGuard<'_, Vec<(i64, i64)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn alter(connection: &mut PgConnection, statement: String) -> Result<(), sqlx::Error> {
    sqlx::query(AssertSqlSafe(statement)).persistent(false).execute(connection).await.map(drop)
}
