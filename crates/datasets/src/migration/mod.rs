//! One column of a live table on its way from plaintext to sealed values.
//!
//! The application works on meanwhile. What it changes stays: every write names the plaintext that was read. And what it changes
//! after a row was sealed, by a program that knows nothing of the new columns, makes a trigger forget the sealed value,
//! so that no pass ends with a sealed value that is not the plaintext's.

use chancery_domain::datasets::TableError;

use crate::{
    column::{Kind, Shape},
    database::{Arg, Cells, Database, DatabaseError},
    name::{Name, TableName},
    statement::Part,
};

mod count;
mod finish;
mod prepare;
mod progress;
mod read;
mod required;
mod roll_back;
mod seal;
mod trigger;
mod write;

pub use count::Counts;
pub use finish::Batch;
pub use progress::Progress;
pub use read::{Pair, Plain};
pub use roll_back::Restore;
pub use seal::Seal;

/// What plaintext can be in PostgreSQL; its type goes into the statement that brings it back.
const PLAIN_TYPES: &[&str] = &[
    "text",
    "character varying",
    "character",
    "integer",
    "bigint",
    "smallint",
    "numeric",
    "boolean",
    "date",
    "uuid",
    "json",
    "jsonb",
];

/// A column on its way.
pub struct Migration {
    database: Database,
    shape: Shape,
    plain: Name,
    /// The plaintext column was dropped at the end.
    is_dropped: bool,
    plain_type: &'static str,
    sealed: Name,
    term: Option<Name>,
    kind: Kind,
    state: TableName,
    trigger: Name,
}

impl Migration {
    /// Looks the table up. Changes nothing. A plaintext column that a migration dropped may be missing.
    ///
    /// # Errors
    ///
    /// [`TableError`].
    pub async fn open(
        database: Database,
        table: &TableName,
        row: &Name,
        plain: Name,
        sealed: Name,
        term: Option<Name>,
    ) -> Result<Self, TableError> {
        let shape = Shape::of(&database, table, row).await?;
        let fault = |name: &Name, problem| Err(TableError::Shape(name.to_string(), problem));
        if plain == sealed || term.as_ref() == Some(&plain) || term.as_ref() == Some(&sealed) {
            return fault(&plain, "cannot be its own sealed column or column of terms");
        }
        let plain_type = match shape.column(&plain) {
            None => Some("text"),
            Some(column) if shape.is_postgres() => PLAIN_TYPES.iter().find(|kind| **kind == column.data_type).copied(),
            Some(column) => (!column.data_type.contains("blob")).then_some("text"),
        };
        let Some(plain_type) = plain_type else { return fault(&plain, "has a type that is not migrated") };
        let kind = if shape.column(&sealed).is_some() { shape.kind(&sealed)? } else { Kind::Text };
        if let Some(term) = &term
            && shape.column(term).is_some()
            && shape.kind(term)? != Kind::Text
        {
            return fault(term, "must be text to hold terms");
        }
        let trigger = Name::ours("stale", &[table.table.as_str(), plain.as_str()]);
        let state = "chancery_migrations".parse().map_err(|_| TableError::Shape(plain.to_string(), "is no name"))?;
        let is_dropped = shape.column(&plain).is_none();
        let missing = fault(&plain, "is no column of the table");
        let state = table.beside(state);
        let opened = Self { database, state, shape, plain, is_dropped, plain_type, sealed, term, kind, trigger };
        if is_dropped && opened.progress().await?.is_none() {
            return missing;
        }
        Ok(opened)
    }

    /// Whether the plaintext column was dropped: then there is nothing to do but to look for what is not sealed.
    pub const fn is_dropped(&self) -> bool {
        self.is_dropped
    }

    /// Whether the sealed column is there.
    pub fn has_sealed(&self) -> bool {
        self.shape.column(&self.sealed).is_some()
    }

    /// Whether the column of terms is there.
    pub fn has_term(&self) -> bool {
        self.term.as_ref().is_some_and(|term| self.shape.column(term).is_some())
    }

    /// Whether the column refuses nulls, so that it cannot be emptied, only dropped.
    pub fn plain_is_required(&self) -> bool {
        self.shape.column(&self.plain).is_some_and(|column| column.not_null)
    }

    /// The plaintext in a statement that reads.
    fn read_plain(&self) -> Part<'_> {
        if self.is_dropped { "NULL".into() } else { (&self.plain).into() }
    }

    fn names(&self) -> Vec<Arg> {
        vec![self.shape.table.table.as_str().into(), self.plain.as_str().into()]
    }
}

fn first_count(rows: Vec<Cells>) -> Result<u64, DatabaseError> {
    rows.into_iter().next().ok_or(DatabaseError::Type)?.next()?.count()
}
