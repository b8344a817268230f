//! Recipients, tenant keys, keys and their versions.

use chancery_domain::TenantId;
use chancery_domain::keyring::{Key, KeyState, KeyType, KeyVersion, Managed, StoredMaterial};
use chancery_domain::store::StoreError;

use super::{Backend, begin, changed, commit, taken, unavailable, view};
use crate::samples::{NOW, OURS, THEIRS, key, key_version, managed_key, root_recipient, tenant_key};

const PLATFORM: TenantId = TenantId::PLATFORM;

/// Nothing of a recipient is lost.
pub async fn recipients_read_back(store: &impl Backend) {
    commit!(store, PLATFORM, .insert_root_recipient(&root_recipient(2)) .insert_root_recipient(&root_recipient(1)));
    let recipients = view(store, PLATFORM).await.root_recipients().await.unwrap();
    assert_eq!(recipients, [root_recipient(1), root_recipient(2)]);
}

/// The moment of the last proof moves.
pub async fn a_recipient_is_proven(store: &impl Backend) {
    let later = NOW.plus_seconds(5);
    commit!(store, PLATFORM, .insert_root_recipient(&root_recipient(1)) .prove_root_recipient(root_recipient(1).id, later));
    let recipients = view(store, PLATFORM).await.root_recipients().await.unwrap();
    assert_eq!(recipients[0].proven_at, later);
    assert_eq!(recipients[0].created_at, NOW);
    let unknown = begin(store, PLATFORM).await.prove_root_recipient(root_recipient(2).id, NOW).await;
    assert!(changed(unknown, "root_recipient"));
}

/// The root is the platform's alone.
pub async fn only_the_platform_keeps_recipients(store: &impl Backend) {
    commit!(store, PLATFORM, .insert_root_recipient(&root_recipient(1)));
    assert_eq!(view(store, OURS).await.root_recipients().await.unwrap(), []);
    assert!(unavailable(begin(store, OURS).await.insert_root_recipient(&root_recipient(2)).await));
    let proven = begin(store, OURS).await.prove_root_recipient(root_recipient(1).id, NOW).await;
    assert!(changed(proven, "root_recipient"));
}

/// Tenant keys come oldest first, and a version is there once.
pub async fn tenant_keys_read_back(store: &impl Backend) {
    commit!(store, OURS, .insert_tenant_key(&tenant_key(2)) .insert_tenant_key(&tenant_key(10)) .insert_tenant_key(&tenant_key(1)));
    let keys = view(store, OURS).await.tenant_keys().await.unwrap();
    assert_eq!(keys, [tenant_key(1), tenant_key(2), tenant_key(10)]);
    assert!(taken(begin(store, OURS).await.insert_tenant_key(&tenant_key(1)).await, "tenant_key"));
}

/// Nothing of a key is lost.
pub async fn a_key_reads_back(store: &impl Backend) {
    let managed = managed_key(2, Managed::Log);
    commit!(store, OURS, .insert_key(&key(1)) .insert_key(&managed));
    let mut view = view(store, OURS).await;
    assert_eq!(view.key(key(1).id).await.unwrap(), Some(key(1)));
    assert_eq!(view.key(managed.id).await.unwrap(), Some(managed));
    assert_eq!(view.key(key(3).id).await.unwrap(), None);
}

/// Pages follow each other without a gap, ordered by id.
pub async fn keys_come_in_pages(store: &impl Backend) {
    commit!(store, OURS, .insert_key(&key(3)) .insert_key(&key(1)) .insert_key(&key(2)));
    let mut view = view(store, OURS).await;
    assert_eq!(view.keys(None, 2).await.unwrap(), [key(1), key(2)]);
    assert_eq!(view.keys(Some(key(2).id), 2).await.unwrap(), [key(3)]);
}

/// Nothing of a version is lost, and they come oldest first.
pub async fn versions_read_back(store: &impl Backend) {
    let versions = [1, 2, 3].map(|version| key_version(&key(1), version, KeyState::Rotating));
    commit!(store, OURS, .insert_key(&key(1)) .insert_key(&key(2)) .insert_key_version(&versions[2])
        .insert_key_version(&versions[0]) .insert_key_version(&versions[1]));
    let mut tx = begin(store, OURS).await;
    assert_eq!(tx.key_versions(key(1).id).await.unwrap(), versions);
    assert_eq!(tx.key_versions(key(2).id).await.unwrap(), []);
    let mut double = versions[0].clone();
    double.key_id = "another".to_owned();
    double.handle = crate::samples::handle(99);
    assert!(taken(tx.insert_key_version(&double).await, "key_version"));
}

