//! How programs log in.

use chancery_domain::access::Role;
use chancery_domain::api_keys::ApiKey;
use chancery_domain::store::ApiKeyEntry;

use super::{Backend, begin, changed, commit, taken, unavailable, view};
use crate::samples::{NOW, OURS, THEIRS, api_key, role, user};

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

/// What may be changed is changed, the rest stays, and what is revoked is not changed.
pub async fn a_key_is_updated(store: &impl Backend) {
    commit!(store, OURS, .insert_api_key(&api_key(1)) .insert_api_key(&api_key(2)));
    let changed = ApiKey {
        description: "another".to_owned(),
        allowed_cidrs: vec!["192.0.2.0/24".parse().unwrap()],
        rate_limit: Some(7),
        expires_at: Some(NOW.plus_seconds(99)),
        replaced_by: Some(api_key(2).id),
        ..api_key(1)
    };
    let wanted = ApiKey { roles: api_key(2).roles, digest: [9; 32], ..changed.clone() };
    commit!(store, OURS, .update_api_key(&wanted));
    assert_eq!(view(store, OURS).await.api_key(changed.id).await.unwrap(), Some(changed.clone()));
    let mut tx = begin(store, THEIRS).await;
    assert!(super::changed(tx.update_api_key(&changed).await, "api_key"));
    drop(tx);
    let mut tx = begin(store, OURS).await;
    tx.revoke_api_key(changed.id, NOW).await.unwrap();
    assert!(super::changed(tx.update_api_key(&changed).await, "api_key"));
}

/// The last use only moves forward; keys that are gone or another tenant's are passed over.
pub async fn last_uses_only_grow(store: &impl Backend) {
    let (one, two) = (api_key(1), api_key(2));
    commit!(store, OURS, .insert_api_key(&one) .insert_api_key(&two));
    let later = NOW.plus_seconds(30);
    commit!(store, OURS, .touch_api_keys(&[(one.id, NOW), (two.id, later), (api_key(3).id, later)]));
    commit!(store, THEIRS, .touch_api_keys(&[(one.id, later)]));
    let mut view = view(store, OURS).await;
    assert_eq!(view.api_key(one.id).await.unwrap().unwrap().last_used_at, one.last_used_at);
    assert_eq!(view.api_key(two.id).await.unwrap().unwrap().last_used_at, Some(later));
}

/// Keys of other systems are found by the beginning of their digest, all that share it, in every tenant.
pub async fn keys_of_other_systems_are_found_by_their_prefix(store: &impl Backend) {
    let (one, two, other) = (api_key(1), api_key(2), api_key(3));
    commit!(store, OURS, .insert_api_key(&one) .insert_old_api_key(one.id, "e3b0c442") .insert_api_key(&two)
        .insert_old_api_key(two.id, "00000000"));
    commit!(store, THEIRS, .insert_api_key(&other) .insert_old_api_key(other.id, "e3b0c442"));
    let found = store.old_api_keys("e3b0c442").await.unwrap();
    let found: Vec<_> = found.into_iter().map(|entry| (entry.id, entry.tenant, entry.revoked)).collect();
    assert_eq!(found, [(one.id, OURS, false), (other.id, THEIRS, false)]);
    commit!(store, OURS, .revoke_api_key(one.id, NOW));
    let left: Vec<_> = store.old_api_keys("e3b0c442").await.unwrap().into_iter().map(|entry| entry.id).collect();
    assert_eq!(left, [other.id], "who logs in with a revoked one is refused like anybody");
    assert_eq!(store.old_api_keys("e3b0c443").await.unwrap(), []);
}

/// Whoever brings keys finds those that are there, also the revoked: they do not come back to life.
pub async fn old_keys_of_a_tenant_are_found_revoked_or_not(store: &impl Backend) {
    let (one, two, three, other) = (api_key(1), api_key(2), api_key(3), api_key(4));
    commit!(store, OURS, .insert_api_key(&one) .insert_old_api_key(one.id, "e3b0c442") .insert_api_key(&two)
        .insert_old_api_key(two.id, "00000000") .insert_api_key(&three) .insert_old_api_key(three.id, "e3b0c442")
        .revoke_api_key(one.id, NOW));
    commit!(store, THEIRS, .insert_api_key(&other) .insert_old_api_key(other.id, "e3b0c442"));
    let found = async |prefixes: &[&str]| {
        let prefixes: Vec<String> = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
        let found = view(store, OURS).await.old_api_keys_of(&prefixes).await.unwrap();
        found.into_iter().map(|(prefix, entry)| (prefix, entry.id, entry.tenant, entry.revoked)).collect::<Vec<_>>()
    };
    let shared = "e3b0c442".to_owned();
    let both = [(shared.clone(), one.id, OURS, true), (shared, three.id, OURS, false)];
    assert_eq!(found(&["e3b0c442", "12345678"]).await, both);
    assert_eq!(found(&["e3b0c442", "00000000"]).await.len(), 3);
    assert_eq!(found(&[]).await, []);
}

/// What one reads of a key before it writes, nobody changes in between.
pub async fn changes_of_one_key_wait_for_each_other(store: &impl Backend) {
    let key = ApiKey { description: String::new(), ..api_key(1) };
    commit!(store, OURS, .insert_api_key(&key));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, id) = (store.clone(), key.id);
        tasks.spawn(async move {
            let mut tx = begin(&store, OURS).await;
            let mut key = tx.hold_api_key(id).await.unwrap().unwrap();
            key.description.push('x');
            tx.update_api_key(&key).await.unwrap();
            tx.commit().await
        });
    }
    let done = tasks.join_all().await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert_eq!(view(store, OURS).await.api_key(key.id).await.unwrap().unwrap().description, "xxxxxxxx");
    let mut tx = begin(store, THEIRS).await;
    assert_eq!(tx.hold_api_key(key.id).await.unwrap(), None);
    drop(tx);
    assert_eq!(begin(store, OURS).await.hold_api_key(api_key(2).id).await.unwrap(), None);
}

/// A key is made with its tenant's own roles, and shows what it holds by now.
pub async fn a_key_shows_its_defined_roles(store: &impl Backend) {
    let (b, a) = (role(2), role(1));
    let key = ApiKey { defined_roles: vec![a.name.clone(), b.name.clone()], ..api_key(1) };
    commit!(store, OURS, .put_role(&b) .put_role(&a) .insert_api_key(&key) .insert_api_key(&api_key(2)));
    assert_eq!(view(store, OURS).await.api_keys(None, 9).await.unwrap(), [key.clone(), api_key(2)]);
    commit!(store, OURS, .take_role(&a.name, &key.id.to_string()));
    let shown = view(store, OURS).await.api_key(key.id).await.unwrap().unwrap();
    assert_eq!(shown.defined_roles, [b.name]);
}

/// What lets somebody in or not raises the tenant's epoch; making a key and using it do not.
pub async fn changes_of_a_key_raise_the_epoch(store: &impl Backend) {
    let epoch = async || store.epochs(&[OURS]).await.unwrap().of(OURS);
    commit!(store, OURS, .insert_api_key(&api_key(1)));
    commit!(store, OURS, .touch_api_keys(&[(api_key(1).id, NOW.plus_seconds(60))])
        .set_api_key_digest(api_key(1).id, 1, &[5; 32], 2));
    let before = epoch().await;
    assert_eq!(before, 0);
    commit!(store, OURS, .update_api_key(&api_key(1)));
    let updated = epoch().await;
    assert!(updated > before);
    commit!(store, OURS, .revoke_api_key(api_key(1).id, NOW));
    assert!(epoch().await > updated);
}
