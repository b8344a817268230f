//! Which copies of keys there are outside the store.

use chancery_domain::keyring::{BackupState, KeyCopy};

use super::{Backend, begin, changed, commit, view};
use crate::samples::{NOW, OURS, THEIRS, key};

fn copy(location: &str, version: Option<u32>) -> KeyCopy {
    let verified = version.is_some();
    KeyCopy {
        key: key(1).id,
        location: location.to_owned(),
        state: if verified { BackupState::Verified } else { BackupState::Claimed },
        version,
        at: verified.then_some(NOW),
        by: verified.then(|| "usr_a".to_owned()),
    }
}

/// They come by location, one for each.
pub async fn copies_read_back(store: &impl Backend) {
    let (told, made, anew) = (copy("", None), copy("vault", Some(1)), copy("vault", Some(3)));
    let elsewhere = KeyCopy { key: key(2).id, ..made.clone() };
    commit!(store, OURS, .put_key_copy(&made) .put_key_copy(&told) .put_key_copy(&elsewhere));
    assert_eq!(view(store, OURS).await.key_copies(made.key).await.unwrap(), [told.clone(), made]);
    commit!(store, OURS, .put_key_copy(&anew));
    assert_eq!(view(store, OURS).await.key_copies(anew.key).await.unwrap(), [told, anew]);
}

/// One that was made anew meanwhile stays known.
pub async fn only_the_copy_that_was_seen_is_forgotten(store: &impl Backend) {
    let (old, told) = (copy("vault", Some(1)), copy("", None));
    let anew = KeyCopy { at: Some(NOW.plus_seconds(1)), ..old.clone() };
    commit!(store, OURS, .put_key_copy(&anew) .put_key_copy(&told));
    assert!(changed(begin(store, OURS).await.remove_key_copy(&old).await, "key_copy"));
    assert!(changed(begin(store, THEIRS).await.remove_key_copy(&anew).await, "key_copy"));
    commit!(store, OURS, .remove_key_copy(&anew) .remove_key_copy(&told));
    assert_eq!(view(store, OURS).await.key_copies(old.key).await.unwrap(), []);
}

/// The rows of one tenant are out of sight for another.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    let copy = copy("vault", Some(1));
    commit!(store, OURS, .put_key_copy(&copy));
    assert_eq!(view(store, THEIRS).await.key_copies(copy.key).await.unwrap(), []);
}
