//! Sealed values on their way to being opened: sorted by table, told of before a key is touched.

use std::{collections::BTreeMap, sync::Arc};

use chancery_crypto::{Handle, Sealed};

use super::{RecordError, field_of, parse_sealed};
use crate::{
    Instance,
    access::Call,
    audit::{self, AuditReceipt, Detail, Event, EventKind, OpenFailure, OpenIntent, Told, append},
    fields::Field,
    instance::Failure,
    keyring::{Fence, Keyring, KeyringError, Lease, Managed, Subjects, ring::Place},
    subjects::lend,
};

/// The most references of one event; larger calls write several.
const MAX_REFERENCES: usize = 100;

/// A sealed value as an application stores it.
#[derive(Debug)]
pub struct StoredItem {
    /// Its table.
    pub table: String,
    /// Its column.
    pub column: String,
    /// Its row, for fields bound to rows.
    pub row: Option<String>,
    /// The sealed value in text form; `None` is a null and stays one.
    pub sealed: Option<String>,
}

/// A stored item whose field is known and whose value is well formed.
pub(super) struct Item<'a> {
    pub(super) position: usize,
    pub(super) field: Arc<Field>,
    row: &'a str,
    sealed: Sealed,
}

/// The sealed values of one table.
pub(super) type Values<'v> = Vec<(Place<'v>, &'v Sealed)>;

/// The items of a call that are no nulls, by table.
pub(super) struct Batch<'a> {
    pub(super) lease: Arc<Lease>,
    /// An approval to open what stopped keys have sealed was used.
    pub(super) glass: bool,
    tables: BTreeMap<String, Vec<Item<'a>>>,
}

impl<'a> Batch<'a> {
    /// Parses the items. `check` sees the field of each one, nulls too.
    pub(super) async fn of(
        instance: &Instance,
        call: &Call,
        items: &'a [StoredItem],
        check: impl Fn(&Field) -> Result<(), RecordError>,
    ) -> Result<Self, RecordError> {
        let mut lease = instance.lease(call.tenant()).await?;
        let mut parsed = parse(&lease, items);
        // A field or key that is not known may have been made by another node a moment ago.
        let mut unknown = match &parsed {
            Ok(items) => items.iter().flatten().map(Item::handle).filter(|h| !lease.keyring.knows(*h)).collect(),
            Err(_) => Vec::new(),
        };
        // Persons' keys are no part of a lease.
        let persons = lend::known(instance, call.tenant(), &unknown).await?;
        unknown.retain(|handle| !persons.contains(handle));
        let unknown = !unknown.is_empty() || matches!(parsed, Err(RecordError::UnknownField(_)));
        if unknown && let Some(renewed) = instance.renewed_lease(call.tenant(), &lease).await? {
            lease = renewed;
            parsed = parse(&lease, items);
        }
        let parsed = parsed.inspect_err(|error| malformed(instance, error))?;
        let tables = by_table(&lease, parsed, items, check)?;
        Ok(Self { lease, glass: false, tables })
    }

    /// The names of the tables it touches, in order.
    pub(super) fn table_names(&self) -> Vec<String> {
        self.tables.keys().cloned().collect()
    }

    /// Makes the events durable, and looks at the items again if the keys or fields changed before that commit.
    pub(super) async fn tell(
        &mut self,
        instance: &Instance,
        call: &Call,
        items: &'a [StoredItem],
        kind: EventKind,
        with: impl Fn(Event) -> Event,
        check: impl Fn(&Field) -> Result<(), RecordError>,
    ) -> Result<(Vec<AuditReceipt>, Option<Fence>), RecordError> {
        let mut intents = Vec::with_capacity(self.tables.len());
        for (table, items) in &self.tables {
            let touched = Touched {
                table,
                columns: items.iter().map(|item| item.field.column.as_str()).collect(),
                rows: items.iter().map(|item| item.row).collect(),
                values: items.len(),
                glass: self.glass,
            };
            intents.push(intent(instance, call, &self.lease.keyring, kind, touched, &with)?);
        }
        let (Told { receipts, fence }, renewed) = told(instance, call, intents, &self.lease).await?;
        if let Some(lease) = renewed {
            // The same items have the same tables, so the receipts stay theirs.
            self.tables = by_table(&lease, parse(&lease, items)?, items, check)?;
            self.lease = lease;
        }
        Ok((receipts, fence))
    }

