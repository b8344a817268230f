//! Rows of keys.

use async_trait::async_trait;
use chancery_domain::ids::{KeyId, RecipientId};
use chancery_domain::keyring::{
    Key, KeyCheck, KeyCopy, KeyCopyRows, KeyCopyWrites, KeyRows, KeyVersion, KeyWrites, Managed, RootRecipient,
    RootRows, RootSecret, RootVersion, RootWrites, Standing, TenantKey, TenantKeyRows, TenantKeyWrites, Tombstone,
    TombstoneRows, TombstoneWrites,
};
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

use super::FaultyTx;

hand_on!(KeyRows {
    fn standing() -> Standing;
    fn root_recipients() -> Vec<RootRecipient>;
    fn tenant_keys() -> Vec<TenantKey>;
    fn key(id: KeyId) -> Option<Key>;
    fn keys(after: Option<KeyId>, limit: u32) -> Vec<Key>;
    fn key_named(name: &str) -> Option<Key>;
    fn managed_key(managed: Managed) -> Option<Key>;
    fn key_versions(id: KeyId) -> Vec<KeyVersion>;
    fn managed_versions() -> Vec<(Managed, KeyVersion)>;
    fn keys_due(now: Timestamp) -> Vec<Key>;
    fn versions_to_destroy(now: Timestamp) -> Vec<KeyVersion>;
    fn versions_expired(now: Timestamp) -> Vec<KeyVersion>;
});
hand_on!(KeyWrites {
    fn insert_root_recipient(recipient: &RootRecipient) -> ();
    fn prove_root_recipient(id: RecipientId, at: Timestamp) -> ();
    fn insert_tenant_key(key: &TenantKey) -> ();
    fn insert_key(key: &Key) -> ();
    fn insert_key_version(version: &KeyVersion) -> ();
    fn hold_active_version(id: KeyId) -> Option<KeyVersion>;
    fn seize_key(id: KeyId) -> Option<Key>;
    fn seize_versions(id: KeyId) -> Vec<KeyVersion>;
    fn hold_version(id: KeyId, version: u32) -> Option<KeyVersion>;
    fn swap_key_version(from: &KeyVersion, to: &KeyVersion) -> ();
    fn update_key(key: &Key) -> ();
    fn count_key_uses(key_id: &str, uses: u64, last: Timestamp) -> ();
});
hand_on!(RootRows {
    fn roots() -> Vec<RootVersion>;
    fn root_secrets() -> Vec<RootSecret>;
});
hand_on!(RootWrites {
    fn insert_root(root: &RootVersion) -> ();
    fn hold_root(version: u32) -> ();
    fn supersede_root(version: u32, at: Timestamp) -> ();
    fn retire_root(version: u32, at: Timestamp) -> ();
    fn put_root_secret(secret: &RootSecret) -> ();
    fn seize_root_recipients() -> Vec<RootRecipient>;
    fn remove_root_recipient(id: RecipientId) -> ();
    fn fail_root_recipient(id: RecipientId, at: Timestamp) -> ();
});
hand_on!(TenantKeyRows {
    fn versions_under_others(newest: u32, limit: u32) -> Vec<(Key, KeyVersion)>;
    fn versions_unchecked(after: Option<(KeyId, u32)>, limit: u32) -> Vec<(Key, KeyVersion)>;
});
hand_on!(TenantKeyWrites {
    fn hold_tenant_key(version: u32) -> ();
    fn supersede_tenant_key(version: u32) -> ();
    fn rewrap_tenant_key(from: &TenantKey, to: &TenantKey) -> ();
    fn destroy_tenant_key(version: u32) -> ();
    fn rewrap_key_version(from: &KeyVersion, to: &KeyVersion) -> ();
    fn keep_key_check(version: &KeyVersion, check: KeyCheck) -> ();
});
hand_on!(TombstoneRows {
    fn tombstones() -> Vec<Tombstone>;
    fn destroyed_keys() -> u64;
});
hand_on!(TombstoneWrites { fn insert_tombstone(tombstone: &Tombstone) -> (); });
hand_on!(KeyCopyRows { fn key_copies(key: KeyId) -> Vec<KeyCopy>; });
hand_on!(KeyCopyWrites {
    fn put_key_copy(copy: &KeyCopy) -> ();
    fn remove_key_copy(copy: &KeyCopy) -> ();
});
