//! Seals values, and moves sealed values to the newest key.

use std::{collections::BTreeMap, sync::Arc};

use chancery_crypto::Phi;
use serde_json::Value;

use super::{
    Filed, RecordError, StoredItem, WipedJson,
    batch::{Batch, failed, release, values},
    check_count, encode, field_of, filed_of, lease_for,
};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Detail, Event, EventKind, receipt::note_all, stamp::Actor},
    fields::Field,
    instance::Failure,
    keyring::{Fence, Lease, Managed, OpenSubject, ring::Place},
    subjects::lend::{self, Lent},
};

/// A value to seal.
#[derive(Debug)]
pub struct SealItem {
    /// Its table.
    pub table: String,
    /// Its column.
    pub column: String,
    /// Its row, for fields bound to rows.
    pub row: Option<String>,
    /// The person whom it belongs to, if it is sealed under that person's key.
    pub subject: Option<Phi<String>>,
    /// The value; its JSON type is the field's.
    pub value: WipedJson,
}

/// A sealed value and its search terms.
#[derive(Debug)]
pub struct SealedItem {
    /// Text form; `None` for a null.
    pub sealed: Option<String>,
    /// What it is filed under; nothing for a null.
    pub terms: Filed,
}

/// Seals up to 1,000 values, all or nothing, in order. Answers after the event is durable.
///
/// # Errors
///
/// [`RecordError`].
pub async fn seal(instance: &Instance, call: &Call, items: &[SealItem]) -> Result<Vec<SealedItem>, RecordError> {
    call.require(Permission::DataSeal)?;
    check_count(items.len())?;
    let lease = lease_for(instance, call, items.iter().map(|item| (item.table.as_str(), item.column.as_str()))).await?;
    for (position, item) in items.iter().enumerate() {
        field_of(&lease, position, &item.table, &item.column, item.row.as_deref())?;
    }
    let lend = || lend::for_sealing(instance, call, items.iter().filter_map(SealItem::person));
    let lent = lend().await?;
    let (mut sealed, tally) = seal_all(instance, &lease, &lent, items)?;
    let fence = tally.tell(instance, call, EventKind::RecordSealed).await?;
    let (current, still) = (fence.lease(instance).await?, lend().await?);
    if !Arc::ptr_eq(&lease, &current) || !still.is_same(&lent) {
        // The keys changed before the event was durable: nothing is given out that a stopped one sealed.
        (sealed, _) = seal_all(instance, &current, &still, items)?;
    }
    Ok(fence.release(instance, &current, sealed).await?)
}

fn seal_all(
    instance: &Instance,
    lease: &Lease,
    lent: &Lent,
    items: &[SealItem],
) -> Result<(Vec<SealedItem>, Tally), RecordError> {
    let mut tally = Tally::default();
    let mut sealed = Vec::with_capacity(items.len());
    for (position, item) in items.iter().enumerate() {
        let field = field_of(lease, position, &item.table, &item.column, item.row.as_deref())?;
        tally.add(field);
        sealed.push(seal_one(instance, lease, position, field, lent.of(item.person())?, item)?);
    }
    Ok((sealed, tally))
}

fn seal_one(
    instance: &Instance,
    lease: &Lease,
    position: usize,
    field: &Field,
    subject: Option<&OpenSubject>,
    item: &SealItem,
) -> Result<SealedItem, RecordError> {
    if item.value.expose().is_null() {
        return Ok(SealedItem { sealed: None, terms: Filed::default() });
    }
    let bytes = encode(field, &item.value, &format!("/items/{position}/value"))?;
    let place = Place { field, row: item.row.as_deref().unwrap_or_default() };
    let sealed = lease.keyring.seal_for(subject, place, bytes.expose(), instance.random());
    let sealed = sealed.map_err(|error| RecordError::of_item((position, error)))?;
    Ok(SealedItem { sealed: Some(sealed.to_text()), terms: filed_of(&lease.keyring, field, &bytes)? })
}

/// Moves sealed values to the newest key without showing them, all or nothing, in order.
///
/// # Errors
///
/// [`RecordError`]. When a value does not open, `record.open_failed` says so.
pub async fn reseal(
    instance: &Instance,
    call: &Call,
    items: &[StoredItem],
) -> Result<Vec<Option<String>>, RecordError> {
    call.require(Permission::DataReseal)?;
    check_count(items.len())?;
    let mut batch = Batch::of(instance, call, items, |_| Ok(())).await?;
    let mut moved: Vec<Option<String>> = items.iter().map(|_| None).collect();
    let told = batch.tell(instance, call, items, EventKind::RecordResealed, |event| event, |_| Ok(())).await?;
    let (receipts, fence) = told;
    let subjects = batch.subjects(instance, call).await?;
    for (table, items, receipt) in batch.tables(receipts) {
        let ring = &batch.lease.keyring;
        let newest = match ring.reseal_with(receipt, table, &subjects, &values(items), instance.random()) {
            Ok(newest) => newest,
            Err(error) => return Err(failed(instance, call, table, items, error).await),
        };
        for (item, newest) in items.iter().zip(newest) {
            if let Some(slot) = moved.get_mut(item.position) {
                *slot = Some(newest.to_text());
            }
        }
    }
    release(instance, call, &batch, fence, moved).await
}

/// How many values of which columns: one event for each table.
#[derive(Default)]
pub(super) struct Tally(BTreeMap<String, (u64, BTreeMap<String, ()>)>);

impl Tally {
    pub(super) fn add(&mut self, field: &Field) {
        let (count, columns) = match self.0.get_mut(&field.table) {
            Some(entry) => entry,
            None => self.0.entry(field.table.clone()).or_default(),
        };
        *count += 1;
        if !columns.contains_key(&field.column) {
            columns.insert(field.column.clone(), ());
        }
    }

    /// Makes the events durable.
    pub(super) async fn tell(self, instance: &Instance, call: &Call, kind: EventKind) -> Result<Fence, RecordError> {
        let key = if kind == EventKind::TermsDerived { Managed::Index } else { Managed::Data };
        let values: u64 = self.0.values().map(|(count, _)| count).sum();
        let values = usize::try_from(values).unwrap_or(usize::MAX);
        let unusual = instance.habits.used(call.tenant(), key.as_str(), call.caller.subject(), values, instance.now());
        let events = self.0.into_iter().map(|(table, (count, columns))| {
            Event::new(kind)
                .with("table", Detail::Names(vec![table]))
                .with("columns", Detail::Names(columns.into_keys().collect()))
                .with("count", Detail::Count(count))
        });
        let fence = note_all(instance, Actor::Call(call), call.tenant(), events.chain(unusual).collect()).await?;
        Ok(fence.ok_or(Failure::Internal("a call without an event"))?)
    }
}

impl SealItem {
    /// The reference of the person whom it belongs to.
    fn person(&self) -> Option<&str> {
        self.subject.as_ref().map(|subject| subject.expose().as_str())
    }

    /// Of a JSON value.
    pub fn new(table: String, column: String, row: Option<String>, value: Value) -> Self {
        Self { table, column, row, subject: None, value: WipedJson::new(value) }
    }
}
