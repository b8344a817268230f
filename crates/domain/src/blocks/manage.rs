//! Blocks networks and lets them in again, for those who run the platform.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Block, MOST};
use crate::{
    Instance, TenantId,
    access::{Call, Denied, Permission},
    audit::{Change, Detail, Event, EventKind, receipt::note},
    faults::Faults,
    ids::BlockId,
    instance::{Failure, fails},
    lockdown::refuse_suspects,
    store::StoreError,
    text::check_name,
};

/// The longest reason, in characters.
const MAX_REASON: usize = 255;
/// The longest block that ends by itself: a year.
const LONGEST: u32 = 366 * 86_400;
/// A block of more addresses than these prefixes have would be a mistake.
const SHORTEST_V4: u8 = 8;
const SHORTEST_V6: u8 = 19;
/// How many are read at a time.
const PAGE: u32 = 1_000;

/// What is to be blocked.
#[derive(Debug, Clone)]
pub struct NewBlock {
    /// The network; one address is a network too.
    pub network: IpNet,
    /// Why. Kept under seal in the log.
    pub reason: String,
    /// For how long; for good if nothing is said.
    pub seconds: Option<u32>,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Fields are not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// There is no such block.
    #[error("no such block")]
    NotFound,
    /// Somebody else blocked the network in the same moment.
    #[error("the network was blocked in the same moment")]
    Taken,
    /// There are as many as there may be.
    #[error("there are {MOST} blocks already")]
    Full,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(BlockError);

/// Blocks a network: from the next request on on this node, within seconds on others. A block of the same network is replaced.
///
/// # Errors
///
/// [`BlockError`].
pub async fn block(instance: &Instance, call: &Call, new: NewBlock) -> Result<Block, BlockError> {
    call.require(Permission::AddressesBlock)?;
    check(&new, call.request.address)?;
    let now = instance.now();
    let block = Block {
        id: BlockId::make(now, instance.random())?,
        network: new.network.trunc(),
        reason: new.reason.trim().to_owned(),
        automatic: false,
        made_at: now,
        expires_at: new.seconds.map(|seconds| now.plus_seconds(seconds.into())),
    };
    if all(instance).await?.len() >= MOST {
        return Err(BlockError::Full);
    }
    let mut change = Change::begin(instance, call, TenantId::PLATFORM).await?;
    refuse_suspects::<BlockError>(instance, change.rows(), &[("/reason", &new.reason)]).await?;
    change.rows().forget_blocks(now).await?;
    change.rows().remove_block_of(block.network).await?;
    match change.rows().insert_block(&block).await {
        Err(StoreError::Taken(_)) => return Err(BlockError::Taken),
        done => done?,
    }
    let event = Event::new(EventKind::AddressBlocked)
        .on("ip_block", block.id)
        .with("prefix", Detail::Count(block.network.prefix_len().into()))
        .with("automatic", Detail::Count(0))
        .with("seconds", Detail::Count(new.seconds.unwrap_or(0).into()))
        .personal("network", block.network.to_string())
        .personal("reason", block.reason.clone());
    change.commit(event).await?;
    load(instance).await?;
    Ok(block)
}

/// Lets a network in again.
///
/// # Errors
///
/// [`BlockError`].
pub async fn unblock(instance: &Instance, call: &Call, id: BlockId) -> Result<(), BlockError> {
    call.require(Permission::AddressesBlock)?;
    instance.require_recent(call)?;
    let mut change = Change::begin(instance, call, TenantId::PLATFORM).await?;
    let block = change.rows().find_block(id).await?.ok_or(BlockError::NotFound)?;
    change.rows().remove_block(id).await?;
    let event = Event::new(EventKind::AddressUnblocked)
        .on("ip_block", id)
        .with("automatic", Detail::Count(block.automatic.into()))
        .personal("network", block.network.to_string());
    change.commit(event).await?;
    load(instance).await?;
    Ok(())
}

/// The blocks that hold now, by id.
///
/// # Errors
///
/// [`BlockError`].
pub async fn list(
    instance: &Instance,
    call: &Call,
    after: Option<BlockId>,
    limit: u32,
) -> Result<Vec<Block>, BlockError> {
    call.require(Permission::AddressesBlock)?;
    let found = instance.store().view(TenantId::PLATFORM).await?.blocks(instance.now(), after, limit).await?;
    note(instance, call, TenantId::PLATFORM, Event::new(EventKind::BlockRead)).await?;
    Ok(found)
}

/// Reads all blocks, for this node to look requests up in them. Called at the start, after each change, and every few seconds.
///
/// # Errors
///
/// [`StoreError`]; then those that were known go on holding.
pub async fn load(instance: &Instance) -> Result<(), StoreError> {
    let all = all(instance).await?;
    instance.blocks().replace(all);
    Ok(())
}

pub(super) async fn all(instance: &Instance) -> Result<Vec<Block>, StoreError> {
    let mut view = instance.store().fresh_view(TenantId::PLATFORM).await?;
    let mut all: Vec<Block> = Vec::new();
    loop {
        let page = view.blocks(instance.now(), all.last().map(|block| block.id), PAGE).await?;
        let more = page.len() == PAGE as usize;
        all.extend(page);
        if !more || all.len() >= MOST {
            return Ok(all);
        }
    }
}

fn check(new: &NewBlock, own: Option<IpAddr>) -> Result<(), Faults> {
    let mut faults = Faults::default();
    check_name("/reason", &new.reason, MAX_REASON, &mut faults);
    let shortest = if new.network.addr().is_ipv6() { SHORTEST_V6 } else { SHORTEST_V4 };
    if new.network.prefix_len() < shortest {
        faults.add("/network", "range", "is too large: at most a /8 of IPv4 or a /19 of IPv6");
    }
    // Nobody could take it away again from there.
    if own.is_some_and(|own| new.network.contains(&own.to_canonical())) {
        faults.add("/network", "own", "holds the address that this request comes from");
    }
    if new.seconds.is_some_and(|seconds| seconds == 0 || seconds > LONGEST) {
        faults.add("/seconds", "range", "must be from 1 second to 366 days, or left out");
    }
    faults.check()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_blocks_themselves_or_half_the_world() {
        let own = Some("203.0.113.9".parse().unwrap());
        let new = |network: &str, seconds| NewBlock {
            network: network.parse().unwrap(),
            reason: "scans".to_owned(),
            seconds,
        };
        assert!(check(&new("198.51.100.0/24", None), own).is_ok());
        assert!(check(&new("198.51.100.7/32", Some(60)), own).is_ok());
        for (network, seconds) in
            [("0.0.0.0/0", None), ("2001::/16", None), ("203.0.113.0/24", None), ("198.51.100.7/32", Some(0))]
        {
            assert!(check(&new(network, seconds), own).is_err(), "{network}");
        }
    }
}
