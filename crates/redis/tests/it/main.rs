//! The adapter against a real Redis: the contracts of its ports, and bad days.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod bad_days;
mod cluster;
mod conformance;
mod herald;
mod nodes;
mod shelf;
mod slow;
mod speed;
mod tls;
