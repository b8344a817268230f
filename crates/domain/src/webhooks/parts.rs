//! A long message as it is kept: in parts, each a sealed value of its own.

use chancery_crypto::{Phi, Sealed};

use super::{WebhookDelivery, payload::Payload};
use crate::{
    fields::system,
    ids::WebhookDeliveryId,
    instance::{Failure, Instance},
    keyring::{Keyring, ring::Place},
    store::Tx,
};

/// How long a part is: one sealed value holds it.
const PART_BYTES: usize = 1_000_000;

/// What a part is called, by its place; the first is with its delivery and is called like that.
pub fn part(id: WebhookDeliveryId, at: u32) -> String {
    format!("{id}/{at:02}")
}

/// In which row the part at this place is: in that of its delivery, or in one of its own.
pub(super) fn row(id: WebhookDeliveryId, at: usize) -> String {
    match u32::try_from(at) {
        Ok(0) | Err(_) => id.to_string(),
        Ok(at) => part(id, at),
    }
}

/// Seals a message in parts.
pub(super) fn seal(
    instance: &Instance,
    ring: &Keyring,
    id: WebhookDeliveryId,
    payload: &Payload,
) -> Result<Vec<Sealed>, Failure> {
    let (field, bytes) = (system::webhook_payload(), payload.to_bytes());
    let mut sealed = Vec::new();
    for (at, part) in bytes.expose().chunks(PART_BYTES).enumerate() {
        let row = row(id, at);
        sealed.push(ring.seal(Place { field: &field, row: &row }, part, instance.random())?);
    }
    Ok(sealed)
}

/// Adds a delivery with its message, of which the first part is in its own row.
pub(super) async fn insert(tx: &mut dyn Tx, delivery: WebhookDelivery, sealed: Vec<Sealed>) -> Result<(), Failure> {
    let mut parts = sealed.into_iter().map(Sealed::into_bytes);
    let (id, first) = (delivery.id, parts.next());
    tx.insert_webhook_delivery(&WebhookDelivery { sealed: first, ..delivery }).await?;
    for (at, part) in (1..).zip(parts) {
        tx.insert_webhook_part(id, at, &part).await?;
    }
    Ok(())
}

/// The message, from its parts in order.
pub(super) fn read(parts: &[Phi<Vec<u8>>]) -> Option<Payload> {
    match parts {
        [one] => Payload::read(one),
        parts => {
            let slices: Vec<&[u8]> = parts.iter().map(|part| part.expose().as_slice()).collect();
            Payload::read(&Phi::new(slices.concat()))
        }
    }
}
