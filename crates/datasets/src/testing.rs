//! Tables for tests.
#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqlSafeStr as _};

use crate::database::{Arg, Cell, Database, DatabaseError};

/// Makes an SQLite file with these statements; gives its address.
pub async fn sqlite(path: &Path, statements: &[&'static str]) -> String {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    options.connect().await.unwrap().close().await.unwrap();
    let url = format!("sqlite:{}", path.display());
    let database = Database::open(&url).await.unwrap();
    for statement in statements {
        run(&database, statement, &[]).await;
    }
    url
}

/// Runs a statement with texts bound; `None` is a null.
pub async fn run(database: &Database, statement: &'static str, values: &[Option<&str>]) -> u64 {
    let args = values.iter().map(|value| Arg::Text(value.map(str::to_owned))).collect();
    database.execute(statement.into_sql_str(), args).await.unwrap()
}

/// The rows of a statement as texts.
pub async fn rows(database: &Database, statement: &'static str) -> Vec<Vec<Option<String>>> {
    let rows = database.fetch(statement.into_sql_str(), Vec::new()).await.unwrap();
    let texts = |mut row: crate::database::Cells| {
        let mut texts = Vec::new();
        while let Ok(cell) = row.next() {
            texts.push(match cell {
                Cell::Bytes(bytes) => Some(data_encoding::HEXLOWER.encode(&bytes)),
                other => other.text().unwrap(),
            });
        }
        texts
    };
    rows.into_iter().map(texts).collect()
}

/// Whether the database answers a statement.
///
/// # Errors
///
/// Why it does not.
pub async fn answers(database: &Database, statement: &'static str) -> Result<(), DatabaseError> {
    database.fetch(statement.into_sql_str(), Vec::new()).await.map(drop)
}

/// Begins a transaction and leaves it.
pub async fn begin(database: &Database) {
    drop(database.begin().await.unwrap());
}
