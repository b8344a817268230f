//! That a node is there, said in the platform's log alone.
//!
//! The numbers of a node's events ([`counters`](super::counters)) show what is missing between two of them. What is missing after the last one,
//! no number shows; so a node that has nothing to tell says that it is there, and how it ended. Tenants' logs hear nothing of it: their
//! packs show no gap for it, and nothing of what others do.

use super::{Event, EventKind, guard::request, receipt::note_all, stamp::Actor};
use crate::{
    ids::TenantId,
    instance::{Failure, Instance},
};

/// Tells that this node has started.
///
/// # Errors
///
/// [`Failure::Audit`].
pub async fn started(instance: &Instance) -> Result<(), Failure> {
    tell(instance, EventKind::NodeStarted).await
}

/// Tells that this node is still there, if it has told nothing since `told` events; gives how many it has told.
///
/// # Errors
///
/// [`Failure::Audit`].
pub async fn beat(instance: &Instance, told: u64) -> Result<u64, Failure> {
    if instance.counters.drawn(TenantId::PLATFORM) == told {
        tell(instance, EventKind::NodeAlive).await?;
    }
    Ok(instance.counters.drawn(TenantId::PLATFORM))
}

/// Tells that this node ends, as it was asked to. One that was killed does not tell.
///
/// # Errors
///
/// [`Failure::Audit`].
pub async fn stopped(instance: &Instance) -> Result<(), Failure> {
    tell(instance, EventKind::NodeStopped).await
}

async fn tell(instance: &Instance, kind: EventKind) -> Result<(), Failure> {
    let request = request(instance, "node", "JOB")?;
    note_all(instance, Actor::System(&request), TenantId::PLATFORM, vec![Event::new(kind)]).await.map(drop)
}
