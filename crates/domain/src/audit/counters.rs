//! Completeness: events of one node, one start and one tenant are numbered without gaps.
//!
//! A number is drawn when an event is stamped. If its transaction rolls back, the number goes
//! back and the next event takes it; a gap in the log then means an event that is missing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use crate::ids::TenantId;

/// The numbers handed out since this start.
#[derive(Default)]
pub struct Counters(Mutex<HashMap<TenantId, Counter>>);

#[derive(Default)]
struct Counter {
    next: u64,
    returned: Vec<u64>,
}

/// A number that was handed out. Dropped without [`Ticket::spend`], it goes back.
pub(crate) struct Ticket {
    counters: Arc<Counters>,
    tenant: TenantId,
    pub(crate) number: u64,
    spent: bool,
}

impl Counters {
    /// The next number of a tenant.
    pub(crate) fn draw(self: &Arc<Self>, tenant: TenantId) -> Ticket {
        let mut counters = self.0.lock().unwrap_or_else(|poison| poison.into_inner());
        let counter = counters.entry(tenant).or_default();
        let number = counter.returned.pop().unwrap_or_else(|| {
            counter.next += 1;
            counter.next
        });
        drop(counters);
        Ticket { counters: Arc::clone(self), tenant, number, spent: false }
    }

    /// How many numbers of a tenant were drawn since this start, and not given back.
    pub(crate) fn drawn(&self, tenant: TenantId) -> u64 {
        let counters = self.0.lock().unwrap_or_else(|poison| poison.into_inner());
        counters.get(&tenant).map_or(0, |counter| counter.next.saturating_sub(counter.returned.len() as u64))
    }
}

impl Ticket {
    /// Keeps the number: its event is durable, or nobody knows.
    pub(crate) fn spend(mut self) {
        self.spent = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.spent {
            let mut counters = self.counters.0.lock().unwrap_or_else(|poison| poison.into_inner());
            counters.entry(self.tenant).or_default().returned.push(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_was_not_spent_is_drawn_again() {
        let counters = Arc::new(Counters::default());
        let tenant = TenantId::PLATFORM;
        counters.draw(tenant).spend();
        let second = counters.draw(tenant);
        let third = counters.draw(tenant);
        assert_eq!((second.number, third.number), (2, 3));
        third.spend();
        drop(second);
        assert_eq!(counters.draw(tenant).number, 2);
        assert_eq!((counters.drawn(tenant), counters.drawn(TenantId::from_bytes([1; 16]))), (2, 0), "1 and 3");
    }
}
