//! How a sink does, as the process that feeds it knows.

use std::collections::{BTreeMap, BTreeSet};

use crate::{ids::TenantId, time::Timestamp};

/// The longest rest of one that was tried in vain, in seconds.
const MAX_REST: i64 = 300;

/// How a sink does, as the process that feeds it knows.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// How often in a row it was away.
    away: u32,
    /// When it may be tried again.
    rests_until: Option<Timestamp>,
    /// Logs of which it refused a batch lately: so many events it is handed at once.
    fewer: BTreeMap<TenantId, usize>,
    /// Logs of which rows could not be read, and of which that was told.
    unreadable: BTreeSet<TenantId>,
}

impl Health {
    /// Whether it is left alone at this moment: it was away a short while ago.
    pub fn rests(&self, now: Timestamp) -> bool {
        self.rests_until.is_some_and(|until| now < until)
    }

    /// Whether it was away when it was last tried.
    pub const fn is_away(&self) -> bool {
        self.away > 0
    }

    /// It was away; whether for the first time.
    pub(super) fn was_away(&mut self, now: Timestamp) -> bool {
        self.away = self.away.saturating_add(1);
        self.rests_until = Some(now.plus_seconds(rest(self.away)));
        self.away == 1
    }

    /// It was there, whatever it said.
    pub(super) fn was_there(&mut self) {
        (self.away, self.rests_until) = (0, None);
    }

    /// How many events of this log it is handed at once, of so many at most.
    pub(super) fn at_once(&self, log: TenantId, most: usize) -> usize {
        self.fewer.get(&log).map_or(most, |fewer| most.min(*fewer))
    }

    /// It took so many events of this log where `most` would have been sent: twice as many the next time.
    pub(super) fn took(&mut self, log: TenantId, events: usize, most: usize) {
        if events < most {
            self.fewer.insert(log, events.saturating_mul(2).max(1));
        } else {
            self.fewer.remove(&log);
        }
    }

    /// It refused a single event of this log: that one goes alone until it is taken.
    pub(super) fn refused_one(&mut self, log: TenantId) {
        self.fewer.insert(log, 1);
    }

    /// Rows of this log could not be read; whether that is new.
    pub(super) fn was_unreadable(&mut self, log: TenantId) -> bool {
        self.unreadable.insert(log)
    }

    /// Rows of this log were read.
    pub(super) fn was_readable(&mut self, log: TenantId) {
        self.unreadable.remove(&log);
    }
}

/// Twice as long after each try in vain, from two seconds to five minutes.
pub(super) fn rest(failures: u32) -> i64 {
    1_i64.checked_shl(failures.min(20)).unwrap_or(MAX_REST).min(MAX_REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_to_five_minutes() {
        assert_eq!([1, 2, 3, 8, 9, 50, u32::MAX].map(rest), [2, 4, 8, 256, 300, 300, 300]);
    }

    #[test]
    fn one_that_was_away_is_left_alone_for_a_while() {
        let now = Timestamp::from_seconds(1_790_000_000);
        let mut health = Health::default();
        assert!(!health.rests(now));
        assert!(health.was_away(now) && !health.was_away(now));
        assert!(health.is_away() && health.rests(now) && health.rests(now.plus_seconds(3)));
        assert!(!health.rests(now.plus_seconds(4)));
        health.was_there();
        assert!(!health.is_away() && !health.rests(now));
    }

    #[test]
    fn after_a_refusal_batches_grow_again() {
        let (log, other) = (TenantId::from_bytes([1; 16]), TenantId::from_bytes([2; 16]));
        let mut health = Health::default();
        assert_eq!(health.at_once(log, 500), 500);
        health.took(log, 31, 500);
        assert_eq!((health.at_once(log, 500), health.at_once(other, 500)), (62, 500));
        health.took(log, 62, 500);
        assert_eq!(health.at_once(log, 500), 124);
        health.refused_one(log);
        assert_eq!(health.at_once(log, 500), 1);
        health.took(log, 3, 3);
        assert_eq!(health.at_once(log, 500), 500);
    }
}
