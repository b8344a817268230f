//! Proofs of possession that were used.

use super::{Backend, begin, changed, commit};
use crate::samples::{NOW, OURS, THEIRS, digest};

/// Once, until it is forgotten.
pub async fn a_proof_is_used_once(store: &impl Backend) {
    let end = NOW.plus_seconds(60);
    commit!(store, OURS, .use_proof(&digest(1), end) .use_proof(&digest(2), end));
    assert!(changed(begin(store, OURS).await.use_proof(&digest(1), end).await, "proof"));
    commit!(store, OURS, .forget_proofs(end));
    assert!(changed(begin(store, OURS).await.use_proof(&digest(1), end).await, "proof"));
    commit!(store, OURS, .forget_proofs(end.plus_seconds(1)));
    commit!(store, OURS, .use_proof(&digest(1), end));
}

/// One that was used and rolled back was not used.
pub async fn what_was_not_committed_was_not_used(store: &impl Backend) {
    let mut tx = begin(store, OURS).await;
    tx.use_proof(&digest(1), NOW).await.unwrap();
    drop(tx);
    commit!(store, OURS, .use_proof(&digest(1), NOW));
}

/// The rows of one tenant are out of sight and reach for another.
pub async fn another_tenant_has_its_own(store: &impl Backend) {
    commit!(store, OURS, .use_proof(&digest(1), NOW));
    commit!(store, THEIRS, .use_proof(&digest(1), NOW) .forget_proofs(NOW.plus_seconds(1)));
    assert!(changed(begin(store, OURS).await.use_proof(&digest(1), NOW).await, "proof"));
}
