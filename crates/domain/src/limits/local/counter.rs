//! One counter: two windows of time, or the moment of each use.

use super::moment;
use crate::limits::{Answer, Ask, CountedSubject, MOST_EXACT};

/// Where a moment is in a window.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: i64,
    /// Which window.
    pub(super) number: i64,
    /// How far into it.
    pub(super) into: i64,
    /// How long it is.
    pub(super) length: i64,
}

/// What one subject of one policy has used.
#[derive(Clone, Default)]
pub(super) struct Counter {
    policy: u64,
    of: CountedSubject,
    /// The length of its windows; 0 of one that is free.
    seconds: u32,
    /// Used in the window `number`, and in the one before.
    now: u32,
    before: u32,
    number: i64,
    /// The moment of each use, the oldest first, where the policy is exact.
    uses: Vec<i64>,
}

impl Counter {
    pub(super) fn fresh(ask: &Ask<'_>) -> Self {
        Self { policy: ask.policy.id(), of: ask.of, seconds: ask.limit.seconds.max(1), ..Self::default() }
    }

    pub(super) fn key(&self) -> (u64, CountedSubject) {
        (self.policy, self.of)
    }

    pub(super) fn is(&self, ask: &Ask<'_>) -> bool {
        self.seconds > 0 && self.policy == ask.policy.id() && self.of == ask.of
    }

    pub(super) const fn is_free(&self) -> bool {
        self.seconds == 0
    }

    /// Whether nothing that it counted counts any more.
    pub(super) fn is_idle(&self, now: i64) -> bool {
        let moment = moment(now, self.seconds);
        let used = self.uses.last().is_some_and(|last| *last > now - moment.length);
        !used && (self.now == 0 && self.before == 0 || moment.number > self.number.saturating_add(1))
    }

    /// How much would be forgotten with it.
    pub(super) fn weight(&self) -> u64 {
        u64::from(self.now) + u64::from(self.before) + self.uses.len() as u64
    }

    pub(super) fn judge(&self, ask: &Ask<'_>, now: i64) -> Answer {
        let moment = moment(now, ask.limit.seconds);
        if is_exact(ask) { self.judge_uses(ask, moment) } else { self.judge_windows(ask, moment) }
    }

    /// Counts what was judged in the same moment, and let through.
    pub(super) fn count(&mut self, ask: &Ask<'_>, now: i64) {
        let moment = moment(now, ask.limit.seconds);
        if is_exact(ask) {
            self.uses.retain(|used| *used > now - moment.length);
            self.uses.extend(std::iter::repeat_n(now, usize::try_from(ask.cost.min(MOST_EXACT)).unwrap_or(0)));
        } else {
            (self.before, self.now) = self.windows(ask, moment);
            self.now = self.now.saturating_add(ask.cost);
            self.uses = Vec::new();
        }
        self.number = moment.number;
        self.seconds = ask.limit.seconds.max(1);
    }

    /// What was used in the window before, and in this one.
    fn windows(&self, ask: &Ask<'_>, moment: Moment) -> (u32, u32) {
        // With windows of another length nothing is known of these.
        if self.seconds != ask.limit.seconds.max(1) {
            return (0, 0);
        }
        match moment.number - self.number {
            0 => (self.before, self.now),
            1 => (self.now, 0),
            _ => (0, 0),
        }
    }

    fn judge_windows(&self, ask: &Ask<'_>, moment: Moment) -> Answer {
        let (before, now) = self.windows(ask, moment);
        let Moment { into, length, .. } = moment;
        let (count, cost) = (i64::from(ask.limit.count.max(1)), i64::from(ask.cost));
        let (before, now) = (i64::from(before), i64::from(now));
        // Everything times the length: whole numbers only.
        let used = before * (length - into) + now * length;
        let allowed = used + cost * length <= count * length;
        let remaining = (count * length - used).max(0) / length;
        let reset = match (now, before) {
            (0, 0) => 0,
            (0, _) => length - into,
            _ => length - into + length,
        };
        // When as little of the window before is left as makes room: in this window, or in the next, before which this one is.
        let wait = if allowed {
            0
        } else if cost > count {
            length
        } else if now + cost <= count {
            length - (count - now - cost) * length / before.max(1) - into
        } else {
            (length - into) + (length - (count - cost) * length / now.max(1))
        };
        answer(ask, allowed, remaining, reset, wait)
    }

    fn judge_uses(&self, ask: &Ask<'_>, moment: Moment) -> Answer {
        let Moment { now, length, .. } = moment;
        let counting = |used: &&i64| **used > now - length;
        let first = self.uses.len() - self.uses.iter().rev().take_while(counting).count();
        let uses = self.uses.get(first..).unwrap_or_default();
        let (count, cost) = (i64::from(ask.limit.count.max(1)), i64::from(ask.cost));
        let used = i64::try_from(uses.len()).unwrap_or(i64::MAX);
        let allowed = used + cost <= count;
        // So many of the oldest must stop counting.
        let surplus = usize::try_from(used + cost - count).unwrap_or(0);
        let wait = match (allowed, uses.get(surplus.saturating_sub(1))) {
            (true, _) => 0,
            (false, Some(freed)) if cost <= count => freed + length - now,
            (false, _) => length,
        };
        let reset = uses.last().map_or(0, |last| last + length - now);
        answer(ask, allowed, (count - used).max(0), reset, wait)
    }
}

