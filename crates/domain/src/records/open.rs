//! Opens values: the event is durable before the first key is touched.

use std::collections::BTreeMap;

use chancery_crypto::{Phi, Sealed};
use serde_json::Value;

use super::{RecordError, check_count, field_of, parse_sealed, permission_to_open};
use crate::{
    Instance,
    access::Call,
    audit::{Detail, Event, EventKind, OpenIntent, Outcome, append, receipt::note},
    faults::Faults,
    fields::Field,
    keyring::{Keyring, ring::Place},
};

codes! {
    /// Why personal data is used (HL7 v3 PurposeOfUse).
    pub enum Purpose {
        /// Treatment.
        Treat = "TREAT",
        /// Emergency treatment.
        Etreat = "ETREAT",
        /// Payment.
        Hpaymt = "HPAYMT",
        /// Operations.
        Hoperat = "HOPERAT",
        /// The patient's own request.
        Patrqt = "PATRQT",
        /// Research.
        Hresch = "HRESCH",
        /// Public health.
        Pubhlth = "PUBHLTH",
        /// System administration.
        Sysadmin = "SYSADMIN",
    }
}

/// The most references of one event; larger calls write several.
const MAX_REFERENCES: usize = 100;

/// A sealed value to open.
#[derive(Debug)]
pub struct OpenItem {
    /// Its table.
    pub table: String,
    /// Its column.
    pub column: String,
    /// Its row, for fields bound to rows.
    pub row: Option<String>,
    /// The sealed value in text form; `None` stays null.
    pub sealed: Option<String>,
}

/// What to open, and why.
#[derive(Debug)]
pub struct OpenRequest {
    /// The purpose of use.
    pub purpose: Purpose,
    /// The reason in words, at most 200 characters; sealed in the log.
    pub reason: String,
    /// Up to 1,000 values.
    pub items: Vec<OpenItem>,
}

/// An item that names a field and holds a sealed value.
struct Item<'a> {
    position: usize,
    field: std::sync::Arc<Field>,
    row: &'a str,
    sealed: Sealed,
}

/// Opens values, all or nothing, in order.
///
/// # Errors
///
/// [`RecordError`]. When a value does not open, a second event says so.
pub async fn open(instance: &Instance, call: &Call, request: &OpenRequest) -> Result<Vec<Value>, RecordError> {
    check(request)?;
    let tenant = call.tenant();
    let lease = instance.lease(tenant).await?;
    let mut tables: BTreeMap<String, Vec<Item<'_>>> = BTreeMap::new();
    for (position, item) in request.items.iter().enumerate() {
        let field = field_of(&lease, position, &item.table, &item.column, item.row.as_deref())?;
        call.require(permission_to_open(field.class))?;
        if let Some(text) = &item.sealed {
            let sealed = parse_sealed(position, text)?;
            let row = item.row.as_deref().unwrap_or_default();
            tables.entry(item.table.clone()).or_default().push(Item { position, field, row, sealed });
        }
    }
    let intents = tables
        .iter()
        .map(|(table, items)| intent(&lease.keyring, request, table, items))
        .collect::<Result<Vec<_>, RecordError>>()?;
    let receipts = append(instance, call, tenant, intents).await?;

    let mut values: Vec<Value> = vec![Value::Null; request.items.len()];
    for ((table, items), receipt) in tables.iter().zip(receipts) {
        let sealed: Vec<(Place<'_>, &Sealed)> =
            items.iter().map(|item| (Place { field: &item.field, row: item.row }, &item.sealed)).collect();
        let opened = match lease.keyring.open(receipt, table, &sealed) {
            Ok(opened) => opened,
            Err((at, error)) => {
                let position = items.get(at).map_or(0, |item| item.position);
                let error = RecordError::of_item((position, error));
                note(instance, call, tenant, failure(table, &error)).await?;
                return Err(error);
            }
        };
        for (item, value) in items.iter().zip(&opened) {
            let decoded = item.field.field_type.decode(value).map_err(|_| RecordError::WrongContext(item.position))?;
            if let Some(slot) = values.get_mut(item.position) {
                *slot = decoded;
            }
        }
    }
    Ok(values)
}

/// The events that tell of opening values of one table.
fn intent(ring: &Keyring, request: &OpenRequest, table: &str, items: &[Item<'_>]) -> Result<OpenIntent, RecordError> {
    let mut columns: Vec<String> = items.iter().map(|item| item.field.column.clone()).collect();
    columns.sort_unstable();
    columns.dedup();
    let mut rows: Vec<&str> = items.iter().map(|item| item.row).filter(|row| !row.is_empty()).collect();
    rows.sort_unstable();
    rows.dedup();
    let references = rows.iter().map(|row| ring.reference(table, row)).collect::<Result<Vec<_>, _>>()?;
    let parts: Vec<Vec<String>> = match references.len() {
        0 => vec![Vec::new()],
        _ => references.chunks(MAX_REFERENCES).map(<[String]>::to_vec).collect(),
    };
    let count = u64::try_from(items.len()).unwrap_or(u64::MAX);
    let of = u64::try_from(parts.len()).unwrap_or(u64::MAX);
    let events = (1..).zip(parts).map(|(part, references)| {
        let event = Event::new(EventKind::RecordOpened)
            .purpose(request.purpose.as_str())
            .references(references)
            .personal("reason", Phi::new(request.reason.clone()).expose().clone())
            .with("table", Detail::Names(vec![table.to_owned()]))
            .with("columns", Detail::Names(columns.clone()))
            .with("count", Detail::Count(count));
        if of > 1 { event.with("part", Detail::Count(part)).with("parts", Detail::Count(of)) } else { event }
    });
    Ok(OpenIntent { table: table.to_owned(), values: items.len(), events: events.collect() })
}

fn failure(table: &str, error: &RecordError) -> Event {
    let code = match error {
        RecordError::Tampered(_) => "sealed.tampered",
        RecordError::KeyStopped(_) => "key.stopped",
        _ => "sealed.wrong_context",
    };
    Event::new(EventKind::RecordOpenFailed)
        .outcome(Outcome::MinorFailure)
        .with("table", Detail::Names(vec![table.to_owned()]))
        .with("code", Detail::Code(code))
}

fn check(request: &OpenRequest) -> Result<(), Faults> {
    check_count(request.items.len())?;
    let mut faults = Faults::default();
    let length = request.reason.trim().chars().count();
    if length == 0 || length > 200 {
        faults.add("/reason", "length", "say why, in 1 to 200 characters");
    }
    faults.check()
}