/// Chancery's own keys are found by their use, with all versions, oldest first.
pub async fn managed_keys_are_found(store: &impl Backend) {
    let (data, log) = (managed_key(2, Managed::Data), managed_key(1, Managed::Log));
    let old = key_version(&data, 1, KeyState::Rotating);
    let new = key_version(&data, 3, KeyState::Active);
    let signs = key_version(&log, 2, KeyState::Active);
    commit!(store, OURS, .insert_key(&data) .insert_key(&log) .insert_key(&key(3)) .insert_key_version(&new)
        .insert_key_version(&signs) .insert_key_version(&old) .insert_key_version(&key_version(&key(3), 1, KeyState::Active)));
    let mut view = view(store, OURS).await;
    assert_eq!(view.managed_key(Managed::Data).await.unwrap(), Some(data));
    assert_eq!(view.managed_key(Managed::Token).await.unwrap(), None);
    let versions = view.managed_versions().await.unwrap();
    assert_eq!(versions, [(Managed::Data, old), (Managed::Log, signs), (Managed::Data, new)]);
}

/// A name belongs to the key that lives; one whose versions are all destroyed left it.
pub async fn a_living_key_is_found_by_its_name(store: &impl Backend) {
    let (dead, lives) = (key(1), Key { name: key(1).name, ..key(2) });
    let destroyed = key_version(&dead, 1, KeyState::Destroyed);
    commit!(store, OURS, .insert_key(&dead) .insert_key_version(&destroyed));
    assert_eq!(view(store, OURS).await.key_named(&dead.name).await.unwrap(), None);
    commit!(store, OURS, .insert_key(&lives) .insert_key_version(&key_version(&lives, 2, KeyState::Revoked)));
    assert_eq!(view(store, OURS).await.key_named(&lives.name).await.unwrap(), Some(lives.clone()));
    assert_eq!(view(store, OURS).await.key_named("nobody").await.unwrap(), None);
    assert_eq!(view(store, THEIRS).await.key_named(&lives.name).await.unwrap(), None);
}

async fn with_active(store: &impl Backend, tenant: TenantId) -> (Key, KeyVersion) {
    let key = managed_key(1, Managed::Certificate);
    let version = key_version(&key, 1, KeyState::Active);
    commit!(store, tenant, .insert_tenant_key(&tenant_key(1)) .insert_key(&key) .insert_key_version(&version));
    (key, version)
}

/// The rows of one tenant are out of sight for another.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    let (key, _) = with_active(store, OURS).await;
    let mut tx = begin(store, THEIRS).await;
    assert_eq!(tx.tenant_keys().await.unwrap(), []);
    assert_eq!(tx.key(key.id).await.unwrap(), None);
    assert_eq!(tx.keys(None, 10).await.unwrap(), []);
    assert_eq!(tx.managed_key(Managed::Certificate).await.unwrap(), None);
    assert_eq!(tx.key_versions(key.id).await.unwrap(), []);
    assert_eq!(tx.managed_versions().await.unwrap(), []);
    assert_eq!(tx.hold_active_version(key.id).await.unwrap(), None);
    assert_eq!(tx.seize_key(key.id).await.unwrap(), None);
    assert_eq!(tx.seize_versions(key.id).await.unwrap(), []);
}

/// And out of reach: it can neither retire a version nor slip one under another tenant's key.
pub async fn another_tenant_does_not_change_it(store: &impl Backend) {
    let (key, version) = with_active(store, OURS).await;
    let mut tx = begin(store, THEIRS).await;
    let revoked = KeyVersion { state: KeyState::Revoked, ..version.clone() };
    assert!(changed(tx.swap_key_version(&version, &revoked).await, "key_version"));
    assert!(changed(tx.update_key(&key).await, "key"));
    tx.count_key_uses(&version.key_id, 5, NOW).await.unwrap();
    assert_eq!(tx.seize_key(key.id).await.unwrap(), None);
    assert_eq!(tx.seize_versions(key.id).await.unwrap(), []);
    assert_eq!(tx.hold_version(key.id, 1).await.unwrap(), None);
    assert!(unavailable(tx.insert_key_version(&key_version(&key, 2, KeyState::Pending)).await));
    drop(tx);
    assert_eq!(view(store, OURS).await.key_versions(key.id).await.unwrap(), [version]);
}

/// A use has one key per tenant; other tenants have their own.
pub async fn one_managed_key_per_use(store: &impl Backend) {
    commit!(store, OURS, .insert_key(&managed_key(1, Managed::Data)) .insert_key(&managed_key(2, Managed::Index)));
    assert!(taken(begin(store, OURS).await.insert_key(&managed_key(3, Managed::Data)).await, "managed"));
    commit!(store, THEIRS, .insert_key(&managed_key(3, Managed::Data)));
}

