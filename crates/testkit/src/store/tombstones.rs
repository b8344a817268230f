//! What is left of destroyed keys.

use super::{Backend, begin, commit, taken, view};
use crate::samples::{OURS, THEIRS, tenant_key, tombstone};

/// Nothing of a tombstone is lost.
pub async fn a_tombstone_reads_back(store: &impl Backend) {
    commit!(store, OURS, .insert_tombstone(&tombstone(2)) .insert_tombstone(&tombstone(1)));
    assert_eq!(view(store, OURS).await.tombstones().await.unwrap(), [tombstone(1), tombstone(2)]);
}

/// Each destroyed key counts once, a rotated tenant key too; another tenant's do not.
pub async fn destroyed_keys_are_counted(store: &impl Backend) {
    commit!(store, OURS, .insert_tombstone(&tombstone(1)) .insert_tombstone(&tombstone(2)) .insert_tenant_key(&tenant_key(1)));
    assert_eq!(view(store, OURS).await.destroyed_keys().await.unwrap(), 2);
    commit!(store, OURS, .supersede_tenant_key(1) .destroy_tenant_key(1));
    assert_eq!(view(store, OURS).await.destroyed_keys().await.unwrap(), 3);
    assert_eq!(view(store, THEIRS).await.destroyed_keys().await.unwrap(), 0);
}

/// The rows of one tenant are out of sight for another.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    commit!(store, OURS, .insert_tombstone(&tombstone(1)));
    assert_eq!(view(store, THEIRS).await.tombstones().await.unwrap(), []);
}

/// A key dies once.
pub async fn a_key_has_one(store: &impl Backend) {
    commit!(store, OURS, .insert_tombstone(&tombstone(1)));
    assert!(taken(begin(store, OURS).await.insert_tombstone(&tombstone(1)).await, "tombstone"));
    commit!(store, THEIRS, .insert_tombstone(&tombstone(1)));
}
