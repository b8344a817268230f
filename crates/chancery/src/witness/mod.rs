//! A small witness for tests and small installations: signs the heads of logs that it saw to have grown only
//! ([C2SP tlog-witness](https://c2sp.org/tlog-witness)). It knows nothing of Chancery but this protocol.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Result, ensure};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use chancery_crypto::{
    Ed25519SigningKey,
    checkpoint::{Checkpoint, VerifierKey},
    cosignature::{AddCheckpoint, CosignerKey, cosign},
    merkle,
};
use chancery_domain::Clock as _;

use crate::clock::SystemClock;

mod client;
mod state;

pub use client::HttpWitness;
use state::State as Seen;

/// A request is a few kilobytes.
const BODY_MAX: usize = 64 * 1024;

/// A witness: its key, the logs whose keys it trusts, and what it saw of them.
pub struct LocalWitness {
    name: String,
    key: Ed25519SigningKey,
    logs: Vec<VerifierKey>,
    seen: Mutex<Seen>,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// 200: signed.
    Cosigned(String),
    /// 409: the head that was seen last has this size.
    SawLast(u64),
    /// Any other status.
    Refused(StatusCode),
}

impl LocalWitness {
    /// With the state in this file, which is made if it is not there and locked while this lives.
    ///
    /// # Errors
    ///
    /// If the file is another process's, or damaged.
    pub fn open(name: &str, key: Ed25519SigningKey, logs: Vec<VerifierKey>, state: &Path) -> Result<Self> {
        ensure!(!logs.is_empty(), "name at least one log with --log");
        CosignerKey::new(name, key.public())?;
        Ok(Self { name: name.to_owned(), key, logs, seen: Mutex::new(Seen::open(state)?) })
    }

    /// Judges a request and, if it is good, remembers its head before it signs: one at a time, so that no head is signed after
    /// a larger one.
    ///
    /// # Errors
    ///
    /// If the head could not be remembered; then nothing is signed.
    pub fn add(&self, body: &[u8], seconds: u64) -> Result<Verdict> {
        let Some(request) = std::str::from_utf8(body).ok().and_then(|text| AddCheckpoint::parse(text).ok()) else {
            return Ok(Verdict::Refused(StatusCode::BAD_REQUEST));
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let head = request.checkpoint.checkpoint();
        if let Some(verdict) = judge(&self.logs, seen.last(&head.origin), &request) {
            return Ok(verdict);
        }
        seen.remember(&request.checkpoint)?;
        Ok(Verdict::Cosigned(cosign(head, &self.key, &self.name, seconds)?))
    }
}

/// Why a request is not to be signed; `None` if it is.
fn judge(logs: &[VerifierKey], last: Option<&Checkpoint>, request: &AddCheckpoint) -> Option<Verdict> {
    let head = request.checkpoint.checkpoint();
    let refused = |status| Some(Verdict::Refused(status));
    let mut trusted = logs.iter().filter(|key| key.name() == head.origin).peekable();
    if trusted.peek().is_none() {
        return refused(StatusCode::NOT_FOUND);
    }
    if !trusted.any(|key| request.checkpoint.verify(key).is_ok()) {
        return refused(StatusCode::FORBIDDEN);
    }
    if request.old > head.size {
        return refused(StatusCode::BAD_REQUEST);
    }
    let (size, root) = last.map_or((0, merkle::EMPTY), |last| (last.size, last.root));
    if request.old != size || (size == head.size && last.is_some() && root != head.root) {
        return Some(Verdict::SawLast(size));
    }
    let grown = merkle::verify_consistency(size, head.size, &root, &head.root, &request.proof);
    if grown.is_err() { refused(StatusCode::UNPROCESSABLE_ENTITY) } else { None }
}

/// The protocol over HTTP.
pub fn router(witness: Arc<LocalWitness>) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(witness)
}

