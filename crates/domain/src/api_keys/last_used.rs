//! When API keys were used last: gathered in memory, written once a minute, because a write per request costs more than it is worth.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use crate::{
    Instance,
    ids::{ApiKeyId, TenantId},
    instance::Failure,
    time::Timestamp,
};

/// Uses that are not written yet. What a process that dies has not written is lost.
#[derive(Default)]
pub struct LastUsed(Mutex<HashMap<(TenantId, ApiKeyId), Timestamp>>);

impl LastUsed {
    /// Notes a use.
    pub(crate) fn note(&self, tenant: TenantId, key: ApiKeyId, at: Timestamp) {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = used.entry((tenant, key)).or_insert(at);
        *last = at.max(*last);
    }
}

/// Writes when API keys were used last, in one transaction per tenant. No event: each use has its own.
///
/// # Errors
///
/// [`Failure`]; what was not written is tried again next time.
pub async fn flush_last_used(instance: &Instance) -> Result<(), Failure> {
    let used = std::mem::take(&mut *instance.last_used.0.lock().unwrap_or_else(PoisonError::into_inner));
    let mut by_tenant: BTreeMap<TenantId, Vec<(ApiKeyId, Timestamp)>> = BTreeMap::new();
    for ((tenant, key), at) in used {
        by_tenant.entry(tenant).or_default().push((key, at));
    }
    let mut failed = None;
    for (tenant, used) in by_tenant {
        let written = async {
            let mut tx = instance.store().begin(tenant).await?;
            tx.touch_api_keys(&used).await?;
            tx.commit().await
        };
        if let Err(error) = written.await {
            used.into_iter().for_each(|(key, at)| instance.last_used.note(tenant, key, at));
            failed = Some(error);
        }
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}
