//! Key providers: the port's contract, and what each demands of its key.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test that calls them")]

mod conformance;
mod local;
mod recovery;
