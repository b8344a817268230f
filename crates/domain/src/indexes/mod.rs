//! How sealed values are found: an index, the versions of its rule, and the terms under them.
//!
//! An index has a *rule*: what is hashed, and to how many bits. Another rule is another *version*. While rows still
//! carry terms of an older version, a query asks for the terms of all live versions and a write files under the newest,
//! so a change of rule never loses a row (ADR 0011).

use async_trait::async_trait;

use crate::{
    ids::{FieldId, IndexId, TableId},
    store::StoreError,
    time::Timestamp,
};

pub mod define;
pub mod reindex;
mod rule;
mod versions;

pub use define::{CompoundSpec, IndexError, define, drop, list};
pub use rule::{BucketUnit, BucketWidth, Form, Rule};
pub use versions::VersionError;

codes! {
    /// What an index answers.
    pub enum IndexKind {
        /// Which rows have this value.
        Exact = "exact",
        /// Which rows have a value that begins like this.
        Prefix = "prefix",
        /// Which rows have a value between these.
        Bucket = "bucket",
        /// Which rows have these values in several columns.
        Compound = "compound",
    }
}

codes! {
    /// How far the rows are with a version of a rule.
    pub enum IndexState {
        /// Writes file under it; older rows may lack its terms.
        Backfilling = "backfilling",
        /// Every row carries its terms, or those of another live version.
        Ready = "ready",
        /// Nobody asks for its terms any more.
        Retired = "retired",
    }
}

/// A rule, since when, and how far the rows are with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexVersion {
    /// 1, 2, 3…
    pub version: u32,
    /// What is hashed, and to how many bits.
    pub rule: Rule,
    /// How far the rows are with it.
    pub state: IndexState,
    /// Since when writes file under it.
    pub created_at: Timestamp,
    /// Since when every row carries it.
    pub ready_at: Option<Timestamp>,
    /// Since when nobody asks for it.
    pub retired_at: Option<Timestamp>,
}

/// A way to find rows of one table by one column, or by several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Its id; its key is derived from it. The exact index of a field has the id of the field.
    pub id: IndexId,
    /// Of which table.
    pub table_id: TableId,
    /// A compound index's name, unique in its table; empty for an index of one field, which goes by its column.
    pub name: String,
    /// What it answers.
    pub kind: IndexKind,
    /// Its columns in order; one, unless it is compound.
    pub fields: Vec<FieldId>,
    /// Its versions, oldest first; never empty.
    pub versions: Vec<IndexVersion>,
}

/// Reads indexes.
#[async_trait]
pub trait IndexRows {
    /// All of the tenant with all their versions, ordered by id.
    async fn indexes(&mut self) -> Result<Vec<Index>, StoreError>;
}

/// Changes indexes.
#[async_trait]
pub trait IndexWrites {
    /// Adds the index, or replaces the one with the same id; versions are added or moved, never taken away.
    /// [`StoreError::Taken`]`("index")` if the table has a compound index of this name.
    async fn put_index(&mut self, index: &Index) -> Result<(), StoreError>;
}