fn is_exact(ask: &Ask<'_>) -> bool {
    ask.policy.exact && ask.limit.count <= MOST_EXACT
}

fn answer(ask: &Ask<'_>, allowed: bool, remaining: i64, reset: i64, wait: i64) -> Answer {
    let millis = |micros: i64| u64::try_from(micros).unwrap_or(0).div_ceil(1_000);
    let retry_ms = if allowed { 0 } else { millis(wait).max(1) };
    let remaining = u32::try_from(remaining).unwrap_or(u32::MAX);
    Answer { allowed, limit: ask.limit.count, remaining, reset_ms: millis(reset), retry_ms }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Limit, Policy};

    const START: i64 = 1_790_000_040 * 1_000_000;

    fn policy(count: u32, exact: bool) -> Policy {
        Policy { exact, ..Policy::new("p", Limit { count, seconds: 60 }).unwrap() }
    }

    fn taken(counter: &mut Counter, policy: &Policy, now: i64, tries: u32) -> u32 {
        let ask = Ask { policy, limit: policy.limit, of: [1; 16], cost: 1 };
        let one = |_: &u32| {
            let allowed = counter.judge(&ask, now).allowed;
            if allowed {
                counter.count(&ask, now);
            }
            allowed
        };
        u32::try_from((0..tries).filter(one).count()).unwrap()
    }

    fn counter(policy: &Policy) -> Counter {
        Counter::fresh(&Ask { policy, limit: policy.limit, of: [1; 16], cost: 1 })
    }

    #[test]
    fn a_new_minute_does_not_begin_from_nothing() {
        let policy = policy(60, false);
        let mut counter = counter(&policy);
        assert_eq!(taken(&mut counter, &policy, START + 50_000_000, 100), 60);
        // At 60 all of the minute before still counts; at 90 half of it.
        assert_eq!(taken(&mut counter, &policy, START + 60_000_000, 100), 0);
        assert_eq!(taken(&mut counter, &policy, START + 90_000_000, 100), 30);
    }

    #[test]
    fn exactly_as_many_in_any_minute() {
        let policy = policy(5, true);
        let mut counter = counter(&policy);
        assert_eq!(taken(&mut counter, &policy, START + 50_000_000, 3), 3);
        assert_eq!(taken(&mut counter, &policy, START + 59_000_000, 9), 2);
        assert_eq!(taken(&mut counter, &policy, START + 109_999_999, 9), 0);
        assert_eq!(taken(&mut counter, &policy, START + 110_000_000, 9), 3);
        assert_eq!(taken(&mut counter, &policy, START + 119_000_000, 9), 2);
    }

    #[test]
    fn who_waits_as_long_as_told_gets_in() {
        for exact in [false, true] {
            for (count, burst, at) in [(1, 1, 0), (5, 5, 0), (60, 60, 50), (60, 60, 3), (7, 3, 59), (100, 100, 30)] {
                let policy = policy(count, exact);
                let ask = Ask { policy: &policy, limit: policy.limit, of: [1; 16], cost: 1 };
                let mut counter = counter(&policy);
                let mut now = START + at * 1_000_000;
                taken(&mut counter, &policy, now, burst);
                for _ in 0..5 {
                    let answer = counter.judge(&ask, now);
                    assert_eq!(answer.allowed, answer.retry_ms == 0);
                    if !answer.allowed {
                        assert!((1..=120_000).contains(&answer.retry_ms), "{answer:?}");
                        now += i64::try_from(answer.retry_ms).unwrap() * 1_000;
                    }
                    assert_eq!(taken(&mut counter, &policy, now, 1), 1, "{exact} {count} {burst} {at}");
                }
            }
        }
    }

    #[test]
    fn what_is_said_to_remain_can_be_had_at_once() {
        for exact in [false, true] {
            for at in [0, 17, 59, 60, 75, 119, 130] {
                let policy = policy(20, exact);
                let ask = Ask { policy: &policy, limit: policy.limit, of: [1; 16], cost: 0 };
                let mut counter = counter(&policy);
                taken(&mut counter, &policy, START + 10_000_000, 13);
                let now = START + at * 1_000_000;
                let remaining = counter.judge(&ask, now).remaining;
                assert_eq!(taken(&mut counter, &policy, now, 30), remaining, "{exact} {at}");
            }
        }
    }

    #[test]
    fn a_cost_is_counted_whole_and_one_beyond_the_limit_never_fits() {
        for exact in [false, true] {
            let policy = policy(10, exact);
            let ask = |cost| Ask { policy: &policy, limit: policy.limit, of: [1; 16], cost };
            let mut counter = counter(&policy);
            assert!(counter.judge(&ask(10), START).allowed);
            counter.count(&ask(7), START);
            assert!(!counter.judge(&ask(4), START).allowed);
            assert_eq!(counter.judge(&ask(3), START).remaining, 3);
            assert_eq!(counter.judge(&ask(11), START).retry_ms, 60_000);
        }
    }

    #[test]
    fn what_counts_nothing_any_more_is_idle() {
        for exact in [false, true] {
            let policy = policy(5, exact);
            let mut counter = counter(&policy);
            assert!(counter.is_idle(START));
            taken(&mut counter, &policy, START, 1);
            assert!(!counter.is_idle(START + 59_000_000));
            assert!(counter.is_idle(START + 120_000_000));
            assert_eq!(counter.weight(), 1);
        }
    }
}
