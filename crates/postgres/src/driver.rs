//! Statements on one PostgreSQL connection.

use std::ops::DerefMut;

use async_trait::async_trait;
use chancery_domain::store::StoreError;
use chancery_sql::{Batch, Driver, Sql, Transaction, Value};
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{Postgres, Row as _, TypeInfo as _, ValueRef as _};

use crate::error::store;

/// An open transaction.
pub(crate) type Open = sqlx::Transaction<'static, Postgres>;

/// A connection, in a transaction or not.
#[derive(Debug)]
pub(crate) struct Connected<C>(pub(crate) C);

#[async_trait]
impl<C: DerefMut<Target = PgConnection> + Send> Driver for Connected<C> {
    async fn execute(&mut self, sql: Sql, args: Vec<Value>) -> Result<u64, StoreError> {
        let done = bind(sql.postgres(), args).execute(&mut *self.0).await.map_err(store)?;
        Ok(done.rows_affected())
    }

    async fn fetch(&mut self, sql: Sql, args: Vec<Value>) -> Result<Vec<Vec<Value>>, StoreError> {
        let rows = bind(sql.postgres(), args).fetch_all(&mut *self.0).await.map_err(store)?;
        rows.iter().map(|row| values(row).map_err(store)).collect()
    }

    async fn insert(&mut self, batch: &Batch, rows: Vec<Vec<Value>>) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut columns: Vec<Column> = Vec::new();
        for row in rows {
            if columns.is_empty() {
                columns = row.iter().map(Column::like).collect();
            }
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(value)?;
            }
        }
        let query = columns.into_iter().fold(sqlx::query(batch.postgres()), |query, column| match column {
            Column::Text(values) => query.bind(values),
            Column::Int(values) => query.bind(values),
            Column::Bytes(values) => query.bind(values),
            Column::Bool(values) => query.bind(values),
        });
        query.execute(&mut *self.0).await.map(drop).map_err(store)
    }

    async fn enter(&mut self, tenant: &str) -> Result<(), StoreError> {
        // Ends with the transaction, so the next user of the connection is in no tenant.
        let enter = sqlx::query("SELECT set_config('chancery.tenant', $1, true)").bind(tenant.to_owned());
        enter.execute(&mut *self.0).await.map(drop).map_err(store)
    }
}

#[async_trait]
impl Transaction for Connected<Open> {
    async fn commit(self) -> Result<(), StoreError> {
        self.0.commit().await.map_err(store)
    }
}

/// One column of many rows.
enum Column {
    Text(Vec<Option<String>>),
    Int(Vec<Option<i64>>),
    Bytes(Vec<Option<Vec<u8>>>),
    Bool(Vec<Option<bool>>),
}

impl Column {
    fn like(value: &Value) -> Self {
        match value {
            Value::Text(_) => Self::Text(Vec::new()),
            Value::Int(_) => Self::Int(Vec::new()),
            Value::Bytes(_) => Self::Bytes(Vec::new()),
            Value::Bool(_) => Self::Bool(Vec::new()),
        }
    }

    fn push(&mut self, value: Value) -> Result<(), StoreError> {
        match (self, value) {
            (Self::Text(values), Value::Text(value)) => values.push(value),
            (Self::Int(values), Value::Int(value)) => values.push(value),
            (Self::Bytes(values), Value::Bytes(value)) => values.push(value),
            (Self::Bool(values), Value::Bool(value)) => values.push(value),
            _ => return Err(StoreError::Unavailable("rows of one batch differ in their types".into())),
        }
        Ok(())
    }
}

fn bind(sql: &'static str, args: Vec<Value>) -> Query<'static, Postgres, PgArguments> {
    args.into_iter().fold(sqlx::query(sql), |query, arg| match arg {
        Value::Text(text) => query.bind(text),
        Value::Int(int) => query.bind(int),
        Value::Bytes(bytes) => query.bind(bytes),
        Value::Bool(value) => query.bind(value),
    })
}

fn values(row: &PgRow) -> Result<Vec<Value>, sqlx::Error> {
    (0..row.len())
        .map(|column| {
            let raw = row.try_get_raw(column)?;
            if raw.is_null() {
                return Ok(Value::Text(None));
            }
            let kind = raw.type_info().into_owned();
            Ok(match kind.name() {
                "INT8" => Value::Int(row.try_get(column)?),
                "INT4" => Value::Int(row.try_get::<Option<i32>, _>(column)?.map(i64::from)),
                "BYTEA" => Value::Bytes(row.try_get(column)?),
                "BOOL" => Value::Bool(row.try_get(column)?),
                _ => Value::Text(row.try_get(column)?),
            })
        })
        .collect()
}
