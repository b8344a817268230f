//! Room for bodies that are read here, so that all of them at once take no more memory than there is for them.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use chancery_domain::{TenantId, ids::WebhookSourceId};
use ipnet::IpNet;

use crate::places::networks;

/// Room for the bodies that are read in one place. Short ones need none; of what is longer it has so many pieces.
#[derive(Debug)]
pub struct Room {
    pieces: usize,
    counts: Mutex<Counts>,
}

/// Pieces that are taken: in all, and for whom.
#[derive(Debug)]
struct Counts {
    all: usize,
    of: BTreeMap<Party, usize>,
}

/// Who has no more than a share of a room: whoever sends to one keeps none from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// A tenant has a half.
    Tenant(TenantId),
    /// A source of webhooks has a quarter.
    Source(WebhookSourceId),
    /// A client's network has one of so many parts.
    Network(IpNet, usize),
}

impl Party {
    /// Those that a client at this address counts for, with the parts that they have of [places](crate::Places).
    pub fn client(address: Option<IpAddr>) -> Vec<Self> {
        address.into_iter().flat_map(networks).map(|(network, parts)| Self::Network(network, parts)).collect()
    }
}

/// What one body takes of a room; free again when dropped.
#[derive(Debug)]
pub struct Taken {
    room: &'static Room,
    pieces: usize,
    of: Vec<Party>,
}

impl Room {
    /// So much of a body is read without asking for room: whoever sends it may be nobody we know, and send many.
    pub const FREE: usize = 64 * 1024;
    /// As long as a piece is.
    pub const PIECE: usize = 256 * 1024;

    /// Of so many pieces.
    pub const fn of(pieces: usize) -> Self {
        Self { pieces, counts: Mutex::new(Counts { all: 0, of: BTreeMap::new() }) }
    }

    /// For a body of which nothing came yet, and which is for these.
    pub const fn begin(&'static self, of: Vec<Party>) -> Taken {
        Taken { room: self, pieces: 0, of }
    }

    /// How many pieces nobody takes.
    pub fn free(&self) -> usize {
        self.pieces.saturating_sub(self.with(|counts| counts.all))
    }

    fn with<T>(&self, change: impl FnOnce(&mut Counts) -> T) -> T {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn share(&self, party: Party) -> usize {
        match party {
            Party::Tenant(_) => self.pieces / 2,
            Party::Source(_) => self.pieces / 4,
            Party::Network(_, parts) => self.pieces.checked_div(parts).unwrap_or_default(),
        }
    }
}

impl Taken {
    /// Takes as much as a body of this length needs; says whether there is so much. Asked as it comes, so that nobody has room by
    /// announcing.
    #[must_use]
    pub fn grow_to(&mut self, length: usize) -> bool {
        let more = length.saturating_sub(Room::FREE).div_ceil(Room::PIECE).saturating_sub(self.pieces);
        if more == 0 {
            return true;
        }
        let room = self.room;
        let taken = room.with(|counts| {
            let has_share =
                |party: &Party| counts.of.get(party).copied().unwrap_or(0).saturating_add(more) <= room.share(*party);
            if counts.all.saturating_add(more) > room.pieces || !self.of.iter().all(has_share) {
                return false;
            }
            counts.all += more;
            for party in &self.of {
                *counts.of.entry(*party).or_default() += more;
            }
            true
        });
        if taken {
            self.pieces += more;
        }
        taken
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.pieces == 0 {
            return;
        }
        self.room.with(|counts| {
            counts.all = counts.all.saturating_sub(self.pieces);
            for party in &self.of {
                let left = counts.of.get(party).copied().unwrap_or(0).saturating_sub(self.pieces);
                match left {
                    0 => counts.of.remove(party),
                    left => counts.of.insert(*party, left),
                };
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_bodies_take_room_as_they_come_and_give_it_back() {
        static ROOM: Room = Room::of(3);
        let [mut short, mut long, mut other] = [(); 3].map(|()| ROOM.begin(Vec::new()));
        assert!(short.grow_to(Room::FREE) && ROOM.free() == 3, "a short one needs none");
        assert!(long.grow_to(Room::FREE + 1) && ROOM.free() == 2);
        assert!(long.grow_to(Room::FREE + 2 * Room::PIECE) && ROOM.free() == 1, "and no more than it needs");
        assert!(!other.grow_to(Room::FREE + 2 * Room::PIECE));
        drop(other);
        assert_eq!(ROOM.free(), 1, "what was refused takes none");
        drop(long);
        assert_eq!(ROOM.free(), 3);
    }

    #[test]
    fn a_source_has_a_quarter_and_a_tenant_half_and_the_others_have_theirs() {
        static ROOM: Room = Room::of(8);
        let of = |tenant, source| {
            let parties = [
                Party::Tenant(TenantId::from_bytes([tenant; 16])),
                Party::Source(WebhookSourceId::from_bytes([source; 16])),
            ];
            ROOM.begin(parties.into())
        };
        let long = |pieces: usize| Room::FREE + pieces * Room::PIECE;
        let (mut one, mut same, mut beside, mut third) = (of(1, 1), of(1, 1), of(1, 2), of(1, 3));
        assert!(one.grow_to(long(2)) && !one.grow_to(long(3)) && !same.grow_to(long(1)), "a quarter");
        assert!(beside.grow_to(long(2)) && !third.grow_to(long(1)), "a half");
        let mut other = of(2, 4);
        assert!(other.grow_to(long(2)) && ROOM.free() == 2, "another tenant has its own");
        drop(one);
        assert!(third.grow_to(long(1)) && ROOM.free() == 3);
        drop((same, beside, third, other));
        assert!(ROOM.free() == 8 && ROOM.with(|counts| counts.of.is_empty()));
    }

    #[test]
    fn a_client_has_an_eighth_and_those_of_its_network_a_quarter() {
        static ROOM: Room = Room::of(16);
        let of = |address: &str| ROOM.begin(Party::client(Some(address.parse().unwrap())));
        let long = |pieces: usize| Room::FREE + pieces * Room::PIECE;
        let (mut one, mut same, mut other) = (of("192.0.2.1"), of("::ffff:192.0.2.1"), of("192.0.2.2"));
        assert!(one.grow_to(long(2)) && !one.grow_to(long(3)) && !same.grow_to(long(1)), "an eighth");
        assert!(other.grow_to(long(2)), "another client has its own");
        let [mut home, mut neighbour, mut third] =
            ["2001:db8:0:1::1", "2001:db8:0:100::1", "2001:db8:0:200::1"].map(of);
        assert!(home.grow_to(long(2)) && neighbour.grow_to(long(2)) && !third.grow_to(long(1)), "a quarter");
        drop((one, same, other, home, neighbour, third));
        assert!(ROOM.free() == 16 && ROOM.with(|counts| counts.of.is_empty()));
    }
}
