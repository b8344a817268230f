//! Whole rows: several columns of one row under one header of 68 bytes, 34 bytes more for each value (ADR 0010).

use std::{collections::BTreeMap, sync::Arc};

use chancery_crypto::{Phi, RecordHeader};

use self::parsed::Parsed;
use super::{
    Filed, MAX_ITEMS, Purpose, RecordError, SealedItem, WipedJson, batch,
    break_glass::{BreakGlass, Broken, Gate, broken},
    check_reason, encode, field_of, filed_of, lease_for,
    seal::Tally,
};
use crate::{
    Instance,
    access::{Call, Permission},
    approvals::Carried,
    audit::{Event, EventKind},
    faults::Faults,
    fields::Field,
    instance::Failure,
    keyring::{KeyringError, Lease, RowPlace},
    subjects::lend::{self, Lent},
};

mod parsed;

/// Values of one row to seal.
#[derive(Debug)]
pub struct SealRow {
    /// Its table.
    pub table: String,
    /// Its row.
    pub row: String,
    /// The person whom it belongs to, if it is sealed under that person's key. Not together with `header`.
    pub subject: Option<Phi<String>>,
    /// The row's header, to seal some of its columns anew; none to seal the row for the first time or as a whole.
    pub header: Option<String>,
    /// Values by column.
    pub fields: BTreeMap<String, WipedJson>,
}

impl SealRow {
    /// The reference of the person whom it belongs to.
    fn person(&self) -> Option<&str> {
        self.subject.as_ref().map(|subject| subject.expose().as_str())
    }
}

/// A sealed row.
#[derive(Debug)]
pub struct SealedRow {
    /// To be stored once, beside the values.
    pub header: String,
    /// Sealed values and terms, by column.
    pub fields: BTreeMap<String, SealedItem>,
}

/// A row as an application stores it, or some of its columns.
#[derive(Debug)]
pub struct StoredRow {
    /// Its table.
    pub table: String,
    /// Its row.
    pub row: String,
    /// Its header.
    pub header: String,
    /// Sealed values by column; `None` is a null and stays one.
    pub fields: BTreeMap<String, Option<String>>,
}

/// Rows to open, and why.
#[derive(Debug)]
pub struct OpenRows {
    /// The purpose of use.
    pub purpose: Purpose,
    /// The reason in words, at most 200 characters; sealed in the log.
    pub reason: Phi<String>,
    /// Rows with up to 1,000 values in all.
    pub rows: Vec<StoredRow>,
}

/// Why rows were not sealed or opened. All or nothing.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct RowsError {
    /// What is wrong.
    #[source]
    pub error: RecordError,
    /// Where in the request, as a JSON pointer.
    pub at: String,
}

impl<E: Into<RecordError>> From<E> for RowsError {
    fn from(error: E) -> Self {
        Self { error: error.into(), at: String::new() }
    }
}

/// Table and column of every value. A list, since a borrowing iterator would not live through an `await`.
fn names<'a>(rows: impl Iterator<Item = (&'a str, impl Iterator<Item = &'a String>)>) -> Vec<(&'a str, &'a str)> {
    rows.flat_map(|(table, columns)| columns.map(move |column| (table, column.as_str()))).collect()
}

impl AsRef<RecordError> for RowsError {
    fn as_ref(&self) -> &RecordError {
        &self.error
    }
}

fn at(at: String) -> impl FnOnce(RecordError) -> RowsError {
    move |error| RowsError { error, at }
}

fn header_at(number: usize) -> String {
    format!("/items/{number}/header")
}

fn field_at(number: usize, column: &str) -> String {
    // The column is registered or of its form by now, or it is left out: it could be anything.
    let plain = column.len() <= 63 && column.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain { format!("/items/{number}/fields/{column}") } else { format!("/items/{number}/fields") }
}

/// Seals rows, or single columns of stored rows, in order. Answers after the event is durable.
///
/// # Errors
///
/// [`RowsError`]. [`RecordError::KeyStopped`] for a header under an older key: seal or re-seal the whole row then.
pub async fn seal_rows(instance: &Instance, call: &Call, rows: &[SealRow]) -> Result<Vec<SealedRow>, RowsError> {
    call.require(Permission::DataSeal)?;
    check_rows(rows.iter().map(|row| (row.row.as_str(), row.fields.len())))?;
    let named = names(rows.iter().map(|row| (row.table.as_str(), row.fields.keys())));
    let lease = lease_for(instance, call, named.into_iter()).await?;
    let mut headers = Vec::with_capacity(rows.len());
    for (number, row) in rows.iter().enumerate() {
        if row.header.is_some() && row.subject.is_some() {
            let told = "the header says whose the row is; leave this out";
            return Err(Faults::one(format!("/items/{number}/subject"), "conflict", told).into());
        }
        let header = row.header.as_deref().map(|text| parse_header(number, text)).transpose();
        headers.push(header.inspect_err(|refused| batch::malformed(instance, &refused.error))?);
    }
    for (number, row) in rows.iter().enumerate() {
        for column in row.fields.keys() {
            field_of(&lease, number, &row.table, column, Some(&row.row)).map_err(at(field_at(number, column)))?;
        }
    }
    let lend = || lend::for_sealing(instance, call, rows.iter().filter_map(SealRow::person));
    let lent = lend().await?;
    let (mut sealed, tally) = seal_all(instance, call, &lease, &lent, rows, &headers).await?;
    let fence = tally.tell(instance, call, EventKind::RecordSealed).await?;
    let (current, still) = (fence.lease(instance).await?, lend().await?);
    let persons = headers.iter().flatten().any(|header| !current.keyring.knows(header.handle()));
    if persons || !Arc::ptr_eq(&lease, &current) || !still.is_same(&lent) {
        // The keys may have changed before the event was durable: nothing is given out that a stopped one sealed.
        (sealed, _) = seal_all(instance, call, &current, &still, rows, &headers).await?;
    }
    Ok(fence.release(instance, &current, sealed).await?)
}

