//! The store on SQLite: one file, one writer, many readers.
//!
//! Writers wait for each other in the order they came, so a transaction never meets another one's
//! changes halfway. Readers see the file as it was when their view was opened (write-ahead log) and
//! wait for nobody. A commit is on the disk when it returns (`synchronous = FULL`), and what is deleted
//! is overwritten (`secure_delete`).
#![forbid(unsafe_code)]

mod driver;
mod error;
mod files;
mod migrations;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chancery_domain::TenantId;
use chancery_domain::access::{Bearer, BearerRows as _, Stands};
use chancery_domain::audit::QueuedEvent;
use chancery_domain::identity_providers::{AudienceClaim, IdentityProviderEntry};
use chancery_domain::ids::ApiKeyId;
use chancery_domain::store::{ApiKeyEntry, Directory, Epochs, Store, StoreError, TenantEntry, Tx, View};
use chancery_sql::archive::{Archive, ArchiveRead, ArchiveWrite, Archives};
use chancery_sql::{Driver as _, Grown, Rows, Transaction as _, directory, queue_events};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, SqlitePool};
use tokio::sync::OnceCell;

use crate::driver::Connected;
pub use crate::error::OpenError;
use crate::error::store;
pub use crate::migrations::schema_version;

/// Views open at the same time; more wait.
const READERS: u32 = 8;
/// Statements kept ready per connection; we have fewer than these.
const STATEMENTS: usize = 256;
/// The writer's cache in KiB (the minus says so). What a transaction changes beyond it is written to the log early, and again when it
/// changes once more: the sequencer's batches are larger than SQLite's own 2 MiB.
const CACHE: &str = "-16384";
/// Rows that the writer's thread reads ahead of who asked. The two wake each other up less often than with the driver's 50.
const ROWS: usize = 1_024;
/// How long to wait for a turn, and for another process that holds the file.
const PATIENCE: Duration = Duration::from_secs(15);

/// A store in one SQLite file. Clones share it.
#[derive(Debug, Clone)]
pub struct Sqlite {
    writer: SqlitePool,
    readers: SqlitePool,
    grown: Grown,
    // Last, so that the folder goes after the pools.
    _folder: Option<Arc<tempfile::TempDir>>,
}

