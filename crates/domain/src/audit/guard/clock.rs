//! A clock that went back: no month is closed or over any more, so nothing is archived and nothing goes, and nothing else says so.

use std::{collections::BTreeSet, sync::atomic::Ordering};

use crate::{Instance, ids::TenantId, store::StoreError};

/// Clocks of nodes differ by less.
const TOLERATED_SECONDS: u64 = 60 * 60;
/// So many places of the log are looked at, from its beginning to its end: what was recorded since the clock went back is one part of
/// the log, and what was recorded before another.
const PLACES: u64 = 64;

/// Looks whether the clock of this node is behind the platform's log, which grows every day; `Some` of how many seconds at least. What
/// was logged later than now was logged by a clock that was ahead, or this one is behind; which one, people have to say.
///
/// # Errors
///
/// [`StoreError`].
pub async fn look_at_clock(instance: &Instance) -> Result<Option<u64>, StoreError> {
    let mut view = instance.store().view(TenantId::PLATFORM).await?;
    let size = view.log_head().await?.size;
    let mut newest = None;
    for place in places(size) {
        newest = newest.max(view.first_event(place).await?.map(|(_, recorded)| recorded));
    }
    let ahead = newest.map_or(0, |newest| newest.as_seconds().saturating_sub(instance.now().as_seconds()));
    let behind = u64::try_from(ahead).unwrap_or(0);
    let behind = if behind > TOLERATED_SECONDS { behind } else { 0 };
    instance.guard().clock_behind.store(behind, Ordering::Relaxed);
    Ok((behind > 0).then_some(behind))
}

/// Places of a log, its first and its last among them.
fn places(size: u64) -> BTreeSet<u64> {
    let Some(last) = size.checked_sub(1) else { return BTreeSet::new() };
    (0..=PLACES).map(|number| last / PLACES * number + last % PLACES * number / PLACES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_lie_all_over_a_log() {
        assert!(places(0).is_empty());
        assert_eq!(places(1), BTreeSet::from([0]));
        assert_eq!(places(3), BTreeSet::from([0, 1, 2]));
        let many = places(1_000_000);
        assert_eq!((many.len(), many.first(), many.last()), (65, Some(&0), Some(&999_999)));
        assert!(many.iter().zip(many.iter().skip(1)).all(|(one, next)| next - one <= 15_626));
        assert_eq!(places(u64::MAX).last(), Some(&(u64::MAX - 1)));
    }
}