async fn seal_all(
    instance: &Instance,
    call: &Call,
    lease: &Lease,
    lent: &Lent,
    rows: &[SealRow],
    headers: &[Option<RecordHeader>],
) -> Result<(Vec<SealedRow>, Tally), RowsError> {
    let ring = &lease.keyring;
    let unknown: Vec<_> =
        headers.iter().flatten().map(RecordHeader::handle).filter(|handle| !ring.knows(*handle)).collect();
    let subjects = lend::for_opening(instance, call.tenant(), ring, &unknown).await?;
    let mut tally = Tally::default();
    let mut sealed = Vec::with_capacity(rows.len());
    for ((number, row), header) in rows.iter().enumerate().zip(headers) {
        let (fields, values) = encoded(lease, number, row, &mut tally)?;
        let parts: Vec<(&Field, &[u8])> = fields
            .iter()
            .zip(&values)
            .filter_map(|(field, value)| Some((*field, value.as_ref()?.expose().as_slice())))
            .collect();
        let place = place_of(lease, number, &row.table, &row.row)?;
        let rng = instance.random();
        let made = match header {
            None => ring.seal_row(place, lent.of(row.person())?, &parts, rng),
            Some(header) => ring.seal_members(place, &subjects, header, &parts, rng).map(|members| (*header, members)),
        };
        let (header, members) = made.map_err(|(which, error)| {
            let column = which.and_then(|which| parts.get(which)).map(|(field, _)| field.column.as_str());
            of_row(number, column, error)
        })?;
        let mut members = members.into_iter();
        let mut found = BTreeMap::new();
        for (field, value) in fields.iter().zip(&values) {
            let item = match value {
                None => SealedItem { sealed: None, terms: Filed::default() },
                Some(value) => {
                    let member = members.next().ok_or(Failure::Internal("a row with too few members"))?;
                    SealedItem { sealed: Some(member.to_text()), terms: filed_of(ring, field, value)? }
                }
            };
            found.insert(field.column.clone(), item);
        }
        sealed.push(SealedRow { header: header.to_text(), fields: found });
    }
    Ok((sealed, tally))
}

/// The fields of a row and the bytes of their values; none for a null.
type Encoded<'a> = (Vec<&'a Field>, Vec<Option<Phi<Vec<u8>>>>);

fn encoded<'a>(lease: &'a Lease, number: usize, row: &SealRow, tally: &mut Tally) -> Result<Encoded<'a>, RowsError> {
    let (mut fields, mut values) = (Vec::new(), Vec::new());
    for (column, value) in &row.fields {
        let here = || at(field_at(number, column));
        let field = field_of(lease, number, &row.table, column, Some(&row.row)).map_err(here())?;
        tally.add(field);
        values.push(match value.expose().is_null() {
            true => None,
            false => Some(encode(field, value, &field_at(number, column)).map_err(RecordError::from).map_err(here())?),
        });
        fields.push(&**field);
    }
    Ok((fields, values))
}

/// Values of rows by column, in the order of the rows.
pub type OpenedRows = Vec<BTreeMap<String, WipedJson>>;

