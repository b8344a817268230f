//! The counts of this process: a table of fixed size, in parts that are locked apart.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use super::{
    Answer, Ask, CountedSubject, Limiter, Together, allowed,
    used::{Moment, Used},
};
use crate::{instance::Failure, time::Timestamp};

mod counter;
mod table;

use table::Table;

/// Into how many parts the table is cut.
const PARTS: usize = 16;
/// How far a clock may step back before it counts as set back and not as two threads that overtook each other, in microseconds.
const JITTER: i64 = 1_000_000;

/// Counts in this process. What counters lie together are in one part, under one lock: all or nothing.
///
/// Its table grows to [`LocalLimiter::MOST`] counters, 21 MB, and no further: then the one that has counted least makes room, so that
/// a flood of addresses does not let go of those that are counted most.
pub struct LocalLimiter {
    parts: Box<[Mutex<Part>]>,
    hasher: RandomState,
}

#[derive(Default)]
struct Part {
    table: Table,
    clock: Monotonic,
    /// Of the questions at hand, kept for its room.
    hashes: Vec<u64>,
}

/// Time that never goes back: a clock that is set back goes on from where it was.
#[derive(Default)]
struct Monotonic {
    latest: i64,
    ahead: i64,
}

impl Monotonic {
    fn read(&mut self, now: Timestamp) -> i64 {
        let now = now.as_micros();
        let mut steady = now.saturating_add(self.ahead);
        if steady < self.latest {
            if self.latest - steady > JITTER {
                self.ahead = self.latest.saturating_sub(now);
            }
            steady = self.latest;
        }
        self.latest = steady;
        steady
    }
}

