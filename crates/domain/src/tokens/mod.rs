//! Access tokens: RFC 9068, signed by the platform, 5 to 15 minutes long (ADR 0015).
//!
//! A person's token names its session in `sid` and was given by a login or a refresh. A client's token names an API key, twice:
//! in `sub` and in `client_id`. Prefixes keep the two apart, so neither can pass as the other.

mod algorithm;
mod assertion;
mod claims;
mod client;
mod dpop;
mod introspect;
mod issue;
mod keys;
mod revoke;
mod verify;

pub use algorithm::TokenAlgorithm;
pub use assertion::{ASSERTION_SECONDS, Onward, assert_onward};
pub use client::{ClientGrantError, Wanted, grant};
pub use dpop::{HeldKey, PresentedProof, ProofWrites, check_proof};
pub(crate) use dpop::{ProofError, take, take_proof};
pub use introspect::{ActiveToken, TokenKind, introspect};
pub use issue::{AccessToken, Client, Holder, issue, issue_to_client};
pub use keys::public_keys;
pub use revoke::{RevokedToken, revoke};
pub(crate) use verify::check_form;
pub use verify::{Verified, Who, verify};

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// The longest life of an access token, in seconds.
pub const MAX_SECONDS: i64 = 15 * 60;
/// The client of people's tokens: the login endpoint itself.
pub const FIRST_PARTY: &str = "chancery";
/// The media type in `typ` (RFC 9068 §2.1).
const TYPE: &str = "at+jwt";
/// How far clocks may differ, in seconds.
const SKEW_SECONDS: i64 = 5;
