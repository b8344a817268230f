//! Remembered creations.

use super::{Backend, begin, commit, taken, view};
use crate::samples::{NOW, OURS, THEIRS, remembered};

/// Nothing of an entry is lost.
pub async fn an_entry_reads_back(store: &impl Backend) {
    commit!(store, OURS, .remember(&remembered(1)));
    let mut view = view(store, OURS).await;
    assert_eq!(view.remembered(&remembered(1).key).await.unwrap(), Some(remembered(1)));
    assert_eq!(view.remembered(&remembered(2).key).await.unwrap(), None);
}

/// The rows of one tenant are out of sight and out of reach for another.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    commit!(store, OURS, .remember(&remembered(1)));
    commit!(store, THEIRS, .forget_remembered_before(NOW.plus_seconds(100)));
    assert_eq!(view(store, THEIRS).await.remembered(&remembered(1).key).await.unwrap(), None);
    assert_eq!(view(store, OURS).await.remembered(&remembered(1).key).await.unwrap(), Some(remembered(1)));
}

/// Of two requests with one key the second loses.
pub async fn a_key_is_taken_once(store: &impl Backend) {
    commit!(store, OURS, .remember(&remembered(1)));
    assert!(taken(begin(store, OURS).await.remember(&remembered(1)).await, "idempotency_key"));
    commit!(store, THEIRS, .remember(&remembered(1)));
}

/// Older ones go, the one made at that very moment stays.
pub async fn old_entries_are_forgotten(store: &impl Backend) {
    commit!(store, OURS, .remember(&remembered(1)) .remember(&remembered(2)));
    commit!(store, OURS, .forget_remembered_before(remembered(2).created_at));
    let mut view = view(store, OURS).await;
    assert_eq!(view.remembered(&remembered(1).key).await.unwrap(), None);
    assert_eq!(view.remembered(&remembered(2).key).await.unwrap(), Some(remembered(2)));
}
