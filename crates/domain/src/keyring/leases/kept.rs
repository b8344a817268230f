//! Which leases are kept when not all fit.
//!
//! A ring with a second chance for those used since the hand last passed: an entry is found and evicted without looking at the
//! others, and tenants that are seen once do not push out those that are used again and again. What may be kept is
//! weighed in bytes. One lease may take a small share of it only; a heavier one is lent and not kept, so a
//! tenant with very many fields pays for itself.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::Lease;
use crate::ids::TenantId;

/// The part of it that one lease may take.
const SHARE: usize = 32;

struct Entry {
    lease: Arc<Lease>,
    weight: usize,
    used: AtomicBool,
    /// Which insertion it is: the ring may hold older places of the same tenant.
    place: u64,
}

/// The leases that are kept.
pub(super) struct Kept {
    entries: HashMap<TenantId, Entry>,
    ring: VecDeque<(TenantId, u64)>,
    weight: usize,
    max_weight: usize,
    places: u64,
}

impl Kept {
    pub(super) fn new(max_weight: usize) -> Self {
        Self { entries: HashMap::new(), ring: VecDeque::new(), weight: 0, max_weight, places: 0 }
    }

    /// A tenant's lease, which counts as used.
    pub(super) fn find(&self, tenant: TenantId) -> Option<&Arc<Lease>> {
        let entry = self.entries.get(&tenant)?;
        entry.used.store(true, Ordering::Relaxed);
        Some(&entry.lease)
    }

    /// A tenant's lease, which does not count as used.
    pub(super) fn peek(&self, tenant: TenantId) -> Option<&Arc<Lease>> {
        self.entries.get(&tenant).map(|entry| &entry.lease)
    }

    /// Up to `most` leases that were used and are `due`.
    pub(super) fn used(&self, due: impl Fn(&Lease) -> bool, most: usize) -> Vec<(TenantId, Arc<Lease>)> {
        let used = self.entries.iter().filter(|(_, entry)| entry.used.load(Ordering::Relaxed) && due(&entry.lease));
        used.take(most).map(|(tenant, entry)| (*tenant, Arc::clone(&entry.lease))).collect()
    }

    /// Keeps a lease instead of the tenant's older one, if its share allows it.
    pub(super) fn insert(&mut self, tenant: TenantId, lease: Arc<Lease>, weight: usize) {
        self.remove(tenant);
        if weight > self.max_weight / SHARE {
            return;
        }
        while self.weight + weight > self.max_weight && self.evict() {}
        self.places += 1;
        let place = self.places;
        self.entries.insert(tenant, Entry { lease, weight, used: AtomicBool::new(false), place });
        self.ring.push_back((tenant, place));
        self.weight += weight;
        // Removed leases leave their places behind; no more of them than there are leases.
        if self.ring.len() > 2 * self.entries.len() + 16 {
            self.ring.retain(|(tenant, place)| self.entries.get(tenant).is_some_and(|entry| entry.place == *place));
        }
    }

    pub(super) fn remove(&mut self, tenant: TenantId) {
        if let Some(entry) = self.entries.remove(&tenant) {
            self.weight -= entry.weight;
        }
    }

    /// Takes all of them out.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.max_weight);
    }

    /// How many, and their bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.weight)
    }

    /// Takes out the first that was not used since the hand last passed; `false` if there is none at all.
    fn evict(&mut self) -> bool {
        while let Some((tenant, place)) = self.ring.pop_front() {
            let Some(entry) = self.entries.get(&tenant).filter(|entry| entry.place == place) else { continue };
            if entry.used.swap(false, Ordering::Relaxed) {
                self.ring.push_back((tenant, place));
            } else {
                self.remove(tenant);
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::lease, *};

    fn tenant(n: u64) -> TenantId {
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&n.to_be_bytes());
        TenantId::from_bytes(bytes)
    }

    #[test]
    fn tenants_seen_once_do_not_push_out_those_in_use() {
        let mut kept = Kept::new(64_000);
        for n in 0..10 {
            kept.insert(tenant(n), lease(tenant(n)), 1_000);
        }
        for n in 100..5_000 {
            for busy in 0..10 {
                assert!(kept.find(tenant(busy)).is_some(), "{busy} at {n}");
            }
            kept.insert(tenant(n), lease(tenant(n)), 1_000);
            let (count, weight) = kept.size();
            assert!(count <= 64 && weight <= 64_000 && kept.ring.len() <= 2 * 64 + 17);
        }
    }

    #[test]
    fn one_tenants_weight_is_its_own_trouble() {
        let mut kept = Kept::new(64_000);
        for n in 0..32 {
            kept.insert(tenant(n), lease(tenant(n)), 1_000);
        }
        kept.insert(tenant(99), lease(tenant(99)), 2_001);
        assert!(kept.peek(tenant(99)).is_none());
        assert_eq!(kept.size(), (32, 32_000));
        kept.insert(tenant(1), lease(tenant(1)), 2_000);
        assert_eq!(kept.size(), (32, 33_000));
    }

    #[test]
    fn a_lease_looked_up_again_takes_one_place() {
        let mut kept = Kept::new(64_000);
        for _ in 0..1_000 {
            kept.insert(tenant(1), lease(tenant(1)), 1_000);
            kept.insert(tenant(2), lease(tenant(2)), 1_000);
        }
        assert_eq!(kept.size(), (2, 2_000));
        assert!(kept.ring.len() < 32);
        kept.remove(tenant(1));
        assert_eq!(kept.size(), (1, 1_000));
    }
}
