//! Finds keys, their versions, and what wraps them.

use async_trait::async_trait;
use chancery_domain::ids::KeyId;
use chancery_domain::keyring::{Key, KeyRows, KeyVersion, Managed, RootRecipient, Standing, TenantKey};
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

use super::columns::{
    read_key, read_recipient, read_tenant_key, read_version, select_key, select_recipients, select_version,
    version_columns,
};
use crate::rows::after;
use crate::{Driver, Rows, Value};

#[async_trait]
impl<D: Driver> KeyRows for Rows<D> {
    async fn standing(&mut self) -> Result<Standing, StoreError> {
        let sql = "SELECT COALESCE((SELECT epoch FROM directory_epochs WHERE tenant_id = $1), 0),
            (SELECT state FROM directory_tenants WHERE tenant_id = $1)";
        let standing =
            self.one("tenant", sql, [], |row| Ok(Standing { epoch: row.number()?, state: row.opt_parsed()? })).await?;
        Ok(standing.unwrap_or(Standing { epoch: 0, state: None }))
    }

    async fn root_recipients(&mut self) -> Result<Vec<RootRecipient>, StoreError> {
        self.all("root_recipient", select_recipients!(""), [], read_recipient).await
    }

    async fn tenant_keys(&mut self) -> Result<Vec<TenantKey>, StoreError> {
        self.all(
            "tenant_key",
            "SELECT version, handle, wrapped, root_version, state, created_at, own_provider, own_mode, own_wrapped
             FROM tenant_keys WHERE tenant_id = $1 ORDER BY version",
            [],
            read_tenant_key,
        )
        .await
    }

    async fn key(&mut self, id: KeyId) -> Result<Option<Key>, StoreError> {
        self.one("key", select_key!("AND id = $2"), [Value::text(id)], read_key).await
    }

    async fn keys(&mut self, since: Option<KeyId>, limit: u32) -> Result<Vec<Key>, StoreError> {
        let sql = select_key!("AND id > $2 ORDER BY id LIMIT $3");
        self.all("key", sql, [after(since), limit.into()], read_key).await
    }

    async fn key_named(&mut self, name: &str) -> Result<Option<Key>, StoreError> {
        let sql = select_key!(
            "AND name = $2 AND EXISTS (SELECT 1 FROM key_versions AS v
                WHERE v.tenant_id = $1 AND v.key = keys.id AND v.state <> 'destroyed') ORDER BY id LIMIT 1"
        );
        self.one("key", sql, [name.into()], read_key).await
    }

    async fn managed_key(&mut self, managed: Managed) -> Result<Option<Key>, StoreError> {
        self.one("key", select_key!("AND managed = $2"), [Value::text(managed)], read_key).await
    }

    async fn key_versions(&mut self, id: KeyId) -> Result<Vec<KeyVersion>, StoreError> {
        self.all("key_version", select_version!("ORDER BY v.version"), [Value::text(id)], read_version).await
    }

    async fn managed_versions(&mut self) -> Result<Vec<(Managed, KeyVersion)>, StoreError> {
        self.all(
            "key_version",
            concat!(
                "SELECT k.managed, ",
                version_columns!(),
                " FROM key_versions AS v JOIN keys AS k ON k.tenant_id = v.tenant_id AND k.id = v.key
                 WHERE v.tenant_id = $1 AND k.managed IS NOT NULL ORDER BY v.created_at, v.key, v.version"
            ),
            [],
            |row| Ok((row.parsed()?, read_version(row)?)),
        )
        .await
    }

    async fn keys_due(&mut self, now: Timestamp) -> Result<Vec<Key>, StoreError> {
        let sql = select_key!(
            "AND auto_rotate AND rotation_interval_days IS NOT NULL
             AND COALESCE(last_rotated_at, created_at) + rotation_interval_days * 86400000000 <= $2 ORDER BY id"
        );
        self.all("key", sql, [Value::time(now)], read_key).await
    }

    async fn versions_to_destroy(&mut self, now: Timestamp) -> Result<Vec<KeyVersion>, StoreError> {
        let sql = concat!(
            "SELECT ",
            version_columns!(),
            " FROM key_versions AS v WHERE v.tenant_id = $1 AND v.deletion_due_at <= $2
              AND v.state = 'pending_deletion' ORDER BY v.key, v.version"
        );
        self.all("key_version", sql, [Value::time(now)], read_version).await
    }

    async fn versions_expired(&mut self, now: Timestamp) -> Result<Vec<KeyVersion>, StoreError> {
        let sql = concat!(
            "SELECT ",
            version_columns!(),
            " FROM key_versions AS v WHERE v.tenant_id = $1 AND v.expires_at <= $2
              AND v.state IN ('active', 'rotating', 'inactive') ORDER BY v.key, v.version"
        );
        self.all("key_version", sql, [Value::time(now)], read_version).await
    }
}
