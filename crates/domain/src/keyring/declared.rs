//! A tenant's public keys, and when each could sign: told by the log itself.

use chancery_crypto::Jwk;
use serde_json::Value;

use super::{KeyState, KeyVersion, Keyring, Managed, Revocation};
use crate::{
    audit::{EventKind, LoggedEvent, guard::is_foreign},
    instance::Failure,
    store::View,
    time::Timestamp,
};

/// A key that may have signed, and when it could.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredKey {
    /// Thumbprint of the public half.
    pub key_id: String,
    /// The public half.
    pub jwk: Jwk,
    /// Its state.
    pub state: KeyState,
    /// Since when it signs.
    pub activated_at: Timestamp,
    /// The index of its activation in the log; `None` while that is queued.
    pub first_index: Option<u64>,
    /// The index of its retirement.
    pub last_index: Option<u64>,
    /// Of a revoked key: the index up to which what it signed stays valid, if its revocation says one.
    pub last_valid_index: Option<u64>,
}

impl DeclaredKey {
    /// Whether what it signed may be believed at all; of a revoked key only what its revocation spares.
    pub fn vouches(&self) -> bool {
        match self.state {
            KeyState::Revoked => self.last_valid_index.is_some(),
            KeyState::Suspended | KeyState::PendingDeletion => false,
            _ => true,
        }
    }
}

/// The key that signs heads of `size` events: the one whose activation is the last among them, or the first key.
///
/// Signer and verifier use the same rule, so which key may sign a head does not depend on any clock.
pub fn key_at(keys: &[DeclaredKey], size: u64) -> Option<&DeclaredKey> {
    let active = keys.iter().rev().find(|key| key.first_index.is_some_and(|first| first < size));
    active.or_else(|| keys.first())
}

/// The keys of one use as the log knew them at `size` events: later ones are left out, later retirements too.
pub fn as_of(keys: Vec<DeclaredKey>, size: u64) -> Vec<DeclaredKey> {
    let known = keys.into_iter().filter(|key| key.first_index.is_some_and(|first| first < size));
    known.map(|key| DeclaredKey { last_index: key.last_index.filter(|last| *last < size), ..key }).collect()
}

/// What an event of the log tells of a version.
struct Told {
    kind: String,
    key_id: String,
    index: u64,
    /// Of a revocation: see [`DeclaredKey::last_valid_index`].
    last_valid_index: Option<u64>,
}

