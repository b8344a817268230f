//! The gateway in front of real applications, over real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test that calls them"
)]

mod application;
mod headers;
mod modes;
mod once;
mod paths;
mod smuggling;
mod stage;
mod streams;
mod websockets;
