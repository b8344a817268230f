//! How often limits were nearly reached, and reached, by their names.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

codes! {
    /// What came of a limit.
    pub enum LimitEvent {
        /// Four fifths of it are used, or more.
        Near = "near",
        /// It refused.
        Refused = "refused",
        /// It would have refused, and is only watched.
        Watched = "watched",
    }
}

/// What came of limits since this start. Names are the operator's, so there are few.
#[derive(Default)]
pub struct LimitCounts(Mutex<BTreeMap<String, [u64; LimitEvent::ALL.len()]>>);

impl LimitCounts {
    pub(super) fn note(&self, policy: &str, event: LimitEvent) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !counts.contains_key(policy) {
            counts.insert(policy.to_owned(), Default::default());
        }
        if let Some(count) = counts.get_mut(policy).and_then(|of| of.get_mut(event as usize)) {
            *count += 1;
        }
    }

    /// How often, by the name of the policy.
    pub fn counts(&self) -> Vec<(String, LimitEvent, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let each = |(name, of): (&String, &[u64; 3])| {
            LimitEvent::ALL.iter().zip(of).map(|(event, count)| (name.clone(), *event, *count)).collect::<Vec<_>>()
        };
        counts.iter().flat_map(each).collect()
    }
}
