//! The fence: after a key was stopped, no node releases anything new under it (ADR 0009).
//!
//! Every use of a tenant's keys is told to the log first ([`crate::audit::append`], [`crate::audit::told`]). The commit that
//! makes the event durable also reads the tenant's epoch, from the store's primary. What is then released was made with keys
//! at least as new as that epoch, and within [`RELEASE_WITHIN`] of reading it; later, the epoch is read again. Whoever stops
//! a key waits [`SETTLED_AFTER`] after the commit before it answers (`settle`). So a release after the answer would need an
//! epoch read after the commit, and that one shows the key stopped. No wall clock is trusted, only that two machines'
//! clocks run at nearly the same speed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{KeyState, KeyringError, Lease};
use crate::{
    Instance,
    audit::intent::Opening,
    ids::TenantId,
    instance::Failure,
    store::{Epochs, StoreError},
    tenants::TenantState,
};

/// How long after an epoch was read something may be released under it.
pub const RELEASE_WITHIN: Duration = Duration::from_millis(300);
/// How long whoever stopped a key waits: the bound, and a tenth for clocks that run at different speeds.
pub const SETTLED_AFTER: Duration = Duration::from_millis(330);
/// How often keys are looked up again that a store does not show yet as new as their epoch; a replica may lag.
const LOOKS: u32 = 20;
/// How long to wait between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How often the epoch is read again for one release.
const READS: u32 = 3;

/// What the store said of a tenant when the event of a use became durable: keys older than that release nothing.
#[derive(Debug)]
#[must_use = "keys are used under the lease that this gives, and what they made goes through `release`"]
pub struct Fence {
    tenant: TenantId,
    epoch: u64,
    read_at: Instant,
    /// What is opened behind it. The outcomes are queued when it goes, with the receipts.
    openings: Vec<Arc<Opening>>,
}

impl Fence {
    pub(crate) fn of(tenant: TenantId, epochs: &Epochs) -> Self {
        Self { tenant, epoch: epochs.of(tenant), read_at: epochs.read_at, openings: Vec::new() }
    }

    /// The same, with what is opened behind it.
    pub(crate) fn over(self, openings: Vec<Arc<Opening>>) -> Self {
        Self { openings, ..self }
    }

    /// Whose.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The tenant's epoch when the event became durable.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The tenant's keys, at least as new as the epoch.
    ///
    /// # Errors
    ///
    /// - [`KeyringError::Stopped`]: the tenant is not served any more.
    /// - [`Failure`] if the store or a key does not answer.
    pub async fn lease(&self, instance: &Instance) -> Result<Arc<Lease>, Failure> {
        for look in 0..LOOKS {
            if look > 0 {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            let lease = instance.lease_since(self.tenant, self.epoch).await?;
            if lease.standing.epoch >= self.epoch {
                return served(lease);
            }
        }
        Err(Failure::Store(StoreError::Unavailable("the store does not show the keys of this epoch".into())))
    }

    /// Lets out what was made with the keys of `lease`: the last thing that happens before an answer.
    ///
    /// # Errors
    ///
    /// - [`KeyringError::Stale`]: the keys changed meanwhile; what was made is dropped. Trying again helps.
    /// - [`Failure::Store`]: the epoch could not be read again in time.
    pub async fn release<T>(self, instance: &Instance, lease: &Lease, made: T) -> Result<T, Failure> {
        let mut read_at = self.read_at;
        for _ in 0..READS {
            if read_at.elapsed() <= RELEASE_WITHIN {
                self.let_out();
                return Ok(made);
            }
            let epochs = instance.directory().epochs(&[self.tenant]).await?;
            if epochs.of(self.tenant) > lease.standing.epoch {
                return Err(KeyringError::Stale.into());
            }
            read_at = epochs.read_at;
        }
        Err(Failure::Store(StoreError::Unavailable(
            "the store answers too slowly to tell whether a key still stands".into(),
        )))
    }

    /// What was opened behind it is let out. [`Self::release`] does this; who lets it out piece by piece does it after the last.
    pub(crate) fn let_out(self) {
        self.openings.iter().for_each(|opening| opening.release());
    }

    /// So much of what is let out piece by piece is let out.
    pub(crate) fn gave(&self, bytes: usize) {
        self.openings.iter().for_each(|opening| opening.gave(bytes));
    }

    /// Something behind it did not open.
    pub(crate) fn refuse(self) {
        self.openings.iter().for_each(|opening| opening.refuse());
    }

    /// Whether what is let out piece by piece may go on: asks for the epoch again whenever the last answer is too old.
    /// If it rose, the lease of that epoch comes back, for its owner to see whether the key still stands.
    ///
    /// # Errors
    ///
    /// As [`Self::lease`].
    pub(crate) async fn renew(&mut self, instance: &Instance, lease: &Lease) -> Result<Option<Arc<Lease>>, Failure> {
        if self.read_at.elapsed() <= RELEASE_WITHIN {
            return Ok(None);
        }
        let epochs = instance.directory().epochs(&[self.tenant]).await?;
        (self.epoch, self.read_at) = (epochs.of(self.tenant), epochs.read_at);
        if self.epoch <= lease.standing.epoch { Ok(None) } else { self.lease(instance).await.map(Some) }
    }
}

/// A lease of a tenant that is served.
fn served(lease: Arc<Lease>) -> Result<Arc<Lease>, Failure> {
    match lease.standing.state {
        None | Some(TenantState::Active) => Ok(lease),
        Some(TenantState::Suspended) => Err(KeyringError::Stopped(KeyState::Suspended).into()),
        Some(TenantState::Erased) => Err(KeyringError::Stopped(KeyState::Destroyed).into()),
    }
}

/// Waits until no node can release anything more under keys that were stopped in a commit that has returned.
pub(crate) async fn settle() {
    tokio::time::sleep(SETTLED_AFTER).await;
}
