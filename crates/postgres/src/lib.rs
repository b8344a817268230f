//! The store on PostgreSQL, version 15 or newer.
//!
//! Every transaction enters its tenant first; row security, forced also on the tables' owner, keeps
//! all other tenants' rows out of its reach. A commit is durable when it returns.
#![forbid(unsafe_code)]

mod begin;
mod connect;
mod driver;
mod error;
mod grants;
mod migrations;
mod replica;
mod rooms;
#[cfg(feature = "testing")]
pub mod testing;

use async_trait::async_trait;
use chancery_domain::TenantId;
use chancery_domain::audit::QueuedEvent;
use chancery_domain::audit::months::MonthPart;
use chancery_domain::audit::retention::Month;
use chancery_domain::identity_providers::{AudienceClaim, IdentityProviderEntry};
use chancery_domain::ids::ApiKeyId;
use chancery_domain::store::{ApiKeyEntry, Directory, Epochs, Store, StoreError, TenantEntry, Tx, View};
use chancery_domain::time::Timestamp;
use chancery_sql::archive::{Archive, ArchiveRead, ArchiveWrite, Archives};
use chancery_sql::{Driver as _, Grown, Rows, Transaction as _, directory, queue_events};
use sqlx::PgPool;

use crate::begin::begin;
pub use crate::connect::{Options, Warning};
use crate::driver::{Connected, Open};
pub use crate::error::ConnectError;
use crate::error::store;
use crate::replica::{Noting, Replica};
use crate::rooms::Rooms;

/// A store in one PostgreSQL database. Clones share it.
#[derive(Debug, Clone)]
pub struct Postgres {
    primary: PgPool,
    replica: Option<Replica>,
    rooms: Rooms,
    grown: Grown,
    warnings: Vec<Warning>,
}

impl Postgres {
    /// Connects, checks the server and the role, and brings the schema up to date.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]: among others when row security would not bind the role, or when a newer
    /// Chancery has migrated the database.
    pub async fn connect(options: Options) -> Result<Self, ConnectError> {
        let (primary, mut warnings) = connect::primary(&options).await?;
        let replica = match &options.read_url {
            Some(url) => {
                let (pool, more) = connect::replica(&options, url).await?;
                warnings.extend(more);
                Some(Replica::new(pool, primary.clone()))
            }
            None => None,
        };
        let rooms = Rooms::new(primary.clone(), connect::aside(&options)?);
        Ok(Self { primary, replica, rooms, grown: Grown::default(), warnings })
    }

    /// What is weaker than it should be. The caller logs it.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Waits for what is running and closes every connection.
    pub async fn close(&self) {
        if let Some(replica) = &self.replica {
            replica.pool().close().await;
        }
        self.rooms.close().await;
        self.primary.close().await;
    }

    /// What the sessions are set to, by name; for `doctor`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    pub async fn settings(&self) -> Result<Vec<(String, String)>, StoreError> {
        let settings = sqlx::query_as(
            "SELECT name, current_setting(name) FROM pg_settings WHERE name IN
                ('synchronous_commit', 'lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout')",
        );
        settings.fetch_all(&self.primary).await.map_err(store)
    }

    async fn write(&self) -> Result<Noting, StoreError> {
        let transaction = begin(&self.primary, WRITE).await.map_err(store)?;
        Ok(Noting { driver: Connected(transaction), replica: self.replica.clone(), rooms: self.rooms.clone() })
    }

    async fn entered(&self, mut driver: Connected<Open>, tenant: TenantId) -> Result<Box<dyn View>, StoreError> {
        // This is the first statement, so it takes the snapshot too.
        driver.enter(&tenant.to_string()).await?;
        Ok(Box::new(Rows::new(tenant, driver, self.grown.clone())))
    }

    async fn read(&self) -> Result<Connected<sqlx::pool::PoolConnection<sqlx::Postgres>>, StoreError> {
        self.primary.acquire().await.map(Connected).map_err(store)
    }
}

/// All statements of a view see one moment.
/// Said, not left to the server: what guards a change is compare-and-swap and row locks, under exactly this level.
const WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
const VIEW: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

#[async_trait]
impl Store for Postgres {
    async fn begin(&self, tenant: TenantId) -> Result<Box<dyn Tx>, StoreError> {
        let mut driver = self.write().await?;
        driver.enter(&tenant.to_string()).await?;
        Ok(Box::new(Rows::new(tenant, driver, self.grown.clone())))
    }

    async fn view(&self, tenant: TenantId) -> Result<Box<dyn View>, StoreError> {
        let caught_up = match &self.replica {
            Some(replica) => replica.view().await,
            None => None,
        };
        match caught_up {
            Some(driver) => self.entered(driver, tenant).await,
            None => self.fresh_view(tenant).await,
        }
    }

    async fn fresh_view(&self, tenant: TenantId) -> Result<Box<dyn View>, StoreError> {
        let driver = begin(&self.primary, VIEW).await.map(Connected).map_err(store)?;
        self.entered(driver, tenant).await
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
        // PostgreSQL overwrites nothing in place: old row versions go with VACUUM, its log with recycling and archiving.
        // Neither is ours to hurry; the date of completion that an erasure certificate states must cover both.
        Ok(())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let writable =
            sqlx::query_scalar("SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'");
        match writable.fetch_one(&self.primary).await.map_err(store)? {
            true => Ok(()),
            false => Err(StoreError::Unavailable("the database takes no writes".into())),
        }
    }

    async fn make_room(&self, moments: &[Timestamp]) -> Result<(), StoreError> {
        self.rooms.make(moments).await
    }

    async fn months_open(&self, now: Timestamp, most: u64) -> Result<Option<u64>, StoreError> {
        self.rooms.open(now, most).await.map(Some)
    }

    async fn take_out_spent(&self, before: Month) -> Result<Vec<MonthPart>, StoreError> {
        self.rooms.take_out_spent(before).await
    }

    async fn is_month_spent(&self, part: MonthPart) -> Result<bool, StoreError> {
        self.rooms.is_part_spent(part).await
    }

    async fn drop_month(&self, part: MonthPart) -> Result<bool, StoreError> {
        self.rooms.drop_part(part).await
    }

    async fn put_back(&self, part: MonthPart) -> Result<(), StoreError> {
        self.rooms.put_back(part).await
    }
}

/// Always from the primary: a revocation must not wait for a replica.
#[async_trait]
impl Directory for Postgres {
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
impl Archives for Postgres {
    /// From the primary: a replica may not have everything yet.
    async fn reading(&self) -> Result<Box<dyn ArchiveRead>, StoreError> {
        let mut driver = begin(&self.primary, VIEW).await.map(Connected).map_err(store)?;
        // The first statement takes the snapshot.
        driver.fetch("SELECT 1 FROM directory_tenants LIMIT 1".into(), Vec::new()).await?;
        Ok(Box::new(Archive::new(driver)))
    }

    async fn writing(&self) -> Result<Box<dyn ArchiveWrite>, StoreError> {
        // By the owner of the tables: what is put makes months as it comes, and no other role may make one.
        let driver = Connected(self.rooms.begin().await.map_err(store)?);
        Ok(Box::new(Archive::new(Noting { driver, replica: self.replica.clone(), rooms: self.rooms.clone() })))
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
        send(Postgres::connect(Options::new("")));
    }
}
