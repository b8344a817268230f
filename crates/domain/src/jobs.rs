//! Of all nodes, one runs a job at a time.
//!
//! Whoever claims a job in the platform's rows has it until a moment; it may claim it again before, and others after.
//! A node whose clock is ahead takes it early, so what a job does must bear being done twice.

use async_trait::async_trait;

use crate::{
    Instance,
    ids::{NodeId, TenantId},
    instance::Failure,
    store::StoreError,
    time::Timestamp,
};

/// Claims jobs. There are some in the platform's rows only.
#[async_trait]
pub trait JobWrites {
    /// Takes the job `name` for `node` until `until`, unless another node has it at `now`. Whether `node` has it then.
    async fn claim_job(
        &mut self,
        name: &str,
        node: NodeId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Has the job `name` until `until`, if `node` has it until exactly `from`. Whether it did.
    async fn renew_job(
        &mut self,
        name: &str,
        node: NodeId,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Takes the job `name` for `node` until `until`, if nobody has it, not even one whose time has passed. Whether it did.
    async fn claim_free_job(&mut self, name: &str, node: NodeId, until: Timestamp) -> Result<bool, StoreError>;

    /// Gives the job back, if `node` has it.
    async fn release_job(&mut self, name: &str, node: NodeId) -> Result<(), StoreError>;

    /// Takes away all claims of nodes (`node:…`) that ended before this moment, if one other than `own` did not.
    async fn forget_nodes(&mut self, own: &str, before: Timestamp) -> Result<(), StoreError>;
}

/// Whether this node runs the job `name` for the next `seconds`.
///
/// # Errors
///
/// [`Failure::Store`]: then it does not.
pub async fn claim(instance: &Instance, name: &str, seconds: i64) -> Result<bool, Failure> {
    let now = instance.now();
    let mut tx = instance.store().begin(TenantId::PLATFORM).await?;
    let ours = tx.claim_job(name, instance.node().id, now, now.plus_seconds(seconds)).await?;
    tx.commit().await?;
    Ok(ours)
}

/// Lets another node run the job `name` at once; called at shutdown.
///
/// # Errors
///
/// [`Failure::Store`]: then the others wait for its time to pass.
pub async fn release(instance: &Instance, name: &str) -> Result<(), Failure> {
    let mut tx = instance.store().begin(TenantId::PLATFORM).await?;
    tx.release_job(name, instance.node().id).await?;
    Ok(tx.commit().await?)
}
