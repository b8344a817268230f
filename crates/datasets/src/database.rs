//! An application's database: PostgreSQL or SQLite.

use std::str::FromStr as _;
use std::time::Duration;

use chancery_domain::to_its_end;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{ConnectOptions as _, PgPool, Row as _, SqlStr, SqlitePool, TypeInfo as _, ValueRef as _};

/// How long to wait for a database. One that was cut off without a word, or that is meant to hold us up, says nothing for ever.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a connection, and for another program that holds an SQLite file.
    pub connect: Duration,
    /// For the answer to one statement. PostgreSQL is asked to give up a minute earlier by itself.
    pub answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { connect: Duration::from_secs(15), answer: Duration::from_secs(16 * 60) }
    }
}

impl Patience {
    async fn wait<T>(self, asked: impl Future<Output = Result<T, sqlx::Error>> + Send) -> Result<T, DatabaseError> {
        Ok(tokio::time::timeout(self.answer, asked).await.map_err(|_| DatabaseError::Silent)??)
    }
}

/// Why a database did not do it. Never holds its address.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// Not an address of PostgreSQL or SQLite.
    #[error("the address is not postgres://… or sqlite:…")]
    Address,
    /// It does not answer, or refused.
    #[error("the database does not answer")]
    Failed(#[source] sqlx::Error),
    /// It took a statement and said nothing for too long.
    #[error("the database does not answer a statement")]
    Silent,
    /// A value is not of a type that is read here.
    #[error("a value has a type that is not read")]
    Type,
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error)
    }
}

/// A bound value.
#[derive(Debug, Clone)]
pub(crate) enum Arg {
    Text(Option<String>),
    Int(i64),
    Bytes(Vec<u8>),
    /// A list; for PostgreSQL an array, for SQLite JSON.
    Texts(Vec<Option<String>>),
    /// PostgreSQL only.
    ByteStrings(Vec<Vec<u8>>),
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<i64> for Arg {
    fn from(int: i64) -> Self {
        Self::Int(int)
    }
}

/// A read value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    Null,
    Text(String),
    Int(i64),
    Bytes(Vec<u8>),
}

impl Cell {
    pub(crate) fn text(self) -> Result<Option<String>, DatabaseError> {
        match self {
            Self::Null => Ok(None),
            Self::Text(text) => Ok(Some(text)),
            Self::Int(int) => Ok(Some(int.to_string())),
            Self::Bytes(_) => Err(DatabaseError::Type),
        }
    }

    pub(crate) fn some_text(self) -> Result<String, DatabaseError> {
        self.text()?.ok_or(DatabaseError::Type)
    }

    pub(crate) fn count(self) -> Result<u64, DatabaseError> {
        match self {
            Self::Int(int) => u64::try_from(int).map_err(|_| DatabaseError::Type),
            Self::Null | Self::Text(_) | Self::Bytes(_) => Err(DatabaseError::Type),
        }
    }
}

/// One row, read from its first column on.
pub(crate) struct Cells(std::vec::IntoIter<Cell>);

impl Cells {
    pub(crate) fn next(&mut self) -> Result<Cell, DatabaseError> {
        self.0.next().ok_or(DatabaseError::Type)
    }
}

/// An application's database. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Database {
    pool: Pool,
    patience: Patience,
}

#[derive(Debug, Clone)]
enum Pool {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

/// Several statements that happen together or not at all. Dropping it rolls back.
pub(crate) struct Work {
    open: Open,
    patience: Patience,
}

enum Open {
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
}

macro_rules! bind {
    ($sql:expr, $args:expr) => {
        $args.into_iter().fold(sqlx::query($sql), |query, arg| match arg {
            Arg::Text(text) => query.bind(text),
            Arg::Int(int) => query.bind(int),
            Arg::Bytes(bytes) => query.bind(bytes),
            Arg::Texts(texts) => query.bind(texts),
            Arg::ByteStrings(list) => query.bind(list),
        })
    };
}

macro_rules! bind_sqlite {
    ($sql:expr, $args:expr) => {
        $args.into_iter().fold(sqlx::query($sql), |query, arg| match arg {
            Arg::Text(text) => query.bind(text),
            Arg::Int(int) => query.bind(int),
            Arg::Bytes(bytes) => query.bind(bytes),
            Arg::Texts(texts) => query.bind(serde_json::Value::from(texts).to_string()),
            // No statement for SQLite takes one.
            Arg::ByteStrings(_) => query.bind(None::<String>),
        })
    };
}

impl Database {
    /// Connects.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`].
    pub async fn open(url: &str) -> Result<Self, DatabaseError> {
        Self::open_within(url, Patience::default()).await
    }

