//! The rows of one tenant.

use async_trait::async_trait;
use chancery_domain::TenantId;
use chancery_domain::store::{StoreError, Tx, View};
use chancery_domain::time::Timestamp;

use crate::{Batch, Driver, Grown, Row, Sql, Transaction, Value};

/// The rows of one tenant in one open transaction. The files of this crate give it the row traits.
#[derive(Debug)]
pub struct Rows<D> {
    pub(crate) tenant: TenantId,
    pub(crate) queued: bool,
    /// Set by every statement that takes keys out of use.
    pub(crate) stops_keys: bool,
    driver: D,
    /// A statement failed or was given up on. PostgreSQL would answer `COMMIT` with a rollback and no error.
    spoiled: bool,
    grown: Grown,
}

impl<D: Driver> Rows<D> {
    /// Of `tenant`, through a driver whose transaction is open and has entered that tenant.
    pub fn new(tenant: TenantId, driver: D, grown: Grown) -> Self {
        Self { tenant, queued: false, stops_keys: false, driver, spoiled: false, grown }
    }

    /// The bound values of a statement: the tenant is always `$1`.
    fn args<const N: usize>(&self, rest: [Value; N]) -> Vec<Value> {
        let mut args = Vec::with_capacity(N + 1);
        args.push(Value::text(self.tenant));
        args.extend(rest);
        args
    }

    pub(crate) async fn execute<const N: usize>(
        &mut self,
        sql: impl Into<Sql>,
        rest: [Value; N],
    ) -> Result<u64, StoreError> {
        let args = self.args(rest);
        let whole = !std::mem::replace(&mut self.spoiled, true);
        let changed = self.driver.execute(sql.into(), args).await?;
        self.spoiled = !whole;
        Ok(changed)
    }

    /// Makes room for events of these moments. Nothing of this transaction fails if there is none.
    pub(crate) async fn make_room(&mut self, moments: &[Timestamp]) -> Result<(), StoreError> {
        self.driver.make_room(moments).await
    }

    /// Whether nobody else writes meanwhile.
    pub(crate) fn is_alone(&self) -> bool {
        self.driver.is_alone()
    }

    pub(crate) async fn insert(&mut self, batch: &Batch, rows: Vec<Vec<Value>>) -> Result<(), StoreError> {
        let whole = !std::mem::replace(&mut self.spoiled, true);
        self.driver.insert(batch, rows).await?;
        self.spoiled = !whole;
        Ok(())
    }

    /// Reads every row with `read`.
    pub(crate) async fn all<T, const N: usize>(
        &mut self,
        noun: &'static str,
        sql: impl Into<Sql>,
        rest: [Value; N],
        read: impl Fn(&mut Row) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let args = self.args(rest);
        let whole = !std::mem::replace(&mut self.spoiled, true);
        let rows = self.driver.fetch(sql.into(), args).await?;
        self.spoiled = !whole;
        rows.into_iter().map(|values| read(&mut Row::new(noun, values))).collect()
    }

    /// As [`Self::all`], without the rows that cannot be read: nobody takes a row from a table that only grows, and one that decayed, or that
    /// somebody wrote there, must not hold up what the others are for.
    pub(crate) async fn readable<T, const N: usize>(
        &mut self,
        noun: &'static str,
        sql: impl Into<Sql>,
        rest: [Value; N],
        read: impl Fn(&mut Row) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let found = self.all(noun, sql, rest, |row| Ok(read(row).ok())).await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Reads the first row with `read`.
    pub(crate) async fn one<T, const N: usize>(
        &mut self,
        noun: &'static str,
        sql: impl Into<Sql>,
        rest: [Value; N],
        read: impl Fn(&mut Row) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.all(noun, sql, rest, read).await?.into_iter().next())
    }
}

/// `Ok` if a compare-and-swap found its row.
pub(crate) const fn swapped(changed: u64, what: &'static str) -> Result<(), StoreError> {
    if changed == 1 { Ok(()) } else { Err(StoreError::Changed(what)) }
}

/// Where a page begins: after this id, or before all of them (no id is empty text).
pub(crate) fn after(id: Option<impl ToString>) -> Value {
    Value::Text(Some(id.map(|id| id.to_string()).unwrap_or_default()))
}

#[async_trait]
impl<D: Driver> View for Rows<D> {}

#[async_trait]
impl<D: Transaction> Tx for Rows<D> {
    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        let Self { tenant, queued, driver, spoiled, grown, .. } = *self;
        if spoiled {
            return Err(StoreError::Unavailable("a statement of this transaction failed".into()));
        }
        driver.commit().await?;
        if queued {
            grown.note([tenant]);
        }
        Ok(())
    }

    fn stops_keys(&self) -> bool {
        self.stops_keys
    }
}