async fn add_checkpoint(State(witness): State<Arc<LocalWitness>>, body: Bytes) -> Response {
    let seconds = u64::try_from(SystemClock.now().as_seconds()).unwrap_or_default();
    // It waits for a disk.
    let verdict = tokio::task::spawn_blocking(move || witness.add(&body, seconds)).await;
    match verdict {
        Ok(Ok(Verdict::Cosigned(line))) => (StatusCode::OK, line).into_response(),
        Ok(Ok(Verdict::SawLast(size))) => {
            (StatusCode::CONFLICT, [(header::CONTENT_TYPE, "text/x.tlog.size")], format!("{size}\n")).into_response()
        }
        Ok(Ok(Verdict::Refused(status))) => status.into_response(),
        Ok(Err(error)) => {
            tracing::error!(error = format!("{error:#}"), "Could not remember a head; it is not signed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use chancery_crypto::{
        checkpoint::SignedCheckpoint,
        merkle::{Hash, leaf_hash},
        tiles::{Tiles, TreeBuilder},
    };

    use super::*;

    const LOG: &str = "chancery.example/t/7f3c";

    fn log_key(seed: u8) -> Ed25519SigningKey {
        Ed25519SigningKey::from_seed(&[seed; 32]).unwrap()
    }

    /// A log of so many entries; those from `differs` on are another history's.
    fn log(size: u64, differs: u64) -> (Tiles, Hash) {
        let mut tree = TreeBuilder::resume(0, Tiles::default()).unwrap();
        for number in 0..size {
            tree.push(leaf_hash(&[number.to_be_bytes(), u64::from(number >= differs).to_be_bytes()].concat()));
        }
        let grown = tree.finish().unwrap();
        let mut tiles = Tiles::default();
        grown.tiles.iter().for_each(|(tile, bytes)| tiles.insert(*tile, bytes).unwrap());
        (tiles, grown.root)
    }

    fn request(old: u64, size: u64, differs: u64) -> AddCheckpoint {
        let (tiles, root) = log(size, differs);
        let head = Checkpoint { origin: LOG.to_owned(), size, root };
        let checkpoint = SignedCheckpoint::sign(&head, &log_key(1), LOG).unwrap();
        AddCheckpoint { old, proof: tiles.consistency_proof(old.min(size), size).unwrap(), checkpoint }
    }

    fn witness(state: &Path) -> LocalWitness {
        let trusted = VerifierKey::new(LOG, log_key(1).public()).unwrap();
        LocalWitness::open("witness.example/1", log_key(9), vec![trusted], state).unwrap()
    }

    fn asked(witness: &LocalWitness, request: &AddCheckpoint) -> Verdict {
        witness.add(request.to_text().as_bytes(), 1_700_000_000).unwrap()
    }

    #[test]
    fn what_grew_is_signed_and_remembered_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state.json");
        let key = CosignerKey::new("witness.example/1", log_key(9).public()).unwrap();
        let first = witness(&state);
        for (old, size) in [(0, 5), (5, 300), (300, 300)] {
            let request = request(old, size, u64::MAX);
            let Verdict::Cosigned(line) = asked(&first, &request) else { panic!("{old} {size}") };
            assert_eq!(key.verify(request.checkpoint.checkpoint(), &line), Ok(1_700_000_000));
        }
        drop(first);
        let again = witness(&state);
        assert_eq!(asked(&again, &request(0, 400, u64::MAX)), Verdict::SawLast(300));
        assert!(matches!(asked(&again, &request(300, 400, u64::MAX)), Verdict::Cosigned(_)));
    }

    #[test]
    fn a_forked_and_a_shortened_log_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let witness = witness(&folder.path().join("state.json"));
        assert!(matches!(asked(&witness, &request(0, 300, u64::MAX)), Verdict::Cosigned(_)));
        // Another history from entry 290 on, however its proof is made.
        let mut forked = request(300, 310, 290);
        assert_eq!(asked(&witness, &forked), Verdict::Refused(StatusCode::UNPROCESSABLE_ENTITY));
        forked.proof = request(300, 310, u64::MAX).proof;
        assert_eq!(asked(&witness, &forked), Verdict::Refused(StatusCode::UNPROCESSABLE_ENTITY));
        forked.proof.clear();
        assert_eq!(asked(&witness, &forked), Verdict::Refused(StatusCode::UNPROCESSABLE_ENTITY));
        // As large, and another one.
        assert_eq!(asked(&witness, &request(300, 300, 290)), Verdict::SawLast(300));
        // Put back to yesterday.
        assert_eq!(asked(&witness, &request(200, 200, u64::MAX)), Verdict::SawLast(300));
        assert_eq!(asked(&witness, &request(300, 200, u64::MAX)), Verdict::Refused(StatusCode::BAD_REQUEST));
        // None of that counted.
        assert!(matches!(asked(&witness, &request(300, 310, u64::MAX)), Verdict::Cosigned(_)));
    }

    #[test]
    fn strangers_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let witness = witness(&folder.path().join("state.json"));
        let head = |origin: &str| Checkpoint { origin: origin.to_owned(), size: 1, root: [1; 32] };
        let signed = |origin: &str, seed| {
            let checkpoint = SignedCheckpoint::sign(&head(origin), &log_key(seed), origin).unwrap();
            AddCheckpoint { old: 0, proof: vec![], checkpoint }
        };
        assert_eq!(asked(&witness, &signed("another.example", 1)), Verdict::Refused(StatusCode::NOT_FOUND));
        assert_eq!(asked(&witness, &signed(LOG, 2)), Verdict::Refused(StatusCode::FORBIDDEN));
        let proof = AddCheckpoint { proof: vec![[1; 32]], ..signed(LOG, 1) };
        assert_eq!(asked(&witness, &proof), Verdict::Refused(StatusCode::UNPROCESSABLE_ENTITY), "nothing to prove");
        assert_eq!(witness.add(b"old x\n\n", 1).unwrap(), Verdict::Refused(StatusCode::BAD_REQUEST));
        assert_eq!(witness.add(&[255], 1).unwrap(), Verdict::Refused(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn two_at_once_never_sign_a_smaller_head_after_a_larger_one() {
        let folder = tempfile::tempdir().unwrap();
        let witness = witness(&folder.path().join("state.json"));
        assert!(matches!(asked(&witness, &request(0, 3, u64::MAX)), Verdict::Cosigned(_)));
        let race: Vec<Verdict> = std::thread::scope(|scope| {
            let both = [5, 9].map(|size| {
                let (witness, request) = (&witness, request(3, size, u64::MAX));
                scope.spawn(move || asked(witness, &request))
            });
            both.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let signed = race.iter().filter(|verdict| matches!(verdict, Verdict::Cosigned(_))).count();
        assert_eq!(signed, 1, "the other one saw another head meanwhile: {race:?}");
    }

    #[test]
    fn a_second_process_does_not_share_the_state() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state.json");
        let first = witness(&state);
        let trusted = VerifierKey::new(LOG, log_key(1).public()).unwrap();
        assert!(LocalWitness::open("witness.example/1", log_key(9), vec![trusted], &state).is_err());
        drop(first);
        witness(&state);
    }
}
