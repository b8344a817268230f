//! Seals values, and moves sealed values to the newest key.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{
    Filed, RecordError, StoredItem, WipedJson,
    batch::{Batch, failed, release, values},
    check_count, field_of, filed, lease_for,
};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Detail, Event, EventKind, receipt::note_all, stamp::Actor},
    faults::Faults,
    fields::Field,
    instance::Failure,
    keyring::{Fence, Lease, ring::Place},
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
    let (mut sealed, tally) = seal_all(instance, &lease, items)?;
    let fence = tally.tell(instance, call, EventKind::RecordSealed).await?;
    let current = fence.lease(instance).await?;
    if !Arc::ptr_eq(&lease, &current) {
        // The keys changed before the event was durable: nothing is given out that a stopped one sealed.
        (sealed, _) = seal_all(instance, &current, items)?;
    }
    Ok(fence.release(instance, &current, sealed).await?)
}

fn seal_all(instance: &Instance, lease: &Lease, items: &[SealItem]) -> Result<(Vec<SealedItem>, Tally), RecordError> {
    let mut tally = Tally::default();
    let mut sealed = Vec::with_capacity(items.len());
    for (position, item) in items.iter().enumerate() {
        let field = field_of(lease, position, &item.table, &item.column, item.row.as_deref())?;
        tally.add(&field);
        sealed.push(seal_one(instance, lease, position, &field, item)?);
    }
    Ok((sealed, tally))
}

fn seal_one(
    instance: &Instance,
    lease: &Lease,
    position: usize,
    field: &Field,
    item: &SealItem,
) -> Result<SealedItem, RecordError> {
    let value = item.value.expose();
    if value.is_null() {
        return Ok(SealedItem { sealed: None, terms: Filed::default() });
    }
    let wrong_type = |error: crate::fields::value::WrongType| {
        Faults::one(
            format!("/items/{position}/value"),
            "type",
            format!("this field takes values of type `{}`", error.0),
        )
    };
    let bytes = field.field_type.encode(value).map_err(wrong_type)?;
    let place = Place { field, row: item.row.as_deref().unwrap_or_default() };
    let of_item = |error| RecordError::of_item((position, error));
    let sealed = lease.keyring.seal(place, bytes.expose(), instance.random()).map_err(of_item)?;
    let terms = match field.indexes.as_slice() {
        [] => Filed::default(),
        _ => {
            let text = field.field_type.searchable(&bytes).map_err(wrong_type)?;
            filed(&lease.keyring, field, text).map_err(of_item)?
        }
    };
    Ok(SealedItem { sealed: Some(sealed.to_text()), terms })
}

/// Moves sealed values to the newest key without showing them, all or nothing, in order.
///
/// # Errors
///
/// [`RecordError`]. When a value does not open, a second event says so.
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
    for (table, items, receipt) in batch.tables(receipts) {
        let newest = match batch.lease.keyring.reseal(receipt, table, &values(items), instance.random()) {
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
        let events = self.0.into_iter().map(|(table, (count, columns))| {
            Event::new(kind)
                .with("table", Detail::Names(vec![table]))
                .with("columns", Detail::Names(columns.into_keys().collect()))
                .with("count", Detail::Count(count))
        });
        let fence = note_all(instance, Actor::Call(call), call.tenant(), events.collect()).await?;
        Ok(fence.ok_or(Failure::Internal("a call without an event"))?)
    }
}

impl SealItem {
    /// Of a JSON value.
    pub fn new(table: String, column: String, row: Option<String>, value: Value) -> Self {
        Self { table, column, row, value: WipedJson::new(value) }
    }
}
