//! Targets for fuzzing: each takes any bytes and panics where a promise does not hold.
//!
//! Not crashing is the least of it. A target also says what must be true of bytes that are accepted: they are the one
//! spelling of what they mean, and nothing opens but what was sealed.
#![expect(clippy::unwrap_used, reason = "a panic is how a target speaks")]

mod devices;
mod issuers;
mod keys;
mod sealed;
mod texts;

/// One target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// Takes any bytes.
    pub run: fn(&[u8]),
    /// Good inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "field", run: sealed::field, seeds: sealed::field_seeds },
    Target { name: "record", run: sealed::record, seeds: sealed::record_seeds },
    Target { name: "blob", run: sealed::blob, seeds: sealed::blob_seeds },
    Target { name: "wrap", run: sealed::wrap, seeds: sealed::wrap_seeds },
    Target { name: "legacy", run: sealed::legacy, seeds: sealed::legacy_seeds },
    Target { name: "private_key", run: keys::private, seeds: keys::private_seeds },
    Target { name: "public_key", run: keys::public, seeds: keys::public_seeds },
    Target { name: "jwk", run: keys::jwk, seeds: keys::jwk_seeds },
    Target { name: "canonical", run: texts::canonical, seeds: texts::canonical_seeds },
    Target { name: "document", run: texts::document, seeds: texts::document_seeds },
    Target { name: "signed", run: texts::signed, seeds: texts::signed_seeds },
    Target { name: "foreign_token", run: issuers::foreign_token, seeds: issuers::foreign_token_seeds },
    Target { name: "key_set", run: issuers::key_set, seeds: issuers::key_set_seeds },
    Target { name: "app_attest", run: devices::app_attest, seeds: devices::app_attest_seeds },
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|target| target.name == name)
}