impl Sqlite {
    /// Opens the file, making it with mode 600 if it is not there, and brings its schema up to date.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: among others when a newer Chancery has migrated it.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(path.as_ref(), SqliteSynchronous::Full, None).await
    }

    /// A store that is gone when dropped, for tests and try-outs: the same code on a file in `/dev/shm`, without flushing.
    ///
    /// SQLite's own `:memory:` has no snapshots beside a writer, so it would not keep the contract. The migrations, which take longer
    /// than most tests, are run once in the life of the process: every store begins as a copy of what they left.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub async fn in_memory() -> Result<Self, OpenError> {
        static MIGRATED: OnceCell<Vec<u8>> = OnceCell::const_new();
        let migrated = MIGRATED.get_or_try_init(Self::migrated).await?;
        let (folder, path) = files::folder_in_memory().map_err(OpenError::File)?;
        files::keep_private(&path).and_then(|()| std::fs::write(&path, migrated)).map_err(OpenError::File)?;
        Self::open_with(&path, SqliteSynchronous::Off, Some(Arc::new(folder))).await
    }

    /// The bytes of a file that has every migration and nothing else.
    async fn migrated() -> Result<Vec<u8>, OpenError> {
        let (folder, path) = files::folder_in_memory().map_err(OpenError::File)?;
        // Closing moves the write-ahead log into the file.
        Self::open_with(&path, SqliteSynchronous::Off, None).await?.close().await;
        let bytes = std::fs::read(&path).map_err(OpenError::File)?;
        drop(folder);
        Ok(bytes)
    }

    async fn open_with(
        path: &Path,
        synchronous: SqliteSynchronous,
        folder: Option<Arc<tempfile::TempDir>>,
    ) -> Result<Self, OpenError> {
        files::keep_private(path).map_err(OpenError::File)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(true)
            .busy_timeout(PATIENCE)
            .statement_cache_capacity(STATEMENTS)
            .pragma("temp_store", "MEMORY");
        let writing = options
            .clone()
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .pragma("secure_delete", "ON")
            // Otherwise `INSERT OR REPLACE` takes rows away and no trigger is asked (ADR 0025).
            .pragma("recursive_triggers", "ON")
            .pragma("cache_size", CACHE)
            .row_buffer_size(ROWS);
        let writer = pool(1).connect_with(writing).await?;
        migrations::run(&writer).await?;
        let readers = pool(READERS).connect_with(options.read_only(true)).await?;
        Ok(Self { writer, readers, grown: Grown::default(), _folder: folder })
    }

    /// Waits for what is running and closes the file, moving the write-ahead log into it.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// What the writer's connection is set to, by name; for `doctor`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    pub async fn settings(&self) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT 'journal_mode', journal_mode FROM pragma_journal_mode
            UNION ALL SELECT 'synchronous', CAST(synchronous AS TEXT) FROM pragma_synchronous
            UNION ALL SELECT 'foreign_keys', CAST(foreign_keys AS TEXT) FROM pragma_foreign_keys
            UNION ALL SELECT 'secure_delete', CAST(secure_delete AS TEXT) FROM pragma_secure_delete
            UNION ALL SELECT 'temp_store', CAST(temp_store AS TEXT) FROM pragma_temp_store
            UNION ALL SELECT 'recursive_triggers', CAST(recursive_triggers AS TEXT) FROM pragma_recursive_triggers";
        sqlx::query_as(sql).fetch_all(&self.writer).await.map_err(store)
    }

    async fn write(&self) -> Result<Connected<sqlx::Transaction<'static, sqlx::Sqlite>>, StoreError> {
        let transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(store)?;
        Ok(Connected(transaction))
    }

    async fn read(&self) -> Result<Connected<sqlx::pool::PoolConnection<sqlx::Sqlite>>, StoreError> {
        self.readers.acquire().await.map(Connected).map_err(store)
    }
}

fn pool(size: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .min_connections(1)
        .max_connections(size)
        .acquire_timeout(PATIENCE)
        // Nothing is between us and the file that could have gone away.
        .test_before_acquire(false)
        // SQLite rolls back by itself when the disk is full, and the driver then believes that a transaction is
        // still open. Such a connection is not used again.
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .idle_timeout(None)
        .max_lifetime(None)
}

#[async_trait]
impl Store for Sqlite {
    async fn begin(&self, tenant: TenantId) -> Result<Box<dyn Tx>, StoreError> {
        Ok(Box::new(Rows::new(tenant, self.write().await?, self.grown.clone())))
    }

    async fn view(&self, tenant: TenantId) -> Result<Box<dyn View>, StoreError> {
        let mut driver = Connected(self.readers.begin().await.map_err(store)?);
        // The snapshot is taken by the first read, not by `BEGIN`.
        driver.fetch("SELECT 1 FROM directory_tenants LIMIT 1".into(), Vec::new()).await?;
        Ok(Box::new(Rows::new(tenant, driver, self.grown.clone())))
    }

    async fn bearer(&self, tenant: TenantId, bearer: &Bearer) -> Result<Stands, StoreError> {
        // One statement sees one moment; a transaction round it would cost three more ways to the connection.
        Rows::new(tenant, self.read().await?, self.grown.clone()).bearer(bearer).await
    }

    async fn append_events(&self, events: &[QueuedEvent]) -> Result<Epochs, StoreError> {
        let mut driver = self.write().await?;
        let epochs = queue_events(&mut driver, events).await?;
        driver.commit().await?;
        self.grown.note(events.iter().map(|event| event.tenant));
        Ok(epochs)
    }

    fn take_grown(&self) -> Vec<TenantId> {
        self.grown.take()
    }

    async fn scrub(&self) -> Result<(), StoreError> {
        // Waits for readers of older snapshots; the log is then cut to nothing, and what it held is gone.
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        let (busy, ..): (i64, i64, i64) = sqlx::query_as(sql).fetch_one(&self.writer).await.map_err(store)?;
        if busy == 0 { Ok(()) } else { Err(StoreError::Unavailable("readers hold the write-ahead log".into())) }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.write().await.map(drop)
    }
}

