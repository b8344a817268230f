//! Whose queue grew.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use chancery_domain::TenantId;

/// The tenants whose queue grew through one store since somebody asked.
#[derive(Debug, Clone, Default)]
pub struct Grown(Arc<Mutex<BTreeSet<TenantId>>>);

impl Grown {
    /// Notes these. Call it after the commit, never before.
    pub fn note(&self, tenants: impl IntoIterator<Item = TenantId>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(tenants);
    }

    /// Gives them away.
    pub fn take(&self) -> Vec<TenantId> {
        let mut grown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *grown).into_iter().collect()
    }
}