    /// Connects, and waits for so long and no longer.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`].
    pub async fn open_within(url: &str, patience: Patience) -> Result<Self, DatabaseError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options: PgConnectOptions = url.parse().map_err(|_| DatabaseError::Address)?;
            // The application comes first: nobody waits for our locks for long. Counting a large table takes its time.
            let options = options.application_name("chancery-datasets").disable_statement_logging().options([
                ("lock_timeout", "5s"),
                ("statement_timeout", "15min"),
                ("idle_in_transaction_session_timeout", "60s"),
                // Pages go by the index on the row column. Without statistics the planner would rather sort the table for each of them.
                ("enable_sort", "off"),
                ("enable_seqscan", "off"),
                ("jit", "off"),
            ]);
            let pool = PgPoolOptions::new().max_connections(3).acquire_timeout(patience.connect);
            return Ok(Self { pool: Pool::Postgres(pool.connect_with(options).await?), patience });
        }
        if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url).map_err(|_| DatabaseError::Address)?;
            let options = options.create_if_missing(false).busy_timeout(patience.connect).disable_statement_logging();
            let pool = SqlitePoolOptions::new().max_connections(2).acquire_timeout(patience.connect);
            return Ok(Self { pool: Pool::Sqlite(pool.connect_with(options).await?), patience });
        }
        Err(DatabaseError::Address)
    }

    /// Whether it is PostgreSQL.
    pub const fn is_postgres(&self) -> bool {
        matches!(self.pool, Pool::Postgres(_))
    }

    pub(crate) async fn fetch(&self, sql: SqlStr, args: Vec<Arg>) -> Result<Vec<Cells>, DatabaseError> {
        match &self.pool {
            Pool::Postgres(pool) => {
                let rows = self.patience.wait(bind!(sql, args).fetch_all(pool)).await?;
                rows.iter().map(postgres_cells).collect()
            }
            Pool::Sqlite(pool) => {
                let rows = self.patience.wait(bind_sqlite!(sql, args).fetch_all(pool)).await?;
                rows.iter().map(sqlite_cells).collect()
            }
        }
    }

    pub(crate) async fn execute(&self, sql: SqlStr, args: Vec<Arg>) -> Result<u64, DatabaseError> {
        Ok(match &self.pool {
            Pool::Postgres(pool) => self.patience.wait(bind!(sql, args).execute(pool)).await?.rows_affected(),
            Pool::Sqlite(pool) => self.patience.wait(bind_sqlite!(sql, args).execute(pool)).await?.rows_affected(),
        })
    }

    pub(crate) async fn begin(&self) -> Result<Work, DatabaseError> {
        let open = match &self.pool {
            Pool::Postgres(pool) => {
                // Whoever leaves while waiting for a connection holds none.
                let connection = pool.acquire().await?;
                let begun = to_its_end(sqlx::Transaction::begin(connection, None));
                Open::Postgres(self.patience.wait(begun).await?)
            }
            // Its driver rolls back by itself what nobody waited for.
            Pool::Sqlite(pool) => Open::Sqlite(self.patience.wait(pool.begin_with("BEGIN IMMEDIATE")).await?),
        };
        Ok(Work { open, patience: self.patience })
    }
}

impl Work {
    pub(crate) async fn fetch(&mut self, sql: SqlStr, args: Vec<Arg>) -> Result<Vec<Cells>, DatabaseError> {
        match &mut self.open {
            Open::Postgres(tx) => {
                let rows = self.patience.wait(bind!(sql, args).fetch_all(&mut **tx)).await?;
                rows.iter().map(postgres_cells).collect()
            }
            Open::Sqlite(tx) => {
                let rows = self.patience.wait(bind_sqlite!(sql, args).fetch_all(&mut **tx)).await?;
                rows.iter().map(sqlite_cells).collect()
            }
        }
    }

    pub(crate) async fn execute(&mut self, sql: SqlStr, args: Vec<Arg>) -> Result<u64, DatabaseError> {
        Ok(match &mut self.open {
            Open::Postgres(tx) => self.patience.wait(bind!(sql, args).execute(&mut **tx)).await?.rows_affected(),
            Open::Sqlite(tx) => self.patience.wait(bind_sqlite!(sql, args).execute(&mut **tx)).await?.rows_affected(),
        })
    }

    pub(crate) async fn commit(self) -> Result<(), DatabaseError> {
        match self.open {
            Open::Postgres(tx) => self.patience.wait(tx.commit()).await,
            Open::Sqlite(tx) => self.patience.wait(tx.commit()).await,
        }
    }
}

fn postgres_cells(row: &sqlx::postgres::PgRow) -> Result<Cells, DatabaseError> {
    let cell = |at: usize| {
        let raw = row.try_get_raw(at)?;
        if raw.is_null() {
            return Ok(Cell::Null);
        }
        let kind = raw.type_info().into_owned();
        Ok(match kind.name() {
            "INT8" => Cell::Int(row.try_get(at)?),
            "INT4" => Cell::Int(row.try_get::<i32, _>(at)?.into()),
            "BOOL" => Cell::Int(row.try_get::<bool, _>(at)?.into()),
            "BYTEA" => Cell::Bytes(row.try_get(at)?),
            "TEXT" | "VARCHAR" | "CHAR" | "NAME" => Cell::Text(row.try_get(at)?),
            _ => return Err(DatabaseError::Type),
        })
    };
    Ok(Cells((0..row.len()).map(cell).collect::<Result<Vec<_>, _>>()?.into_iter()))
}

fn sqlite_cells(row: &sqlx::sqlite::SqliteRow) -> Result<Cells, DatabaseError> {
    let cell = |at: usize| {
        let raw = row.try_get_raw(at)?;
        if raw.is_null() {
            return Ok(Cell::Null);
        }
        let kind = raw.type_info().into_owned();
        Ok(match kind.name() {
            "INTEGER" => Cell::Int(row.try_get_unchecked(at)?),
            "TEXT" => Cell::Text(row.try_get_unchecked(at)?),
            "BLOB" => Cell::Bytes(row.try_get_unchecked(at)?),
            _ => return Err(DatabaseError::Type),
        })
    };
    Ok(Cells((0..row.len()).map(cell).collect::<Result<Vec<_>, _>>()?.into_iter()))
}
