//! Statements on one SQLite connection.

use std::ops::DerefMut;

use async_trait::async_trait;
use chancery_domain::store::StoreError;
use chancery_sql::{BATCHES, Batch, Driver, Sql, Transaction, Value};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Row as _, Sqlite, TypeInfo as _, ValueRef as _};

use crate::error::store;

/// A connection, in a transaction or not.
#[derive(Debug)]
pub(crate) struct Connected<C>(pub(crate) C);

#[async_trait]
impl<C: DerefMut<Target = SqliteConnection> + Send> Driver for Connected<C> {
    async fn execute(&mut self, sql: Sql, args: Vec<Value>) -> Result<u64, StoreError> {
        let done = bind(sqlx::query(sql.sqlite()), args).execute(&mut *self.0).await.map_err(store)?;
        Ok(done.rows_affected())
    }

    async fn fetch(&mut self, sql: Sql, args: Vec<Value>) -> Result<Vec<Vec<Value>>, StoreError> {
        let rows = bind(sqlx::query(sql.sqlite()), args).fetch_all(&mut *self.0).await.map_err(store)?;
        rows.iter().map(|row| values(row).map_err(store)).collect()
    }

    async fn insert(&mut self, batch: &Batch, rows: Vec<Vec<Value>>) -> Result<(), StoreError> {
        let mut rows = rows.into_iter();
        for (width, sql) in BATCHES.into_iter().zip(batch.sqlite()) {
            while rows.len() >= width {
                let args = rows.by_ref().take(width).flatten();
                bind(sqlx::query(sql), args).execute(&mut *self.0).await.map_err(store)?;
            }
        }
        Ok(())
    }

    fn is_alone(&self) -> bool {
        true
    }

    async fn enter(&mut self, _tenant: &str) -> Result<(), StoreError> {
        Ok(()) // no row security here
    }
}

#[async_trait]
impl Transaction for Connected<sqlx::Transaction<'static, Sqlite>> {
    async fn commit(self) -> Result<(), StoreError> {
        self.0.commit().await.map_err(store)
    }
}

fn bind(
    query: Query<'static, Sqlite, SqliteArguments>,
    args: impl IntoIterator<Item = Value>,
) -> Query<'static, Sqlite, SqliteArguments> {
    args.into_iter().fold(query, |query, arg| match arg {
        Value::Text(text) => query.bind(text),
        Value::Int(int) => query.bind(int),
        Value::Bytes(bytes) => query.bind(bytes),
        Value::Bool(value) => query.bind(value),
    })
}

fn values(row: &SqliteRow) -> Result<Vec<Value>, sqlx::Error> {
    (0..row.len())
        .map(|column| {
            let raw = row.try_get_raw(column)?;
            if raw.is_null() {
                return Ok(Value::Text(None));
            }
            let kind = raw.type_info().into_owned();
            Ok(match kind.name() {
                "INTEGER" => Value::Int(row.try_get_unchecked(column)?),
                "BLOB" => Value::Bytes(row.try_get_unchecked(column)?),
                _ => Value::Text(row.try_get_unchecked(column)?),
            })
        })
        .collect()
}
