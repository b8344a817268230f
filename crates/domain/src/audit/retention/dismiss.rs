//! Rows of purges that nobody ordered. Nothing goes for them, and nothing takes them away: what was written there stays, also what
//! somebody forged. Who has seen one says so, with the reason, and is not told of it any more.

use chancery_crypto::{Phi, sha256};
use serde_json::Value;

use super::{Purge, Purged, RetentionError, purge::told};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Change, Detail, EventKind, guard::is_in_tree, proof, sequence},
    faults::Faults,
    ids::EventId,
    keyring::Keyring,
    store::{StoreError, View},
    text::check_name,
};

/// What the proof of an event that dismisses a purge is derived for.
const MARK: &str = "chancery/audit/purge-dismissed/1";

codes! {
    /// Whether the log itself tells of a purge.
    pub enum PurgeProof {
        /// An event of the log and a certificate of the tenant say that it was ordered.
        Ordered = "ordered",
        /// Nothing does: somebody wrote it into the store. Nothing goes for it.
        Unproven = "unproven",
        /// Nothing does, and an officer has seen it.
        Dismissed = "dismissed",
    }
}

impl PurgeProof {
    /// Of this purge.
    pub(super) async fn of(
        view: &mut dyn View,
        ring: &Keyring,
        purged: &Purged,
        purge: &Purge,
    ) -> Result<Self, StoreError> {
        if purged.has(purge) {
            return Ok(Self::Ordered);
        }
        Ok(if is_dismissed(view, ring, purge).await? { Self::Dismissed } else { Self::Unproven })
    }
}

/// Whether an event of ours dismisses this very row: what somebody queued silences nothing.
async fn is_dismissed(view: &mut dyn View, ring: &Keyring, purge: &Purge) -> Result<bool, StoreError> {
    let digest = digest(purge);
    for logged in view.events_on(&digest, &[EventKind::PurgeDismissed]).await? {
        let Ok(core) = serde_json::from_str::<Value>(&logged.event.core) else { continue };
        if proof::holds(ring, MARK, &logged, &core, &[digest.as_bytes()]) && is_in_tree(view, &logged).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Dismisses the purge that begins at a place, if nobody ordered it: it is told of no more. It still lets nothing go, and what is
/// missing at its places is damage as before.
///
/// # Errors
///
/// [`RetentionError`]: [`RetentionError::Ordered`] of one that was ordered.
pub async fn dismiss(
    instance: &Instance,
    call: &Call,
    first: u64,
    reason: &Phi<String>,
) -> Result<Purge, RetentionError> {
    call.require(Permission::AuditRetain)?;
    instance.require_recent(call)?;
    let mut faults = Faults::default();
    check_name("/reason", reason.expose(), 200, &mut faults);
    faults.check()?;
    // An order that is queued is in the log by then, and proven.
    sequence::sequence(instance, call.tenant()).await?;
    let ring = instance.keyring(call.tenant()).await?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    change.rows().hold_log().await?;
    let found = change.rows().purges().await?.into_iter().find(|purge| purge.first == first);
    let purge = found.ok_or(RetentionError::NotFound)?;
    if Purged::told(change.rows(), &ring).await?.has(&purge) {
        return Err(RetentionError::Ordered);
    }
    let (id, digest) = (EventId::make(instance.now(), instance.random())?, digest(&purge));
    let event = told(EventKind::PurgeDismissed, &purge)
        .identified(id)
        .with("proof", Detail::Id(proof::make(&ring, MARK, id, &[digest.as_bytes()])?))
        .on("audit_purge", digest);
    change.commit(event.personal("reason", reason.expose().clone())).await?;
    Ok(purge)
}

/// This very row: another one that is forged at its place is told of again.
fn digest(purge: &Purge) -> String {
    let Purge { first, end, month, events, certificate, event, .. } = purge;
    data_encoding::HEXLOWER.encode(&sha256(format!("{first} {end} {month} {events} {certificate} {event}").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::CertificateId, time::Timestamp};

    #[test]
    fn a_row_is_the_same_while_it_goes_on_and_another_when_it_says_something_else() {
        let row = Purge {
            first: 2,
            end: 5,
            month: "2026-09".parse().unwrap(),
            events: 3,
            next: 2,
            certificate: CertificateId::from_bytes([1; 16]),
            event: EventId::from_bytes([2; 16]),
            begun_at: Timestamp::from_seconds(1),
            ended_at: None,
        };
        let further = Purge { next: 5, ended_at: Some(Timestamp::from_seconds(9)), ..row.clone() };
        assert_eq!(digest(&row), digest(&further));
        for other in [
            Purge { first: 1, ..row.clone() },
            Purge { end: 6, ..row.clone() },
            Purge { events: 2, ..row.clone() },
            Purge { month: "2026-10".parse().unwrap(), ..row.clone() },
            Purge { event: EventId::from_bytes([3; 16]), ..row.clone() },
        ] {
            assert_ne!(digest(&row), digest(&other), "{other:?}");
        }
    }
}