impl Told {
    fn read(logged: &LoggedEvent) -> Result<Self, Failure> {
        let damaged = |_| Failure::Internal("a logged event is not JSON");
        let core: Value = serde_json::from_str(&logged.event.core).map_err(damaged)?;
        let key_id = core.pointer("/detail/key_id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let last_valid_index = core.pointer("/detail/last_valid_index").and_then(Value::as_u64);
        Ok(Self { kind: logged.event.kind.clone(), key_id, index: logged.index, last_valid_index })
    }
}

/// The public keys of one use, oldest first. Rows alone are not believed: a key counts if its private half unwraps
/// with the tenant key and gives this public half, as `ring` proves; and one that the log tells was revoked is, whatever its row says.
///
/// # Errors
///
/// [`Failure`].
pub async fn declared(view: &mut dyn View, ring: &Keyring, managed: Managed) -> Result<Vec<DeclaredKey>, Failure> {
    ring.require_whole(managed)?;
    let Some(key) = view.managed_key(managed).await? else { return Ok(Vec::new()) };
    let versions = view.key_versions(key.id).await?;
    let kinds = [EventKind::KeyActivated, EventKind::KeyRetired, EventKind::KeyRevoked];
    let events = view.events_on(&key.id.to_string(), &kinds).await?;
    let mut told = Vec::with_capacity(events.len());
    for logged in &events {
        // Somebody's row beside the log moves no key; the scrubber tells of it.
        if !is_foreign(view, ring.tenant(), logged).await? {
            told.push(Told::read(logged)?);
        }
    }
    let of = |kind: EventKind, version: &KeyVersion| {
        let key_id = version.key_id.clone();
        told.iter().filter(move |told| told.kind == kind.as_str() && told.key_id == key_id)
    };
    let index = |kind, version: &KeyVersion| of(kind, version).next().map(|told| told.index);
    let declared = versions.iter().filter_map(|version| {
        let jwk = ring.public(managed, &version.key_id)?.clone();
        let revoked = of(EventKind::KeyRevoked, version).map(|told| told.last_valid_index).min();
        let (state, last_valid_index) = standing(version.state, version.revocation, revoked);
        Some(DeclaredKey {
            key_id: version.key_id.clone(),
            jwk,
            state,
            activated_at: version.activated_at?,
            first_index: index(EventKind::KeyActivated, version),
            last_index: index(EventKind::KeyRetired, version),
            last_valid_index,
        })
    });
    Ok(declared.collect())
}

/// A version's state, and up to which index what it signed stays valid, by its row and by what the log tells of its revocation: the
/// row takes trust away, and gives back none. Of several indexes the smallest counts, and none at all before any.
fn standing(state: KeyState, row: Option<Revocation>, told: Option<Option<u64>>) -> (KeyState, Option<u64>) {
    let state = match state {
        // It was revoked before; nothing of it is believed while it waits.
        KeyState::PendingDeletion => state,
        _ if told.is_some() => KeyState::Revoked,
        _ => state,
    };
    let said = row.map(|revocation| revocation.last_valid_index);
    (state, told.into_iter().chain(said).min().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::RevocationReason;

    fn key(name: &str, first: Option<u64>, last: Option<u64>) -> DeclaredKey {
        DeclaredKey {
            key_id: name.to_owned(),
            jwk: Jwk::Okp { x: [0; 32] },
            state: KeyState::Active,
            activated_at: Timestamp::from_micros(0),
            first_index: first,
            last_index: last,
            last_valid_index: None,
        }
    }

    #[test]
    fn every_head_has_one_signer_even_when_other_events_come_between() {
        let keys = [key("a", Some(1), Some(9)), key("b", Some(11), None), key("c", None, None)];
        let at = |size| key_at(&keys, size).map(|key| key.key_id.as_str());
        assert_eq!([at(0), at(1), at(2), at(10), at(11)], [Some("a"); 5]);
        assert_eq!([at(12), at(1_000)], [Some("b"); 2]);
        assert_eq!(key_at(&[], 5), None);
    }

    #[test]
    fn a_revoked_key_vouches_only_for_what_its_revocation_spares() {
        let with = |state, last_valid_index| DeclaredKey { state, last_valid_index, ..key("a", Some(1), Some(9)) };
        assert!(with(KeyState::Inactive, None).vouches());
        assert!(!with(KeyState::Revoked, None).vouches());
        assert!(with(KeyState::Revoked, Some(5)).vouches());
        assert!(!with(KeyState::Suspended, Some(5)).vouches());
    }

    #[test]
    fn a_row_takes_trust_away_and_gives_back_none() {
        let row = |last_valid_index| Some(Revocation { reason: RevocationReason::KeyCompromise, last_valid_index });
        for (state, said, told, stands) in [
            (KeyState::Inactive, None, None, (KeyState::Inactive, None)),
            // The row forgot it, or says more than was said.
            (KeyState::Inactive, None, Some(None), (KeyState::Revoked, None)),
            (KeyState::Active, None, Some(Some(5)), (KeyState::Revoked, Some(5))),
            (KeyState::Revoked, row(Some(9_000)), Some(Some(5)), (KeyState::Revoked, Some(5))),
            (KeyState::Revoked, row(Some(9_000)), Some(None), (KeyState::Revoked, None)),
            (KeyState::Destroyed, None, Some(Some(5)), (KeyState::Revoked, Some(5))),
            // It says less.
            (KeyState::Revoked, row(Some(2)), Some(Some(5)), (KeyState::Revoked, Some(2))),
            (KeyState::Revoked, row(None), Some(Some(5)), (KeyState::Revoked, None)),
            (KeyState::PendingDeletion, row(Some(5)), Some(Some(5)), (KeyState::PendingDeletion, Some(5))),
            // Its event is queued.
            (KeyState::Revoked, row(Some(5)), None, (KeyState::Revoked, Some(5))),
        ] {
            assert_eq!(standing(state, said, told), stands, "{state} {said:?} {told:?}");
        }
    }

    #[test]
    fn what_came_after_a_size_is_left_out() {
        let keys = vec![key("a", Some(1), Some(9)), key("b", Some(11), None), key("c", None, None)];
        let names = |size| {
            let known = as_of(keys.clone(), size);
            known.into_iter().map(|key| (key.key_id, key.last_index)).collect::<Vec<_>>()
        };
        assert_eq!(names(9), [("a".to_owned(), None)]);
        assert_eq!(names(12), [("a".to_owned(), Some(9)), ("b".to_owned(), None)]);
    }
}
