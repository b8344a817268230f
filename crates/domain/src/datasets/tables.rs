//! The port to an application's table.

use async_trait::async_trait;
use chancery_crypto::{Handle, ParseError, Sealed};

use super::{Dataset, DatasetColumn};
use crate::ids::TenantId;

/// Why an application's table was not read or changed.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file with the database's address cannot be used. Says why; holds nothing of the address.
    #[error("the file with the database's address {0}")]
    UrlFile(&'static str),
    /// The table is not as the dataset says: which part of the dataset, and what is wrong.
    #[error("`{0}` {1}")]
    Shape(String, &'static str),
    /// The database does not answer, or refused.
    #[error("the database does not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A sealed value as a column has it: a text or a binary one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// `chy1.…`.
    Text(String),
    /// The bytes.
    Bytes(Vec<u8>),
}

impl Stored {
    /// The sealed value.
    ///
    /// # Errors
    ///
    /// [`ParseError`] if it is none.
    pub fn parse(&self) -> Result<Sealed, ParseError> {
        match self {
            Self::Text(text) => Sealed::from_text(text),
            Self::Bytes(bytes) => Sealed::from_bytes(bytes.clone()),
        }
    }

    /// Another sealed value in the same form.
    #[must_use]
    pub fn alike(&self, sealed: &Sealed) -> Self {
        match self {
            Self::Text(_) => Self::Text(sealed.to_text()),
            Self::Bytes(_) => Self::Bytes(sealed.as_bytes().to_vec()),
        }
    }
}

/// One value of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    /// The adapter's name of the row: what [`DatasetTable::page`] goes on after.
    pub at: String,
    /// The row's id as values are bound to it.
    pub row: String,
    /// The sealed value.
    pub sealed: Stored,
    /// The term beside it.
    pub term: Option<String>,
}

/// A value to put in the place of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// The adapter's name of the row.
    pub at: String,
    /// What was read there; the row is left alone if it has anything else by now.
    pub old: Stored,
    /// What shall be there.
    pub new: Stored,
    /// The term that shall be beside it.
    pub term: Option<String>,
}

/// Which values a page holds.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// Those sealed under one of these versions.
    Under(&'a [Handle]),
    /// Everything sealed.
    Sealed,
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ColumnCount {
    /// How many values of which version of a key.
    pub by_handle: Vec<(Handle, u64)>,
    /// How many are sealed and no lone fields: members of rows, blobs. Their handle is elsewhere.
    pub other: u64,
    /// How many are neither null nor sealed.
    pub unsealed: u64,
    /// How many are null.
    pub nulls: u64,
}

impl ColumnCount {
    /// How many values are under one of `handles`.
    pub fn under(&self, handles: &[Handle]) -> u64 {
        self.by_handle.iter().filter(|(handle, _)| handles.contains(handle)).map(|(_, count)| count).sum()
    }
}

/// Opens the tables of datasets.
#[async_trait]
pub trait DatasetTables: Send + Sync {
    /// Opens a dataset's table and looks whether it is as the dataset says.
    async fn open(&self, tenant: TenantId, dataset: &Dataset) -> Result<Box<dyn DatasetTable>, TableError>;
}

/// An application's table. Nothing is held between calls: the application works on.
#[async_trait]
pub trait DatasetTable: Send + Sync {
    /// Counts a column's values in one statement, so as of one moment.
    async fn count(&self, column: &DatasetColumn) -> Result<ColumnCount, TableError>;
    /// The next values of a column in the order of its rows, after the row that is called `after`.
    async fn page(
        &self,
        column: &DatasetColumn,
        which: Which<'_>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<StoredRow>, TableError>;
    /// Replaces values in one transaction; gives the names of the rows in which the value was still the one that was read.
    async fn replace(&self, column: &DatasetColumn, changes: &[Replacement]) -> Result<Vec<String>, TableError>;
    /// Reads the values of these rows; rows that are gone or hold a null are left out.
    async fn read(&self, column: &DatasetColumn, rows: &[String]) -> Result<Vec<StoredRow>, TableError>;
}

/// For instances that have no datasets: tests, and programs that embed the library.
#[derive(Debug, Clone, Copy)]
pub struct NoTables;

#[async_trait]
impl DatasetTables for NoTables {
    async fn open(&self, _tenant: TenantId, _dataset: &Dataset) -> Result<Box<dyn DatasetTable>, TableError> {
        Err(TableError::UrlFile("cannot be read: this instance has no datasets"))
    }
}