impl Default for LocalLimiter {
    fn default() -> Self {
        Self { parts: (0..PARTS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }
}

impl LocalLimiter {
    /// How many are counted at once.
    pub const MOST: usize = PARTS * Table::MOST;

    /// The same as [`Limiter::take`], without waiting for anything: for those who hold it as it is.
    pub fn judge(&self, together: &Together, asks: &[Ask<'_>], now: Timestamp) -> Vec<Answer> {
        let mut part = self.part(together);
        let now = part.clock.read(now);
        let mut answers = part.look(&self.hasher, asks, now);
        if allowed(asks, &answers) {
            part.count(asks, &mut answers, now);
        }
        answers
    }

    /// What [`Limiter::take`] would say, without counting.
    pub fn look(&self, together: &Together, asks: &[Ask<'_>], now: Timestamp) -> Vec<Answer> {
        let mut part = self.part(together);
        let now = part.clock.read(now);
        part.look(&self.hasher, asks, now)
    }

    /// Counts what somebody else has let through: each question whose answer allows it.
    pub fn count(&self, together: &Together, asks: &[Ask<'_>], answers: &[Answer], now: Timestamp) {
        let mut part = self.part(together);
        let now = part.clock.read(now);
        part.hash(&self.hasher, asks);
        part.count(asks, &mut answers.to_vec(), now);
    }

    /// Forgets what was counted of a subject of the policy with this number.
    pub fn forget_subject(&self, together: &Together, policy: u64, of: CountedSubject) {
        self.part(together).table.forget(hash(&self.hasher, policy, of), policy, &of);
    }

    /// How many counters there are, used or not.
    pub fn size(&self) -> usize {
        self.parts.iter().map(|part| part.lock().unwrap_or_else(PoisonError::into_inner).table.size()).sum()
    }

    fn part(&self, together: &Together) -> MutexGuard<'_, Part> {
        let number = usize::try_from(self.hasher.hash_one(u128::from_be_bytes(*together))).unwrap_or(0) % PARTS;
        // INVARIANT: there are as many as the number is taken modulo.
        #[expect(clippy::indexing_slicing, reason = "a number below their count")]
        self.parts[number].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    fn hash(&mut self, hasher: &RandomState, asks: &[Ask<'_>]) {
        self.hashes.clear();
        self.hashes.extend(asks.iter().map(|ask| hash(hasher, ask.policy.id(), ask.of)));
    }

    fn look(&mut self, hasher: &RandomState, asks: &[Ask<'_>], now: i64) -> Vec<Answer> {
        self.hash(hasher, asks);
        let (nothing, mut moment) = (Used::default(), moment(asks, now));
        let judge = |(ask, hash): (&Ask<'_>, &u64)| {
            moment = moment.among(ask.limit.seconds);
            self.table.find(*hash, ask).map_or(&nothing, |counter| &counter.used).judge(ask, &moment)
        };
        asks.iter().zip(&self.hashes).map(judge).collect()
    }

    /// Counts what the answers allow, of questions that were hashed, and puts what is left then into them.
    fn count(&mut self, asks: &[Ask<'_>], answers: &mut [Answer], now: i64) {
        let mut moment = moment(asks, now);
        for ((ask, answer), hash) in asks.iter().zip(answers).zip(&self.hashes) {
            if ask.cost > 0 && answer.allowed {
                moment = moment.among(ask.limit.seconds);
                self.table.count(*hash, ask, now, &moment);
                *answer = answer.counted(ask, &moment);
            }
        }
    }
}

/// Never nought, which is the hash of a place that is free.
fn hash(hasher: &RandomState, policy: u64, of: CountedSubject) -> u64 {
    hasher.hash_one((policy, u128::from_be_bytes(of))) | 1 << 63
}

fn moment(asks: &[Ask<'_>], now: i64) -> Moment {
    Moment::at(now, asks.first().map_or(1, |ask| ask.limit.seconds))
}

#[async_trait]
impl Limiter for LocalLimiter {
    async fn take(&self, together: &Together, asks: &[Ask<'_>], now: Timestamp) -> Result<Vec<Answer>, Failure> {
        Ok(self.judge(together, asks, now))
    }

    async fn forget(&self, together: &Together, asks: &[Ask<'_>]) -> Result<(), Failure> {
        for ask in asks {
            self.forget_subject(together, ask.policy.id(), ask.of);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Limit, Policy};

    const START: i64 = 1_790_000_040 * 1_000_000; // the beginning of a minute

    fn policy(count: u32) -> Policy {
        Policy { exact: false, ..Policy::new("login", Limit { count, seconds: 60 }).unwrap() }
    }

    fn take(limiter: &LocalLimiter, policy: &Policy, of: u128, micros: i64) -> Answer {
        let ask = Ask { policy, limit: policy.limit, of: of.to_be_bytes(), cost: 1 };
        limiter.judge(&of.to_be_bytes(), &[ask], Timestamp::from_micros(micros))[0]
    }

    /// RL tests of the issue: a clock that jumps back neither frees nor locks anybody.
    #[test]
    fn a_clock_that_is_set_back_goes_on_from_where_it_was() {
        for exact in [false, true] {
            let (limiter, policy) = (LocalLimiter::default(), Policy { exact, ..policy(5) });
            for _ in 0..5 {
                assert!(take(&limiter, &policy, 1, START).allowed);
            }
            let back = START - 3_600_000_000;
            assert!(!take(&limiter, &policy, 1, back).allowed);
            assert!(!take(&limiter, &policy, 1, back + 30_000_000).allowed);
            assert!(
                take(&limiter, &policy, 1, back + 121_000_000).allowed,
                "two minutes by the clock that was set back"
            );
        }
    }

    #[test]
    fn threads_that_overtake_each_other_do_not_move_time() {
        let mut clock = Monotonic::default();
        assert_eq!(clock.read(Timestamp::from_micros(10_000_000)), 10_000_000);
        for _ in 0..1_000 {
            assert_eq!(clock.read(Timestamp::from_micros(9_999_000)), 10_000_000);
        }
        assert_eq!(clock.read(Timestamp::from_micros(10_000_001)), 10_000_001);
        assert_eq!(clock.read(Timestamp::from_micros(5_000_000)), 10_000_001);
        assert_eq!(clock.read(Timestamp::from_micros(6_000_000)), 11_000_001);
    }

    #[test]
    fn a_hundred_thousand_addresses_take_no_more_memory_than_there_is() {
        let (limiter, policy) = (LocalLimiter::default(), policy(5));
        let addresses = |from: u128, count: u128| {
            for n in from..from + count {
                take(&limiter, &policy, n << 64, START);
            }
            limiter.size()
        };
        let first = addresses(0, 100_000);
        assert!(first <= LocalLimiter::MOST, "{first}");
        assert!(addresses(100_000, 300_000) <= LocalLimiter::MOST);
    }

    #[test]
    fn a_flood_of_addresses_does_not_free_who_is_refused() {
        let (limiter, policy) = (LocalLimiter::default(), policy(5));
        let of = 7_u128 << 100;
        while take(&limiter, &policy, of, START).allowed {}
        for n in 0..300_000_u128 {
            take(&limiter, &policy, n << 64, START);
        }
        assert!(!take(&limiter, &policy, of, START).allowed);
    }
}
