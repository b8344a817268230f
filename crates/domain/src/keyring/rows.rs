//! Whole rows under one key: a header per row, 34 bytes more per field (ADR 0005, ADR 0010).

use chancery_crypto::{
    Context, ContextDigest, Flags, MemberContext, OpenError, Phi, RecordHeader, RecordKey, SealedMember, TableKey,
    random::Random,
};

use super::{
    KeyState, Keyring, KeyringError, Managed,
    subject_keys::{OpenSubject, Subjects},
};
use crate::{
    audit::{AuditReceipt, receipt::Spent},
    fields::Field,
    ids::TableId,
};

/// Which row of which table.
#[derive(Debug, Clone, Copy)]
pub struct RowPlace<'a> {
    /// The table's name, as receipts have it.
    pub table: &'a str,
    /// The table's id.
    pub table_id: TableId,
    /// The row; never empty.
    pub row: &'a str,
}

/// A stored row, or some of its fields.
#[derive(Debug)]
pub struct SealedRow<'a> {
    /// Where it lives.
    pub place: RowPlace<'a>,
    /// Its header.
    pub header: &'a RecordHeader,
    /// Its fields.
    pub members: Vec<(&'a Field, &'a SealedMember)>,
}

/// Why a row was not sealed or opened: with the position of the field, or none if it is the header.
pub type RowError = (Option<usize>, KeyringError);
/// The opened values of a row, in the order of its members.
pub type OpenedRow = Vec<Phi<Vec<u8>>>;
/// A row as it was sealed: what to store once, and its members in the order of its fields.
pub type NewRow = (RecordHeader, Vec<SealedMember>);

impl Keyring {
    /// Seals the fields of a new row, or of a whole row anew, with the newest key or a person's.
    ///
    /// # Errors
    ///
    /// [`RowError`]; nothing is written in clear instead.
    pub fn seal_row(
        &self,
        place: RowPlace<'_>,
        subject: Option<&OpenSubject>,
        fields: &[(&Field, &[u8])],
        rng: &dyn Random,
    ) -> Result<NewRow, RowError> {
        let whole = |error| (None, error);
        let key = match subject {
            Some(subject) => TableKey::from_key(&subject.key, subject.handle()),
            None => {
                let version = self.active(Managed::Data).map_err(whole)?;
                self.table_key(version.handle, place.table_id, &Subjects::default(), false).map_err(whole)?
            }
        };
        let record = key.make_record(&self.row_context(place), Flags::ROW, rng).map_err(|error| whole(error.into()))?;
        let members = self.seal_into(&record, place, fields, rng)?;
        Ok((*record.header(), members))
    }

    /// Seals single fields of a stored row anew, under its key: header and other members stay as they are.
    ///
    /// # Errors
    ///
    /// [`RowError`]. [`KeyringError::Stopped`] if the row's key is not the newest: seal the whole row anew then.
    pub fn seal_members(
        &self,
        place: RowPlace<'_>,
        subjects: &Subjects,
        header: &RecordHeader,
        fields: &[(&Field, &[u8])],
        rng: &dyn Random,
    ) -> Result<Vec<SealedMember>, RowError> {
        let whole = |error| (None, error);
        let version = self.versions(Managed::Data).find(|version| version.handle == header.handle());
        if let Some(version) = version
            && version.state != KeyState::Active
        {
            return Err(whole(KeyringError::Stopped(version.state)));
        }
        let record = self.record_key(place, subjects, header, false).map_err(whole)?;
        self.seal_into(&record, place, fields, rng)
    }

