//! Sealing and opening values of registered fields.
//!
//! Chancery hands sealed values back and stores none of them. A null stays a null: that a value
//! is absent is visible in any table, and sealing it would only say so at greater length.

mod batch;
mod blobs;
mod break_glass;
mod documents;
mod open;
mod rows;
mod seal;
mod terms;
mod tree;
mod wiped;

use std::sync::Arc;

use chancery_crypto::{Phi, Sealed};

pub use batch::StoredItem;
pub use blobs::{BlobFence, BlobPlace, OpenBlob, blob_failed, open_blob, seal_blob};
pub use break_glass::BreakGlass;
pub use documents::{
    DocumentError, DocumentField, OpenDocument, SealDocument, SealedDocument, open_document, seal_document,
};
pub use open::{OpenRequest, Purpose, open};
pub use rows::{OpenRows, OpenedRows, RowsError, SealRow, SealedRow, StoredRow, open_rows, reseal_rows, seal_rows};
pub use seal::{SealItem, SealedItem, reseal, seal};
pub use terms::{Filed, Sought, TermItem, TermUse, filed, filed_together, sought, terms};
pub use tree::{Pointer, Tree, TreeError};
pub use wiped::WipedJson;

use crate::{
    Instance,
    access::{Call, Denied, Permission},
    approvals::ApprovalError,
    faults::Faults,
    fields::{Bind, Class, Field},
    instance::{Failure, fails},
    keyring::{Keyring, KeyringError, Lease},
    subjects::SubjectError,
};

/// The most items of one call.
pub const MAX_ITEMS: usize = 1_000;
/// The longest row id, in bytes.
const MAX_ROW_BYTES: usize = 255;

