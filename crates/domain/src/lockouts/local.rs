//! The ladders of this process.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;

use super::{KNOWN, Ladder, Ladders, REMEMBERED};
use crate::{instance::Failure, limits::Together, time::Timestamp};

/// A second, in microseconds.
const SECOND: i64 = 1_000_000;

/// How many ladders are remembered at once, and how many known pairs.
const MOST: usize = 100_000;

/// Counts in this process.
#[derive(Default)]
pub struct LocalLadders(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// How many failures, and when the last was.
    failures: HashMap<(Together, Ladder), (u32, i64)>,
    /// Until when.
    known: HashMap<(Together, Ladder), i64>,
    latest: i64,
}

impl Kept {
    /// A clock that is set back shortens and lengthens nothing.
    fn now(&mut self, now: Timestamp) -> i64 {
        self.latest = self.latest.max(now.as_micros());
        self.latest
    }

    fn failures(&self, together: &Together, ladder: &Ladder, now: i64) -> (u32, i64) {
        let found = self.failures.get(&(*together, *ladder)).copied();
        found.filter(|(_, at)| now < at.saturating_add(REMEMBERED * SECOND)).unwrap_or((0, now))
    }

    /// Makes room: those that are over go, then those that have failed least.
    fn make_room(&mut self, now: i64) {
        if self.failures.len() >= MOST {
            self.failures.retain(|_, (_, at)| now < at.saturating_add(REMEMBERED * SECOND));
        }
        let mut least = 1;
        while self.failures.len() >= MOST {
            self.failures.retain(|_, (failures, _)| *failures > least);
            least *= 2;
        }
        if self.known.len() >= MOST {
            self.known.retain(|_, until| now < *until);
        }
        if self.known.len() >= MOST {
            self.known.clear();
        }
    }
}

#[async_trait]
impl Ladders for LocalLadders {
    async fn climb(&self, together: &Together, on: &[Ladder], now: Timestamp) -> Result<Option<u32>, Failure> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = kept.now(now);
        let pause = |ladder: &Ladder| {
            let (failures, at) = kept.failures(together, ladder, now);
            at.saturating_add(i64::from(ladder.kind.pause(failures)) * SECOND).saturating_sub(now)
        };
        let pause = on.iter().map(pause).max().unwrap_or(0);
        if pause > 0 {
            return Ok(Some(u32::try_from(pause.unsigned_abs().div_ceil(SECOND.unsigned_abs())).unwrap_or(u32::MAX)));
        }
        kept.make_room(now);
        for ladder in on {
            let (failures, _) = kept.failures(together, ladder, now);
            kept.failures.insert((*together, *ladder), (failures.saturating_add(1), now));
        }
        Ok(None)
    }

    async fn step_back(&self, together: &Together, on: &[Ladder]) -> Result<(), Failure> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for ladder in on {
            if let Some((failures, _)) = kept.failures.get_mut(&(*together, *ladder)) {
                *failures = failures.saturating_sub(1);
            }
        }
        Ok(())
    }

    async fn clear(&self, together: &Together, on: &[Ladder]) -> Result<(), Failure> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for ladder in on {
            kept.failures.remove(&(*together, *ladder));
        }
        Ok(())
    }

    async fn know(&self, together: &Together, pair: &Ladder, now: Timestamp) -> Result<(), Failure> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = kept.now(now);
        kept.make_room(now);
        kept.failures.remove(&(*together, *pair));
        kept.known.insert((*together, *pair), now.saturating_add(KNOWN * SECOND));
        Ok(())
    }

    async fn knows(&self, together: &Together, pair: &Ladder, now: Timestamp) -> Result<bool, Failure> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = kept.now(now);
        Ok(kept.known.get(&(*together, *pair)).is_some_and(|until| now < *until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lockouts::LadderKind;

    const START: Timestamp = Timestamp::from_seconds(1_790_000_000);
    const HOME: Together = [9; 16];

    fn pair(n: u8) -> Ladder {
        Ladder { kind: LadderKind::Pair, of: [n; 16] }
    }

    async fn climb(ladders: &LocalLadders, second: i64) -> Option<u32> {
        ladders.climb(&HOME, &[pair(1)], START.plus_seconds(second)).await.unwrap()
    }

    #[tokio::test]
    async fn after_five_failures_each_costs_a_longer_pause() {
        let ladders = LocalLadders::default();
        for _ in 0..5 {
            assert_eq!(climb(&ladders, 0).await, None);
        }
        assert_eq!(climb(&ladders, 0).await, Some(1));
        assert_eq!(climb(&ladders, 1).await, None);
        assert_eq!((climb(&ladders, 2).await, climb(&ladders, 4).await), (Some(2), None));
        assert_eq!(climb(&ladders, 8).await, Some(1), "who is refused does not climb");
        assert_eq!(climb(&ladders, 4 + REMEMBERED).await, None);
        assert_eq!(climb(&ladders, 4 + REMEMBERED).await, None, "a day later all is forgotten");
    }

    #[tokio::test]
    async fn a_pause_on_one_ladder_keeps_the_others_from_counting() {
        let ladders = LocalLadders::default();
        for _ in 0..5 {
            climb(&ladders, 0).await;
        }
        for _ in 0..9 {
            assert_eq!(ladders.climb(&HOME, &[pair(1), pair(2)], START).await.unwrap(), Some(1));
        }
        assert_eq!(ladders.climb(&HOME, &[pair(2)], START).await.unwrap(), None);
        ladders.step_back(&HOME, &[pair(2)]).await.unwrap();
        ladders.clear(&HOME, &[pair(1)]).await.unwrap();
        assert_eq!(climb(&ladders, 0).await, None);
    }

    #[tokio::test]
    async fn a_flood_of_pairs_lets_go_of_those_that_failed_least() {
        let ladders = LocalLadders::default();
        for _ in 0..5 {
            climb(&ladders, 0).await;
        }
        for n in 0..=u32::try_from(MOST).unwrap() {
            let mut of = [0; 16];
            of[..4].copy_from_slice(&n.to_be_bytes());
            ladders.climb(&HOME, &[Ladder { kind: LadderKind::Address, of }], START).await.unwrap();
        }
        assert!(ladders.0.lock().unwrap().failures.len() <= MOST);
        assert_eq!(climb(&ladders, 0).await, Some(1));
    }
}
