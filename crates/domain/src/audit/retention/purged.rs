//! What of a log was purged, as the log itself tells: rows alone are not believed.

use std::ops::Range;

use chancery_crypto::Jwk;
use serde_json::Value;

use super::{Destruction, KEPT, MIN_MONTHS, Month, Purge};
use crate::{
    audit::guard::is_in_tree,
    instance::Failure,
    keyring::{DeclaredKey, Keyring, Managed, declared::declared},
    store::{StoreError, View},
    time::Timestamp,
};

/// The purges of a log that its own events tell of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Purged(Vec<Purge>);

impl Purged {
    /// Those of a log. A row without its event in the tree, and without the certificate that the event names, signed by a key of
    /// `ring`, is left out: what it says is missing is damage then.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store does not answer.
    pub(crate) async fn told(view: &mut dyn View, ring: &Keyring) -> Result<Self, StoreError> {
        Self::told_of(view, ring, |_| true).await
    }

    /// Of those that are `asked` for: each takes a few looks at the store.
    async fn told_of(
        view: &mut dyn View,
        ring: &Keyring,
        asked: impl Fn(&Purge) -> bool + Send,
    ) -> Result<Self, StoreError> {
        let mut purges = view.purges().await?;
        purges.retain(asked);
        if purges.is_empty() {
            return Ok(Self::default());
        }
        let keys = match declared(view, ring, Managed::Certificate).await {
            Err(Failure::Store(error @ StoreError::Unavailable(_))) => return Err(error),
            // Then no certificate can be believed.
            keys => keys.unwrap_or_default(),
        };
        let mut told = Vec::with_capacity(purges.len());
        for purge in purges {
            match is_told(view, &purge, &keys).await {
                Ok(true) => told.push(purge),
                Ok(false) | Err(StoreError::Damaged(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self(told))
    }

    /// Whether the event at a place is gone by order: what lies after where an open purge stands is still to be there.
    pub fn covers(&self, index: u64) -> bool {
        self.0.iter().any(|purge| (purge.first..purge.next.min(purge.end)).contains(&index))
    }

    /// The first of these places of which the event is not gone by order.
    pub(in crate::audit) fn first_uncovered(&self, places: Range<u64>) -> Option<u64> {
        let mut at = places.start;
        while at < places.end {
            // Not place by place: years may be gone.
            let over = self.0.iter().find(|purge| (purge.first..purge.next.min(purge.end)).contains(&at));
            match over {
                Some(purge) => at = purge.next.min(purge.end),
                None => return Some(at),
            }
        }
        None
    }

    /// The places of each: the first, and the one after the last.
    pub(in crate::audit) fn spans(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|purge| (purge.first, purge.end))
    }

    /// Whether this very purge is one of them.
    pub(super) fn has(&self, purge: &Purge) -> bool {
        self.0.iter().any(|told| told.first == purge.first && told.end == purge.end && told.event == purge.event)
    }

    /// Whether something that was recorded in this time may be.
    pub(crate) fn meets_time(&self, from: Timestamp, to: Timestamp) -> bool {
        self.0.iter().any(|purge| purge.month.start() < to && from < purge.month.next().start())
    }

    /// Whether something between these places is.
    pub fn meets(&self, first: u64, end: u64) -> bool {
        self.0.iter().any(|purge| purge.first < end && first < purge.end)
    }

    /// The first place of each purge that did not take just what was ordered: events that are kept are not all there, or it has
    /// ended and something else is back. One number for both would let the one hide the other.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn overdone(&self, view: &mut dyn View) -> Result<Vec<u64>, StoreError> {
        let mut found = Vec::new();
        for purge in &self.0 {
            let there = view.span_facts(purge.first, purge.end, &KEPT).await?;
            let kept = (purge.end - purge.first).saturating_sub(purge.events);
            if there.events - there.goes < kept || (purge.ended_at.is_some() && there.goes > 0) {
                found.push(purge.first);
            }
        }
        Ok(found)
    }
}

/// The purges whose months a span of time touches: what is not found there may be gone.
///
/// # Errors
///
/// [`StoreError`].
pub(in crate::audit) async fn purged_between(
    view: &mut dyn View,
    ring: &Keyring,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Purge>, StoreError> {
    let touches = |purge: &Purge| purge.month.start() < to && purge.month.next().start() > from;
    let Purged(purges) = Purged::told_of(view, ring, touches).await?;
    Ok(purges)
}

/// Whether nothing that was recorded at or after `from` can have been purged: no log is kept for less than [`MIN_MONTHS`]. A month
/// more is looked at, for clocks of other nodes.
pub(in crate::audit) fn is_too_young(now: Timestamp, from: Timestamp) -> bool {
    from >= Month::of(now).minus(MIN_MONTHS).next().start()
}

/// Whether an event of the log tells of this purge, its bytes give the leaf that the tree has at its place, and a certificate
/// says the same that a key of the tenant signed within its time in the log.
///
/// A key that was revoked since vouches for what was logged before that, or as far as its revocation says: otherwise the loss
/// of a key would make every older purge look like damage.
async fn is_told(view: &mut dyn View, purge: &Purge, keys: &[DeclaredKey]) -> Result<bool, StoreError> {
    // What is cheap first: somebody may have written many.
    let Some(certificate) = view.certificate(purge.certificate).await? else { return Ok(false) };
    let publics: Vec<Jwk> = keys.iter().map(|key| key.jwk.clone()).collect();
    let Some(said) = Destruction::certified(&certificate.envelope, &publics) else { return Ok(false) };
    let same = said.certificate == purge.certificate
        && Some(&said.origin) == view.log_origin().await?.as_ref()
        && (said.first, said.end, said.events, said.month) == (purge.first, purge.end, purge.events, purge.month);
    if !same {
        return Ok(false);
    }
    let Some(ordered) = view.logged_event(purge.event).await? else { return Ok(false) };
    let Some(issued) = view.logged_event(certificate.event).await? else { return Ok(false) };
    let Ok(core) = serde_json::from_str::<Value>(&ordered.event.core) else { return Ok(false) };
    // Which event that is says a row: another one, of a time in which a stolen key still signed, must not date what it signed since.
    let Ok(issue) = serde_json::from_str::<Value>(&issued.event.core) else { return Ok(false) };
    let in_time = |key: &DeclaredKey| {
        key.first_index.is_some_and(|first| first < issued.index)
            && key.last_index.is_none_or(|last| issued.index < last)
            && key.last_valid_index.is_none_or(|last| issued.index <= last)
    };
    Ok(said.tenant == ordered.event.tenant
        && said.is_ordered_by(&core)
        && said.is_issued_by(&issue, &certificate.envelope)
        && keys.iter().any(|key| key.key_id == said.key_id && in_time(key))
        && is_in_tree(view, &issued).await?
        && is_in_tree(view, &ordered).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CertificateId, EventId};

    #[test]
    fn years_that_are_gone_are_passed_over_at_once() {
        let purge = |first, next, end| Purge {
            first,
            end,
            month: "2026-09".parse().unwrap(),
            events: end - first,
            next,
            certificate: CertificateId::from_bytes([1; 16]),
            event: EventId::from_bytes([1; 16]),
            begun_at: Timestamp::from_seconds(0),
            ended_at: None,
        };
        let years = u64::MAX / 4;
        let purged = Purged(vec![
            purge(years, 2 * years, 2 * years),
            purge(5, years, years),
            purge(2 * years, 2 * years + 3, 3 * years),
        ]);
        for (places, first) in [
            (5..2 * years, None),
            (9..2 * years + 3, None),
            (4..9, Some(4)),
            (5..3 * years, Some(2 * years + 3)),
            (7..7, None),
        ] {
            assert_eq!(purged.first_uncovered(places.clone()), first, "{places:?}");
            assert_eq!(first.map(|first| purged.covers(first)), first.map(|_| false));
        }
        assert_eq!(Purged::default().first_uncovered(0..1), Some(0));
    }

    #[test]
    fn purges_are_asked_for_only_where_there_can_be_one() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2032-11-15T00:00:00Z");
        // Kept from 2026-11 on; a month more is looked at.
        for young in ["2026-12-01T00:00:00Z", "2032-11-14T00:00:00Z", "2040-01-01T00:00:00Z"] {
            assert!(is_too_young(now, at(young)), "{young}");
        }
        for old in ["2026-11-30T23:59:59Z", "2026-10-31T23:59:59Z", "2019-01-01T00:00:00Z"] {
            assert!(!is_too_young(now, at(old)), "{old}");
        }
        assert!(!is_too_young(now, Timestamp::from_micros(i64::MIN)));
    }
}
