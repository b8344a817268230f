//! Tenant keys change: their wraps, their states, and what is under them.

use chancery_domain::keyring::{KeyCheck, KeyState, KeyVersion, Managed, StoredMaterial, TenantKey};

use super::{Backend, begin, changed, commit, view};
use crate::samples::{OURS, THEIRS, key_version, managed_key, tenant_key};

/// Only the active version is held, and not once it was superseded.
pub async fn a_held_key_is_active(store: &impl Backend) {
    commit!(store, OURS, .insert_tenant_key(&tenant_key(1)) .hold_tenant_key(1));
    assert!(changed(begin(store, OURS).await.hold_tenant_key(2).await, "tenant_key"));
    commit!(store, OURS, .supersede_tenant_key(1));
    assert!(changed(begin(store, OURS).await.hold_tenant_key(1).await, "tenant_key"));
    assert!(changed(begin(store, OURS).await.supersede_tenant_key(1).await, "tenant_key"));
}

/// Whoever read older wraps replaces nothing.
pub async fn a_wrap_is_replaced_by_compare_and_swap(store: &impl Backend) {
    let (from, to) = (tenant_key(1), TenantKey { wrapped: vec![1; 60], root_version: 2, ..tenant_key(1) });
    commit!(store, OURS, .insert_tenant_key(&from) .rewrap_tenant_key(&from, &to));
    assert_eq!(view(store, OURS).await.tenant_keys().await.unwrap(), std::slice::from_ref(&to));
    let again = TenantKey { wrapped: vec![2; 60], root_version: 3, ..tenant_key(1) };
    assert!(changed(begin(store, OURS).await.rewrap_tenant_key(&from, &again).await, "tenant_key"));
}

/// Nothing of its material stays, and only a superseded one goes.
pub async fn an_old_key_is_destroyed(store: &impl Backend) {
    commit!(store, OURS, .insert_tenant_key(&tenant_key(1)));
    assert!(changed(begin(store, OURS).await.destroy_tenant_key(1).await, "tenant_key"));
    commit!(store, OURS, .supersede_tenant_key(1) .destroy_tenant_key(1));
    let gone = view(store, OURS).await.tenant_keys().await.unwrap();
    assert_eq!((gone[0].state, gone[0].wrapped.as_slice(), &gone[0].own), (KeyState::Destroyed, &[][..], &None));
    let keyed = begin(store, OURS).await.rewrap_tenant_key(&gone[0], &tenant_key(1)).await;
    assert!(changed(keyed, "tenant_key"));
}

/// With their keys, and only those whose material is under another version.
pub async fn versions_under_older_keys_are_found(store: &impl Backend) {
    let key = managed_key(1, Managed::Data);
    let [old, new] = [1, 2].map(|version| key_version(&key, version, KeyState::Rotating));
    let under = |tenant_key_version| {
        let check = Some(KeyCheck([4; 16]));
        StoredMaterial::Wrapped { bytes: vec![3; 60], tenant_key_version, check }
    };
    let (old, new) = (KeyVersion { material: under(1), ..old }, KeyVersion { material: under(2), ..new });
    let gone = key_version(&key, 3, KeyState::Destroyed);
    commit!(store, OURS, .insert_tenant_key(&tenant_key(1)) .insert_tenant_key(&tenant_key(2)) .insert_key(&key)
        .insert_key_version(&old) .insert_key_version(&new) .insert_key_version(&gone));
    let found = view(store, OURS).await.versions_under_others(2, 10).await.unwrap();
    assert_eq!(found, [(key, old.clone())]);
    let moved = KeyVersion { material: under(2), ..old.clone() };
    commit!(store, OURS, .rewrap_key_version(&old, &moved));
    assert_eq!(view(store, OURS).await.versions_under_others(2, 10).await.unwrap(), []);
    assert!(changed(begin(store, OURS).await.rewrap_key_version(&old, &moved).await, "key_version"));
}

/// Only symmetric material that is here has one, and a check that is kept stays.
pub async fn a_key_without_its_check_is_found_and_gets_it_once(store: &impl Backend) {
    let key = managed_key(1, Managed::Data);
    let without = |version: u32, state| {
        let material = StoredMaterial::Wrapped { bytes: vec![3; 60], tenant_key_version: 1, check: None };
        KeyVersion { material, public_jwk: None, ..key_version(&key, version, state) }
    };
    let old = without(1, KeyState::Rotating);
    let signs =
        KeyVersion { public_jwk: key_version(&key, 2, KeyState::Active).public_jwk, ..without(2, KeyState::Active) };
    let (resident, gone) = (key_version(&key, 4, KeyState::Rotating), without(3, KeyState::Destroyed));
    commit!(store, OURS, .insert_tenant_key(&tenant_key(1)) .insert_key(&key) .insert_key_version(&old)
        .insert_key_version(&signs) .insert_key_version(&gone) .insert_key_version(&resident));
    assert_eq!(view(store, THEIRS).await.versions_unchecked(None, 10).await.unwrap(), []);
    let found = view(store, OURS).await.versions_unchecked(None, 10).await.unwrap();
    assert_eq!(found, [(key.clone(), old.clone())]);
    // The next page begins behind what was given.
    assert_eq!(view(store, OURS).await.versions_unchecked(Some((key.id, 1)), 10).await.unwrap(), []);
    assert_eq!(view(store, OURS).await.versions_unchecked(Some((key.id, 0)), 10).await.unwrap(), found);
    let check = KeyCheck([7; 16]);
    assert!(changed(begin(store, THEIRS).await.keep_key_check(&old, check).await, "key_version"));
    let other = StoredMaterial::Wrapped { bytes: vec![1; 60], tenant_key_version: 1, check: None };
    let stale = KeyVersion { material: other, ..old.clone() };
    assert!(changed(begin(store, OURS).await.keep_key_check(&stale, check).await, "key_version"));
    commit!(store, OURS, .keep_key_check(&old, check));
    assert!(changed(begin(store, OURS).await.keep_key_check(&old, KeyCheck([6; 16])).await, "key_version"));
    assert_eq!(view(store, OURS).await.versions_unchecked(None, 10).await.unwrap(), []);
    let kept = view(store, OURS).await.key_versions(key.id).await.unwrap().remove(0);
    let material = StoredMaterial::Wrapped { bytes: vec![3; 60], tenant_key_version: 1, check: Some(check) };
    assert_eq!(kept.material, material);
}

/// The rows of one tenant are out of reach for another.
pub async fn another_tenant_does_not_change_it(store: &impl Backend) {
    let key = tenant_key(1);
    commit!(store, OURS, .insert_tenant_key(&key));
    let mut tx = begin(store, THEIRS).await;
    assert!(changed(tx.hold_tenant_key(1).await, "tenant_key"));
    assert!(changed(tx.supersede_tenant_key(1).await, "tenant_key"));
    assert!(changed(tx.rewrap_tenant_key(&key, &key).await, "tenant_key"));
    assert_eq!(tx.versions_under_others(2, 10).await.unwrap(), []);
}
