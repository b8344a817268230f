//! The stored rows of a call: taken apart, told of, and looked at again if keys changed meanwhile.

use std::{collections::BTreeMap, sync::Arc};

use chancery_crypto::{Handle, RecordHeader, SealedMember};

use super::{RowsError, StoredRow, at, check_rows, field_at, names, of_row, parse_header, place_of};
use crate::{
    Instance,
    access::Call,
    audit::{AuditReceipt, Event, EventKind, Told},
    fields::Field,
    keyring::{Fence, Keyring, KeyringError, Lease, RowPlace, SealedRow as KeyringRow, Subjects},
    records::{
        RecordError,
        batch::{self, Touched, intent, let_out, open_failed},
        field_of, lease_for,
    },
    subjects::lend,
};

/// A stored row whose fields are known and whose bytes are well formed; its nulls are left out.
pub(super) struct ParsedRow<'a> {
    pub(super) number: usize,
    place: RowPlace<'a>,
    header: RecordHeader,
    pub(super) members: Vec<(Arc<Field>, SealedMember)>,
}

/// The rows of a call.
pub(super) struct Parsed<'a> {
    pub(super) lease: Arc<Lease>,
    /// An approval to open what stopped keys have sealed was used.
    pub(super) glass: bool,
    rows: Vec<ParsedRow<'a>>,
    tables: BTreeMap<&'a str, Vec<usize>>,
}

impl<'a> Parsed<'a> {
    pub(super) async fn of(
        instance: &Instance,
        call: &Call,
        stored: &'a [StoredRow],
        check: impl Fn(&Field) -> Result<(), RecordError>,
    ) -> Result<Self, RowsError> {
        check_rows(stored.iter().map(|row| (row.row.as_str(), row.fields.len())))?;
        let named = names(stored.iter().map(|row| (row.table.as_str(), row.fields.keys())));
        let mut lease = lease_for(instance, call, named.into_iter()).await?;
        let mut rows = parse(&lease, stored).inspect_err(|refused| batch::malformed(instance, &refused.error))?;
        let unknown = unknown(&lease.keyring, &rows);
        let persons = lend::known(instance, call.tenant(), &unknown).await?;
        // A key that is nobody's may have been made by another node a moment ago.
        if unknown.iter().any(|handle| !persons.contains(handle))
            && let Some(renewed) = instance.renewed_lease(call.tenant(), &lease).await?
        {
            lease = renewed;
            rows = parse(&lease, stored)?;
        }
        check_fields(&lease, stored, check)?;
        let mut tables: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (position, row) in rows.iter().enumerate() {
            tables.entry(row.place.table).or_default().push(position);
        }
        Ok(Self { lease, glass: false, rows, tables })
    }

    /// The names of the tables it touches, in order.
    pub(super) fn table_names(&self) -> Vec<String> {
        self.tables.keys().map(|table| (*table).to_owned()).collect()
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = (&'a str, Vec<&ParsedRow<'a>>)> {
        self.tables.iter().map(|(table, rows)| (*table, rows.iter().filter_map(|at| self.rows.get(*at)).collect()))
    }

    /// Makes the events durable, looks at the rows again if keys or fields changed before that commit, and then lends
    /// persons' keys: what was erased meanwhile does not open.
    pub(super) async fn tell(
        &mut self,
        instance: &Instance,
        call: &Call,
        stored: &'a [StoredRow],
        kind: EventKind,
        with: impl Fn(Event) -> Event,
        check: impl Fn(&Field) -> Result<(), RecordError>,
    ) -> Result<(Subjects, Vec<AuditReceipt>, Option<Fence>), RowsError> {
        let mut intents = Vec::new();
        for (table, rows) in self.tables() {
            let columns = rows.iter().flat_map(|row| row.members.iter().map(|(field, _)| field.column.as_str()));
            let touched = Touched {
                table,
                columns: columns.collect(),
                rows: rows.iter().map(|row| row.place.row).collect(),
                values: rows.iter().map(|row| row.members.len()).sum(),
                glass: self.glass,
            };
            intents.push(intent(instance, call, &self.lease.keyring, kind, touched, &with)?);
        }
        let (Told { receipts, fence }, renewed) = batch::told(instance, call, intents, &self.lease).await?;
        if let Some(lease) = renewed {
            // The same rows have the same tables, so the receipts stay theirs.
            self.rows = parse(&lease, stored)?;
            check_fields(&lease, stored, check)?;
            self.lease = lease;
        }
        let ring = &self.lease.keyring;
        let persons = unknown(ring, &self.rows);
        let first = self.rows.iter().find(|row| !ring.knows(row.header.handle())).map_or(0, |row| row.number);
        let tables: Vec<&str> = self.tables.keys().copied().collect();
        let subjects = batch::persons(instance, call, ring, &persons, first, &tables).await?;
        Ok((subjects, receipts, fence))
    }

    pub(super) async fn release<T>(
        &self,
        instance: &Instance,
        call: &Call,
        fence: Option<Fence>,
        made: T,
    ) -> Result<T, RowsError> {
        Ok(let_out(instance, call, &self.lease, self.table_names(), fence, made).await?)
    }

    pub(super) fn keyring_rows<'r>(&self, rows: &[&'r ParsedRow<'a>]) -> Vec<KeyringRow<'r>> {
        rows.iter()
            .map(|row| KeyringRow {
                place: row.place,
                header: &row.header,
                members: row.members.iter().map(|(field, member)| (&**field, member)).collect(),
            })
            .collect()
    }

    pub(super) async fn failed(
        &self,
        instance: &Instance,
        call: &Call,
        table: &str,
        rows: &[&ParsedRow<'a>],
        (row, (which, error)): (usize, (Option<usize>, KeyringError)),
    ) -> RowsError {
        let Some(row) = rows.get(row) else { return RecordError::of_item((0, error)).into() };
        let column = which.and_then(|which| row.members.get(which)).map(|(field, _)| field.column.as_str());
        let RowsError { error, at } = of_row(row.number, column, error);
        RowsError { error: open_failed(instance, call, table, error).await, at }
    }
}

/// `check` sees the field of each value, nulls too.
fn check_fields(
    lease: &Lease,
    stored: &[StoredRow],
    check: impl Fn(&Field) -> Result<(), RecordError>,
) -> Result<(), RecordError> {
    let named = stored.iter().flat_map(|row| row.fields.keys().map(|column| (row.table.as_str(), column.as_str())));
    named.filter_map(|(table, column)| lease.field(table, column)).try_for_each(|field| check(field))
}

fn unknown(ring: &Keyring, rows: &[ParsedRow<'_>]) -> Vec<Handle> {
    rows.iter().map(|row| row.header.handle()).filter(|handle| !ring.knows(*handle)).collect()
}

fn parse<'a>(lease: &Lease, stored: &'a [StoredRow]) -> Result<Vec<ParsedRow<'a>>, RowsError> {
    let mut rows = Vec::with_capacity(stored.len());
    for (number, row) in stored.iter().enumerate() {
        let header = parse_header(number, &row.header)?;
        let mut members = Vec::with_capacity(row.fields.len());
        for (column, text) in &row.fields {
            let here = || at(field_at(number, column));
            let field = field_of(lease, number, &row.table, column, Some(&row.row)).map_err(here())?;
            if let Some(text) = text {
                let member =
                    SealedMember::from_text(text).map_err(|_| RecordError::Malformed(number)).map_err(here())?;
                members.push((Arc::clone(field), member));
            }
        }
        rows.push(ParsedRow { number, place: place_of(lease, number, &row.table, &row.row)?, header, members });
    }
    Ok(rows)
}
