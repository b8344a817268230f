//! How often something may be done, and the port that counts it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError, RwLock},
};

use async_trait::async_trait;

use crate::{Instance, access::Caller, ids::ApiKeyId, instance::Failure, time::Timestamp};

/// So often in so many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How often; at least once.
    pub count: u32,
    /// In how many seconds; at least one.
    pub seconds: u32,
}

/// What came of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It may be done, and was counted.
    Allowed,
    /// It may not, for so many seconds, and was not counted.
    Refused {
        /// At least one.
        retry_after: u32,
    },
}

/// Counts uses. The one in process counts those of this node; one that nodes share counts all.
#[async_trait]
pub trait Limiter: Send + Sync {
    /// Counts a use by `of`, unless its limit is reached.
    async fn take(&self, of: &[u8; 16], limit: Limit, now: Timestamp) -> Result<Taken, Failure>;
}

/// How many are counted at once; those that are idle make room.
const MOST: usize = 100_000;

/// The uses in one window of time, and in the one before.
#[derive(Debug, Clone, Copy)]
struct Window {
    number: i64,
    seconds: u32,
    now: u32,
    before: u32,
}

/// Counts in this process, in a window that slides: what the window before counted weighs as much as it overlaps with the last
/// `seconds`.
#[derive(Default)]
pub struct LocalLimiter(Mutex<HashMap<[u8; 16], Window>>);

#[async_trait]
impl Limiter for LocalLimiter {
    async fn take(&self, of: &[u8; 16], limit: Limit, now: Timestamp) -> Result<Taken, Failure> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, into) = place(limit, now);
        if windows.len() >= MOST && !windows.contains_key(of) {
            let idle = |window: &Window| place(Limit { seconds: window.seconds, ..limit }, now).0 > window.number + 1;
            windows.retain(|_, window| !idle(window));
            if windows.len() >= MOST {
                // Nobody is idle: rather count anew than without end.
                windows.clear();
            }
        }
        let fresh = Window { number, seconds: limit.seconds, now: 0, before: 0 };
        let window = windows.entry(*of).or_insert(fresh);
        *window = match number - window.number {
            _ if window.seconds != limit.seconds => fresh,
            0 => *window,
            1 => Window { number, before: window.now, now: 0, ..*window },
            // A clock that was set back counts on in the window it knows.
            behind if behind < 0 => *window,
            _ => fresh,
        };
        let taken = judge(*window, limit, into);
        if taken == Taken::Allowed {
            window.now = window.now.saturating_add(1);
        }
        Ok(taken)
    }
}

/// Which window a moment is in, and how many microseconds into it.
fn place(limit: Limit, now: Timestamp) -> (i64, i64) {
    let length = i64::from(limit.seconds.max(1)) * 1_000_000;
    (now.as_micros().div_euclid(length), now.as_micros().rem_euclid(length))
}

fn judge(window: Window, limit: Limit, into: i64) -> Taken {
    let length = i64::from(limit.seconds.max(1)) * 1_000_000;
    let (count, now, before) = (i64::from(limit.count.max(1)), i64::from(window.now), i64::from(window.before));
    // Both sides times the length: whole numbers only.
    let fits = |now: i64, before: i64, into: i64| before * (length - into) + (now + 1) * length <= count * length;
    if fits(now, before, into) {
        return Taken::Allowed;
    }
    // When as little of the window before is left as makes room: in this window, or in the next, before which this one is.
    let wait = if now < count {
        let left = (count - now - 1) * length / before.max(1);
        length - left - into
    } else {
        let left = (count - 1) * length / now.max(1);
        (length - into) + (length - left)
    };
    let seconds = wait.max(1).saturating_add(999_999) / 1_000_000;
    Taken::Refused { retry_after: u32::try_from(seconds).unwrap_or(u32::MAX) }
}

/// The limits of the API keys that were looked up, where they have one of their own.
#[derive(Default)]
pub(crate) struct KeyLimits(RwLock<HashMap<ApiKeyId, u32>>);