/// A key has at most one active version.
pub async fn one_active_version_per_key(store: &impl Backend) {
    let (key, _) = with_active(store, OURS).await;
    let second = key_version(&key, 2, KeyState::Active);
    assert!(taken(begin(store, OURS).await.insert_key_version(&second).await, "active"));
    commit!(store, OURS, .insert_key_version(&key_version(&key, 2, KeyState::Pending)));
    let mut tx = begin(store, OURS).await;
    let staged = key_version(&key, 2, KeyState::Pending);
    let promoted = KeyVersion { state: KeyState::Active, ..staged.clone() };
    assert!(taken(tx.swap_key_version(&staged, &promoted).await, "active"));
}

/// A version moves only from the state and material that the caller saw, and takes everything along that can change.
pub async fn a_version_moves_by_compare_and_swap(store: &impl Backend) {
    let (key, version) = with_active(store, OURS).await;
    let full = key_version(&key, 2, KeyState::Suspended);
    let moved = KeyVersion {
        version: 1,
        key_id: version.key_id.clone(),
        handle: version.handle,
        public_jwk: None,
        previous: None,
        created_at: version.created_at,
        uses: 0,
        last_used_at: None,
        ..full
    };
    let mut tx = begin(store, OURS).await;
    let stale = KeyVersion { state: KeyState::Pending, ..version.clone() };
    assert!(changed(tx.swap_key_version(&stale, &moved).await, "key_version"));
    let rewrapped = StoredMaterial::Wrapped { bytes: vec![1], tenant_key_version: 2, check: None };
    let stale = KeyVersion { material: rewrapped, ..version.clone() };
    assert!(changed(tx.swap_key_version(&stale, &moved).await, "key_version"));
    tx.swap_key_version(&version, &moved).await.unwrap();
    assert_eq!(tx.key_versions(key.id).await.unwrap(), std::slice::from_ref(&moved));
    tx.swap_key_version(&moved, &version).await.unwrap();
    assert_eq!(tx.key_versions(key.id).await.unwrap(), [version]);
}

/// Of two that change a key's versions, the second sees all that the first one did.
pub async fn changes_of_one_key_wait_for_each_other(store: &impl Backend) {
    let (key, _) = with_active(store, OURS).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, key) = (store.clone(), key.clone());
        tasks.spawn(async move {
            let mut tx = begin(&store, OURS).await;
            assert_eq!(tx.seize_key(key.id).await.unwrap().as_ref(), Some(&key));
            let all = tx.seize_versions(key.id).await.unwrap();
            let newest = all.last().unwrap().version;
            tx.insert_key_version(&key_version(&key, newest + 1, KeyState::Inactive)).await.unwrap();
            tx.commit().await
        });
    }
    let done: Vec<Result<(), StoreError>> = tasks.join_all().await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert_eq!(view(store, OURS).await.key_versions(key.id).await.unwrap().len(), 9);
}

/// Everything of a key that can change does.
pub async fn a_key_is_updated(store: &impl Backend) {
    commit!(store, OURS, .insert_key(&key(2)));
    let (id, name, origin) = (key(2).id, key(2).name, key(2).origin);
    let changed_key = Key { id, name, origin, key_type: KeyType::Rsa2048, ..key(1) };
    commit!(store, OURS, .update_key(&changed_key));
    assert_eq!(view(store, OURS).await.key(key(2).id).await.unwrap(), Some(changed_key));
    assert!(changed(begin(store, OURS).await.update_key(&key(3)).await, "key"));
}

/// Keys are due when the interval since their last rotation, or their creation, has passed, and they have a schedule.
pub async fn due_keys_are_found(store: &impl Backend) {
    let day = 24 * 60 * 60;
    let base = Key { auto_rotate: true, rotation_interval_days: Some(30), last_rotated_at: None, ..key(1) };
    let rotated = Key { last_rotated_at: Some(NOW.plus_seconds(day)), ..Key { id: key(2).id, ..base.clone() } };
    let by_hand = Key { auto_rotate: false, id: key(3).id, ..base.clone() };
    commit!(store, OURS, .insert_key(&base) .insert_key(&rotated) .insert_key(&by_hand));
    let mut view = view(store, OURS).await;
    assert_eq!(view.keys_due(NOW.plus_seconds(30 * day - 1)).await.unwrap(), []);
    assert_eq!(view.keys_due(NOW.plus_seconds(30 * day)).await.unwrap(), std::slice::from_ref(&base));
    assert_eq!(view.keys_due(NOW.plus_seconds(31 * day)).await.unwrap(), [base, rotated]);
    assert_eq!(crate::store::view(store, THEIRS).await.keys_due(NOW.plus_seconds(31 * day)).await.unwrap(), []);
}

