//! Shares: who holds how much of what there is for all, so that nobody takes it from the others.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How much each holds. Who holds nothing is forgotten.
#[derive(Debug)]
pub struct Shares<K>(Mutex<BTreeMap<K, usize>>);

impl<K: Ord> Shares<K> {
    /// Of which nobody holds any.
    pub const fn untaken() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// So much more for each of these, who may hold at most so much: for all of them or for none. Nobody is named twice.
    #[must_use]
    pub fn take(&self, more: usize, holders: impl Iterator<Item = (K, usize)> + Clone) -> bool {
        let mut held = self.held();
        let has_left =
            |(holder, most): (K, usize)| held.get(&holder).copied().unwrap_or(0).saturating_add(more) <= most;
        if !holders.clone().all(has_left) {
            return false;
        }
        for (holder, _) in holders {
            *held.entry(holder).or_default() += more;
        }
        true
    }

    /// So much back from each of these.
    pub fn give_back(&self, count: usize, holders: impl Iterator<Item = K>) {
        let mut held = self.held();
        for holder in holders {
            match held.get_mut(&holder) {
                Some(all) if *all > count => *all -= count,
                _ => {
                    held.remove(&holder);
                }
            }
        }
    }

    /// How much it holds.
    pub fn held_by(&self, holder: &K) -> usize {
        self.held().get(holder).copied().unwrap_or(0)
    }

    pub(crate) fn held(&self) -> MutexGuard<'_, BTreeMap<K, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of so many parts of a whole; never nothing.
pub(crate) fn part(whole: usize, parts: usize) -> usize {
    (whole / parts).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_taken_for_all_or_for_none() {
        let shares = Shares::untaken();
        let both = || [("one", 2), ("other", 5)].into_iter();
        assert!(shares.take(2, both()));
        assert!(!shares.take(1, both()), "one of them has its share");
        assert!(!shares.take(usize::MAX, both()));
        assert_eq!((shares.held_by(&"one"), shares.held_by(&"other")), (2, 2), "what is refused takes nothing");
        assert!(shares.take(3, both().skip(1)));
        shares.give_back(2, both().map(|(holder, _)| holder));
        assert_eq!((shares.held_by(&"one"), shares.held_by(&"other")), (0, 3));
        shares.give_back(3, both().skip(1).map(|(holder, _)| holder));
        assert!(shares.held().is_empty(), "nobody is remembered");
    }

    #[test]
    fn a_part_is_never_nothing() {
        assert_eq!((part(16, 8), part(15, 8), part(3, 8)), (2, 1, 1));
    }
}
