//! The clock and the dice. This program is an edge, so it may ask for both; only here.

use std::fs::File;
use std::io::Read as _;

use anyhow::{Context as _, Result};
use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};

#[expect(clippy::disallowed_methods, reason = "this program is an edge, and this its clock")]
fn now() -> Timestamp {
    Timestamp::now()
}

/// The time, so many seconds from now, as the API takes it.
pub(crate) fn from_now(seconds: i64) -> Result<String> {
    let time = now().checked_add(SignedDuration::from_secs(seconds)).context("a time out of range")?;
    Ok(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// The date in UTC.
pub(crate) fn today() -> String {
    now().strftime("%Y-%m-%d").to_string()
}

/// Random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// 128 random bits as text.
pub(crate) fn random_hex() -> Result<String> {
    Ok(HEXLOWER.encode(&random::<16>()?))
}