    /// Opens fields of stored rows of one table. Consumes the receipt that tells of them.
    ///
    /// # Errors
    ///
    /// With the position of the row; [`KeyringError::ReceiptTooSmall`] for another tenant or table, or more values
    /// than it names.
    pub fn open_rows(
        &self,
        receipt: AuditReceipt,
        table: &str,
        subjects: &Subjects,
        rows: &[SealedRow<'_>],
    ) -> Result<Vec<OpenedRow>, (usize, RowError)> {
        let spent = self.spend_on_rows(receipt, table, rows)?;
        let opened = rows.iter().map(|row| self.open_members(row, subjects, &spent));
        opened.enumerate().map(|(at, row)| row.map_err(|error| (at, error))).collect()
    }

    /// Moves whole rows to the newest key; a person's rows get a new header. No plaintext leaves this function.
    ///
    /// # Errors
    ///
    /// As [`Self::open_rows`] and [`Self::seal_row`].
    pub fn reseal_rows(
        &self,
        receipt: AuditReceipt,
        table: &str,
        subjects: &Subjects,
        rows: &[SealedRow<'_>],
        rng: &dyn Random,
    ) -> Result<Vec<NewRow>, (usize, RowError)> {
        let spent = self.spend_on_rows(receipt, table, rows)?;
        let move_one = |row: &SealedRow<'_>| {
            let opened = self.open_members(row, subjects, &spent)?;
            let values = row.members.iter().zip(&opened);
            let fields: Vec<(&Field, &[u8])> =
                values.map(|((field, _), value)| (*field, value.expose().as_slice())).collect();
            self.seal_row(row.place, subjects.key(row.header.handle()).ok(), &fields, rng)
        };
        rows.iter().enumerate().map(|(at, row)| move_one(row).map_err(|error| (at, error))).collect()
    }

    /// Spends the receipt on these rows.
    fn spend_on_rows(
        &self,
        receipt: AuditReceipt,
        table: &str,
        rows: &[SealedRow<'_>],
    ) -> Result<Spent, (usize, RowError)> {
        let here = rows.iter().all(|row| row.place.table == table);
        let values = rows.iter().map(|row| row.members.len()).sum();
        let spent = if here { self.spend_on(receipt, table, values) } else { Err(KeyringError::ReceiptTooSmall) };
        spent.map_err(|error| (0, (None, error)))
    }

    fn open_members(&self, row: &SealedRow<'_>, subjects: &Subjects, spent: &Spent) -> Result<OpenedRow, RowError> {
        let SealedRow { place, header, members } = row;
        let record = self.record_key(*place, subjects, header, spent.glass).map_err(|error| {
            spent.refused(members.len());
            (None, error)
        })?;
        let mut opened = Vec::with_capacity(members.len());
        for (at, (field, member)) in members.iter().enumerate() {
            let value = match field.table_id == place.table_id {
                true => record.open(&member_context(field, &field.id.to_bytes()), member).map_err(of_open),
                false => Err(KeyringError::WrongContext),
            };
            opened.push(Phi::from(spent.counted(value).map_err(|error| (Some(at), error))?));
        }
        Ok(opened)
    }

    fn seal_into(
        &self,
        record: &RecordKey,
        place: RowPlace<'_>,
        fields: &[(&Field, &[u8])],
        rng: &dyn Random,
    ) -> Result<Vec<SealedMember>, RowError> {
        let mut members = Vec::with_capacity(fields.len());
        for (at, (field, value)) in fields.iter().enumerate() {
            if field.table_id != place.table_id {
                return Err((Some(at), KeyringError::WrongContext));
            }
            let member = record.seal(&member_context(field, &field.id.to_bytes()), value, rng);
            members.push(member.map_err(|error| (Some(at), error.into()))?);
        }
        Ok(members)
    }

    fn record_key(
        &self,
        place: RowPlace<'_>,
        subjects: &Subjects,
        header: &RecordHeader,
        glass: bool,
    ) -> Result<RecordKey, KeyringError> {
        let key = self.table_key(header.handle(), place.table_id, subjects, glass)?;
        key.open_record(&self.row_context(place), header).map_err(of_open)
    }

    fn table_key(
        &self,
        handle: chancery_crypto::Handle,
        table: TableId,
        subjects: &Subjects,
        glass: bool,
    ) -> Result<TableKey, KeyringError> {
        match self.data_version(Managed::Data, handle, glass) {
            Ok(version) => Ok(TableKey::derive(version.root()?, handle, &self.tenant().to_bytes(), &table.to_bytes())),
            Err(KeyringError::WrongContext) => Ok(TableKey::from_key(&subjects.key(handle)?.key, handle)),
            Err(error) => Err(error),
        }
    }

    fn row_context(&self, place: RowPlace<'_>) -> ContextDigest {
        let (tenant, table) = (self.tenant().to_bytes(), place.table_id.to_bytes());
        Context {
            tenant: &tenant,
            domain: Managed::Data.as_str().as_bytes(),
            table: &table,
            column: b"",
            row: place.row.as_bytes(),
            generation: b"",
            schema_type: b"record",
        }
        .digest()
    }
}

fn member_context<'a>(field: &'a Field, column: &'a [u8; 16]) -> MemberContext<'a> {
    MemberContext { column, schema_type: field.field_type.as_str().as_bytes() }
}

pub(super) const fn of_open(error: OpenError) -> KeyringError {
    match error {
        OpenError::WrongKeyOrContext => KeyringError::WrongContext,
        OpenError::Tampered => KeyringError::Tampered,
    }
}
