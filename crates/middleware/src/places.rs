//! Places for requests at work: so many at once, and so many of them of one client, so that no client takes them all.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One client has at most one of so many places.
const CLIENTS: usize = 8;

/// The places.
pub(crate) struct Places {
    free: Arc<Semaphore>,
    each: usize,
    held: Mutex<HashMap<IpAddr, usize>>,
}

/// One of them; free again when dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    client: Option<IpAddr>,
    _place: OwnedSemaphorePermit,
}

impl Places {
    pub(crate) fn new(count: usize) -> Arc<Self> {
        let each = (count / CLIENTS).max(1);
        Arc::new(Self { free: Arc::new(Semaphore::new(count)), each, held: Mutex::default() })
    }

    /// One for a request of this address, unless all are taken or the address has its share.
    pub(crate) fn take(places: &Arc<Self>, address: Option<IpAddr>) -> Option<Place> {
        let place = Arc::clone(&places.free).try_acquire_owned().ok()?;
        let client = address.map(client);
        if let Some(client) = client {
            let mut held = places.held.lock().unwrap_or_else(PoisonError::into_inner);
            let count = held.entry(client).or_default();
            if *count >= places.each {
                return None;
            }
            *count += 1;
        }
        Some(Place { places: Arc::clone(places), client, _place: place })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(client) = self.client else { return };
        let mut held = self.places.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.get_mut(&client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                held.remove(&client);
            }
        }
    }
}

/// Who has one address of IPv6 has its whole /64.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack 6.3: 21 connections without a credential took every place.
    #[test]
    fn one_client_never_takes_all_places() {
        let places = Places::new(16);
        let take = |address: &str| Places::take(&places, Some(address.parse().unwrap()));
        let (one, two) = (take("192.0.2.1").unwrap(), take("::ffff:192.0.2.1").unwrap());
        assert!(take("192.0.2.1").is_none());
        let network = [take("2001:db8::1").unwrap(), take("2001:db8::2").unwrap()];
        assert!(take("2001:db8:0:0:ffff::").is_none(), "its /64 is one client");
        assert!(take("2001:db8:0:1::").is_some());
        drop(one);
        assert!(take("192.0.2.1").is_some(), "and that one is free again");
        drop((two, network));
        assert!(places.held.lock().unwrap().is_empty(), "nobody is remembered");
        let all: Vec<_> = (0..16).map(|_| Places::take(&places, None).unwrap()).collect();
        assert!(take("192.0.2.1").is_none() && all.len() == 16);
        assert!(places.held.lock().unwrap().is_empty());
    }
}
