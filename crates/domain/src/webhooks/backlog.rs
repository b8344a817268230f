//! What of a tenant's webhooks waits, for the operator: how many and since when.

use super::Direction;
use crate::{Instance, TenantId, instance::Failure, time::Timestamp};

codes! {
    /// For what something waits.
    pub enum Waiting {
        /// A webhook for its next try.
        Queued = "queued",
        /// A webhook for somebody, after it was tried in vain.
        Quarantined = "quarantined",
        /// A source or a subscription for whoever its webhooks are for, who takes none.
        Stalled = "stalled",
    }
}

/// So many wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Which way they go.
    pub direction: Direction,
    /// For what.
    pub waiting: Waiting,
    /// How many.
    pub count: u64,
    /// Since when the first of them does.
    pub oldest: Timestamp,
}

/// What waits in a tenant.
///
/// # Errors
///
/// [`Failure`] if the store does not answer.
pub async fn backlog(instance: &Instance, tenant: TenantId) -> Result<Vec<Backlog>, Failure> {
    Ok(instance.store().view(tenant).await?.webhook_backlog().await?)
}