#[async_trait]
impl Directory for Sqlite {
    async fn api_key(&self, id: ApiKeyId) -> Result<Option<ApiKeyEntry>, StoreError> {
        directory::api_key(&mut self.read().await?, id).await
    }

    async fn old_api_keys(&self, prefix: &str) -> Result<Vec<ApiKeyEntry>, StoreError> {
        directory::old_api_keys(&mut self.read().await?, prefix).await
    }

    async fn identity_providers(
        &self,
        issuer: &str,
        audiences: &[(AudienceClaim, &str)],
    ) -> Result<Vec<IdentityProviderEntry>, StoreError> {
        directory::identity_providers(&mut self.read().await?, issuer, audiences).await
    }

    async fn tenant(&self, id: TenantId) -> Result<Option<TenantEntry>, StoreError> {
        directory::tenant(&mut self.read().await?, id).await
    }

    async fn tenant_by_slug(&self, slug: &str) -> Result<Option<TenantEntry>, StoreError> {
        directory::tenant_by_slug(&mut self.read().await?, slug).await
    }

    async fn tenants(&self, after: Option<TenantId>, limit: u32) -> Result<Vec<TenantEntry>, StoreError> {
        directory::tenants(&mut self.read().await?, after, limit).await
    }

    async fn epochs(&self, tenants: &[TenantId]) -> Result<Epochs, StoreError> {
        directory::epochs(&mut self.read().await?, tenants.iter().copied()).await
    }

    async fn epochs_since(&self, mark: Option<i64>) -> Result<(Epochs, i64), StoreError> {
        directory::epochs_since(&mut self.read().await?, mark).await
    }
}

#[async_trait]
impl Archives for Sqlite {
    async fn reading(&self) -> Result<Box<dyn ArchiveRead>, StoreError> {
        let mut driver = Connected(self.readers.begin().await.map_err(store)?);
        // The snapshot is taken by the first read, not by `BEGIN`.
        driver.fetch("SELECT 1 FROM directory_tenants LIMIT 1".into(), Vec::new()).await?;
        Ok(Box::new(Archive::new(driver)))
    }

    async fn writing(&self) -> Result<Box<dyn ArchiveWrite>, StoreError> {
        Ok(Box::new(Archive::new(self.write().await?)))
    }

    async fn close(&self) {
        Self::close(self).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Callers spawn these, which takes futures that are `Send`.
    #[test]
    fn futures_can_be_spawned() {
        fn send<T: Send>(_: T) {}
        send(Sqlite::open("chancery.db"));
        send(Sqlite::in_memory());
    }

    /// It deletes what is in its way, and asks no trigger for that unless triggers are recursive.
    #[tokio::test]
    async fn what_only_grows_is_not_replaced_either() {
        let store = Sqlite::in_memory().await.unwrap();
        for replacing in [
            "INSERT OR REPLACE INTO audit_checkpoints (tenant_id, size, note, signed_at) VALUES ('ten_x', 1, 'a note', 1)",
            "INSERT OR REPLACE INTO audit_events (tenant_id, idx, event_id, recorded_at, kind, actor, outcome, request_id, core,
                leaf_hash) VALUES ('ten_x', 0, 'evt_x', 1, 'app.visit', 'usr_x', 0, 'req_x', '{}', x'00')",
        ] {
            sqlx::query(replacing).execute(&store.writer).await.unwrap();
            let refused = sqlx::query(replacing).execute(&store.writer).await.unwrap_err();
            assert!(refused.to_string().contains("only grows"), "{refused}");
        }
    }

    /// Otherwise the copies are empty, and every store runs the migrations itself without anybody noticing.
    #[tokio::test]
    async fn the_copied_file_has_every_migration() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy.db");
        std::fs::write(&path, Sqlite::migrated().await.unwrap()).unwrap();
        let pool = pool(1).connect_with(SqliteConnectOptions::new().filename(&path).read_only(true)).await.unwrap();
        let newest: i64 = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations WHERE success")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(newest, schema_version());
        pool.close().await;
    }
}
