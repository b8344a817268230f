//! Large values in chunks, as streams (ADR 0005, ADR 0010).

use chancery_crypto::{BlobHeader, BlobKey, BlobOpener, BlobSealer, Flags, Handle, random::Random};

use super::{
    Keyring, KeyringError, Managed,
    ring::Place,
    rows::of_open,
    subject_keys::{OpenSubject, Subjects},
};
use crate::{
    audit::AuditReceipt,
    fields::{Bind, Field},
};

impl Keyring {
    /// Begins to seal a blob for one place, with the newest key or a person's.
    ///
    /// # Errors
    ///
    /// [`KeyringError::NoActiveKey`], [`KeyringError::Random`].
    pub fn seal_blob(
        &self,
        place: Place<'_>,
        subject: Option<&OpenSubject>,
        rng: &dyn Random,
    ) -> Result<BlobSealer, KeyringError> {
        let key = match subject {
            Some(subject) => BlobKey::from_key(&subject.key, subject.handle()),
            None => {
                let active = self.active(Self::root_of(place.field))?.handle;
                self.blob_key(active, place.field, &Subjects::default(), false)?
            }
        };
        let flags = if place.field.bind == Bind::Row { Flags::ROW } else { Flags::COLUMN };
        Ok(key.sealer(&self.blob_context(place), flags, rng)?)
    }

    /// Begins to open a blob. Consumes the receipt that tells of it: one blob is one value.
    ///
    /// # Errors
    ///
    /// [`KeyringError::ReceiptTooSmall`], [`KeyringError::WrongContext`], [`KeyringError::Stopped`], [`KeyringError::Erased`].
    pub fn open_blob(
        &self,
        receipt: AuditReceipt,
        place: Place<'_>,
        subjects: &Subjects,
        header: &BlobHeader,
    ) -> Result<BlobOpener, KeyringError> {
        let spent = self.spend_on(receipt, &place.field.table, 1)?;
        let key = self.blob_key(header.handle(), place.field, subjects, spent.glass);
        spent.counted(key.and_then(|key| key.opener(&self.blob_context(place), header).map_err(of_open)))
    }

    /// Whether what is under this handle may still be sealed or opened; `glass` as in receipts.
    ///
    /// # Errors
    ///
    /// [`KeyringError::Stopped`], [`KeyringError::Erased`], [`KeyringError::WrongContext`].
    pub(crate) fn stands(&self, handle: Handle, subjects: &Subjects, glass: bool) -> Result<(), KeyringError> {
        match self.data_version(Managed::Data, handle, glass) {
            Err(KeyringError::WrongContext) => subjects.key(handle).map(drop),
            version => version.map(drop),
        }
    }

    fn blob_key(
        &self,
        handle: Handle,
        field: &Field,
        subjects: &Subjects,
        glass: bool,
    ) -> Result<BlobKey, KeyringError> {
        match self.data_version(Self::root_of(field), handle, glass) {
            Ok(version) => {
                let (tenant, table, column) =
                    (self.tenant().to_bytes(), field.table_id.to_bytes(), field.id.to_bytes());
                Ok(BlobKey::derive(version.root()?, handle, &tenant, &table, &column))
            }
            Err(KeyringError::WrongContext) => Ok(BlobKey::from_key(&subjects.key(handle)?.key, handle)),
            Err(error) => Err(error),
        }
    }

    fn blob_context(&self, place: Place<'_>) -> chancery_crypto::ContextDigest {
        let (tenant, table, column) =
            (self.tenant().to_bytes(), place.field.table_id.to_bytes(), place.field.id.to_bytes());
        Self::context(&tenant, &table, &column, place).digest()
    }
}
