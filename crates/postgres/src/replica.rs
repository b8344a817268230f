//! Views from a streaming replica that has caught up with this node's own commits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;
use chancery_sql::{Batch, Driver, Sql, Transaction, Value};
use sqlx::PgPool;

use crate::VIEW;
use crate::begin::begin;
use crate::driver::{Connected, Open};
use crate::rooms::Rooms;

/// How far this node's commits reach in the primary's write-ahead log.
#[derive(Debug, Default)]
struct Reached {
    /// To this byte at least.
    position: i64,
    /// So many commits are not located yet.
    pending: u32,
    /// The last commit that was asked for could not be located.
    lost: bool,
}

/// A replica and what it must have before it may answer.
#[derive(Debug, Clone)]
pub(crate) struct Replica {
    pool: PgPool,
    primary: PgPool,
    reached: Arc<Mutex<Reached>>,
}

impl Replica {
    pub(crate) fn new(pool: PgPool, primary: PgPool) -> Self {
        Self { pool, primary, reached: Arc::default() }
    }

    pub(crate) const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Notes where the primary's log ends after a commit. A later position is never wrong, only slower.
    pub(crate) async fn note_commit(&self) {
        let mut pending = Pending::new(self);
        let position = sqlx::query_scalar("SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint");
        pending.found = position.fetch_one(&self.primary).await.ok();
    }

    /// A view's transaction on the replica, or none if it lags or does not answer.
    pub(crate) async fn view(&self) -> Option<Connected<Open>> {
        let position = {
            let reached = self.reached();
            if reached.pending > 0 || reached.lost {
                return None;
            }
            reached.position
        };
        // Before the transaction begins: asked inside it, the answer could be younger than its snapshot.
        // A server that is no replica has no replay position; it lags behind nothing.
        let caught_up =
            sqlx::query_scalar("SELECT COALESCE((pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint >= $1, true)")
                .bind(position);
        if !caught_up.fetch_one(&self.pool).await.ok()? {
            return None;
        }
        begin(&self.pool, VIEW).await.ok().map(Connected)
    }

    fn reached(&self) -> MutexGuard<'_, Reached> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A commit whose position is being asked for. Giving up on it leaves it lost until a later one is located.
struct Pending<'a> {
    replica: &'a Replica,
    found: Option<i64>,
}

impl<'a> Pending<'a> {
    fn new(replica: &'a Replica) -> Self {
        replica.reached().pending += 1;
        Self { replica, found: None }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let mut reached = self.replica.reached();
        reached.pending -= 1;
        match self.found {
            Some(position) => {
                reached.position = reached.position.max(position);
                reached.lost = false;
            }
            None => reached.lost = true,
        }
    }
}

/// A transaction that writes: it tells the replica of its commit, and makes room in the log.
#[derive(Debug)]
pub(crate) struct Noting {
    pub(crate) driver: Connected<Open>,
    pub(crate) replica: Option<Replica>,
    pub(crate) rooms: Rooms,
}

#[async_trait]
impl Driver for Noting {
    async fn execute(&mut self, sql: Sql, args: Vec<Value>) -> Result<u64, StoreError> {
        let executed = self.driver.execute(sql, args).await;
        if executed.is_err() {
            // Perhaps a month that we knew is gone: looked at again the next time.
            self.rooms.forget();
        }
        executed
    }

    async fn fetch(&mut self, sql: Sql, args: Vec<Value>) -> Result<Vec<Vec<Value>>, StoreError> {
        self.driver.fetch(sql, args).await
    }

    async fn insert(&mut self, batch: &Batch, rows: Vec<Vec<Value>>) -> Result<(), StoreError> {
        let inserted = self.driver.insert(batch, rows).await;
        if inserted.is_err() {
            self.rooms.forget();
        }
        inserted
    }

    async fn make_room(&mut self, moments: &[Timestamp]) -> Result<(), StoreError> {
        self.rooms.make(moments).await
    }

    async fn make_room_within(&mut self, at: Timestamp) -> Result<(), StoreError> {
        self.driver.execute("SELECT chancery_make_room($1)".into(), vec![Value::time(at)]).await.map(drop)
    }

    async fn enter(&mut self, tenant: &str) -> Result<(), StoreError> {
        self.driver.enter(tenant).await
    }
}

#[async_trait]
impl Transaction for Noting {
    async fn commit(self) -> Result<(), StoreError> {
        self.driver.commit().await?;
        if let Some(replica) = self.replica {
            replica.note_commit().await;
        }
        Ok(())
    }
}
