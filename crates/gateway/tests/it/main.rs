//! The gateway in front of real applications, over real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test that calls them, and time is the machine's"
)]

mod application;
mod canaries;
mod demands;
mod failing;
mod headers;
mod health;
mod hooks;
mod limits;
mod modes;
mod once;
mod open;
mod paths;
mod places;
mod preflights;
mod smuggling;
mod stage;
mod streams;
mod trailers;
mod websockets;
