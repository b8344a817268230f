//! Whoever runs SQL in the store past us.

use std::path::Path;

use chancery_domain::TenantId;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions};

/// A connection that no row trait stands before.
#[derive(Debug)]
pub enum Raw {
    /// To a file.
    Sqlite(SqliteConnection),
    /// To a server.
    Postgres(PgConnection),
}

impl Raw {
    /// To the file of a store.
    pub async fn sqlite(path: &Path) -> Self {
        let options = SqliteConnectOptions::new().filename(path);
        Self::Sqlite(SqliteConnection::connect_with(&options).await.unwrap())
    }

    /// To the database of a store, seeing the rows of one tenant.
    pub async fn postgres(url: &str, tenant: TenantId) -> Self {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let as_tenant = sqlx::query("SELECT set_config('chancery.tenant', $1, false)").bind(tenant.to_string());
        as_tenant.execute(&mut connection).await.unwrap();
        Self::Postgres(connection)
    }

    /// Runs a statement; how many rows it changed.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn run(&mut self, sql: &str) -> Result<u64, sqlx::Error> {
        let sql = AssertSqlSafe(sql.to_owned());
        Ok(match self {
            Self::Sqlite(connection) => sqlx::query(sql).execute(connection).await?.rows_affected(),
            Self::Postgres(connection) => sqlx::query(sql).execute(connection).await?.rows_affected(),
        })
    }

    /// The first column of what is found, which is text.
    pub async fn texts(&mut self, sql: &str) -> Vec<Option<String>> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(connection) => sqlx::query_scalar(sql).fetch_all(connection).await.unwrap(),
            Self::Postgres(connection) => sqlx::query_scalar(sql).fetch_all(connection).await.unwrap(),
        }
    }

    /// What an owner can do: takes the walls of a table down.
    pub async fn tear_down(&mut self, table: &str) {
        let walls = match self {
            Self::Sqlite(_) => ["update", "delete"].map(|what| format!("DROP TRIGGER {table}_keep_{what}")).to_vec(),
            Self::Postgres(_) => vec![format!("ALTER TABLE {table} DISABLE TRIGGER USER")],
        };
        for wall in walls {
            self.run(&wall).await.unwrap();
        }
    }
}
