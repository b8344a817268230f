//! What of a log was purged, as the log itself tells: rows alone are not believed.

use serde_json::Value;

use super::{KEPT, MIN_MONTHS, Month, Purge};
use crate::{
    audit::{EventKind, guard::is_in_tree},
    store::{StoreError, View},
    time::Timestamp,
};

/// The purges of a log that its own events tell of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Purged(Vec<Purge>);

impl Purged {
    /// Those of a log. A row without its event in the tree is left out: what it says is missing is damage then.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store does not answer.
    pub async fn told(view: &mut dyn View) -> Result<Self, StoreError> {
        let purges = match view.purges().await {
            Err(StoreError::Damaged(_)) => return Ok(Self::default()),
            purges => purges?,
        };
        let mut told = Vec::with_capacity(purges.len());
        for purge in purges {
            match is_told(view, &purge).await {
                Ok(true) => told.push(purge),
                Ok(false) | Err(StoreError::Damaged(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self(told))
    }

    /// Whether the event at a place is gone or going by order.
    pub fn covers(&self, index: u64) -> bool {
        self.0.iter().any(|purge| (purge.first..purge.end).contains(&index))
    }

    /// Whether something between these places is.
    pub fn meets(&self, first: u64, end: u64) -> bool {
        self.0.iter().any(|purge| purge.first < end && first < purge.end)
    }

    /// The first place of each purge that has ended and took more than was ordered: the kept events are not all there.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn overdone(&self, view: &mut dyn View) -> Result<Vec<u64>, StoreError> {
        let mut found = Vec::new();
        for purge in self.0.iter().filter(|purge| purge.ended_at.is_some()) {
            let there = view.span_facts(purge.first, purge.end, &KEPT).await?.events;
            if there < (purge.end - purge.first).saturating_sub(purge.events) {
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
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Purge>, StoreError> {
    let mut purges = view.purges().await?;
    purges.retain(|purge| purge.month.start() < to && purge.month.next().start() > from);
    Ok(purges)
}

/// Whether nothing that was recorded at or after `from` can have been purged: no log is kept for less than [`MIN_MONTHS`]. A month
/// more is looked at, for clocks of other nodes.
pub(in crate::audit) fn is_too_young(now: Timestamp, from: Timestamp) -> bool {
    from >= Month::of(now).minus(MIN_MONTHS).next().start()
}

/// Whether an event of the log tells of this purge: its bytes give the leaf that the tree has at its place.
async fn is_told(view: &mut dyn View, purge: &Purge) -> Result<bool, StoreError> {
    let Some(logged) = view.logged_event(purge.event).await? else { return Ok(false) };
    let Ok(core) = serde_json::from_str::<Value>(&logged.event.core) else { return Ok(false) };
    let count = |name: &str| core.pointer(&format!("/detail/{name}")).and_then(Value::as_u64);
    let says = core.get("type").and_then(Value::as_str) == Some(EventKind::PurgeOrdered.as_str())
        && count("first") == Some(purge.first)
        && count("end") == Some(purge.end)
        && count("events") == Some(purge.events);
    Ok(says && is_in_tree(view, &logged).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

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
