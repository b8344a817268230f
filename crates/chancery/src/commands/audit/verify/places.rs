//! Which numbers were seen, as spans: what comes in its order takes no room, however much it is.

use std::{collections::BTreeMap, ops::Range};

/// Numbers that were seen.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// From the first number of each span to the one after its last.
    spans: BTreeMap<u64, u64>,
    count: u64,
}

impl Places {
    /// Notes one.
    pub(super) fn add(&mut self, at: u64) {
        let before = self.spans.range(..=at).next_back().map(|(start, end)| (*start, *end));
        if before.is_some_and(|(_, end)| at < end) {
            return;
        }
        self.count += 1;
        let next = at.saturating_add(1);
        let end = self.spans.remove(&next).unwrap_or(next);
        let start = before.filter(|(_, end)| *end == at).map_or(at, |(start, _)| start);
        self.spans.insert(start, end);
    }

    /// How many.
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// Those from `first` to `end` that were not seen.
    pub(super) fn gaps(&self, first: u64, end: u64) -> Vec<Range<u64>> {
        let (mut gaps, mut next) = (Vec::new(), first);
        for (start, stop) in self.spans.range(..end) {
            if *start > next {
                gaps.push(next..*start);
            }
            next = next.max(*stop);
        }
        if next < end {
            gaps.push(next..end);
        }
        gaps
    }

    /// How many between the first and the last that were not seen.
    pub(super) fn between(&self) -> u64 {
        let (first, last) = (self.spans.first_key_value(), self.spans.last_key_value());
        let whole = first.zip(last).map_or(0, |((first, _), (_, end))| end - first);
        whole.saturating_sub(self.count)
    }
}

/// How many places of these gaps are in one of these spans, until the first that is in none, and that one.
pub(super) fn explained(gaps: &[Range<u64>], spans: &[Range<u64>]) -> (u64, Option<u64>) {
    let mut gone = 0;
    for gap in gaps {
        let mut at = gap.start;
        while at < gap.end {
            let Some(span) = spans.iter().find(|span| span.contains(&at)) else { return (gone, Some(at)) };
            let end = span.end.min(gap.end);
            gone += end - at;
            at = end;
        }
    }
    (gone, None)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ten_million_in_order_are_one_span() {
        let mut places = Places::default();
        (0..10_000_000).for_each(|at| places.add(at));
        assert_eq!((places.spans.len(), places.count(), places.between()), (1, 10_000_000, 0));
        assert_eq!(places.gaps(5, 10_000_002), vec![Range { start: 10_000_000, end: 10_000_002 }]);
    }

    #[test]
    fn what_is_missing_is_explained_by_purges_or_named() {
        let purged = [0..10, 10..20, 40..50];
        assert_eq!(explained(&[], &purged), (0, None));
        assert_eq!(explained(&[3..15, 42..44], &purged), (14, None));
        assert_eq!(explained(&[3..15, 19..22], &purged), (13, Some(20)));
        assert_eq!(explained(&[30..31, 40..41], &[]), (0, Some(30)));
    }

    #[test]
    fn spans_are_the_set_of_what_was_added() {
        let mut random = 1_u64;
        let mut next = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % bound
        };
        for _ in 0..500 {
            let seen: Vec<u64> = (0..next(80)).map(|_| next(60)).collect();
            let (first, end) = (next(60), next(120));
            let mut places = Places::default();
            seen.iter().for_each(|at| places.add(*at));
            let set: BTreeSet<u64> = seen.iter().copied().collect();
            assert_eq!(places.count(), set.len() as u64);
            let missing: Vec<u64> = (first..end).filter(|at| !set.contains(at)).collect();
            let gaps: Vec<u64> = places.gaps(first, end).into_iter().flatten().collect();
            assert_eq!(gaps, missing, "{first}..{end} of {set:?}");
            let holes = set.first().zip(set.last()).map_or(0, |(a, b)| b - a + 1 - set.len() as u64);
            assert_eq!(places.between(), holes, "{set:?}");
        }
    }
}
