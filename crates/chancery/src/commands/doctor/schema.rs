//! The schema's version, looked up without changing anything.

use std::str::FromStr as _;

use anyhow::Result;
use sqlx::{ConnectOptions as _, Connection as _, postgres::PgConnectOptions, sqlite::SqliteConnectOptions};

use super::{Report, State};
use crate::{
    config::{Config, StoreConfig},
    wiring::secrets::store_url,
};

/// The newest step that was applied. Both stores keep their steps in this table.
const VERSION: &str = "SELECT max(version) FROM _sqlx_migrations WHERE success";
const EXISTS_SQLITE: &str = "SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'";
const EXISTS_POSTGRES: &str = "SELECT count(*) FROM pg_tables WHERE tablename = '_sqlx_migrations'";

/// Whether SQLite finds its own file whole.
pub(super) async fn quick_check(path: &std::path::Path, report: &mut Report) {
    let asked = async {
        let mut connection = SqliteConnectOptions::new().filename(path).read_only(true).connect().await?;
        let found: Vec<String> =
            sqlx::query_scalar("SELECT quick_check FROM pragma_quick_check").fetch_all(&mut connection).await?;
        connection.close().await?;
        anyhow::Ok(found)
    };
    let (holds, detail) = match asked.await {
        Ok(found) if found == ["ok"] => (true, "the file is whole".to_owned()),
        Ok(found) => (false, format!("{} fault(s) in the file", found.len())),
        Err(error) => (false, format!("{error:#}")),
    };
    report.judge(holds, State::Fail, "store check", detail, "stop the server and restore the newest backup");
}

/// Adds a row; `false` if opening the store would change it, or cannot succeed.
pub(super) async fn judge(config: &Config, report: &mut Report) -> bool {
    let ours = chancery_sqlite::schema_version();
    let (detail, cure) = match version(config).await {
        Ok(Some(theirs)) if theirs == ours => {
            report.ok("schema", format!("version {theirs}"));
            return true;
        }
        Ok(Some(theirs)) if theirs > ours => {
            (format!("version {theirs} is of a newer Chancery; this one knows {ours}"), "use the newer program")
        }
        Ok(Some(theirs)) => (
            format!("version {theirs}, and this program has {ours}"),
            "`chancery serve` brings it up to date; back the store up first",
        ),
        Ok(None) => ("none: the store is empty".to_owned(), "run `chancery init`, or `chancery serve --dev`"),
        // Opening it says better what is wrong: the role, the address, the file.
        Err(error) => (format!("{error:#}"), "correct store.url, or start the database"),
    };
    report.add(State::Fail, "schema", detail, cure);
    false
}

async fn version(config: &Config) -> Result<Option<i64>> {
    Ok(match &config.store {
        StoreConfig::Sqlite { path } => {
            let mut connection = SqliteConnectOptions::new().filename(path).read_only(true).connect().await?;
            let tables: i64 = sqlx::query_scalar(EXISTS_SQLITE).fetch_one(&mut connection).await?;
            let version = match tables {
                0 => None,
                _ => sqlx::query_scalar(VERSION).fetch_one(&mut connection).await?,
            };
            connection.close().await?;
            version
        }
        StoreConfig::Postgres(address) => {
            let mut connection =
                PgConnectOptions::from_str(store_url(config, address).await?.expose())?.connect().await?;
            let tables: i64 = sqlx::query_scalar(EXISTS_POSTGRES).fetch_one(&mut connection).await?;
            let version = match tables {
                0 => None,
                _ => sqlx::query_scalar(VERSION).fetch_one(&mut connection).await?,
            };
            connection.close().await?;
            version
        }
    })
}
