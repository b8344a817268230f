//! Blocks addresses that limits refused again and again: for a while, with an event, and for an administrator to undo.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Block, MOST, load, manage::all};
use crate::{
    Instance, TenantId,
    access::RequestInfo,
    audit::{Change, Detail, Event, EventKind, stamp::Actor},
    ids::{BlockId, RequestId},
    instance::Failure,
    store::StoreError,
};

/// Why such a block is there.
const REASON: &str = "refused by limits again and again";
/// An IPv6 address is blocked with its network: whoever has one has all of them.
const PREFIX_V6: u8 = 64;

/// Blocks the addresses that are due; how many. Never this machine's own.
///
/// # Errors
///
/// [`Failure`]; what was not blocked becomes due again by its next refusals.
pub async fn answer_violations(instance: &Instance) -> Result<usize, Failure> {
    let due = instance.violations.take_due();
    if due.is_empty() {
        return Ok(0);
    }
    let mut room = MOST.saturating_sub(all(instance).await?.len());
    let mut blocked = 0;
    for address in due.into_iter().filter(|address| !address.is_loopback()) {
        if room == 0 {
            tracing::warn!("There are {MOST} blocks: no further address is blocked");
            break;
        }
        if block(instance, address).await? {
            blocked += 1;
            room -= 1;
        }
    }
    load(instance).await?;
    Ok(blocked)
}

/// Whether it was not blocked already.
async fn block(instance: &Instance, address: IpAddr) -> Result<bool, Failure> {
    let now = instance.now();
    let seconds = instance.settings().limits.block_seconds;
    let length = if address.is_ipv6() { PREFIX_V6 } else { 32 };
    let network = IpNet::new(address, length).map_err(|_| Failure::Internal("length of a prefix"))?.trunc();
    let expires_at = Some(now.plus_seconds(seconds.into()));
    let id = BlockId::make(now, instance.random())?;
    let block = Block { id, network, reason: REASON.to_owned(), automatic: true, made_at: now, expires_at };
    let request = RequestInfo {
        id: RequestId::make(now, instance.random())?,
        address: None,
        user_agent: None,
        key: None,
        route: "limit-answers",
        method: "JOB",
    };
    let ring = instance.keyring(TenantId::PLATFORM).await?;
    let mut change = Change::begin_with(instance, Actor::System(&request), TenantId::PLATFORM, ring).await?;
    change.rows().forget_blocks(now).await?;
    match change.rows().insert_block(&block).await {
        Err(StoreError::Taken(_)) => return Ok(false),
        done => done?,
    }
    let event = Event::new(EventKind::AddressBlocked)
        .on("ip_block", id)
        .with("prefix", Detail::Count(length.into()))
        .with("automatic", Detail::Count(1))
        .with("seconds", Detail::Count(seconds.into()))
        .personal("network", network.to_string())
        .personal("reason", REASON.to_owned());
    change.commit(event).await?;
    tracing::warn!(ip_block.id = %id, seconds, "Blocked an address that limits refused again and again, as `{id}`");
    Ok(true)
}
