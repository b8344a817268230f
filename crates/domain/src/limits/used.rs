//! What was used of a limit, and what that leaves: two windows of time, or the moment of each use.

use super::{Answer, Ask, MOST_EXACT};
use crate::time::Timestamp;

/// Where a moment is in windows of one length. In microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    now: i64,
    seconds: u32,
    length: i64,
    /// Which window.
    number: i64,
    /// How far into it.
    into: i64,
}

impl Moment {
    /// In windows of so many seconds.
    pub fn new(now: Timestamp, seconds: u32) -> Self {
        Self::at(now.as_micros(), seconds)
    }

    pub(super) fn at(now: i64, seconds: u32) -> Self {
        let (seconds, length) = (seconds.max(1), length(seconds));
        Self { now, seconds, length, number: now.div_euclid(length), into: now.rem_euclid(length) }
    }

    /// The same moment in windows of another length. Limits that are judged together mostly have one: a division less.
    #[must_use]
    pub fn among(self, seconds: u32) -> Self {
        if self.seconds == seconds.max(1) { self } else { Self::at(self.now, seconds) }
    }
}

fn length(seconds: u32) -> i64 {
    i64::from(seconds.max(1)) * 1_000_000
}

/// What one subject has used of a limit.
#[derive(Debug, Clone, Default)]
pub struct Used {
    /// The length of its windows.
    seconds: u32,
    /// In the window `number`, and in the one before.
    now: u32,
    before: u32,
    number: i64,
    /// The moment of each use, the oldest first, where the policy is exact.
    moments: Vec<i64>,
}

impl Used {
    /// So much in the window of this number, of so many seconds, and in the one before.
    pub const fn in_windows(seconds: u32, number: i64, now: u32, before: u32) -> Self {
        Self { seconds, now, before, number, moments: Vec::new() }
    }

    /// At these moments, in microseconds, the oldest first.
    pub const fn at_moments(moments: Vec<i64>) -> Self {
        Self { seconds: 0, now: 0, before: 0, number: 0, moments }
    }

    /// What a limit says of it. A window that is still to come, by a clock that was set back since, counts as the one at hand.
    pub fn judge(&self, ask: &Ask<'_>, moment: &Moment) -> Answer {
        if ask.is_exact() { self.judge_moments(ask, moment) } else { self.judge_windows(ask, moment) }
    }

    /// Counts what was judged in the same moment, and let through.
    pub(super) fn count(&mut self, ask: &Ask<'_>, moment: &Moment) {
        if ask.is_exact() { self.count_moments(ask.cost, moment) } else { self.count_window(ask.cost, moment) }
    }

    /// Counts a cost by its moment; those that do not count any more are forgotten.
    pub fn count_moments(&mut self, cost: u32, moment: &Moment) {
        self.moments.retain(|used| *used > moment.now - moment.length);
        self.moments.extend(std::iter::repeat_n(moment.now, usize::try_from(cost.min(MOST_EXACT)).unwrap_or(0)));
        (self.number, self.seconds) = (moment.number, moment.seconds);
    }

    /// Counts a cost in the window of its moment.
    pub fn count_window(&mut self, cost: u32, moment: &Moment) {
        let (before, now) = self.windows(moment);
        let (number, seconds) = (moment.number, moment.seconds);
        *self = Self { seconds, now: now.saturating_add(cost), before, number, moments: Vec::new() };
    }

    /// Whether nothing of it counts any more.
    pub(super) fn is_over(&self, now: i64) -> bool {
        let moment = Moment::at(now, self.seconds);
        let used = self.moments.last().is_some_and(|last| *last > now - moment.length);
        !used && (self.now == 0 && self.before == 0 || moment.number > self.number.saturating_add(1))
    }

    /// How much would be forgotten with it.
    pub(super) fn weight(&self) -> u64 {
        u64::from(self.now) + u64::from(self.before) + self.moments.len() as u64
    }

    /// What was used in the window before, and in this one.
    fn windows(&self, moment: &Moment) -> (u32, u32) {
        // With windows of another length nothing is known of these.
        if self.seconds != moment.seconds {
            return (0, 0);
        }
        match moment.number - self.number {
            ..=0 => (self.before, self.now),
            1 => (self.now, 0),
            _ => (0, 0),
        }
    }

