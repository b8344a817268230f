//! Room for bodies that are read here, so that all of them at once take no more memory than there is for them.

use std::net::IpAddr;

use chancery_domain::{TenantId, ids::WebhookSourceId};
use ipnet::IpNet;

use crate::{
    places::networks,
    shares::{Shares, part},
};

/// Room for the bodies that are read in one place. Short ones need none; of what is longer it has so many pieces.
#[derive(Debug)]
pub struct Room {
    pieces: usize,
    shares: Shares<Who>,
}

/// Who has no more than a part of a room: whoever sends to one keeps none from the others.
#[derive(Debug, Clone, Copy)]
pub struct Party {
    who: Who,
    parts: usize,
}

/// Whose bodies are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Everyone,
    Tenant(TenantId),
    Source(WebhookSourceId),
    Network(IpNet),
}

impl Party {
    /// A tenant, which has a half.
    pub const fn tenant(id: TenantId) -> Self {
        Self { who: Who::Tenant(id), parts: 2 }
    }

    /// A source of webhooks, which has a quarter.
    pub const fn source(id: WebhookSourceId) -> Self {
        Self { who: Who::Source(id), parts: 4 }
    }

    /// Those that a client at this address counts for, with the parts that they have of [places](crate::Places).
    pub fn client(address: Option<IpAddr>) -> Vec<Self> {
        let party = |(network, parts)| Self { who: Who::Network(network), parts };
        address.into_iter().flat_map(networks).map(party).collect()
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
        Self { pieces, shares: Shares::untaken() }
    }

    /// For a body of which nothing came yet, and which is for these.
    pub const fn begin(&'static self, of: Vec<Party>) -> Taken {
        Taken { room: self, pieces: 0, of }
    }

    /// How many pieces nobody takes.
    pub fn free(&self) -> usize {
        self.pieces.saturating_sub(self.shares.held_by(&Who::Everyone))
    }
}

impl Taken {
    /// Takes as much as a body of this length needs; says whether there is so much. Asked as it comes, so that nobody has room by
    /// announcing.
    #[must_use]
    pub fn grow_to(&mut self, length: usize) -> bool {
        let more = length.saturating_sub(Room::FREE).div_ceil(Room::PIECE).saturating_sub(self.pieces);
        let taken = more == 0 || self.room.shares.take(more, self.holders());
        if taken {
            self.pieces += more;
        }
        taken
    }

    /// Who holds what it takes, and how much each may hold.
    fn holders(&self) -> impl Iterator<Item = (Who, usize)> + Clone {
        let whole = self.room.pieces;
        let parties = self.of.iter().map(move |party| (party.who, part(whole, party.parts)));
        parties.chain([(Who::Everyone, whole)])
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.pieces > 0 {
            self.room.shares.give_back(self.pieces, self.holders().map(|(who, _)| who));
        }
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
                Party::tenant(TenantId::from_bytes([tenant; 16])),
                Party::source(WebhookSourceId::from_bytes([source; 16])),
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
        assert!(ROOM.free() == 8 && ROOM.shares.held().is_empty());
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
        assert!(ROOM.free() == 16 && ROOM.shares.held().is_empty());
    }

    /// A client's share of a small room was no piece at all, so that nobody had any.
    #[test]
    fn a_share_of_a_small_room_is_a_piece() {
        static ROOM: Room = Room::of(3);
        let [mut one, mut same] = [(); 2].map(|()| ROOM.begin(Party::client(Some("192.0.2.1".parse().unwrap()))));
        assert!(one.grow_to(Room::FREE + 1) && !same.grow_to(Room::FREE + 1));
    }
}