    /// Each table's items with their receipt.
    pub(super) fn tables(
        &self,
        receipts: Vec<AuditReceipt>,
    ) -> impl Iterator<Item = (&str, &[Item<'a>], AuditReceipt)> {
        let tables = self.tables.iter().map(|(table, items)| (table.as_str(), items.as_slice()));
        tables.zip(receipts).map(|((table, items), receipt)| (table, items, receipt))
    }

    /// Lends the persons' keys that the items need, as they are in the store now: call it after [`Self::tell`].
    pub(super) async fn subjects(&self, instance: &Instance, call: &Call) -> Result<Subjects, RecordError> {
        let ring = &self.lease.keyring;
        let items = || self.tables.values().flatten().filter(|item| !ring.knows(item.handle()));
        let handles: Vec<Handle> = items().map(Item::handle).collect();
        let first = items().map(|item| item.position).min().unwrap_or_default();
        let tables: Vec<&str> = self.tables.keys().map(String::as_str).collect();
        persons(instance, call, ring, &handles, first, &tables).await
    }
}

/// Makes the events durable. With the lease of that commit if keys or fields changed since `lease`: what was parsed under the old one is
/// parsed again.
pub(super) async fn told(
    instance: &Instance,
    call: &Call,
    intents: Vec<OpenIntent>,
    lease: &Arc<Lease>,
) -> Result<(Told, Option<Arc<Lease>>), RecordError> {
    let told = append(instance, call, call.tenant(), intents).await?;
    let Some(fence) = &told.fence else { return Ok((told, None)) };
    let now = fence.lease(instance).await?;
    let renewed = (!Arc::ptr_eq(&now, lease)).then_some(now);
    Ok((told, renewed))
}

/// Lends the persons' keys with these handles for opening values of these tables, or tells that it did not work; `position`
/// is the first item that needs one.
pub(super) async fn persons(
    instance: &Instance,
    call: &Call,
    ring: &Keyring,
    handles: &[Handle],
    position: usize,
    tables: &[&str],
) -> Result<Subjects, RecordError> {
    match lend::for_opening(instance, call.tenant(), ring, handles).await {
        Ok(subjects) => Ok(subjects),
        Err(Failure::Keyring(error)) => {
            let mut error = RecordError::of_item((position, error));
            for table in tables {
                error = open_failed(instance, call, table, error).await;
            }
            Err(error)
        }
        Err(failure) => Err(failure.into()),
    }
}

/// Counts what is no sealed value. Its event is that of the refusal: nothing was sealed, so nothing failed to open.
pub(super) fn malformed(instance: &Instance, error: &RecordError) {
    if let RecordError::Malformed(_) = error {
        instance.open_failures.count(OpenFailure::Malformed);
    }
}

/// What is about to be opened of one table.
pub(super) struct Touched<'v> {
    pub(super) table: &'v str,
    pub(super) columns: Vec<&'v str>,
    pub(super) rows: Vec<&'v str>,
    pub(super) values: usize,
    /// An approval to open what stopped keys have sealed was used.
    pub(super) glass: bool,
}

/// What is about to be opened, in as many events as its rows need, and what is unusual about it.
pub(super) fn intent(
    instance: &Instance,
    call: &Call,
    ring: &Keyring,
    kind: EventKind,
    touched: Touched<'_>,
    with: &impl Fn(Event) -> Event,
) -> Result<OpenIntent, RecordError> {
    let Touched { table, columns, mut rows, values, glass } = touched;
    let (key, actor) = (Managed::Data.as_str(), call.caller.subject());
    let unusual = instance.habits.used(call.tenant(), key, actor, values, instance.now());
    let mut columns: Vec<String> = columns.into_iter().map(str::to_owned).collect();
    columns.sort_unstable();
    columns.dedup();
    rows.retain(|row| !row.is_empty());
    rows.sort_unstable();
    rows.dedup();
    let references = rows.iter().map(|row| ring.reference(table, row)).collect::<Result<Vec<_>, _>>()?;
    let parts: Vec<Vec<String>> = match references.len() {
        0 => vec![Vec::new()],
        _ => references.chunks(MAX_REFERENCES).map(<[String]>::to_vec).collect(),
    };
    let (count, of) = (number(values), number(parts.len()));
    let mut events = (1..).zip(parts).map(|(part, references)| {
        let event = Event::new(kind)
            .references(references)
            .with("table", Detail::Names(vec![table.to_owned()]))
            .with("columns", Detail::Names(columns.clone()))
            .with("count", Detail::Count(count));
        let parted = |event: Event| event.with("part", Detail::Count(part)).with("parts", Detail::Count(of));
        with(if of > 1 { parted(event) } else { event })
    });
    let first = events.next().ok_or(Failure::Internal("an intent without an event"))?;
    let intent = OpenIntent::new(table, values, first).further(events).further(unusual);
    Ok(if glass { intent.breaking_glass() } else { intent })
}

