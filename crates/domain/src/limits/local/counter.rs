//! One counter.

use crate::limits::{Ask, CountedSubject, used::Used};

/// What one subject of one policy has used.
#[derive(Default)]
pub(super) struct Counter {
    policy: u64,
    of: CountedSubject,
    pub(super) used: Used,
}

impl Counter {
    pub(super) fn fresh(ask: &Ask<'_>) -> Self {
        Self { policy: ask.policy.id(), of: ask.of, used: Used::default() }
    }

    pub(super) fn is(&self, policy: u64, of: &CountedSubject) -> bool {
        self.policy == policy && self.of == *of
    }
}
