//! Whole rows: several columns of one row under one header of 68 bytes, 34 bytes more for each value (ADR 0010).

use std::{collections::BTreeMap, sync::Arc};

use chancery_crypto::{Phi, RecordHeader, SealedMember};

use super::{
    Filed, MAX_ITEMS, Purpose, RecordError, SealedItem, WipedJson,
    batch::{self, Touched, intent, let_out, open_failed},
    break_glass::{BreakGlass, Broken, Gate, broken},
    check_reason, encode, field_of, filed_of, lease_for,
    seal::Tally,
};
use crate::{
    Instance,
    access::{Call, Permission},
    approvals::Carried,
    audit::{AuditReceipt, Event, EventKind, Told, append},
    faults::Faults,
    fields::Field,
    instance::Failure,
    keyring::{Fence, Keyring, KeyringError, Lease, RowPlace, SealedRow as KeyringRow, Subjects},
    subjects::lend::{self, Lent},
};

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
/// [`RowsError`]. When a row does not open, a second event says so.
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
/// [`RowsError`]. When a row does not open, a second event says so.
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

/// A stored row whose fields are known and whose bytes are well formed; its nulls are left out.
struct ParsedRow<'a> {
    number: usize,
    place: RowPlace<'a>,
    header: RecordHeader,
    members: Vec<(Arc<Field>, SealedMember)>,
}

/// The rows of a call.
struct Parsed<'a> {
    lease: Arc<Lease>,
    /// An approval to open what stopped keys have sealed was used.
    glass: bool,
    rows: Vec<ParsedRow<'a>>,
    tables: BTreeMap<&'a str, Vec<usize>>,
}

impl<'a> Parsed<'a> {
    async fn of(
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
    fn table_names(&self) -> Vec<String> {
        self.tables.keys().map(|table| (*table).to_owned()).collect()
    }

    fn tables(&self) -> impl Iterator<Item = (&'a str, Vec<&ParsedRow<'a>>)> {
        self.tables.iter().map(|(table, rows)| (*table, rows.iter().filter_map(|at| self.rows.get(*at)).collect()))
    }

    /// Makes the events durable, looks at the rows again if keys or fields changed before that commit, and then lends
    /// persons' keys: what was erased meanwhile does not open.
    async fn tell(
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
        let Told { receipts, fence } = append(instance, call, call.tenant(), intents).await?;
        if let Some(fence) = &fence {
            let lease = fence.lease(instance).await?;
            if !Arc::ptr_eq(&lease, &self.lease) {
                // The same rows have the same tables, so the receipts stay theirs.
                self.rows = parse(&lease, stored)?;
                check_fields(&lease, stored, check)?;
                self.lease = lease;
            }
        }
        let ring = &self.lease.keyring;
        let persons = unknown(ring, &self.rows);
        let first = self.rows.iter().find(|row| !ring.knows(row.header.handle())).map_or(0, |row| row.number);
        let tables: Vec<&str> = self.tables.keys().copied().collect();
        let subjects = batch::persons(instance, call, ring, &persons, first, &tables).await?;
        Ok((subjects, receipts, fence))
    }

    async fn release<T>(
        &self,
        instance: &Instance,
        call: &Call,
        fence: Option<Fence>,
        made: T,
    ) -> Result<T, RowsError> {
        Ok(let_out(instance, call, &self.lease, self.table_names(), fence, made).await?)
    }

    fn keyring_rows<'r>(&self, rows: &[&'r ParsedRow<'a>]) -> Vec<KeyringRow<'r>> {
        rows.iter()
            .map(|row| KeyringRow {
                place: row.place,
                header: &row.header,
                members: row.members.iter().map(|(field, member)| (&**field, member)).collect(),
            })
            .collect()
    }

    async fn failed(
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

fn unknown(ring: &Keyring, rows: &[ParsedRow<'_>]) -> Vec<chancery_crypto::Handle> {
    rows.iter().map(|row| row.header.handle()).filter(|handle| !ring.knows(*handle)).collect()
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
