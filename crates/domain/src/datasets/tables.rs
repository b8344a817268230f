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
    /// The terms beside it.
    pub terms: Terms,
}

/// What stands in a row's columns of terms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// The term of the whole value.
    pub exact: Option<String>,
    /// The terms of its beginnings, as a JSON list.
    pub prefix: Option<String>,
    /// The term of its bucket. To write, an empty text stands for none.
    pub bucket: Option<String>,
}

impl Terms {
    /// Terms of beginnings as a column has them.
    pub fn list(terms: &[String]) -> String {
        serde_json::Value::from(terms.to_vec()).to_string()
    }

    /// Whether these stand there already, once they are written over `found`. An application may write a list with spaces.
    pub fn are_in(&self, found: &Self) -> bool {
        let list = |text: &str| serde_json::from_str::<Vec<String>>(text).ok();
        let same = |new: &Option<String>, old: &Option<String>| match new {
            None => true,
            Some(new) => old.as_deref().unwrap_or_default() == new,
        };
        let prefix = match (&self.prefix, &found.prefix) {
            (None, _) => true,
            (Some(new), Some(old)) => new == old || list(old).is_some_and(|old| Some(old) == list(new)),
            (Some(_), None) => false,
        };
        prefix && same(&self.exact, &found.exact) && same(&self.bucket, &found.bucket)
    }
}

/// The values of one row that are filed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredParts {
    /// The adapter's name of the row.
    pub at: String,
    /// The row's id as values are bound to it.
    pub row: String,
    /// What stands in the columns, in their order.
    pub parts: Vec<Option<Stored>>,
    /// The term beside them.
    pub term: Option<String>,
}

/// A term to put in the place of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermReplacement {
    /// The adapter's name of the row.
    pub at: String,
    /// What was read there; the row is left alone if it has anything else by now.
    pub parts: Vec<Option<Stored>>,
    /// The term that shall be beside it; none for a row that is filed under nothing.
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
    /// The terms that shall be beside it; those that are none stay as they are.
    pub terms: Terms,
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
    /// The next rows with anything in these columns or a term in `terms_in`, after the row that is called `after`.
    async fn parts(
        &self,
        columns: &[DatasetColumn],
        terms_in: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<StoredParts>, TableError>;
    /// Replaces terms in one transaction; gives the names of the rows in which all values were still those that were read.
    async fn replace_terms(
        &self,
        columns: &[DatasetColumn],
        terms_in: &str,
        changes: &[TermReplacement],
    ) -> Result<Vec<String>, TableError>;
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
