//! No receipt, no value: every opening goes through an [`Opener`], which says how it is audited.

use chancery_crypto::{Phi, Sealed as Envelope};
use chancery_domain::{
    audit::{AuditReceipt, receipt::Unaudited},
    fields::Field,
    keyring::ring::Place,
};

use crate::{
    error::{BoxError, OpenError},
    sealer::Sealer,
};

/// What is about to be opened. Holds no value.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// The table.
    pub table: &'a str,
    /// The column; for a member of a document, with its JSON pointer.
    pub column: &'a str,
    /// The row; empty for columns that are not bound to one. It may identify a person: treat it as personal data.
    pub row: &'a str,
}

/// An application's own audit trail.
pub trait Trail: Sync {
    /// Records a reading before it happens. It is opened only after this returned `Ok`, so make it durable first.
    ///
    /// # Errors
    ///
    /// Whatever kept it from being recorded; the value stays closed.
    fn record(&self, reading: Reading<'_>) -> Result<(), BoxError>;
}

/// Opens values of one sealer. Made by [`Sealer::unaudited`] or [`Sealer::audited`].
#[derive(Clone, Copy)]
pub struct Opener<'a> {
    sealer: &'a Sealer,
    reason: &'static str,
    trail: Option<&'a dyn Trail>,
}

impl<'a> Opener<'a> {
    pub(crate) const fn new(sealer: &'a Sealer, reason: &'static str, trail: Option<&'a dyn Trail>) -> Self {
        Self { sealer, reason, trail }
    }

    /// The sealer it opens with.
    pub const fn sealer(&self) -> &'a Sealer {
        self.sealer
    }

    /// Records the reading.
    pub(crate) fn record(&self, field: &Field, row: &str) -> Result<(), OpenError> {
        let reading = Reading { table: &field.table, column: &field.column, row };
        self.trail.map_or(Ok(()), |trail| trail.record(reading).map_err(OpenError::Trail))
    }

    /// Records the reading, then opens the value.
    pub(crate) fn open(&self, field: &Field, row: &str, sealed: &Envelope) -> Result<Phi<Vec<u8>>, OpenError> {
        self.record(field, row)?;
        self.open_recorded(field, row, sealed)
    }

    /// Opens a value whose reading was recorded.
    pub(crate) fn open_recorded(&self, field: &Field, row: &str, sealed: &Envelope) -> Result<Phi<Vec<u8>>, OpenError> {
        let receipt = |tenant| Unaudited::accept(self.reason, tenant, &field.table, 1);
        self.sealer.open_under(receipt, field, row, sealed)
    }
}

impl Sealer {
    fn open_under(
        &self,
        receipt: impl Fn(chancery_domain::TenantId) -> AuditReceipt,
        field: &Field,
        row: &str,
        sealed: &Envelope,
    ) -> Result<Phi<Vec<u8>>, OpenError> {
        let mut current = self.current();
        // Another process may have rotated a moment ago.
        if !current.knows(sealed.handle()) {
            self.look_now();
            current = self.current();
        }
        let values = [(Place { field, row }, sealed)];
        let opened = current.keyring.open(receipt(current.tenant()), &field.table, &values);
        let mut opened = opened.map_err(|(_, error)| OpenError::from(error))?;
        opened.pop().ok_or(OpenError::WrongPlace)
    }
}

impl std::fmt::Debug for Opener<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opener({:?}, {:?})", self.sealer, self.reason)
    }
}
