//! Places: so many at once, and so many of them of one client, so that no client takes them all.
//!
//! A request has a [`Place`] from before anybody asks who calls until the head of its answer. What of an answer goes on behind its head
//! says so in its extensions, where the listener looks when it takes the answer's body:
//!
//! | | what is held | until |
//! | --- | --- | --- |
//! | [`Place`] | one of so many | it is dropped |
//! | [`Holds`] | anything, such as the place of a stream, of which a gateway has places of their own | the body is gone |
//! | [`KeepsPlace`] | the request's own place: [`around`](crate::around) makes a [`Holds`] of it | the body is gone |
//!
//! None of them keeps a connection: that is a [`Busy`](crate::listener::Busy), by which the listener knows that a connection does not
//! idle, and which takes nobody's place.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::shares::{Shares, part};

/// Places for what is at work.
pub struct Places {
    /// Those that are free.
    pub(crate) free: Arc<Semaphore>,
    count: usize,
    shares: Arc<Shares<IpNet>>,
}

/// One of them; free again when dropped.
#[must_use]
pub struct Place {
    // First: whoever waits for the place finds its share free too.
    _share: Share,
    _place: OwnedSemaphorePermit,
}

impl Places {
    /// So many.
    pub fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), count, shares: Arc::new(Shares::untaken()) }
    }

    /// One for this address, unless all are taken or it has its share. Who has no address takes of nobody's.
    pub fn take(&self, address: Option<IpAddr>) -> Option<Place> {
        self.give(Arc::clone(&self.free).try_acquire_owned().ok()?, address)
    }

    /// This free one for this address, unless it has its share.
    pub(crate) fn give(&self, free: OwnedSemaphorePermit, address: Option<IpAddr>) -> Option<Place> {
        let holders = address.into_iter().flat_map(networks).map(|(network, parts)| (network, part(self.count, parts)));
        let taken = self.shares.take(1, holders);
        taken.then(|| Place { _share: Share { shares: Arc::clone(&self.shares), address }, _place: free })
    }
}

/// In the extensions of a forwarded answer: the place of its request is held until its body is gone.
#[derive(Debug, Clone, Copy)]
pub struct KeepsPlace;

/// In the extensions of an answer: what is held until its body is gone. Over HTTP/2 that is when its client has taken or refused all of
/// it, and not when its source was cut: a piece of it lies in memory until then.
#[derive(Clone)]
pub struct Holds {
    _held: Arc<dyn Send + Sync>,
}

impl Holds {
    /// This.
    pub fn new(held: impl Send + Sync + 'static) -> Self {
        Self { _held: Arc::new(held) }
    }
}

/// One thing of a client's share; back when dropped.
struct Share {
    shares: Arc<Shares<IpNet>>,
    address: Option<IpAddr>,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shares.give_back(1, self.address.into_iter().flat_map(networks).map(|(network, _)| network));
    }
}

/// The networks that an address counts for, and which part of the whole each may have: an eighth, as one client. A home is given a /56
/// of IPv6; who has a /48 has 256 of those, which have a quarter together.
pub(crate) fn networks(address: IpAddr) -> impl Iterator<Item = (IpNet, usize)> + Clone {
    let address = address.to_canonical();
    let parts: &[(u8, usize)] = if address.is_ipv4() { &[(32, 8)] } else { &[(56, 8), (48, 4)] };
    parts.iter().filter_map(move |(bits, parts)| Some((IpNet::new(address, *bits).ok()?.trunc(), *parts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 21 connections without a credential took every place.
    #[test]
    fn one_client_never_takes_all_places() {
        let places = Places::new(16);
        let take = |address: &str| places.take(Some(address.parse().unwrap()));
        let (one, two) = (take("192.0.2.1").unwrap(), take("::ffff:192.0.2.1").unwrap());
        assert!(take("192.0.2.1").is_none());
        assert!(take("192.0.2.2").is_some());
        drop(one);
        assert!(take("192.0.2.1").is_some(), "and that one is free again");
        drop(two);
        assert!(places.shares.held().is_empty(), "nobody is remembered");
        let all: Vec<_> = (0..16).map(|_| places.take(None).unwrap()).collect();
        assert!(take("192.0.2.1").is_none() && all.len() == 16);
        assert!(places.shares.held().is_empty());
    }

    /// Eight /64s of one customer were eight clients, which took every place.
    #[test]
    fn whoever_has_a_network_of_ipv_6_is_one_client() {
        let places = Places::new(16);
        let take = |address: &str| places.take(Some(address.parse().unwrap()));
        let home = [take("2001:db8:0:1::1").unwrap(), take("2001:db8:0:ff::2").unwrap()];
        assert!(take("2001:db8:0:2::1").is_none(), "its /56 has its share");
        let neighbour = [take("2001:db8:0:100::1").unwrap(), take("2001:db8:0:200::1").unwrap()];
        assert!(take("2001:db8:0:300::1").is_none(), "their /48 has its share");
        assert!(take("2001:db8:1::1").is_some(), "the next one has its own");
        drop(neighbour);
        assert!(take("2001:db8:0:300::1").is_some(), "what was refused took nothing");
        drop(home);
        assert!(places.shares.held().is_empty(), "nobody is remembered");
    }
}
