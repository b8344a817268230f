//! What was seen a while ago and must not count twice: deliveries of webhooks, proofs.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;

use crate::{instance::Failure, time::Timestamp};

/// What was seen: a digest, so that the store holds nothing of it.
pub type Seen = [u8; 32];

/// Remembers what was seen. The one in process remembers for this node, until it ends; one that nodes share remembers for all.
///
/// What it cannot remember it refuses: a caller must treat [`Failure`] as "do not go on".
#[async_trait]
pub trait Replays: Send + Sync {
    /// Notes `what` for `seconds`, and says whether it had been noted and still is.
    ///
    /// Of two that ask at once one alone is told `false`. Being asked again does not make it last longer.
    async fn seen(&self, what: &Seen, seconds: u32, now: Timestamp) -> Result<bool, Failure>;

    /// Takes back what was noted: what it stood for was not done, and may come again.
    async fn forget(&self, what: &Seen) -> Result<(), Failure>;
}

/// How many are remembered at once: 100 MB if all are in use.
const MOST: usize = 1_000_000;

/// Remembers in this process.
#[derive(Default)]
pub struct LocalReplays(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    /// Until when.
    until: HashMap<Seen, Timestamp>,
    /// In the order in which they came.
    order: VecDeque<(Seen, Timestamp)>,
    /// The latest moment that was told: a clock that is set back brings nothing back.
    latest: Option<Timestamp>,
}

#[async_trait]
impl Replays for LocalReplays {
    async fn seen(&self, what: &Seen, seconds: u32, now: Timestamp) -> Result<bool, Failure> {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.seen(what, seconds, now)
    }

    async fn forget(&self, what: &Seen) -> Result<(), Failure> {
        // Its place in the order stays until its time is over, and means nothing then.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).until.remove(what);
        Ok(())
    }
}

impl Remembered {
    fn seen(&mut self, what: &Seen, seconds: u32, now: Timestamp) -> Result<bool, Failure> {
        let now = self.latest.map_or(now, |latest| latest.max(now));
        self.latest = Some(now);
        if self.until.get(what).is_some_and(|until| *until > now) {
            return Ok(true);
        }
        // A few at a time, so that nobody waits for all.
        self.forget(now, 8);
        if self.until.len() >= MOST {
            self.forget(now, usize::MAX);
        }
        if self.until.len() >= MOST {
            // Rather refuse than forget one that may come again.
            return Err(Failure::Shared("there is no room for more replays".into()));
        }
        let until = now.plus_seconds(seconds.into());
        self.until.insert(*what, until);
        self.order.push_back((*what, until));
        Ok(false)
    }

    /// Takes out so many of the oldest that are over; those behind one that lasts longer wait for it, unless all are looked at.
    fn forget(&mut self, now: Timestamp, most: usize) {
        if most == usize::MAX {
            self.until.retain(|_, until| *until > now);
            self.order.retain(|(_, until)| *until > now);
            return;
        }
        for _ in 0..most {
            let Some((what, until)) = self.order.front().copied().filter(|(_, until)| *until <= now) else { return };
            self.order.pop_front();
            // It may have come again since.
            if self.until.get(&what) == Some(&until) {
                self.until.remove(&what);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_790_000_000);

    async fn seen(replays: &LocalReplays, what: u8, second: i64) -> bool {
        replays.seen(&[what; 32], 60, START.plus_seconds(second)).await.unwrap()
    }

    #[tokio::test]
    async fn what_was_seen_is_known_until_its_time_is_over() {
        let replays = LocalReplays::default();
        assert!(!seen(&replays, 1, 0).await);
        assert!(seen(&replays, 1, 1).await && seen(&replays, 1, 59).await);
        assert!(!seen(&replays, 2, 59).await);
        assert!(!seen(&replays, 1, 60).await, "being asked again made it last no longer");
        assert!(seen(&replays, 1, 61).await);
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_forgets_nothing() {
        let replays = LocalReplays::default();
        assert!(!seen(&replays, 1, 100).await);
        assert!(seen(&replays, 1, -3_600).await);
        assert!(!seen(&replays, 2, -3_600).await);
        assert!(seen(&replays, 2, 159).await, "counted from the latest moment");
    }

    #[tokio::test]
    async fn what_is_over_makes_room() {
        let replays = LocalReplays::default();
        for n in 0..10_000_u32 {
            let mut what = [0; 32];
            what[..4].copy_from_slice(&n.to_be_bytes());
            let now = Timestamp::from_micros(START.as_micros() + i64::from(n) * 100_000);
            assert!(!replays.seen(&what, 10, now).await.unwrap());
        }
        let kept = replays.0.lock().unwrap();
        assert!(kept.until.len() <= 101 && kept.order.len() <= 101, "{} {}", kept.until.len(), kept.order.len());
    }

    #[test]
    fn rather_than_forget_it_refuses() {
        let mut full = Remembered::default();
        for n in 0..u32::try_from(MOST).unwrap() {
            let mut what = [0; 32];
            what[..4].copy_from_slice(&n.to_be_bytes());
            full.until.insert(what, START.plus_seconds(60));
        }
        assert!(full.seen(&[9; 32], 60, START).is_err());
        assert!(full.seen(&[0; 32], 60, START).unwrap(), "what it knows it still tells");
        assert!(!full.seen(&[9; 32], 60, START.plus_seconds(60)).unwrap());
    }
}
