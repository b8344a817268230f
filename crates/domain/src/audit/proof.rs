//! The proof that an event is one of ours: queues are not authenticated, and whoever writes the store makes no code under our keys.

use std::iter::once;

use serde_json::Value;

use super::LoggedEvent;
use crate::{
    ids::EventId,
    instance::Failure,
    keyring::{Keyring, ring::Marked},
};

/// The proof that an event of this id says this, for its detail `proof`: a code under a key of `ring`, derived for `purpose`.
pub(super) fn make(ring: &Keyring, purpose: &'static str, event: EventId, says: &[&[u8]]) -> Result<String, Failure> {
    Ok(data_encoding::HEXLOWER.encode(&ring.mark(purpose, &parts(&event.to_bytes(), says))?))
}

/// Whether an event carries the proof that it says this, and is the one whose row it lies in.
pub(super) fn holds(ring: &Keyring, purpose: &'static str, logged: &LoggedEvent, core: &Value, says: &[&[u8]]) -> bool {
    let text = |pointer: &str| core.pointer(pointer).and_then(Value::as_str);
    let id = logged.event.id;
    let proof = text("/detail/proof").and_then(|proof| data_encoding::HEXLOWER.decode(proof.as_bytes()).ok());
    text("/event_id") == Some(id.to_string().as_str())
        && proof.is_some_and(|proof| ring.marked(purpose, &parts(&id.to_bytes(), says), &proof) != Marked::Never)
}

/// What a proof is over.
fn parts<'a>(id: &'a [u8], says: &[&'a [u8]]) -> Vec<&'a [u8]> {
    once(id).chain(says.iter().copied()).collect()
}
