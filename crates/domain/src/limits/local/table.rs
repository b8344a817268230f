//! Counters in sets of eight: a look-up reads one line of memory and then one counter, and a full table forgets within one set.

use super::counter::Counter;
use crate::limits::{Ask, CountedSubject, used::Moment};

/// How many counters a set has.
const WAYS: usize = 8;
/// How many sets a table begins with.
const FIRST: usize = 4;

/// The counters of one part. Whoever asks for one knows the hash of its policy and subject, which is never [`FREE`].
#[derive(Default)]
pub(super) struct Table(Vec<Set>);

/// The hash of a place that is free.
const FREE: u64 = 0;

#[derive(Default)]
struct Set {
    hashes: [u64; WAYS],
    counters: [Counter; WAYS],
}

impl Set {
    fn way(&self, hash: u64, policy: u64, of: &CountedSubject) -> Option<usize> {
        let mut each = self.hashes.iter().zip(&self.counters);
        each.position(|(known, counter)| *known == hash && counter.is(policy, of))
    }

    /// A place that nobody needs.
    fn room(&self, now: i64) -> Option<usize> {
        let free = self.hashes.iter().position(|hash| *hash == FREE);
        free.or_else(|| self.counters.iter().position(|counter| counter.used.is_over(now)))
    }

    fn lightest(&self) -> usize {
        let each = self.counters.iter().enumerate();
        each.min_by_key(|(_, counter)| counter.used.weight()).map_or(0, |(way, _)| way)
    }

    fn put(&mut self, way: usize, hash: u64, counter: Counter) {
        if let (Some(known), Some(place)) = (self.hashes.get_mut(way), self.counters.get_mut(way)) {
            (*known, *place) = (hash, counter);
        }
    }
}

impl Table {
    /// How many counters it has at most.
    pub(super) const MOST: usize = 16_384;

    pub(super) fn size(&self) -> usize {
        self.0.len() * WAYS
    }

    pub(super) fn find(&self, hash: u64, ask: &Ask<'_>) -> Option<&Counter> {
        let set = self.0.get(at(hash, self.0.len()))?;
        set.counters.get(set.way(hash, ask.policy.id(), &ask.of)?)
    }

    pub(super) fn forget(&mut self, hash: u64, policy: u64, of: &CountedSubject) {
        let at = at(hash, self.0.len());
        if let Some(set) = self.0.get_mut(at)
            && let Some(way) = set.way(hash, policy, of)
        {
            set.put(way, FREE, Counter::default());
        }
    }

    /// Counts with the counter of a subject; with a fresh one in the place of one that is free or over, or, in a table that grows no
    /// more, of the one of its set that has counted least.
    pub(super) fn count(&mut self, hash: u64, ask: &Ask<'_>, now: i64, moment: &Moment) {
        let known = self.0.get(at(hash, self.0.len())).and_then(|set| set.way(hash, ask.policy.id(), &ask.of));
        let way = known.unwrap_or_else(|| self.make_room(hash, ask, now));
        // INVARIANT: a set, and a way of it, in which this counter was just found or put.
        let at = at(hash, self.0.len());
        if let Some(counter) = self.0.get_mut(at).and_then(|set| set.counters.get_mut(way)) {
            counter.used.count(ask, moment);
        }
    }

    /// Puts a fresh counter into a set that has room, if need be after the table has grown; which way of it.
    fn make_room(&mut self, hash: u64, ask: &Ask<'_>, now: i64) -> usize {
        loop {
            let (at, full) = (at(hash, self.0.len()), self.size() >= Self::MOST);
            if let Some(set) = self.0.get_mut(at)
                && let Some(way) = set.room(now).or_else(|| full.then(|| set.lightest()))
            {
                set.put(way, hash, Counter::fresh(ask));
                return way;
            }
            self.grow(now);
        }
    }

    /// Doubles it, and leaves behind what is over.
    fn grow(&mut self, now: i64) {
        let size = (self.0.len() * 2).max(FIRST);
        let old = std::mem::replace(&mut self.0, std::iter::repeat_with(Set::default).take(size).collect());
        let kept = old.into_iter().flat_map(|Set { hashes, counters }| hashes.into_iter().zip(counters));
        for (hash, counter) in kept.filter(|(hash, counter)| *hash != FREE && !counter.used.is_over(now)) {
            // INVARIANT: a set of the double table takes what was in one set of the old one, and no more.
            if let Some(set) = self.0.get_mut(at(hash, size))
                && let Some(way) = set.hashes.iter().position(|hash| *hash == FREE)
            {
                set.put(way, hash, counter);
            }
        }
    }
}

/// Which of so many sets; a power of two, or none.
fn at(hash: u64, sets: usize) -> usize {
    usize::try_from(hash).unwrap_or(usize::MAX) & sets.wrapping_sub(1)
}
