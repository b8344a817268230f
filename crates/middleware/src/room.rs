//! Room for bodies that are read here, so that all of them at once take no more memory than there is for them.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Room for the bodies that are read in one place. Short ones need none; of what is longer it has so many pieces.
#[derive(Debug)]
pub struct Room(Semaphore);

/// What one body takes of it; free again when dropped.
#[derive(Debug)]
pub struct Taken {
    room: &'static Room,
    pieces: Vec<SemaphorePermit<'static>>,
}

impl Room {
    /// So much of a body is read without asking for room: whoever sends it may be nobody we know, and send many.
    pub const FREE: usize = 64 * 1024;
    /// As long as a piece is.
    pub const PIECE: usize = 256 * 1024;

    /// Of so many pieces.
    pub const fn of(pieces: usize) -> Self {
        Self(Semaphore::const_new(pieces))
    }

    /// For a body of which nothing came yet.
    pub const fn begin(&'static self) -> Taken {
        Taken { room: self, pieces: Vec::new() }
    }

    /// How many pieces nobody takes.
    pub fn free(&self) -> usize {
        self.0.available_permits()
    }
}

impl Taken {
    /// Takes as much as a body of this length needs; says whether there is so much. Asked as it comes, so that nobody has room by
    /// announcing.
    #[must_use]
    pub fn grow_to(&mut self, length: usize) -> bool {
        while length > Room::FREE + Room::PIECE * self.pieces.len() {
            match self.room.0.try_acquire() {
                Ok(piece) => self.pieces.push(piece),
                Err(_) => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_bodies_take_room_as_they_come_and_give_it_back() {
        static ROOM: Room = Room::of(3);
        let (mut short, mut long, mut other) = (ROOM.begin(), ROOM.begin(), ROOM.begin());
        assert!(short.grow_to(Room::FREE) && ROOM.free() == 3, "a short one needs none");
        assert!(long.grow_to(Room::FREE + 1) && ROOM.free() == 2);
        assert!(long.grow_to(Room::FREE + 2 * Room::PIECE) && ROOM.free() == 1, "and no more than it needs");
        assert!(!other.grow_to(Room::FREE + 2 * Room::PIECE));
        drop(other);
        assert_eq!(ROOM.free(), 1, "what was refused takes none");
        drop(long);
        assert_eq!(ROOM.free(), 3);
    }
}
