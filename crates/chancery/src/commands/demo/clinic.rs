//! The clinics' own table: what an application would keep. Only sealed values and terms land here.

use std::{path::Path, str::FromStr as _};

use anyhow::{Context as _, Result};
use sqlx::{
    PgPool, Row as _, SqlitePool,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
};

use crate::commands::serve::Server;

/// The table, in a SQLite file or in a schema of PostgreSQL.
pub(super) enum ClinicTable {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// One patient of one clinic, as the table has it.
#[derive(Debug, Clone)]
pub(super) struct StoredPatient {
    pub(super) row: String,
    /// In the order of the columns; null stays null.
    pub(super) sealed: Vec<Option<String>>,
    pub(super) last_name_term: Option<String>,
    pub(super) ssn_term: Option<String>,
}

/// Which column of terms is searched.
#[derive(Debug, Clone, Copy)]
pub(super) enum TermColumn {
    LastName,
    Ssn,
}

const CREATE: [&str; 2] = [
    "CREATE TABLE patients (clinic TEXT NOT NULL, id TEXT NOT NULL PRIMARY KEY, first_name TEXT, last_name TEXT, ssn TEXT, \
     birth_date TEXT, licence TEXT, passport TEXT, address TEXT, last_name_term TEXT, ssn_term TEXT)",
    "CREATE TABLE planted (form TEXT NOT NULL)",
];
const INSERT: &str = "INSERT INTO patients (clinic, id, first_name, last_name, ssn, birth_date, licence, passport, address, \
     last_name_term, ssn_term) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
const PLANT: &str = "INSERT INTO planted (form) VALUES ($1)";
const SELECT: &str = "SELECT id, first_name, last_name, ssn, birth_date, licence, passport, address, last_name_term, ssn_term \
     FROM patients WHERE clinic = $1 ORDER BY id";
const BY_LAST_NAME: &str = "SELECT id, first_name, last_name, ssn, birth_date, licence, passport, address, last_name_term, ssn_term \
     FROM patients WHERE clinic = $1 AND last_name_term = $2 ORDER BY id";
const BY_SSN: &str = "SELECT id, first_name, last_name, ssn, birth_date, licence, passport, address, last_name_term, ssn_term \
     FROM patients WHERE clinic = $1 AND ssn_term = $2 ORDER BY id";

/// Runs the same statement on whichever database there is.
macro_rules! on {
    ($table:expr, $pool:ident => $work:expr) => {
        match $table {
            ClinicTable::Sqlite($pool) => $work,
            ClinicTable::Postgres($pool) => $work,
        }
    };
}

/// A row as [`StoredPatient`].
macro_rules! stored {
    ($row:expr) => {{
        let row = $row;
        let sealed = (1..=7).map(|at| row.try_get::<Option<String>, usize>(at)).collect::<Result<Vec<_>, _>>()?;
        anyhow::Ok(StoredPatient {
            row: row.try_get::<String, usize>(0)?,
            sealed,
            last_name_term: row.try_get::<Option<String>, usize>(8)?,
            ssn_term: row.try_get::<Option<String>, usize>(9)?,
        })
    }};
}

impl ClinicTable {
    /// In a new file.
    pub(super) async fn in_file(path: &Path) -> Result<Self> {
        let options =
            SqliteConnectOptions::new().filename(path).create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        Self::Sqlite(pool).created().await
    }

    /// In the schema `clinic_demo` of the database at `url`.
    pub(super) async fn in_schema(url: &str) -> Result<Self> {
        let options = PgConnectOptions::from_str(url)?.options([("search_path", "clinic_demo")]);
        let pool = PgPoolOptions::new().max_connections(2).connect_with(options).await?;
        sqlx::query("CREATE SCHEMA clinic_demo").execute(&pool).await.context("the schema clinic_demo")?;
        Self::Postgres(pool).created().await
    }

    async fn created(self) -> Result<Self> {
        for statement in CREATE {
            on!(&self, pool => { sqlx::query(statement).execute(pool).await?; });
        }
        Ok(self)
    }

    /// Adds patients of `clinic` in one transaction.
    pub(super) async fn add(&self, clinic: &str, patients: &[StoredPatient]) -> Result<()> {
        on!(self, pool => {
            let mut transaction = pool.begin().await?;
            for patient in patients {
                let mut query = sqlx::query(INSERT).bind(clinic).bind(&patient.row);
                for sealed in &patient.sealed {
                    query = query.bind(sealed);
                }
                query.bind(&patient.last_name_term).bind(&patient.ssn_term).execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
        });
        Ok(())
    }

    /// Puts a value there in clear, so that the search has something to find.
    pub(super) async fn plant(&self, forms: impl Iterator<Item = String>) -> Result<()> {
        for form in forms {
            on!(self, pool => { sqlx::query(PLANT).bind(&form).execute(pool).await?; });
        }
        Ok(())
    }

    /// All patients of `clinic`.
    pub(super) async fn all(&self, clinic: &str) -> Result<Vec<StoredPatient>> {
        on!(self, pool => {
            let rows = sqlx::query(SELECT).bind(clinic).fetch_all(pool).await?;
            rows.iter().map(|row| stored!(row)).collect()
        })
    }

    /// The patients of `clinic` with one of these terms.
    pub(super) async fn find(&self, clinic: &str, column: TermColumn, terms: &[String]) -> Result<Vec<StoredPatient>> {
        let statement = match column {
            TermColumn::LastName => BY_LAST_NAME,
            TermColumn::Ssn => BY_SSN,
        };
        let mut found = Vec::new();
        for term in terms {
            on!(self, pool => {
                let rows = sqlx::query(statement).bind(clinic).bind(term).fetch_all(pool).await?;
                for row in &rows {
                    found.push(stored!(row)?);
                }
            });
        }
        Ok(found)
    }

    /// Everything in a PostgreSQL database as text, table by table; nothing for a file.
    pub(super) async fn dump(&self, server: &Server) -> Result<Vec<(String, Vec<u8>)>> {
        let Self::Postgres(pool) = self else { return Ok(Vec::new()) };
        let tenants = server.stores.tenants().await?.into_iter().map(|entry| entry.id);
        super::dump::every_table(pool, tenants).await
    }

    pub(super) async fn close(&self) {
        on!(self, pool => pool.close().await);
    }
}
