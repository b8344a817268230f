//! Seals and opens single values.

use std::sync::Arc;

use chancery_crypto::{ColumnKey, Context, Flags, OpenError, Phi, Sealed, random::Random};

use super::{Keyring, KeyringError, MAX_COLUMN_KEYS, RingVersion};
use crate::{
    audit::{AuditReceipt, receipt::Spent},
    fields::{Bind, Field},
    keyring::{
        Managed,
        subject_keys::{OpenSubject, Subjects},
    },
};

/// Where a value lives: its field and its row.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The field.
    pub field: &'a Field,
    /// The row; empty for fields bound to their column only.
    pub row: &'a str,
}

/// A value that was opened, or why it was not.
pub type Opened = Result<Phi<Vec<u8>>, KeyringError>;

impl Keyring {
    fn column_key(&self, version: &RingVersion, field: &Field) -> Result<Arc<ColumnKey>, KeyringError> {
        let name = (version.handle, field.id);
        if let Some(key) = self.columns.read().unwrap_or_else(|poison| poison.into_inner()).get(&name) {
            return Ok(Arc::clone(key));
        }
        let (tenant, table, column) = (self.tenant.to_bytes(), field.table_id.to_bytes(), field.id.to_bytes());
        let key = Arc::new(ColumnKey::derive(version.root()?, version.handle, &tenant, &table, &column));
        let mut columns = self.columns.write().unwrap_or_else(|poison| poison.into_inner());
        if columns.len() >= MAX_COLUMN_KEYS {
            columns.clear();
        }
        columns.insert(name, Arc::clone(&key));
        Ok(key)
    }

    /// Which use of the key hierarchy a field's values fall under.
    pub(in crate::keyring) fn root_of(field: &Field) -> Managed {
        if crate::fields::system::is_audit(field) { Managed::Audit } else { Managed::Data }
    }