/// Versions whose time is over are found until their state says so.
pub async fn expired_versions_are_found(store: &impl Backend) {
    let expires_at = Some(NOW.plus_seconds(60));
    let version = |n, state| KeyVersion { expires_at, ..key_version(&key(1), n, state) };
    let (old, suspended) = (version(1, KeyState::Inactive), version(2, KeyState::Suspended));
    let active = version(3, KeyState::Active);
    let endless = KeyVersion { expires_at: None, ..version(4, KeyState::Inactive) };
    commit!(store, OURS, .insert_key(&key(1)) .insert_key_version(&old) .insert_key_version(&suspended)
        .insert_key_version(&active) .insert_key_version(&endless));
    let mut view = view(store, OURS).await;
    assert_eq!(view.versions_expired(NOW.plus_seconds(59)).await.unwrap(), []);
    assert_eq!(view.versions_expired(NOW.plus_seconds(60)).await.unwrap(), [old, active]);
}

/// By the moment they wait for, and only while they wait.
pub async fn versions_to_destroy_are_found(store: &impl Backend) {
    let deletion_due_at = Some(NOW.plus_seconds(60));
    let version = |n, state| KeyVersion { deletion_due_at, ..key_version(&key(1), n, state) };
    let (waits, cancelled) = (version(1, KeyState::PendingDeletion), version(2, KeyState::Inactive));
    commit!(store, OURS, .insert_key(&key(1)) .insert_key_version(&waits) .insert_key_version(&cancelled));
    let mut view = view(store, OURS).await;
    assert_eq!(view.versions_to_destroy(NOW.plus_seconds(59)).await.unwrap(), []);
    assert_eq!(view.versions_to_destroy(NOW.plus_seconds(60)).await.unwrap(), [waits]);
}

/// Counts add up and tell the last moment.
pub async fn uses_are_counted(store: &impl Backend) {
    let (key, version) = with_active(store, OURS).await;
    commit!(store, OURS, .count_key_uses(&version.key_id, 3, NOW) .count_key_uses(&version.key_id, 4, NOW.plus_seconds(1)));
    let expected = KeyVersion { uses: 7, last_used_at: Some(NOW.plus_seconds(1)), ..version };
    assert_eq!(view(store, OURS).await.key_versions(key.id).await.unwrap(), [expected]);
}

/// What is held is the active version, or none; what is seized are all.
pub async fn the_active_version_is_held_and_all_are_seized(store: &impl Backend) {
    let (certificate, version) = with_active(store, OURS).await;
    let pending = key_version(&key(2), 1, KeyState::Pending);
    commit!(store, OURS, .insert_key(&key(2)) .insert_key_version(&pending));
    let mut tx = begin(store, OURS).await;
    assert_eq!(tx.hold_active_version(certificate.id).await.unwrap(), Some(version.clone()));
    assert_eq!(tx.seize_versions(certificate.id).await.unwrap(), [version]);
    assert_eq!(tx.hold_active_version(key(2).id).await.unwrap(), None);
    assert_eq!(tx.seize_versions(key(2).id).await.unwrap(), [pending]);
}

/// Whoever uses the active version and whoever replaces it wait for each other: a use that began before a rotation ends before it, one
/// that began later has the new version, and none finds no version at all.
pub async fn rotations_and_uses_do_not_overlap(store: &impl Backend) {
    let (key, _) = with_active(store, OURS).await;
    let mut tasks = tokio::task::JoinSet::new();
    for turn in 0..24 {
        let (store, key) = (store.clone(), key.clone());
        tasks.spawn(async move {
            let mut tx = begin(&store, OURS).await;
            if turn % 4 == 0 {
                tx.seize_key(key.id).await.unwrap().unwrap();
                let all = tx.seize_versions(key.id).await.unwrap();
                let old = all.into_iter().find(|version| version.state == KeyState::Active).unwrap();
                let new = key_version(&key, old.version + 1, KeyState::Active);
                let retired = Some(NOW.plus_seconds(old.version.into()));
                let next = Some(new.key_id.clone());
                let after = KeyVersion { state: KeyState::Rotating, next, retired_at: retired, ..old.clone() };
                tx.swap_key_version(&old, &after).await.unwrap();
                tx.insert_key_version(&new).await.unwrap();
            } else {
                let held = tx.hold_active_version(key.id).await.unwrap().unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(3)).await;
                // Asked again within the same transaction, nobody has retired it.
                let again = tx.key_versions(key.id).await.unwrap();
                let state = again.iter().find(|version| version.version == held.version).map(|version| version.state);
                assert_eq!(state, Some(KeyState::Active));
            }
            tx.commit().await
        });
    }
    let done: Vec<Result<(), StoreError>> = tasks.join_all().await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    let versions = view(store, OURS).await.key_versions(key.id).await.unwrap();
    assert_eq!(versions.len(), 7);
    assert_eq!(versions.iter().filter(|version| version.state == KeyState::Active).count(), 1);
}
