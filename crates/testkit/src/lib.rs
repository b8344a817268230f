//! One conformance suite per port, and the fakes. Development only.
//!
//! - [`store_conformance!`], [`key_provider_conformance!`], [`resident_keys_conformance!`], [`limiter_conformance!`], [`ladders_conformance!`] and
//!   [`replays_conformance!`] prove that an adapter keeps its port's contract.
//! - [`FixedClock`], [`CountingRandom`] and [`Faulty`] stand in for time, chance and bad luck.
//! - [`Token`] is an HSM in memory.
//! - `Raw`, with the feature `sql`, is whoever runs SQL in the store past us.
//! - [`authenticator`] is a browser with passkeys.
//! - [`canaries`] stand for a person, and are searched for.
//! - [`phone`] is a phone whose application sends health data.
//! - [`samples`] builds entities.
//!
//! There is no fake store: SQLite in memory is one, and it passed the conformance suite.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "development only: a case that cannot go on fails its test"
)]

pub mod authenticator;
pub mod canaries;
mod clock;
mod faulty;
pub mod key_provider;
pub mod ladders;
pub mod limiter;
pub mod phone;
mod random;
#[cfg(feature = "sql")]
mod raw;
pub mod replays;
pub mod resident_keys;
pub mod samples;
pub mod store;
mod token;

pub use clock::FixedClock;
pub use faulty::{Faults, Faulty};
pub use random::CountingRandom;
#[cfg(feature = "sql")]
pub use raw::Raw;
pub use token::Token;
