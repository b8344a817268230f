//! Versions of the platform root, and what is kept of older ones.

use chancery_domain::TenantId;
use chancery_domain::keyring::{RootSecret, RootState, RootVersion};

use super::{Backend, begin, changed, commit, taken, unavailable, view};
use crate::samples::{NOW, OURS, root_recipient};

const PLATFORM: TenantId = TenantId::PLATFORM;

const fn root(version: u32, state: RootState) -> RootVersion {
    RootVersion { version, state, created_at: NOW, superseded_at: None, retired_at: None }
}

fn secret(version: u32, root_version: u32) -> RootSecret {
    RootSecret { version, wrapped: vec![7; 156], root_version }
}

/// Nothing of a version is lost, oldest first, and tenants see them too.
pub async fn versions_read_back(store: &impl Backend) {
    let retired = RootVersion { superseded_at: Some(NOW), retired_at: Some(NOW), ..root(1, RootState::Retired) };
    commit!(store, PLATFORM, .insert_root(&root(10, RootState::Active)) .insert_root(&retired));
    for tenant in [PLATFORM, OURS] {
        assert_eq!(view(store, tenant).await.roots().await.unwrap(), [retired.clone(), root(10, RootState::Active)]);
    }
}

/// Two versions never wrap at once.
pub async fn one_version_is_active(store: &impl Backend) {
    commit!(store, PLATFORM, .insert_root(&root(1, RootState::Active)));
    assert!(taken(begin(store, PLATFORM).await.insert_root(&root(2, RootState::Active)).await, "root"));
    assert!(taken(begin(store, PLATFORM).await.insert_root(&root(1, RootState::Retired)).await, "root"));
}

/// Active, superseded, retired, and no other way.
pub async fn states_move_by_compare_and_swap(store: &impl Backend) {
    commit!(store, PLATFORM, .insert_root(&root(1, RootState::Active)));
    assert!(changed(begin(store, PLATFORM).await.retire_root(1, NOW).await, "root"));
    commit!(store, PLATFORM, .supersede_root(1, NOW));
    assert!(changed(begin(store, PLATFORM).await.supersede_root(1, NOW).await, "root"));
    commit!(store, PLATFORM, .retire_root(1, NOW));
    let roots = view(store, PLATFORM).await.roots().await.unwrap();
    assert_eq!(
        (roots[0].state, roots[0].superseded_at, roots[0].retired_at),
        (RootState::Retired, Some(NOW), Some(NOW))
    );
}

/// From any tenant, and only while it is active.
pub async fn every_tenant_holds_the_active_version(store: &impl Backend) {
    commit!(store, PLATFORM, .insert_root(&root(1, RootState::Active)));
    commit!(store, OURS, .hold_root(1));
    assert!(changed(begin(store, OURS).await.hold_root(2).await, "root"));
    commit!(store, PLATFORM, .supersede_root(1, NOW));
    assert!(changed(begin(store, OURS).await.hold_root(1).await, "root"));
}

/// A secret is kept once for each version it derives from.
pub async fn secrets_are_replaced(store: &impl Backend) {
    commit!(store, PLATFORM, .put_root_secret(&secret(2, 3)) .put_root_secret(&secret(1, 2)) .put_root_secret(&secret(1, 3)));
    assert_eq!(view(store, PLATFORM).await.root_secrets().await.unwrap(), [secret(1, 3), secret(2, 3)]);
}

/// A tenant neither sees a secret nor changes a version.
pub async fn only_the_platform_keeps_them(store: &impl Backend) {
    commit!(store, PLATFORM, .insert_root(&root(1, RootState::Active)) .put_root_secret(&secret(1, 2)));
    assert_eq!(view(store, OURS).await.root_secrets().await.unwrap(), []);
    assert!(unavailable(begin(store, OURS).await.put_root_secret(&secret(2, 3)).await));
    assert!(unavailable(begin(store, OURS).await.insert_root(&root(2, RootState::Superseded)).await));
    assert!(changed(begin(store, OURS).await.supersede_root(1, NOW).await, "root"));
}

/// The first moment of failure stays until it gives the root back.
pub async fn a_recipient_fails_and_goes(store: &impl Backend) {
    let (id, later) = (root_recipient(2).id, NOW.plus_seconds(5));
    commit!(store, PLATFORM, .insert_root_recipient(&root_recipient(2)) .fail_root_recipient(id, NOW)
        .fail_root_recipient(id, later));
    assert_eq!(view(store, PLATFORM).await.root_recipients().await.unwrap()[0].failed_at, Some(NOW));
    commit!(store, PLATFORM, .prove_root_recipient(id, later));
    assert_eq!(view(store, PLATFORM).await.root_recipients().await.unwrap()[0].failed_at, None);
    assert!(changed(begin(store, OURS).await.remove_root_recipient(id).await, "root_recipient"));
    commit!(store, PLATFORM, .remove_root_recipient(id));
    assert_eq!(view(store, PLATFORM).await.root_recipients().await.unwrap(), []);
    assert!(changed(begin(store, PLATFORM).await.fail_root_recipient(id, NOW).await, "root_recipient"));
}
