//! Addresses from which users have logged in, as they are stored: a restart forgets none of them.
//!
//! No address is stored, only a MAC of it under a key of the tenant's: with that key its meaning goes. Whatever becomes of the rows,
//! failures are counted as of an unknown address: stricter, not wrong.

use std::net::IpAddr;

use super::KNOWN;
use crate::{
    Instance,
    ids::{TenantId, UserId},
    instance::Failure,
    limits::subject_of,
};

/// How many of one user are stored: those of the last logins.
const MOST: u32 = 16;
/// How old a row may be that a login leaves as it is.
const FRESH_SECONDS: i64 = 86_400;

/// Whether a user has logged in from this address within [`KNOWN`] seconds. Asked for names that nobody has too, under an id that
/// nobody has: the same work.
pub(super) async fn is_known(
    instance: &Instance,
    tenant: TenantId,
    user: UserId,
    address: Option<IpAddr>,
) -> Result<bool, Failure> {
    let Some(address) = mark(instance, tenant, user, address).await? else { return Ok(false) };
    let until = instance.store().view(tenant).await?.known_address(user, &address).await?;
    Ok(until.is_some_and(|until| instance.now() < until))
}

/// Remembers that a user has logged in from this address.
pub(super) async fn remember(
    instance: &Instance,
    tenant: TenantId,
    user: UserId,
    address: Option<IpAddr>,
) -> Result<(), Failure> {
    let Some(address) = mark(instance, tenant, user, address).await? else { return Ok(()) };
    let now = instance.now();
    let known = instance.store().view(tenant).await?.known_address(user, &address).await?;
    if known.is_some_and(|until| until > now.plus_seconds(KNOWN - FRESH_SECONDS)) {
        return Ok(());
    }
    let mut tx = instance.store().begin(tenant).await?;
    tx.forget_addresses(now).await?;
    tx.know_address(user, &address, now.plus_seconds(KNOWN), MOST).await?;
    Ok(tx.commit().await?)
}

/// What stands for an address of a user: of an IPv6 address for its network of 64 bits. Nothing where nobody knows the address.
async fn mark(
    instance: &Instance,
    tenant: TenantId,
    user: UserId,
    address: Option<IpAddr>,
) -> Result<Option<String>, Failure> {
    if address.is_none() {
        return Ok(None);
    }
    let subject = data_encoding::HEXLOWER.encode(&subject_of(address));
    let ring = instance.keyring(tenant).await?;
    Ok(Some(ring.reference("known_address", &format!("{user} {subject}"))?))
}
