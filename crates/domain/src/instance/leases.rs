//! Tenants' unwrapped keys, lent for a bounded time.

use std::sync::Arc;

use super::{Failure, Instance};
use crate::{
    ids::TenantId,
    keyring::{Keyring, Lease},
};

impl Instance {
    /// Looks a tenant's keys up again, if they were not looked up a moment ago: somebody named a key that is
    /// not among those lent. Another node may have made it.
    ///
    /// # Errors
    ///
    /// As [`Self::lease`].
    pub(crate) async fn renewed_lease(&self, tenant: TenantId, held: &Lease) -> Result<Option<Arc<Lease>>, Failure> {
        if self.now() < held.loaded_at.plus_seconds(1) {
            return Ok(None);
        }
        self.leases.end(tenant);
        self.lease(tenant).await.map(Some)
    }

    /// A tenant's unwrapped keys and fields, for a bounded time.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the store or a key does not answer.
    pub async fn lease(&self, tenant: TenantId) -> Result<Arc<Lease>, Failure> {
        self.keep_following().await?;
        self.leases.of(tenant, self).await
    }

    /// A tenant's lease, looked up again if it is older than `epoch`. The store may not show that one yet.
    pub(crate) async fn lease_since(&self, tenant: TenantId, epoch: u64) -> Result<Arc<Lease>, Failure> {
        self.learn(tenant, epoch);
        self.lease(tenant).await
    }

    /// Looks up leases that are in use again before they end, so that nobody waits for it; gives how many.
    pub async fn renew_leases(&self) -> usize {
        self.leases.renew(self).await
    }

    /// How many tenants' keys are in memory, and roughly how many bytes they take.
    pub fn leases_held(&self) -> (usize, usize) {
        self.leases.size()
    }

    /// A tenant's unwrapped keys.
    ///
    /// # Errors
    ///
    /// As [`Self::lease`].
    pub async fn keyring(&self, tenant: TenantId) -> Result<Arc<Keyring>, Failure> {
        Ok(Arc::clone(&self.lease(tenant).await?.keyring))
    }

    /// A tenant's unwrapped keys, looked up again if the key with this id is not among those lent.
    ///
    /// # Errors
    ///
    /// As [`Self::lease`].
    pub(crate) async fn keyring_with(&self, tenant: TenantId, key_id: &str) -> Result<Arc<Keyring>, Failure> {
        let lease = self.lease(tenant).await?;
        if lease.keyring.knows_id(key_id) {
            return Ok(Arc::clone(&lease.keyring));
        }
        let renewed = self.renewed_lease(tenant, &lease).await?;
        Ok(Arc::clone(&renewed.unwrap_or(lease).keyring))
    }

    /// Ends the leases of a tenant at once, in this process.
    pub fn end_lease(&self, tenant: TenantId) {
        self.leases.end(tenant);
    }
}