/// Opens rows or some of their columns, all or nothing, in order. The event is durable before the first key is touched.
/// With `glass` of suspended and revoked keys too, once another person approved.
///
/// # Errors
///
/// [`RowsError`]. When a row does not open, `record.open_failed` says so.
pub async fn open_rows(
    instance: &Instance,
    call: &Call,
    request: &OpenRows,
    glass: Option<BreakGlass>,
) -> Result<Carried<OpenedRows>, RowsError> {
    let gate = Gate::of(call, glass.as_ref())?;
    check_reason(&request.reason)?;
    let allowed = |field: &_| gate.admits(field);
    let mut parsed = Parsed::of(instance, call, &request.rows, allowed).await?;
    let (tables, values) = (parsed.table_names(), request.rows.iter().map(|row| row.fields.len()).sum());
    let broken = match broken(instance, call, glass, request.purpose, tables, values).await? {
        Carried::Done(broken) => broken,
        Carried::Waits(approval) => return Ok(Carried::Waits(approval)),
    };
    parsed.glass = broken.is_some();
    let why = |event: Event| {
        let event = event.purpose(request.purpose.as_str()).personal("reason", request.reason.expose().clone());
        Broken::on(broken.as_ref(), event)
    };
    let mut opened: Vec<BTreeMap<String, WipedJson>> = request.rows.iter().map(|row| nulls(&row.fields)).collect();
    let told = parsed.tell(instance, call, &request.rows, EventKind::RecordOpened, why, allowed).await?;
    let (subjects, receipts, fence) = told;
    for ((table, rows), receipt) in parsed.tables().zip(receipts) {
        let keyring_rows = parsed.keyring_rows(&rows);
        let values = match parsed.lease.keyring.open_rows(receipt, table, &subjects, &keyring_rows) {
            Ok(values) => values,
            Err(error) => return Err(parsed.failed(instance, call, table, &rows, error).await),
        };
        for (row, values) in rows.iter().zip(&values) {
            for (which, ((field, _), bytes)) in row.members.iter().zip(values).enumerate() {
                let Ok(value) = field.field_type.decode_exact(bytes) else {
                    let error = (0, (Some(which), KeyringError::WrongContext));
                    return Err(parsed.failed(instance, call, table, std::slice::from_ref(row), error).await);
                };
                if let Some(slot) = opened.get_mut(row.number) {
                    slot.insert(field.column.clone(), value);
                }
            }
        }
    }
    parsed.release(instance, call, fence, opened).await.map(Carried::Done)
}

fn nulls(fields: &BTreeMap<String, Option<String>>) -> BTreeMap<String, WipedJson> {
    fields.keys().map(|column| (column.clone(), WipedJson::new(serde_json::Value::Null))).collect()
}

/// Makes rows anew under the newest key, without showing them. All columns of a row must be given: the old header is not for the new values.
///
/// # Errors
///
/// [`RowsError`]. When a row does not open, `record.open_failed` says so.
pub async fn reseal_rows(instance: &Instance, call: &Call, rows: &[StoredRow]) -> Result<Vec<StoredRow>, RowsError> {
    call.require(Permission::DataReseal)?;
    let mut parsed = Parsed::of(instance, call, rows, |_| Ok(())).await?;
    let told = parsed.tell(instance, call, rows, EventKind::RecordResealed, |event| event, |_| Ok(())).await?;
    let (subjects, receipts, fence) = told;
    let mut moved: Vec<StoredRow> = rows
        .iter()
        .map(|row| StoredRow {
            table: row.table.clone(),
            row: row.row.clone(),
            header: String::new(),
            fields: row.fields.keys().map(|column| (column.clone(), None)).collect(),
        })
        .collect();
    for ((table, rows), receipt) in parsed.tables().zip(receipts) {
        let keyring_rows = parsed.keyring_rows(&rows);
        let ring = &parsed.lease.keyring;
        let newest = match ring.reseal_rows(receipt, table, &subjects, &keyring_rows, instance.random()) {
            Ok(newest) => newest,
            Err(error) => return Err(parsed.failed(instance, call, table, &rows, error).await),
        };
        for (row, (header, members)) in rows.iter().zip(newest) {
            let Some(slot) = moved.get_mut(row.number) else { continue };
            slot.header = header.to_text();
            for ((field, _), member) in row.members.iter().zip(members) {
                slot.fields.insert(field.column.clone(), Some(member.to_text()));
            }
        }
    }
    parsed.release(instance, call, fence, moved).await
}

fn of_row(number: usize, column: Option<&str>, error: KeyringError) -> RowsError {
    let at = column.map_or_else(|| header_at(number), |column| field_at(number, column));
    let error = match RecordError::of_item((number, error)) {
        RecordError::Invalid(mut faults) => {
            faults.0.iter_mut().for_each(|fault| fault.pointer.clone_from(&at));
            RecordError::Invalid(faults)
        }
        error => error,
    };
    RowsError { error, at }
}

fn place_of<'a>(lease: &Lease, number: usize, table: &'a str, row: &'a str) -> Result<RowPlace<'a>, RowsError> {
    let table_id = lease.table(table).ok_or(RecordError::UnknownField(number));
    Ok(RowPlace { table, table_id: table_id.map_err(at(format!("/items/{number}/table")))?, row })
}

fn parse_header(number: usize, text: &str) -> Result<RecordHeader, RowsError> {
    RecordHeader::from_text(text).map_err(|_| RecordError::Malformed(number)).map_err(at(header_at(number)))
}

fn check_rows<'a>(rows: impl Iterator<Item = (&'a str, usize)>) -> Result<(), RowsError> {
    let (mut faults, mut values, mut count) = (Faults::default(), 0, 0);
    for (number, (row, fields)) in rows.enumerate() {
        count += 1;
        values += fields;
        if fields == 0 {
            faults.add(format!("/items/{number}/fields"), "empty", "name at least one column");
        }
        if row.is_empty() {
            return Err(at(format!("/items/{number}/row"))(RecordError::RowRequired(number)));
        }
    }
    if count == 0 {
        faults.add("/items", "empty", "name at least one row");
    }
    if values > MAX_ITEMS {
        faults.add("/items", "too_many", "use at most 1000 values in all");
    }
    Ok(faults.check()?)
}
