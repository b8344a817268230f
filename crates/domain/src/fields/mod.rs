//! Which columns of an application hold personal data, and how.

use async_trait::async_trait;

use crate::{
    ids::{FieldId, TableId},
    store::StoreError,
    time::Timestamp,
};

pub mod define;
pub mod normalise;
mod stated;
pub mod system;
pub mod value;

pub use define::{DefineFieldError, FieldSpec, define, list};
pub use normalise::Normalizer;

codes! {
    /// How sensitive a field is.
    pub enum Class {
        /// Encryption is optional.
        Public = "public",
        /// Access-controlled.
        Internal = "internal",
        /// Always encrypted.
        Confidential = "confidential",
        /// Always encrypted, every read audited.
        Restricted = "restricted",
    }
}

codes! {
    /// What a field's values are. They keep their type through sealing.
    pub enum FieldType {
        /// Unicode text.
        Text = "text",
        /// A whole number of 64 bits.
        Integer = "integer",
        /// A decimal number, as text.
        Decimal = "decimal",
        /// True or false.
        Boolean = "boolean",
        /// Bytes, base64url in JSON.
        Bytes = "bytes",
        /// A calendar date, `YYYY-MM-DD`.
        Date = "date",
        /// Any JSON value.
        Json = "json",
    }
}

codes! {
    /// What a sealed value is tied to.
    pub enum Bind {
        /// Its column and its row: moved to another row it does not open.
        Row = "row",
        /// Its column only.
        Column = "column",
    }
}

/// How a field can be found by equality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexSpec {
    /// What counts as equal.
    pub normalizer: Normalizer,
    /// Length of a term: a multiple of 8, from 8 to 256.
    pub bits: u16,
}

/// A registered field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Stable through renames; sealed values are bound to it.
    pub id: FieldId,
    /// Stable through renames; sealed values are bound to it.
    pub table_id: TableId,
    /// The table's name: 1 to 63 of `A-Z a-z 0-9 _`.
    pub table: String,
    /// The column's name, alike.
    pub column: String,
    /// How sensitive.
    pub class: Class,
    /// What its values are.
    pub field_type: FieldType,
    /// What its values are tied to.
    pub bind: Bind,
    /// How it can be found.
    pub index: Option<IndexSpec>,
    /// `false` notes that the application keeps this column in clear; sealing it is refused.
    pub encrypt: bool,
    /// Since when.
    pub created_at: Timestamp,
}

/// Reads registered fields.
#[async_trait]
pub trait FieldRows {
    /// All of the tenant, ordered by table and column.
    async fn fields(&mut self) -> Result<Vec<Field>, StoreError>;
}

/// Changes registered fields.
#[async_trait]
pub trait FieldWrites {
    /// Adds the field, or replaces the one with the same id.
    async fn put_field(&mut self, field: &Field) -> Result<(), StoreError>;
}
