//! Begins transactions, also for callers who leave meanwhile.

use chancery_domain::to_its_end;
use sqlx::{PgPool, SqlSafeStr as _};

use crate::driver::Open;

/// Begins a transaction with this statement.
pub(crate) async fn begin(pool: &PgPool, statement: &'static str) -> Result<Open, sqlx::Error> {
    // Whoever leaves while waiting for a connection holds none.
    let connection = pool.acquire().await?;
    to_its_end(Open::begin(connection, Some(statement.into_sql_str()))).await
}
