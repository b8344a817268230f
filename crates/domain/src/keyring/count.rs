//! How often each key was used. Counted in memory and written now and then: the log has each use, this is its sum.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use crate::{Instance, ids::TenantId, instance::Failure, time::Timestamp};

/// Uses since the last time they were written, by tenant and key id.
#[derive(Default)]
pub struct KeyUses(Mutex<HashMap<(TenantId, String), (u64, Timestamp)>>);

impl KeyUses {
    pub(crate) fn count(&self, tenant: TenantId, key_id: &str, at: Timestamp) {
        self.add(tenant, key_id.to_owned(), 1, at);
    }

    fn add(&self, tenant: TenantId, key_id: String, uses: u64, at: Timestamp) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = counts.entry((tenant, key_id)).or_insert((0, at));
        *entry = (entry.0.saturating_add(uses), entry.1.max(at));
    }
}

/// Writes what was counted since the last time.
///
/// # Errors
///
/// [`Failure::Store`]; what was not written is kept for the next time.
pub async fn flush_uses(instance: &Instance) -> Result<(), Failure> {
    let counts = std::mem::take(&mut *instance.key_uses.0.lock().unwrap_or_else(PoisonError::into_inner));
    let mut failed = None;
    for ((tenant, key_id), (uses, at)) in counts {
        let written = async {
            let mut tx = instance.store().begin(tenant).await?;
            tx.count_key_uses(&key_id, uses, at).await?;
            tx.commit().await
        };
        if let Err(error) = written.await {
            instance.key_uses.add(tenant, key_id, uses, at);
            failed = Some(error);
        }
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}
