//! Queues that do not move: what is queued is acknowledged, and nobody can prove it while it is not in the log.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use crate::{
    Instance,
    audit::QueuedEvent,
    ids::{EventId, TenantId},
    store::StoreError,
    time::Timestamp,
};

/// For how many seconds an event may be the oldest of its queue.
const PATIENCE_SECONDS: u64 = 60;

/// The oldest event of a queue, since when it was seen there, and when last. Not when it was recorded: clocks differ, and a node
/// that was away finds old events that move at once.
#[derive(Debug, Clone, Copy)]
struct Oldest {
    event: EventId,
    since: Timestamp,
    seen: Timestamp,
}

/// The queues that are not empty, as this process saw them.
#[derive(Default)]
pub(super) struct Queues(Mutex<BTreeMap<TenantId, Oldest>>);

impl Queues {
    /// Notes what is the oldest now; gives for how many seconds it has been.
    fn note(&self, tenant: TenantId, oldest: Option<EventId>, now: Timestamp) -> u64 {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(event) = oldest else {
            known.remove(&tenant);
            return 0;
        };
        let before = known.get(&tenant).filter(|before| before.event == event && before.since <= now);
        let oldest = Oldest { event, since: before.map_or(now, |before| before.since), seen: now };
        known.insert(tenant, oldest);
        oldest.seconds()
    }

    pub(super) fn stuck_seconds(&self) -> u64 {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().map(Oldest::seconds).max().unwrap_or(0)
    }

    pub(super) fn is_stuck(&self) -> bool {
        self.stuck_seconds() >= PATIENCE_SECONDS
    }
}

impl Oldest {
    fn seconds(&self) -> u64 {
        u64::try_from(self.seen.as_seconds().saturating_sub(self.since.as_seconds())).unwrap_or(0)
    }
}

/// Looks whether the queue of a log moves, after it was to; `Some` of how many seconds its oldest event has waited if it does not.
///
/// # Errors
///
/// [`StoreError`].
pub async fn look_at_queue(instance: &Instance, tenant: TenantId) -> Result<Option<u64>, StoreError> {
    let oldest = oldest(instance.store().fresh_view(tenant).await?.queued_events(1).await)?;
    let waited = instance.guard().queues.note(tenant, oldest, instance.now());
    Ok((waited >= PATIENCE_SECONDS).then_some(waited))
}

/// Stands for a row that is none of ours.
const UNREADABLE: EventId = EventId::from_bytes([0; 16]);

/// The oldest event of a queue. What cannot be read does not move either.
fn oldest(queued: Result<Vec<QueuedEvent>, StoreError>) -> Result<Option<EventId>, StoreError> {
    match queued {
        Err(StoreError::Damaged(_)) => Ok(Some(UNREADABLE)),
        queued => Ok(queued?.first().map(|event| event.id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row with an id that is none stopped a log, and nobody was told.
    #[test]
    fn a_queue_whose_oldest_row_cannot_be_read_stands_still_too() {
        let queues = Queues::default();
        let note = |at| {
            let unreadable = oldest(Err(StoreError::Damaged("event_id"))).unwrap();
            queues.note(TenantId::PLATFORM, unreadable, Timestamp::from_seconds(at))
        };
        assert_eq!((note(100), note(160)), (0, 60));
        assert!(queues.is_stuck());
        assert_eq!(oldest(Ok(Vec::new())).unwrap(), None);
        assert!(oldest(Err(StoreError::Changed("x"))).is_err());
    }

    #[test]
    fn a_queue_is_stuck_when_the_same_event_stays_the_oldest() {
        let queues = Queues::default();
        let (one, other) = (EventId::from_bytes([1; 16]), EventId::from_bytes([2; 16]));
        let note = |event, at| queues.note(TenantId::PLATFORM, event, Timestamp::from_seconds(at));
        assert_eq!((note(Some(one), 100), note(Some(one), 130)), (0, 30));
        assert!(!queues.is_stuck());
        assert_eq!(note(Some(one), 160), 60);
        assert!(queues.is_stuck());
        // A busy queue, one whose clock goes back, and one that is empty are not.
        assert_eq!((note(Some(other), 300), note(Some(other), 200)), (0, 0));
        assert_eq!((note(None, 900), note(Some(other), 900)), (0, 0));
        assert!(!queues.is_stuck());
    }
}