impl Item<'_> {
    fn handle(&self) -> Handle {
        self.sealed.handle()
    }
}

/// What a keyring takes of these items.
pub(super) fn values<'v>(items: &'v [Item<'_>]) -> Values<'v> {
    items.iter().map(|item| (Place { field: &item.field, row: item.row }, &item.sealed)).collect()
}

/// Lets out what was made of values, or tells that it was not.
pub(super) async fn release<T>(
    instance: &Instance,
    call: &Call,
    batch: &Batch<'_>,
    fence: Option<Fence>,
    made: T,
) -> Result<T, RecordError> {
    let tables = batch.tables.keys().cloned().collect();
    let_out(instance, call, &batch.lease, tables, fence, made).await
}

/// Lets out what was made under a lease of values of these tables, or tells that it was not.
pub(super) async fn let_out<T>(
    instance: &Instance,
    call: &Call,
    lease: &Lease,
    tables: Vec<String>,
    fence: Option<Fence>,
    made: T,
) -> Result<T, RecordError> {
    let Some(fence) = fence else { return Ok(made) };
    match fence.release(instance, lease, made).await {
        Ok(made) => Ok(made),
        Err(failure) => {
            for table in tables {
                audit::open_failed(instance, call, call.tenant(), &table, OpenFailure::KeysChanged).await?;
            }
            Err(failure.into())
        }
    }
}

/// Tells of a value that did not open, and gives the error of its item.
pub(super) async fn failed(
    instance: &Instance,
    call: &Call,
    table: &str,
    items: &[Item<'_>],
    (at, error): (usize, KeyringError),
) -> RecordError {
    let position = items.get(at).map_or(0, |item| item.position);
    open_failed(instance, call, table, RecordError::of_item((position, error))).await
}

/// Tells of something that did not open, and gives its error back.
pub(super) async fn open_failed(instance: &Instance, call: &Call, table: &str, error: RecordError) -> RecordError {
    let class = match error {
        RecordError::Tampered(_) => OpenFailure::Tampered,
        RecordError::Malformed(_) => OpenFailure::Malformed,
        RecordError::KeyStopped(_) => OpenFailure::KeyStopped,
        RecordError::Erased(_) => OpenFailure::Erased,
        RecordError::Failed(Failure::Keyring(ref error)) => error.into(),
        RecordError::Failed(_) => OpenFailure::Other,
        _ => OpenFailure::WrongContext,
    };
    match audit::open_failed(instance, call, call.tenant(), table, class).await {
        Ok(()) => error,
        Err(failure) => failure.into(),
    }
}

/// Sorts items by their tables; `check` sees the field of each one, nulls too.
fn by_table<'a>(
    lease: &Lease,
    parsed: Vec<Option<Item<'a>>>,
    items: &'a [StoredItem],
    check: impl Fn(&Field) -> Result<(), RecordError>,
) -> Result<BTreeMap<String, Vec<Item<'a>>>, RecordError> {
    let mut tables: BTreeMap<String, Vec<Item<'a>>> = BTreeMap::new();
    for (item, stored) in parsed.into_iter().zip(items) {
        match item {
            Some(item) => {
                check(&item.field)?;
                tables.entry(stored.table.clone()).or_default().push(item);
            }
            None => {
                if let Some(field) = lease.field(&stored.table, &stored.column) {
                    check(field)?;
                }
            }
        }
    }
    Ok(tables)
}

fn parse<'a>(lease: &Lease, items: &'a [StoredItem]) -> Result<Vec<Option<Item<'a>>>, RecordError> {
    let mut parsed = Vec::with_capacity(items.len());
    for (position, item) in items.iter().enumerate() {
        let field = field_of(lease, position, &item.table, &item.column, item.row.as_deref())?;
        let Some(text) = &item.sealed else {
            parsed.push(None);
            continue;
        };
        let (sealed, row) = (parse_sealed(position, text)?, item.row.as_deref().unwrap_or_default());
        parsed.push(Some(Item { position, field: Arc::clone(field), row, sealed }));
    }
    Ok(parsed)
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