    pub(in crate::keyring) fn context<'a>(
        tenant: &'a [u8; 16],
        table: &'a [u8; 16],
        column: &'a [u8; 16],
        place: Place<'a>,
    ) -> Context<'a> {
        Context {
            tenant,
            domain: Self::root_of(place.field).as_str().as_bytes(),
            table,
            column,
            row: if place.field.bind == Bind::Row { place.row.as_bytes() } else { b"" },
            generation: b"",
            schema_type: place.field.field_type.as_str().as_bytes(),
        }
    }

    /// Seals a value for one place, with the newest key.
    ///
    /// # Errors
    ///
    /// - [`KeyringError::NoActiveKey`]: nothing is written in clear instead.
    /// - [`KeyringError::Seal`]: longer than 1 MiB, or sealed already.
    pub fn seal(&self, place: Place<'_>, value: &[u8], rng: &dyn Random) -> Result<Sealed, KeyringError> {
        self.seal_for(None, place, value, rng)
    }

    /// As [`Self::seal`], with the key of the person whom the value belongs to, if it is named.
    ///
    /// # Errors
    ///
    /// As [`Self::seal`].
    pub fn seal_for(
        &self,
        subject: Option<&OpenSubject>,
        place: Place<'_>,
        value: &[u8],
        rng: &dyn Random,
    ) -> Result<Sealed, KeyringError> {
        self.count_bytes(value.len());
        let key = match subject {
            Some(subject) => Arc::new(ColumnKey::from_key(&subject.key, subject.handle())),
            None => self.column_key(self.active(Self::root_of(place.field))?, place.field)?,
        };
        let (tenant, table, column) =
            (self.tenant.to_bytes(), place.field.table_id.to_bytes(), place.field.id.to_bytes());
        let context = Self::context(&tenant, &table, &column, place).digest();
        let flags = if place.field.bind == Bind::Row { Flags::ROW } else { Flags::COLUMN };
        Ok(key.seal(&context, flags, value, rng)?)
    }

    /// Opens values of one table. Consumes the receipt that tells of it.
    ///
    /// # Errors
    ///
    /// - [`KeyringError::ReceiptTooSmall`]: another tenant or table, or more values than it names.
    /// - [`KeyringError::WrongContext`], [`KeyringError::Tampered`], [`KeyringError::Stopped`]: with the
    ///   position of the first value that does not open.
    pub fn open(
        &self,
        receipt: AuditReceipt,
        table: &str,
        values: &[(Place<'_>, &Sealed)],
    ) -> Result<Vec<Phi<Vec<u8>>>, (usize, KeyringError)> {
        self.open_with(receipt, table, &Subjects::default(), values)
    }

    /// As [`Self::open`], with the keys of persons whom values may belong to.
    ///
    /// # Errors
    ///
    /// As [`Self::open`], and [`KeyringError::Erased`].
    pub fn open_with(
        &self,
        receipt: AuditReceipt,
        table: &str,
        subjects: &Subjects,
        values: &[(Place<'_>, &Sealed)],
    ) -> Result<Vec<Phi<Vec<u8>>>, (usize, KeyringError)> {
        let spent = self.spend(receipt, table, values).map_err(|error| (0, error))?;
        let one = |(place, sealed): &(Place<'_>, &Sealed)| self.open_one(*place, subjects, sealed, spent.glass);
        let opened = values.iter().map(|value| spent.counted(one(value)));
        opened.enumerate().map(|(position, value)| value.map_err(|error| (position, error))).collect()
    }

    /// As [`Self::open`], with an outcome for each value.
    ///
    /// # Errors
    ///
    /// [`KeyringError::ReceiptTooSmall`].
    pub fn open_each(
        &self,
        receipt: AuditReceipt,
        table: &str,
        values: &[(Place<'_>, &Sealed)],
    ) -> Result<Vec<Opened>, KeyringError> {
        self.open_each_with(receipt, table, &Subjects::default(), values)
    }

    /// As [`Self::open_each`], with the keys of persons whom values may belong to.
    ///
    /// # Errors
    ///
    /// [`KeyringError::ReceiptTooSmall`].
    pub fn open_each_with(
        &self,
        receipt: AuditReceipt,
        table: &str,
        subjects: &Subjects,
        values: &[(Place<'_>, &Sealed)],
    ) -> Result<Vec<Opened>, KeyringError> {
        let spent = self.spend(receipt, table, values)?;
        let one = |(place, sealed): &(Place<'_>, &Sealed)| self.open_one(*place, subjects, sealed, spent.glass);
        Ok(values.iter().map(|value| spent.counted(one(value))).collect())
    }

    /// Moves values of one table to the newest key. No plaintext leaves this function; it takes a receipt
    /// all the same, for it opens them.
    ///
    /// # Errors
    ///
    /// As [`Self::open`] and [`Self::seal`].
    pub fn reseal(
        &self,
        receipt: AuditReceipt,
        table: &str,
        values: &[(Place<'_>, &Sealed)],
        rng: &dyn Random,
    ) -> Result<Vec<Sealed>, (usize, KeyringError)> {
        self.reseal_with(receipt, table, &Subjects::default(), values, rng)
    }

    /// As [`Self::reseal`], with the keys of persons; their values stay under them.
    ///
    /// # Errors
    ///
    /// As [`Self::reseal`], and [`KeyringError::Erased`].
    pub fn reseal_with(
        &self,
        receipt: AuditReceipt,
        table: &str,
        subjects: &Subjects,
        values: &[(Place<'_>, &Sealed)],
        rng: &dyn Random,
    ) -> Result<Vec<Sealed>, (usize, KeyringError)> {
        let spent = self.spend(receipt, table, values).map_err(|error| (0, error))?;
        let move_one = |(place, sealed): &(Place<'_>, &Sealed)| {
            let value = spent.counted(self.open_one(*place, subjects, sealed, spent.glass))?;
            self.seal_for(subjects.key(sealed.handle()).ok(), *place, value.expose(), rng)
        };
        values.iter().enumerate().map(|(position, value)| move_one(value).map_err(|error| (position, error))).collect()
    }

    /// Spends the receipt on these values.
    pub(super) fn spend(
        &self,
        receipt: AuditReceipt,
        table: &str,
        values: &[(Place<'_>, &Sealed)],
    ) -> Result<Spent, KeyringError> {
        if !values.iter().all(|(place, _)| place.field.table == table) {
            return Err(KeyringError::ReceiptTooSmall);
        }
        self.spend_on(receipt, table, values.len())
    }

    /// Spends the receipt if it covers so many values of this table.
    pub(in crate::keyring) fn spend_on(
        &self,
        receipt: AuditReceipt,
        table: &str,
        values: usize,
    ) -> Result<Spent, KeyringError> {
        receipt.spend(self.tenant, table, values).ok_or(KeyringError::ReceiptTooSmall)
    }

    pub(super) fn open_one(
        &self,
        place: Place<'_>,
        subjects: &Subjects,
        sealed: &Sealed,
        glass: bool,
    ) -> Result<Phi<Vec<u8>>, KeyringError> {
        let key = match self.data_version(Self::root_of(place.field), sealed.handle(), glass) {
            Ok(version) => self.column_key(version, place.field)?,
            // No version of the root has this handle: it may be a person's.
            Err(KeyringError::WrongContext) => {
                let subject = subjects.key(sealed.handle())?;
                Arc::new(ColumnKey::from_key(&subject.key, subject.handle()))
            }
            Err(error) => return Err(error),
        };
        let (tenant, table, column) =
            (self.tenant.to_bytes(), place.field.table_id.to_bytes(), place.field.id.to_bytes());
        let context = Self::context(&tenant, &table, &column, place).digest();
        match key.open(&context, sealed) {
            Ok(mut value) => {
                self.count_bytes(value.expose().len());
                Ok(Phi::new(std::mem::take(value.expose_mut())))
            }
            Err(OpenError::WrongKeyOrContext) => Err(KeyringError::WrongContext),
            Err(OpenError::Tampered) => Err(KeyringError::Tampered),
        }
    }
}
