//! Which columns of an application hold personal data, and how.

use async_trait::async_trait;

use crate::{
    ids::{FieldId, TableId},
    indexes::{Index, IndexKind},
    store::StoreError,
    time::Timestamp,
};

pub mod define;
pub mod index;
pub mod normalise;
pub mod plan;
pub mod sets;
mod stated;
pub mod system;
pub mod value;

pub use define::{Allowance, DefineFieldError, FieldSpec, define, list};
pub use index::{BucketSpec, IndexSpec, PrefixSpec};
pub use normalise::{Country, NormalForm, Normalizer};
pub use sets::{Applied, FieldSet, apply};

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
    /// What a class asks of whoever keeps its values (FE-17).
    pub enum Duty {
        /// Encryption is a choice.
        Optional = "optional",
        /// Encryption is advised, and required of all deployments but `single_hospital`.
        Recommended = "recommended",
        /// Encryption is required.
        Required = "required",
        /// Encryption is required, and nobody reads without an event.
        RequiredAndAudited = "required_and_audited",
    }
}

impl Class {
    /// What it asks of whoever keeps its values.
    pub const fn duty(self) -> Duty {
        match self {
            Self::Public => Duty::Optional,
            Self::Internal => Duty::Recommended,
            Self::Confidential => Duty::Required,
            Self::Restricted => Duty::RequiredAndAudited,
        }
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
    /// How it can be found, and could once: at most one index of each kind, none of them compound.
    pub indexes: Vec<Index>,
    /// `false` notes that the application keeps this column in clear; sealing it is refused.
    pub encrypt: bool,
    /// Since when.
    pub created_at: Timestamp,
}

impl Field {
    /// How it can be found, by the newest rules.
    pub fn index(&self) -> Option<IndexSpec> {
        IndexSpec::of(&self.indexes)
    }

    /// Its index of this kind, if it is in use.
    pub fn index_of(&self, kind: IndexKind) -> Option<&Index> {
        index::of_kind(&self.indexes, kind).filter(|index| index.newest().is_some())
    }
}

/// What a field's class advises and it does not do (FE-17).
pub fn warnings(field: &Field) -> Vec<String> {
    let mut warnings = Vec::new();
    if field.class.duty() == Duty::Recommended && !field.encrypt {
        warnings.push("internal fields should be encrypted; this one is kept in clear".to_owned());
    }
    for index in field.indexes.iter().filter(|index| index.newest().is_some() && !index.is_complete()) {
        let kind = index.kind;
        warnings.push(format!("queries by the {kind} index are refused until a re-index of older rows is reported"));
    }
    warnings
}

/// Reads registered fields.
#[async_trait]
pub trait FieldRows {
    /// All of the tenant with their indexes, ordered by table and column.
    async fn fields(&mut self) -> Result<Vec<Field>, StoreError>;
}

/// Changes registered fields.
#[async_trait]
pub trait FieldWrites {
    /// Adds the field with its indexes, or replaces the one with the same id.
    async fn put_field(&mut self, field: &Field) -> Result<(), StoreError>;
}
