//! How programs log in.

use chancery_domain::access::Role;
use chancery_domain::store::ApiKeyEntry;

use super::{Backend, begin, changed, commit, taken, unavailable, view};
use crate::samples::{NOW, OURS, THEIRS, api_key, user};

/// Nothing of a key is lost.
pub async fn a_key_reads_back(store: &impl Backend) {
    let mut of_user = api_key(3);
    of_user.user = Some(user(1).id);
    commit!(store, OURS, .insert_user(&user(1)) .insert_api_key(&api_key(1)) .insert_api_key(&api_key(2)) .insert_api_key(&of_user));
    let mut view = view(store, OURS).await;
    for key in [api_key(1), api_key(2), of_user] {
        assert_eq!(view.api_key(key.id).await.unwrap(), Some(key));
    }
    assert_eq!(view.api_key(api_key(4).id).await.unwrap(), None);
}

/// Pages follow each other without a gap, ordered by id.
pub async fn keys_come_in_pages(store: &impl Backend) {
    commit!(store, OURS, .insert_api_key(&api_key(3)) .insert_api_key(&api_key(1)) .insert_api_key(&api_key(2)));
    let mut view = view(store, OURS).await;
    assert_eq!(view.api_keys(None, 2).await.unwrap(), [api_key(1), api_key(2)]);
    assert_eq!(view.api_keys(Some(api_key(2).id), 2).await.unwrap(), [api_key(3)]);
}

/// The rows of one tenant are out of sight for another.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    commit!(store, OURS, .insert_api_key(&api_key(1)));
    let mut view = view(store, THEIRS).await;
    assert_eq!(view.api_key(api_key(1).id).await.unwrap(), None);
    assert_eq!(view.api_keys(None, 10).await.unwrap(), []);
    assert_eq!(view.count_api_keys_with_role(Role::Service, NOW).await.unwrap(), 0);
}

/// And out of reach, in the directory too.
pub async fn another_tenant_does_not_change_it(store: &impl Backend) {
    commit!(store, OURS, .insert_api_key(&api_key(1)));
    let mut tx = begin(store, THEIRS).await;
    assert!(changed(tx.revoke_api_key(api_key(1).id, NOW).await, "api_key"));
    tx.commit().await.unwrap();
    assert!(!store.api_key(api_key(1).id).await.unwrap().unwrap().revoked);
    assert_eq!(view(store, OURS).await.api_key(api_key(1).id).await.unwrap(), Some(api_key(1)));
}

/// The first moment of revocation stays.
pub async fn it_is_revoked_once(store: &impl Backend) {
    let id = api_key(1).id;
    commit!(store, OURS, .insert_api_key(&api_key(1)) .revoke_api_key(id, NOW));
    let mut tx = begin(store, OURS).await;
    assert!(changed(tx.revoke_api_key(id, NOW.plus_seconds(1)).await, "api_key"));
    assert_eq!(tx.api_key(id).await.unwrap().unwrap().revoked_at, Some(NOW));
    assert!(changed(tx.revoke_api_key(api_key(2).id, NOW).await, "api_key"));
}

/// The directory has the key from its commit on, and its revocation from that commit on.
pub async fn the_directory_knows_it_and_its_revocation(store: &impl Backend) {
    let key = api_key(1);
    let mut tx = begin(store, OURS).await;
    tx.insert_api_key(&key).await.unwrap();
    assert_eq!(store.api_key(key.id).await.unwrap(), None);
    tx.commit().await.unwrap();
    let entry = ApiKeyEntry { id: key.id, tenant: OURS, digest: key.digest, pepper_version: 1, revoked: false };
    assert_eq!(store.api_key(key.id).await.unwrap(), Some(entry.clone()));

    let mut tx = begin(store, OURS).await;
    tx.revoke_api_key(key.id, NOW).await.unwrap();
    assert_eq!(store.api_key(key.id).await.unwrap(), Some(entry.clone()));
    tx.commit().await.unwrap();
    assert_eq!(store.api_key(key.id).await.unwrap(), Some(ApiKeyEntry { revoked: true, ..entry }));
}

/// Revoked and expired keys do not count; one that expires this very moment is expired.
pub async fn usable_holders_of_a_role_are_counted(store: &impl Backend) {
    // 1 and 3 expire a minute from `NOW`, 2 never.
    commit!(store, OURS, .insert_api_key(&api_key(1)) .insert_api_key(&api_key(2)) .insert_api_key(&api_key(3))
        .revoke_api_key(api_key(3).id, NOW));
    let mut view = view(store, OURS).await;
    assert_eq!(view.count_api_keys_with_role(Role::Service, NOW).await.unwrap(), 2);
    assert_eq!(view.count_api_keys_with_role(Role::Service, NOW.plus_seconds(60)).await.unwrap(), 1);
    assert_eq!(view.count_api_keys_with_role(Role::Staff, NOW).await.unwrap(), 0);
}

/// The directory finds a key by its id alone, so no two tenants may have the same.
pub async fn an_id_is_taken_once_in_all_tenants(store: &impl Backend) {
    commit!(store, OURS, .insert_api_key(&api_key(1)));
    for tenant in [OURS, THEIRS] {
        assert!(taken(begin(store, tenant).await.insert_api_key(&api_key(1)).await, "api_key"));
    }
}

/// A digest moves to a newer pepper once, in both places.
pub async fn a_digest_follows_the_pepper(store: &impl Backend) {
    let key = api_key(1);
    commit!(store, OURS, .insert_api_key(&key) .set_api_key_digest(key.id, 1, &[5; 32], 2));
    let entry = store.api_key(key.id).await.unwrap().unwrap();
    assert_eq!((entry.digest, entry.pepper_version), ([5; 32], 2));
    let row = view(store, OURS).await.api_key(key.id).await.unwrap().unwrap();
    assert_eq!((row.digest, row.pepper_version), ([5; 32], 2));
    assert!(changed(begin(store, OURS).await.set_api_key_digest(key.id, 1, &[6; 32], 3).await, "api_key"));
    assert!(changed(begin(store, THEIRS).await.set_api_key_digest(key.id, 2, &[6; 32], 3).await, "api_key"));
}

/// A key acts as a user of its own tenant or as none.
pub async fn a_key_of_an_unknown_user_is_refused(store: &impl Backend) {
    commit!(store, OURS, .insert_user(&user(1)));
    let mut key = api_key(1);
    key.user = Some(user(1).id);
    let mut tx = begin(store, THEIRS).await;
    assert!(unavailable(tx.insert_api_key(&key).await));
}
