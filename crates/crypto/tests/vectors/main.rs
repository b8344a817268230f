//! Our own vectors, one file per format, in `testdata/vectors/chancery/`. They are published: other implementations test against them.
//!
//! `cargo test -p chancery-crypto --test vectors` compares the files with what the code produces; `UPDATE_VECTORS=1` writes them anew.
//! A difference means that stored data of users would stop opening or verifying.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first error"
)]

mod logs;
mod rows;
mod sealed;
mod shares;
mod signed;

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};

use chancery_crypto::{Random, RandomError};
use data_encoding::HEXLOWER;
use serde_json::Value;

macro_rules! vectors {
    ($($name:ident => $file:literal, $make:path;)*) => {
        $(#[test]
        fn $name() {
            check($file, &$make());
        })*

        #[test]
        fn every_file_is_made_here() {
            let mut found: Vec<String> =
                std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            let mut wanted = vec!["README.md", $(concat!($file, ".json")),*];
            found.sort();
            wanted.sort_unstable();
            assert_eq!(found, wanted);
        }
    };
}

vectors! {
    sealed_fields => "field", sealed::field;
    sealed_rows => "record", rows::record;
    sealed_blobs => "blob", rows::blob;
    keys_in_shares => "share", shares::shares;
    wrapped_keys => "wrap", sealed::wrap;
    derived_keys => "derive", sealed::derive;
    terms => "blind-index", sealed::blind_index;
    commitments => "commitment", sealed::commitments;
    codes => "mac", sealed::mac;
    canonical_json => "canonical", signed::canonical_json;
    jwk_thumbprints => "jwk", signed::jwk;
    strict_ed25519 => "ed25519", signed::ed25519;
    dsse_envelopes => "dsse", signed::dsse;
    merkle_trees => "merkle", logs::merkle;
    checkpoints => "checkpoint", logs::checkpoint;
    log_proofs => "tlog-proof", logs::tlog_proof;
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/vectors/chancery"))
}

fn check(name: &str, made: &Value) {
    let path = folder().join(format!("{name}.json"));
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(made).unwrap() + "\n").unwrap();
    }
    let stored: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(stored == *made, "{name}.json differs from what the code makes");
}

/// Hands out 00 01 02 …, going on where the last call stopped.
#[derive(Default)]
struct Counting(AtomicU8);

impl Random for Counting {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        for byte in out {
            *byte = self.0.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// The name of the error that `result` is: part of the vectors, spelled as the variant.
fn refusal<T: Debug, E: Debug>(result: Result<T, E>) -> String {
    format!("{:?}", result.expect_err("a refused case must be refused"))
}

/// `bytes` with one bit changed.
fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    *bytes.get_mut(at).expect("a byte to flip") ^= 1;
    bytes
}