/// Why values were not sealed, opened or searched. All or nothing.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Items are not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// The field is not registered. With the item's position.
    #[error("the field of item {0} is not registered")]
    UnknownField(usize),
    /// The field is bound to rows and the item names none.
    #[error("the field of item {0} needs a row")]
    RowRequired(usize),
    /// The field is registered as kept in clear.
    #[error("the field of item {0} is not encrypted")]
    NotEncrypted(usize),
    /// The field has no such index.
    #[error("the field of item {0} has no such index")]
    NotIndexed(usize),
    /// The table has no compound index of this name.
    #[error("item {0} names no index of its table")]
    UnknownIndex(usize),
    /// Some rows may lack the index's terms, so a query would miss them.
    #[error("the index of item {0} does not cover all rows yet")]
    IndexNotReady(usize),
    /// Not a sealed value.
    #[error("item {0} is not a sealed value")]
    Malformed(usize),
    /// Sealed with another key or for another place.
    #[error("item {0} was sealed with another key or for another place")]
    WrongContext(usize),
    /// Changed after sealing.
    #[error("item {0} was changed after sealing")]
    Tampered(usize),
    /// Its key is suspended, revoked or destroyed.
    #[error("the key of item {0} is stopped")]
    KeyStopped(usize),
    /// The approval does not do.
    #[error(transparent)]
    Approval(#[from] ApprovalError),
    /// It belongs to a person who was erased.
    #[error("item {0} belongs to an erased person")]
    Erased(usize),
    /// Values are to be sealed for a person who was erased.
    #[error("a named person was erased")]
    SubjectErased,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(RecordError);

impl AsRef<Self> for RecordError {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl From<SubjectError> for RecordError {
    fn from(error: SubjectError) -> Self {
        match error {
            SubjectError::Denied(denied) => Self::Denied(denied),
            SubjectError::Invalid(faults) => Self::Invalid(faults),
            SubjectError::Erased(_) => Self::SubjectErased,
            SubjectError::Failed(failure) => Self::Failed(failure),
            // Lending makes who is not there, and asks for nothing else.
            SubjectError::NotFound
            | SubjectError::AlreadyErased
            | SubjectError::NotErased
            | SubjectError::Approval(_) => Self::Failed(Failure::Internal("a person's key could not be lent")),
        }
    }
}

impl RecordError {
    /// What a keyring said of one item.
    fn of_item((position, error): (usize, KeyringError)) -> Self {
        match error {
            KeyringError::WrongContext => Self::WrongContext(position),
            KeyringError::Tampered => Self::Tampered(position),
            KeyringError::Malformed(_) => Self::Malformed(position),
            KeyringError::Stopped(_) => Self::KeyStopped(position),
            KeyringError::Erased => Self::Erased(position),
            KeyringError::Seal(_) => Self::Invalid(Faults::one(
                format!("/items/{position}/value"),
                "not_sealable",
                "the value is too long or sealed already",
            )),
            error @ (KeyringError::NoActiveKey(_)
            | KeyringError::Unwrap
            | KeyringError::Stale
            | KeyringError::Root(_)
            | KeyringError::NoRoot
            | KeyringError::Provider(..)
            | KeyringError::ReceiptTooSmall
            | KeyringError::Random(_)) => Self::Failed(error.into()),
        }
    }
}

/// The bytes to seal for a value of a field; `at` is where a fault points.
fn encode(field: &Field, value: &WipedJson, at: &str) -> Result<Phi<Vec<u8>>, Faults> {
    let wrong = |error: crate::fields::value::WrongType| {
        Faults::one(at, "type", format!("this field takes values of type `{}`", error.0))
    };
    field.field_type.encode_exact(value).map_err(wrong)
}

/// What a value is filed under.
fn filed_of(ring: &Keyring, field: &Field, bytes: &Phi<Vec<u8>>) -> Result<Filed, Failure> {
    if field.indexes.is_empty() {
        return Ok(Filed::default());
    }
    let no_text = |_| Failure::Internal("an indexed field of a type without text");
    Ok(filed(ring, field, field.field_type.searchable(bytes).map_err(no_text)?)?)
}

/// Says why, in 1 to 200 characters.
fn check_reason(reason: &Phi<String>) -> Result<(), Faults> {
    match reason.expose().trim().chars().count() {
        1..=200 => Ok(()),
        _ => Err(Faults::one("/reason", "length", "say why, in 1 to 200 characters")),
    }
}

/// The permission to open values of a class.
fn permission_to_open(class: Class) -> Permission {
    match class {
        Class::Public => Permission::DataOpenPublic,
        Class::Internal => Permission::DataOpenInternal,
        Class::Confidential => Permission::DataOpenConfidential,
        Class::Restricted => Permission::DataOpenRestricted,
    }
}

/// The field that an item names, fit for sealing.
fn field_of<'l>(
    lease: &'l Lease,
    position: usize,
    table: &str,
    column: &str,
    row: Option<&str>,
) -> Result<&'l Arc<Field>, RecordError> {
    let field = lease.field(table, column).ok_or(RecordError::UnknownField(position))?;
    if !field.encrypt {
        return Err(RecordError::NotEncrypted(position));
    }
    match row {
        None | Some("") if field.bind == Bind::Row => Err(RecordError::RowRequired(position)),
        Some(row) if row.len() > MAX_ROW_BYTES => {
            Err(Faults::one(format!("/items/{position}/row"), "too_long", "use at most 255 bytes").into())
        }
        None | Some(_) => Ok(field),
    }
}

/// A lease that has these fields, looked up again if one is missing: another node may have registered it a moment ago.
async fn lease_for(
    instance: &Instance,
    call: &Call,
    mut fields: impl Iterator<Item = (&str, &str)>,
) -> Result<Arc<Lease>, Failure> {
    let lease = instance.lease(call.tenant()).await?;
    if fields.all(|(table, column)| lease.field(table, column).is_some()) {
        return Ok(lease);
    }
    let renewed = instance.renewed_lease(call.tenant(), &lease).await?;
    Ok(renewed.unwrap_or(lease))
}

fn check_count(count: usize) -> Result<(), Faults> {
    match count {
        0 => Err(Faults::one("/items", "empty", "name at least one item")),
        1..=MAX_ITEMS => Ok(()),
        _ => Err(Faults::one("/items", "too_many", "use at most 1000 items")),
    }
}

fn parse_sealed(position: usize, text: &str) -> Result<Sealed, RecordError> {
    Sealed::from_text(text).map_err(|_| RecordError::Malformed(position))
}
