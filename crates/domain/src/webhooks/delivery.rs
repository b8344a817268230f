//! Webhooks on their way: kept until whoever they are for has them.

use super::{Next, WebhookOwner};
use crate::{ids::WebhookDeliveryId, time::Timestamp};

/// After how many seconds it is tried again, try by try; then it waits for somebody. Three days in all.
const AGAIN_SECONDS: [i64; 13] = [5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 43_200, 43_200, 43_200];
/// For how long whoever it is for may put a try off: half a day.
const MAX_WAIT_SECONDS: i64 = 43_200;
/// How long it is told of one that was delivered.
pub const KEPT_SECONDS: i64 = 30 * 86_400;
/// How many may wait in one tenant, each way: whoever takes none of ours must not have what comes refused.
pub const MAX_WAITING: u64 = 10_000;
/// How many messages without a moment are remembered in one tenant, however many come in a month.
pub(super) const MAX_REMEMBERED: u64 = 500_000;
/// How long one try may take before another node may try.
pub(super) const TRY_SECONDS: i64 = 60;

codes! {
    /// How a delivery stands.
    pub enum DeliveryState {
        /// It waits for its next try.
        Queued = "queued",
        /// Whoever it is for has it.
        Delivered = "delivered",
        /// It was tried in vain and waits for somebody.
        Quarantined = "quarantined",
    }
}

/// A webhook on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookDelivery {
    /// Which.
    pub id: WebhookDeliveryId,
    /// Of which source, or for which subscription.
    pub owner: WebhookOwner,
    /// How it stands.
    pub state: DeliveryState,
    /// The message, sealed; gone when it was delivered.
    pub sealed: Option<Vec<u8>>,
    /// How long its body is.
    pub bytes: u32,
    /// What makes it the same to whoever gets it twice.
    pub idempotency_key: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next.
    pub next_at: Timestamp,
    /// Why the last try was in vain, as a code such as `http.503`.
    pub reason: Option<String>,
    /// When it came.
    pub received_at: Timestamp,
    /// Since when it stands so.
    pub changed_at: Timestamp,
}

impl WebhookDelivery {
    /// How it stands after a try in vain; `jitter` moves the next one by up to a fifth.
    pub(super) fn failed(self, reason: String, next: Next, now: Timestamp, jitter: u8) -> Self {
        let again = usize::try_from(self.attempts.saturating_sub(1)).ok().and_then(|at| AGAIN_SECONDS.get(at));
        let over = again.is_none() || matches!(next, Next::Never | Next::Gone);
        let state = if over { DeliveryState::Quarantined } else { DeliveryState::Queued };
        let asked = if let Next::Later(seconds) = next { i64::from(seconds).min(MAX_WAIT_SECONDS) } else { 0 };
        let wait = again.copied().unwrap_or_default().max(asked);
        let wait = wait + wait * i64::from(jitter) / (5 * 255);
        Self { state, next_at: now.plus_seconds(wait), reason: Some(reason), changed_at: now, ..self }
    }

    /// How it stands when it was taken.
    pub(super) fn delivered(self, now: Timestamp) -> Self {
        Self { state: DeliveryState::Delivered, sealed: None, reason: None, changed_at: now, ..self }
    }
}

/// Which deliveries to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Of this source or subscription.
    pub owner: Option<WebhookOwner>,
    /// That stand so.
    pub state: Option<DeliveryState>,
    /// After this one.
    pub after: Option<WebhookDeliveryId>,
    /// At most so many.
    pub limit: u32,
}

/// What is known of a message that is to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It came for the first time.
    First,
    /// The same message was sent anew.
    Again,
    /// It is a copy, to the byte; how many there were before.
    Copy(u32),
}

/// What is remembered of a message, so that no copy of it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// The same for every attempt to send it.
    pub identity: [u8; 32],
    /// The same for a copy alone, if its sender signs a moment.
    pub copy: Option<[u8; 32]>,
    /// Until when it is remembered.
    pub until: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_less_and_less_often_for_three_days_and_then_waits() {
        let start = Timestamp::from_seconds(1_780_000_000);
        let mut delivery = WebhookDelivery {
            id: WebhookDeliveryId::from_bytes([1; 16]),
            owner: WebhookOwner::Source(crate::ids::WebhookSourceId::from_bytes([2; 16])),
            state: DeliveryState::Queued,
            sealed: Some(vec![1]),
            bytes: 2,
            idempotency_key: "k".to_owned(),
            attempts: 0,
            next_at: start,
            reason: None,
            received_at: start,
            changed_at: start,
        };
        let mut tries = 0;
        while delivery.state == DeliveryState::Queued {
            let now = delivery.next_at;
            tries += 1;
            delivery =
                WebhookDelivery { attempts: tries, ..delivery }.failed("http.503".to_owned(), Next::Again, now, 0);
            assert!(delivery.next_at >= now);
        }
        assert_eq!((tries, delivery.state), (14, DeliveryState::Quarantined));
        let days = (delivery.next_at.as_seconds() - start.as_seconds()) / 86_400;
        assert!((2..=3).contains(&days), "{days}");
        assert!(delivery.sealed.is_some(), "what waits for somebody is still there");
        let after = |attempts, next, jitter| {
            let failed = WebhookDelivery { attempts, ..delivery.clone() }.failed(String::new(), next, start, jitter);
            (failed.state, failed.next_at.as_seconds() - start.as_seconds())
        };
        assert_eq!(after(10, Next::Again, 255).1, 43_200 + 43_200 / 5);
        // Whoever asks for time gets it, for half a day at most, and never less than it would have had.
        assert_eq!(after(1, Next::Later(900), 0), (DeliveryState::Queued, 900));
        assert_eq!(after(1, Next::Later(u32::MAX), 0), (DeliveryState::Queued, 43_200));
        assert_eq!(after(4, Next::Later(1), 0), (DeliveryState::Queued, 600));
        for next in [Next::Never, Next::Gone] {
            assert_eq!(after(1, next, 0).0, DeliveryState::Quarantined);
        }
        assert_eq!(delivery.delivered(start).sealed, None);
    }
}
