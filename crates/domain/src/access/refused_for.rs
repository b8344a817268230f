//! Why credentials are refused, counted (AU-14). The client is never told.

use std::sync::atomic::{AtomicU64, Ordering};

codes! {
    /// Why a credential was refused.
    pub enum RefusedFor {
        /// Its time is over.
        Expired = "expired",
        /// It was revoked, or its session or key was.
        Revoked = "revoked",
        /// It is right, and its holder, tenant or network is not let in.
        Denied = "denied",
        /// It is none of ours, or was changed.
        Invalid = "invalid",
    }
}

/// How many credentials were refused since this start, by class.
#[derive(Default)]
pub struct RefusedCredentials([AtomicU64; RefusedFor::ALL.len()]);

impl RefusedCredentials {
    /// Counts one.
    pub fn count(&self, class: RefusedFor) {
        let at = RefusedFor::ALL.iter().position(|other| *other == class);
        if let Some(counter) = at.and_then(|at| self.0.get(at)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counts.
    pub fn counts(&self) -> impl Iterator<Item = (RefusedFor, u64)> {
        RefusedFor::ALL.iter().zip(&self.0).map(|(class, count)| (*class, count.load(Ordering::Relaxed)))
    }
}
