//! Which backups were made.

use chancery_domain::TenantId;

use super::{Backend, begin, commit, taken, view};
use crate::samples::{OURS, backup};

/// By the moment it was made.
pub async fn the_newest_backup_is_given(store: &impl Backend) {
    assert_eq!(view(store, TenantId::PLATFORM).await.newest_backup().await.unwrap(), None);
    commit!(store, TenantId::PLATFORM, .insert_backup(&backup(2)) .insert_backup(&backup(1)));
    assert_eq!(view(store, TenantId::PLATFORM).await.newest_backup().await.unwrap(), Some(backup(2)));
    assert!(taken(begin(store, TenantId::PLATFORM).await.insert_backup(&backup(1)).await, "backup"));
}

/// A tenant has none.
pub async fn only_the_platform_keeps_backups(store: &impl Backend) {
    assert!(begin(store, OURS).await.insert_backup(&backup(1)).await.is_err());
}
