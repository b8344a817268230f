//! What nodes share over Redis 7 or newer: limits, replays, word of revocations, sealed API keys.
//!
//! Redis is never the record of anything. Lost, slow, flushed or restarted, it makes limits stricter and nothing wrong: each node goes on
//! with counts of its own (`docs/guides/limits.md`). What must be remembered to be safe is refused while it cannot be.
#![forbid(unsafe_code)]

mod address;
mod batch;
mod connection;
mod denied;
mod herald;
mod ladders;
mod limiter;
mod link;
mod replays;
mod script;
mod shelf;
mod slots;
#[cfg(feature = "testing")]
pub mod testing;

pub use address::{Address, BadAddress};
pub use herald::{Cleared, Forgotten, Herald, Word};
pub use ladders::RedisLadders;
pub use limiter::RedisLimiter;
pub use link::{Link, Options, Refused};
pub use replays::RedisReplays;
pub use shelf::RedisShelf;