    fn judge_windows(&self, ask: &Ask<'_>, moment: &Moment) -> Answer {
        let (before, now) = self.windows(moment);
        let Moment { into, length, .. } = *moment;
        let (count, cost) = (i64::from(ask.limit.count.max(1)), i64::from(ask.cost));
        let (before, now) = (i64::from(before), i64::from(now));
        // Of the window before, as much as overlaps with the last `seconds`, rounded up: whole numbers only.
        let left = count - now - share(before, length - into, length);
        let allowed = cost <= left;
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
            length - part(length, count - now - cost, before) - into
        } else {
            (length - into) + (length - part(length, count - cost, now))
        };
        answer(ask, allowed, left.max(0), reset, wait)
    }

    fn judge_moments(&self, ask: &Ask<'_>, moment: &Moment) -> Answer {
        let Moment { now, length, .. } = *moment;
        let counting = |used: &&i64| **used > now - length;
        let first = self.moments.len() - self.moments.iter().rev().take_while(counting).count();
        let uses = self.moments.get(first..).unwrap_or_default();
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

impl Answer {
    /// What is left once the use that it allowed is counted, in the same moment.
    #[must_use]
    pub fn counted(self, ask: &Ask<'_>, moment: &Moment) -> Self {
        if ask.cost == 0 {
            return self;
        }
        let reset = if ask.is_exact() { moment.length } else { moment.length - moment.into + moment.length };
        Self { remaining: self.remaining.saturating_sub(ask.cost), reset_ms: millis(reset), ..self }
    }
}

/// `much × of ÷ whole`, rounded up.
fn share(much: i64, of: i64, whole: i64) -> i64 {
    match much.checked_mul(of) {
        // Most windows have an empty one before them: no division.
        Some(0) => 0,
        Some(product) => (product - 1) / whole + 1,
        // INVARIANT: `of` is a part of `whole`, so no more than `much` comes out.
        None => i64::try_from((i128::from(much) * i128::from(of) - 1) / i128::from(whole) + 1).unwrap_or(much),
    }
}

/// `length × much ÷ of`, rounded down; `much` is no more than `of`, or all of it.
fn part(length: i64, much: i64, of: i64) -> i64 {
    let part = i128::from(length) * i128::from(much) / i128::from(of.max(1));
    i64::try_from(part).unwrap_or(i64::MAX)
}

fn answer(ask: &Ask<'_>, allowed: bool, remaining: i64, reset: i64, wait: i64) -> Answer {
    let retry_ms = if allowed { 0 } else { millis(wait).max(1) };
    let remaining = u32::try_from(remaining).unwrap_or(u32::MAX);
    Answer { allowed, limit: ask.limit.count, remaining, reset_ms: millis(reset), retry_ms }
}

/// Rounded up.
fn millis(micros: i64) -> u64 {
    u64::try_from(micros).unwrap_or(0).div_ceil(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Limit, Policy};

    const START: i64 = 1_790_000_040 * 1_000_000;

    fn moment(now: i64, policy: &Policy) -> Moment {
        Moment::at(now, policy.limit.seconds)
    }

    fn policy(count: u32, exact: bool) -> Policy {
        Policy { exact, ..Policy::new("p", Limit { count, seconds: 60 }).unwrap() }
    }

    fn taken(used: &mut Used, policy: &Policy, now: i64, tries: u32) -> u32 {
        let ask = Ask { policy, limit: policy.limit, of: [1; 16], cost: 1 };
        let one = |_: &u32| {
            let allowed = used.judge(&ask, &moment(now, policy)).allowed;
            if allowed {
                used.count(&ask, &moment(now, policy));
            }
            allowed
        };
        u32::try_from((0..tries).filter(one).count()).unwrap()
    }

    #[test]
    fn a_new_minute_does_not_begin_from_nothing() {
        let policy = policy(60, false);
        let mut used = Used::default();
        assert_eq!(taken(&mut used, &policy, START + 50_000_000, 100), 60);
        // At 60 all of the minute before still counts; at 90 half of it.
        assert_eq!(taken(&mut used, &policy, START + 60_000_000, 100), 0);
        assert_eq!(taken(&mut used, &policy, START + 90_000_000, 100), 30);
    }

    #[test]
    fn exactly_as_many_in_any_minute() {
        let policy = policy(5, true);
        let mut used = Used::default();
        assert_eq!(taken(&mut used, &policy, START + 50_000_000, 3), 3);
        assert_eq!(taken(&mut used, &policy, START + 59_000_000, 9), 2);
        assert_eq!(taken(&mut used, &policy, START + 109_999_999, 9), 0);
        assert_eq!(taken(&mut used, &policy, START + 110_000_000, 9), 3);
        assert_eq!(taken(&mut used, &policy, START + 119_000_000, 9), 2);
    }

    #[test]
    fn who_waits_as_long_as_told_gets_in() {
        for exact in [false, true] {
            for (count, burst, at) in [(1, 1, 0), (5, 5, 0), (60, 60, 50), (60, 60, 3), (7, 3, 59), (100, 100, 30)] {
                let policy = policy(count, exact);
                let ask = Ask { policy: &policy, limit: policy.limit, of: [1; 16], cost: 1 };
                let mut used = Used::default();
                let mut now = START + at * 1_000_000;
                taken(&mut used, &policy, now, burst);
                for _ in 0..5 {
                    let answer = used.judge(&ask, &moment(now, &policy));
                    assert_eq!(answer.allowed, answer.retry_ms == 0);
                    if !answer.allowed {
                        assert!((1..=120_000).contains(&answer.retry_ms), "{answer:?}");
                        now += i64::try_from(answer.retry_ms).unwrap() * 1_000;
                    }
                    assert_eq!(taken(&mut used, &policy, now, 1), 1, "{exact} {count} {burst} {at}");
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
                let mut used = Used::default();
                taken(&mut used, &policy, START + 10_000_000, 13);
                let now = START + at * 1_000_000;
                let remaining = used.judge(&ask, &moment(now, &policy)).remaining;
                assert_eq!(taken(&mut used, &policy, now, 30), remaining, "{exact} {at}");
            }
        }
    }

    #[test]
    fn a_cost_is_counted_whole_and_one_beyond_the_limit_never_fits() {
        for exact in [false, true] {
            let policy = policy(10, exact);
            let ask = |cost| Ask { policy: &policy, limit: policy.limit, of: [1; 16], cost };
            let mut used = Used::default();
            let start = moment(START, &policy);
            assert!(used.judge(&ask(10), &start).allowed);
            used.count(&ask(7), &start);
            assert!(!used.judge(&ask(4), &start).allowed);
            assert_eq!(used.judge(&ask(3), &start).remaining, 3);
            assert_eq!(used.judge(&ask(11), &start).retry_ms, 60_000);
        }
    }

    #[test]
    fn what_counts_nothing_any_more_is_over() {
        for exact in [false, true] {
            let policy = policy(5, exact);
            let mut used = Used::default();
            assert!(used.is_over(START));
            taken(&mut used, &policy, START, 1);
            assert!(!used.is_over(START + 59_000_000));
            assert!(used.is_over(START + 120_000_000));
            assert_eq!(used.weight(), 1);
        }
    }

    #[test]
    fn what_is_left_after_a_use_is_what_the_next_is_told() {
        for exact in [false, true] {
            for (at, cost) in [(10, 1), (17, 3), (59, 1), (61, 2), (75, 1), (119, 1), (130, 5)] {
                let policy = policy(20, exact);
                let ask = |cost| Ask { policy: &policy, limit: policy.limit, of: [1; 16], cost };
                let mut used = Used::default();
                taken(&mut used, &policy, START + 10_000_000, 7);
                let moment = moment(START + at * 1_000_000, &policy);
                let told = used.judge(&ask(cost), &moment).counted(&ask(cost), &moment);
                used.count(&ask(cost), &moment);
                assert_eq!(told, used.judge(&ask(0), &moment), "{exact} {at} {cost}");
            }
        }
    }

    #[test]
    fn the_largest_limits_are_counted_without_a_slip() {
        let limit = Limit { count: u32::MAX, seconds: 86_400 };
        let policy = Policy { exact: false, ..Policy::new("p", limit).unwrap() };
        let ask = |cost| Ask { policy: &policy, limit, of: [1; 16], cost };
        let noon = Moment::at(86_400_000_000 * 20_000 + 43_200_000_000, limit.seconds);
        let half = u32::MAX / 2;
        // All of the day before, of which half still counts.
        let used = Used::in_windows(86_400, 20_000, 0, u32::MAX);
        assert!(used.judge(&ask(half), &noon).allowed);
        let refused = used.judge(&ask(half + 1), &noon);
        assert!(!refused.allowed && (1..=1_000).contains(&refused.retry_ms), "{refused:?}");
    }

    #[test]
    fn a_window_still_to_come_counts_as_the_one_at_hand() {
        let policy = policy(5, false);
        let ask = Ask { policy: &policy, limit: policy.limit, of: [1; 16], cost: 1 };
        let moment = moment(START, &policy);
        let ahead = Used::in_windows(60, START / 60_000_000 + 1_440, 5, 0);
        assert!(!ahead.judge(&ask, &moment).allowed);
    }
}
