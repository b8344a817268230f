//! Which tenants' keys changed on other nodes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::Instance;
use crate::{ids::TenantId, store::StoreError};

/// A node that could not read epochs for so long lends no keys (design §4): it may not know what was revoked.
const STALE_AFTER: Duration = Duration::from_secs(2);

/// Up to where epochs are known.
pub(super) struct Followed {
    mark: i64,
    /// What was told last.
    told: BTreeMap<TenantId, u64>,
}

/// How many tenants' epochs are known at once.
const MOST: usize = 100_000;

/// The epochs of tenants, as far as this node read or heard of them.
#[derive(Default)]
pub(super) struct KnownEpochs(Mutex<HashMap<TenantId, u64>>);

impl KnownEpochs {
    fn of(&self, tenant: TenantId) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&tenant).copied()
    }

    /// The higher one counts: a number that was read may be older than one that was heard meanwhile.
    fn learn(&self, tenant: TenantId, epoch: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        let slot = known.entry(tenant).or_default();
        *slot = epoch.max(*slot);
    }

    fn forget_all(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Instance {
    /// A tenant's epoch: as old as this node's last look at what changed, at most; `None` if that was too long ago, or the store does
    /// not say.
    pub(crate) async fn epoch_of(&self, tenant: TenantId) -> Option<u64> {
        if !self.is_current() {
            return None;
        }
        if let Some(epoch) = self.known_epochs.of(tenant) {
            return Some(epoch);
        }
        let seen = self.callers.epoch();
        let epoch = self.directory().epochs(&[tenant]).await.ok()?.of(tenant);
        // INVARIANT: what changed while it was read is not remembered as if it had not: the look that tells of it counts first.
        if self.callers.epoch() == seen {
            self.known_epochs.learn(tenant, epoch);
        }
        Some(epoch)
    }

    /// A tenant's epoch was read: a lease that is older ends.
    pub(crate) fn learn(&self, tenant: TenantId, epoch: u64) {
        self.leases.outdate(tenant, epoch);
    }

    /// Reads which epochs changed, and ends what is older: leases, and the callers that authenticated a moment ago.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn follow_epochs(&self) -> Result<(), StoreError> {
        let mut followed = self.followed.lock().await;
        self.follow(&mut followed).await
    }

    /// Ends when something was revoked on this node since the last time: then others may be told at once, and need not wait until they
    /// look (design §9). A node that nobody tells looks every 250 ms.
    pub async fn revoked(&self) {
        self.callers.revoked().await;
    }

    /// Another node said that something was revoked there: nothing that was looked up before is taken for granted.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn hear_of_revocation(&self) -> Result<(), StoreError> {
        self.callers.forget_here();
        self.follow_epochs().await
    }

    /// As [`Self::follow_epochs`], if nobody did within the time that a node may go on without.
    pub(super) async fn keep_following(&self) -> Result<(), StoreError> {
        if self.is_current() {
            return Ok(());
        }
        let mut followed = self.followed.lock().await;
        if self.is_current() { Ok(()) } else { self.follow(&mut followed).await }
    }

    /// Whether epochs were read within the time that a node may go on without.
    fn is_current(&self) -> bool {
        let followed_at = *self.followed_at.lock().unwrap_or_else(|poison| poison.into_inner());
        followed_at.is_some_and(|at| at.elapsed() < STALE_AFTER)
    }

    async fn follow(&self, followed: &mut Option<Followed>) -> Result<(), StoreError> {
        let mark = followed.as_ref().map(|followed| followed.mark);
        let (epochs, mark_next) = self.directory().epochs_since(mark).await?;
        match followed {
            // What was looked up before the first mark may have changed unseen.
            None => {
                self.leases.end_all();
                self.known_epochs.forget_all();
                self.callers.forget_here();
            }
            Some(followed) => {
                for (tenant, epoch) in &epochs.of {
                    self.learn(*tenant, *epoch);
                    self.known_epochs.learn(*tenant, *epoch);
                }
                // A change may be told of twice.
                if epochs.of.iter().any(|(tenant, epoch)| followed.told.get(tenant) != Some(epoch)) {
                    self.callers.forget_here();
                }
            }
        }
        *self.followed_at.lock().unwrap_or_else(|poison| poison.into_inner()) = Some(epochs.read_at);
        *followed = Some(Followed { mark: mark_next, told: epochs.of });
        Ok(())
    }
}
