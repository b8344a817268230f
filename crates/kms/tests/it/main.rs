//! Key providers: the port's contract, and what each demands of its key.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test that calls them")]
#![cfg_attr(
    feature = "full",
    expect(clippy::indexing_slicing, reason = "helpers of tests fail the test that calls them"),
    expect(clippy::print_stderr, reason = "a skipped test says so")
)]

#[cfg(feature = "full")]
mod aws;
#[cfg(feature = "full")]
mod azure;
mod conformance;
#[cfg(feature = "full")]
mod google;
mod local;
#[cfg(feature = "full")]
mod pkcs11;
mod recovery;
#[cfg(feature = "full")]
mod secrets;
#[cfg(feature = "full")]
mod servers;
mod shares;
#[cfg(feature = "full")]
mod vault;
