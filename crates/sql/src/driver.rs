//! What an engine does for us.

use async_trait::async_trait;
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

use crate::{Batch, Sql, Value};

/// Runs statements inside one open transaction.
#[async_trait]
pub trait Driver: Send {
    /// Runs a statement and says how many rows it changed.
    async fn execute(&mut self, sql: Sql, args: Vec<Value>) -> Result<u64, StoreError>;

    /// Runs a statement and gives the values of its rows.
    async fn fetch(&mut self, sql: Sql, args: Vec<Value>) -> Result<Vec<Vec<Value>>, StoreError>;

    /// Adds rows in the order given. All have the same columns, each column one type.
    async fn insert(&mut self, batch: &Batch, rows: Vec<Vec<Value>>) -> Result<(), StoreError>;

    /// Whether a transaction that writes has the store for itself.
    fn is_alone(&self) -> bool {
        false
    }

    /// Makes room in the log for events of these moments, where the engine keeps it by the month; not in this transaction.
    async fn make_room(&mut self, _moments: &[Timestamp]) -> Result<(), StoreError> {
        Ok(())
    }

    /// The same in this transaction, for who has moved events into the log in it already: a month that another connection made
    /// is not seen then. Others who make room wait for its end.
    async fn make_room_within(&mut self, _at: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    /// Makes another tenant's rows visible, where the engine has row security.
    async fn enter(&mut self, tenant: &str) -> Result<(), StoreError>;
}

/// A [`Driver`] that can be committed. Dropping it rolls back.
#[async_trait]
pub trait Transaction: Driver {
    /// Makes it all durable at once.
    async fn commit(self) -> Result<(), StoreError>;
}