impl KeyLimits {
    /// Notes what a key's row says; told at each look-up.
    pub(crate) fn note(&self, key: ApiKeyId, per_minute: Option<u32>) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        if known == per_minute {
            return;
        }
        let mut limits = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if limits.len() >= MOST {
            // They come back with the next look-up, within half a second.
            limits.clear();
        }
        match per_minute {
            Some(per_minute) => limits.insert(key, per_minute),
            None => limits.remove(&key),
        };
    }

    fn of(&self, key: ApiKeyId) -> Option<u32> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key).copied()
    }
}

/// Counts a request of a caller against the limit of its API key; callers without one are not counted here.
///
/// # Errors
///
/// [`Failure`] if the counts do not answer.
pub async fn count_request(instance: &Instance, caller: &Caller) -> Result<Taken, Failure> {
    let Some(key) = caller.api_key() else { return Ok(Taken::Allowed) };
    match instance.key_limits.of(key).unwrap_or(instance.settings().api_key_per_minute) {
        0 => Ok(Taken::Allowed),
        count => instance.limiter().take(&key.to_bytes(), Limit { count, seconds: 60 }, instance.now()).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_790_000_040 * 1_000_000; // the beginning of a minute

    async fn take(limiter: &LocalLimiter, of: u8, count: u32, second: i64) -> Taken {
        let now = Timestamp::from_micros(START + second * 1_000_000);
        limiter.take(&[of; 16], Limit { count, seconds: 60 }, now).await.unwrap()
    }

    async fn allowed(limiter: &LocalLimiter, count: u32, second: i64, tries: u32) -> u32 {
        let mut allowed = 0;
        for _ in 0..tries {
            allowed += u32::from(take(limiter, 1, count, second).await == Taken::Allowed);
        }
        allowed
    }

    #[tokio::test]
    async fn as_many_as_allowed_and_no_more() {
        let limiter = LocalLimiter::default();
        assert_eq!(allowed(&limiter, 5, 0, 9).await, 5);
        assert_eq!(take(&limiter, 2, 5, 0).await, Taken::Allowed, "each has its own");
        assert_eq!(allowed(&limiter, 5, 59, 9).await, 0);
        assert_eq!(allowed(&limiter, 5, 120, 9).await, 5, "a whole minute later all of them");
    }

    #[tokio::test]
    async fn a_new_minute_does_not_begin_from_nothing() {
        let limiter = LocalLimiter::default();
        assert_eq!(allowed(&limiter, 60, 50, 100).await, 60);
        // At 60 all of the minute before still counts; at 90 half of it.
        assert_eq!(allowed(&limiter, 60, 60, 100).await, 0);
        assert_eq!(allowed(&limiter, 60, 90, 100).await, 30);
    }

    #[tokio::test]
    async fn who_waits_as_long_as_told_gets_in() {
        for (count, burst, at) in [(1, 1, 0), (5, 5, 0), (60, 60, 50), (60, 60, 3), (7, 3, 59), (600, 600, 30)] {
            let limiter = LocalLimiter::default();
            allowed(&limiter, count, at, burst).await;
            let mut second = at;
            for _ in 0..5 {
                match take(&limiter, 1, count, second).await {
                    Taken::Allowed => {}
                    Taken::Refused { retry_after } => {
                        assert!((1..=120).contains(&retry_after), "{retry_after}");
                        second += i64::from(retry_after);
                        assert_eq!(take(&limiter, 1, count, second).await, Taken::Allowed, "{count} {burst} {at}");
                    }
                }
            }
        }
    }

    #[tokio::test]
    async fn no_more_are_counted_than_there_is_room_for() {
        let limiter = LocalLimiter::default();
        let limit = Limit { count: 1, seconds: 60 };
        for n in 0..=MOST as u128 {
            limiter.take(&n.to_be_bytes(), limit, Timestamp::from_micros(START)).await.unwrap();
        }
        assert!(limiter.0.lock().unwrap().len() <= MOST);
    }

    #[test]
    fn a_key_without_a_limit_of_its_own_is_not_kept() {
        let (limits, key) = (KeyLimits::default(), ApiKeyId::from_bytes([1; 16]));
        limits.note(key, Some(3));
        assert_eq!(limits.of(key), Some(3));
        limits.note(key, None);
        assert_eq!(limits.of(key), None);
        assert!(limits.0.read().unwrap().is_empty());
    }
}
