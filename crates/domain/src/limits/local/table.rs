//! Counters in sets of eight: a look-up touches one set, and a full table forgets within one.

use super::counter::Counter;
use crate::limits::{Ask, CountedSubject};

/// How many counters a set has.
const WAYS: usize = 8;
/// How many sets a table begins with.
const FIRST: usize = 4;

/// The counters of one part.
#[derive(Default)]
pub(super) struct Table(Vec<[Counter; WAYS]>);

impl Table {
    /// How many counters it has at most.
    pub(super) const MOST: usize = 16_384;

    pub(super) fn size(&self) -> usize {
        self.0.len() * WAYS
    }

    pub(super) fn find(&self, hash: u64, ask: &Ask<'_>) -> Option<&Counter> {
        self.0.get(at(hash, self.0.len()))?.iter().find(|counter| counter.is(ask))
    }

    pub(super) fn forget(&mut self, hash: u64, key: (u64, CountedSubject)) {
        let at = at(hash, self.0.len());
        let own = |counter: &&mut Counter| !counter.is_free() && counter.key() == key;
        if let Some(found) = self.0.get_mut(at).and_then(|set| set.iter_mut().find(own)) {
            *found = Counter::default();
        }
    }

    /// The counter of a subject; a fresh one in the place of one that is free or idle, or, in a table that grows no more, of the one
    /// of its set that has counted least.
    pub(super) fn place(
        &mut self,
        hash: u64,
        ask: &Ask<'_>,
        now: i64,
        hash_of: impl Fn(&Counter) -> u64,
    ) -> &mut Counter {
        while self.size() < Self::MOST && self.room(hash, ask, now).is_none() {
            self.grow(now, &hash_of);
        }
        let way = self.room(hash, ask, now).unwrap_or_else(|| self.lightest(hash));
        let set = at(hash, self.0.len());
        // INVARIANT: the loop above has made a set, and ways are counted within one.
        #[expect(clippy::indexing_slicing, reason = "set and way were found in this table a line above")]
        let counter = &mut self.0[set][way];
        if !counter.is(ask) {
            *counter = Counter::fresh(ask);
        }
        counter
    }

    /// Its own place, or one that nobody needs.
    fn room(&self, hash: u64, ask: &Ask<'_>, now: i64) -> Option<usize> {
        let set = self.0.get(at(hash, self.0.len()))?;
        let own = set.iter().position(|counter| counter.is(ask));
        own.or_else(|| set.iter().position(|counter| counter.is_free() || counter.is_idle(now)))
    }

    fn lightest(&self, hash: u64) -> usize {
        let set = self.0.get(at(hash, self.0.len())).into_iter().flatten().enumerate();
        set.min_by_key(|(_, counter)| counter.weight()).map_or(0, |(way, _)| way)
    }

    /// Doubles it, and leaves behind what is idle.
    fn grow(&mut self, now: i64, hash_of: impl Fn(&Counter) -> u64) {
        let size = (self.0.len() * 2).max(FIRST);
        let old = std::mem::replace(&mut self.0, std::iter::repeat_with(Default::default).take(size).collect());
        for counter in old.into_iter().flatten().filter(|counter| !counter.is_free() && !counter.is_idle(now)) {
            let set = self.0.get_mut(at(hash_of(&counter), size));
            // INVARIANT: a set of the double table takes what was in one set of the old one, and no more.
            if let Some(free) = set.and_then(|set| set.iter_mut().find(|counter| counter.is_free())) {
                *free = counter;
            }
        }
    }
}

/// Which of so many sets; a power of two, or none.
fn at(hash: u64, sets: usize) -> usize {
    usize::try_from(hash).unwrap_or(usize::MAX) & sets.wrapping_sub(1)
}
