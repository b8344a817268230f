//! Opens values: the event is durable before the first key is touched.

use chancery_crypto::Phi;
use serde_json::Value;

use super::{
    RecordError, StoredItem, WipedJson,
    batch::{Batch, failed, release, values},
    break_glass::{BreakGlass, Broken, Gate, broken},
    check_count, check_reason,
};
use crate::{
    Instance,
    access::Call,
    approvals::Carried,
    audit::{Event, EventKind},
    keyring::KeyringError,
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

/// What to open, and why.
#[derive(Debug)]
pub struct OpenRequest {
    /// The purpose of use.
    pub purpose: Purpose,
    /// The reason in words, at most 200 characters; sealed in the log.
    pub reason: Phi<String>,
    /// Up to 1,000 values.
    pub items: Vec<StoredItem>,
}

/// Opens values, all or nothing, in order. With `glass` of suspended and revoked keys too, once another person approved.
///
/// # Errors
///
/// [`RecordError`]. When a value does not open, `record.open_failed` says so.
pub async fn open(
    instance: &Instance,
    call: &Call,
    request: &OpenRequest,
    glass: Option<BreakGlass>,
) -> Result<Carried<Vec<WipedJson>>, RecordError> {
    let gate = Gate::of(call, glass.as_ref())?;
    check_count(request.items.len())?;
    check_reason(&request.reason)?;
    let allowed = |field: &_| gate.admits(field);
    let mut batch = Batch::of(instance, call, &request.items, allowed).await?;
    let (tables, values_asked) = (batch.table_names(), request.items.len());
    let broken = match broken(instance, call, glass, request.purpose, tables, values_asked).await? {
        Carried::Done(broken) => broken,
        Carried::Waits(approval) => return Ok(Carried::Waits(approval)),
    };
    batch.glass = broken.is_some();
    let why = |event: Event| {
        let event = event.purpose(request.purpose.as_str()).personal("reason", request.reason.expose().clone());
        Broken::on(broken.as_ref(), event)
    };
    let mut opened: Vec<WipedJson> = request.items.iter().map(|_| WipedJson::new(Value::Null)).collect();
    let told = batch.tell(instance, call, &request.items, EventKind::RecordOpened, why, allowed).await?;
    let (receipts, fence) = told;
    let subjects = batch.subjects(instance, call).await?;
    for (table, items, receipt) in batch.tables(receipts) {
        let bytes = match batch.lease.keyring.open_with(receipt, table, &subjects, &values(items)) {
            Ok(bytes) => bytes,
            Err(error) => return Err(failed(instance, call, table, items, error).await),
        };
        for (item, bytes) in items.iter().zip(&bytes) {
            // Sealed by this key for this place, and yet not of its type: it was not sealed as this field.
            let Ok(value) = item.field.field_type.decode_exact(bytes) else {
                let at = items.iter().position(|other| other.position == item.position).unwrap_or(0);
                return Err(failed(instance, call, table, items, (at, KeyringError::WrongContext)).await);
            };
            if let Some(slot) = opened.get_mut(item.position) {
                *slot = value;
            }
        }
    }
    release(instance, call, &batch, fence, opened).await.map(Carried::Done)
}
