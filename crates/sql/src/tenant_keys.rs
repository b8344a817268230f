use async_trait::async_trait;
use chancery_domain::ids::KeyId;
use chancery_domain::keyring::{Key, KeyCheck, KeyVersion, StoredMaterial, TenantKey, TenantKeyRows, TenantKeyWrites};
use chancery_domain::store::StoreError;

use crate::keys::{read_key, read_version, version_columns};
use crate::rows::swapped;
use crate::{Driver, Row, Rows, Sql, Value};

/// SQLite has one writer, so whoever reads in a transaction that writes holds everything anyway.
const HOLD: Sql = Sql::dialects(
    "SELECT version FROM tenant_keys WHERE tenant_id = $1 AND version = $2 AND state = 'active'",
    "SELECT version FROM tenant_keys WHERE tenant_id = $1 AND version = $2 AND state = 'active' FOR SHARE",
);

/// Versions with their keys.
macro_rules! select_with_key {
    () => {
        concat!(
            "SELECT k.id, k.name, k.type, k.purpose, k.managed, k.access_policy, k.allowed_users, k.origin, k.provider,
                k.expires_in_days, k.auto_rotate, k.rotation_interval_days, k.last_rotated_at, k.reminded_at,
                k.hsm_provider, k.hsm_key_id, k.backup, k.backup_version, k.backup_location, k.backup_at, k.backup_by,
                k.created_at, ",
            version_columns!()
        )
    };
}

#[async_trait]
impl<D: Driver> TenantKeyRows for Rows<D> {
    async fn versions_under_others(&mut self, newest: u32, limit: u32) -> Result<Vec<(Key, KeyVersion)>, StoreError> {
        self.all(
            "key_version",
            concat!(
                select_with_key!(),
                " FROM key_versions AS v JOIN keys AS k ON k.tenant_id = v.tenant_id AND k.id = v.key
                 WHERE v.tenant_id = $1 AND v.tenant_key_version <> $2 AND v.provider IS NULL AND v.state <> 'destroyed'
                 ORDER BY v.key, v.version LIMIT $3"
            ),
            [newest.into(), limit.into()],
            |row| Ok((read_key(row)?, read_version(row)?)),
        )
        .await
    }

    async fn versions_unchecked(
        &mut self,
        after: Option<(KeyId, u32)>,
        limit: u32,
    ) -> Result<Vec<(Key, KeyVersion)>, StoreError> {
        let (key, version) = after.map_or((String::new(), 0), |(key, version)| (key.to_string(), version));
        self.all(
            "key_version",
            concat!(
                select_with_key!(),
                " FROM key_versions AS v JOIN keys AS k ON k.tenant_id = v.tenant_id AND k.id = v.key
                 WHERE v.tenant_id = $1 AND v.key_check IS NULL AND v.public_jwk IS NULL AND v.provider IS NULL
                    AND v.state <> 'destroyed' AND (v.key > $2 OR (v.key = $2 AND v.version > $3))
                 ORDER BY v.key, v.version LIMIT $4"
            ),
            [key.as_str().into(), version.into(), limit.into()],
            |row| Ok((read_key(row)?, read_version(row)?)),
        )
        .await
    }
}

#[async_trait]
impl<D: Driver> TenantKeyWrites for Rows<D> {
    async fn hold_tenant_key(&mut self, version: u32) -> Result<(), StoreError> {
        let held = self.one("tenant_key", HOLD, [version.into()], Row::number::<u32>).await?;
        held.map(|_| ()).ok_or(StoreError::Changed("tenant_key"))
    }

    async fn supersede_tenant_key(&mut self, version: u32) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE tenant_keys SET state = 'rotating' WHERE tenant_id = $1 AND version = $2 AND state = 'active'",
                [version.into()],
            )
            .await?;
        swapped(changed, "tenant_key")
    }

    async fn rewrap_tenant_key(&mut self, from: &TenantKey, to: &TenantKey) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE tenant_keys SET wrapped = $4, root_version = $5
                 WHERE tenant_id = $1 AND version = $2 AND wrapped = $3 AND root_version = $6 AND state <> 'destroyed'",
                [
                    from.version.into(),
                    Value::bytes(&from.wrapped),
                    Value::bytes(&to.wrapped),
                    to.root_version.into(),
                    from.root_version.into(),
                ],
            )
            .await?;
        swapped(changed, "tenant_key")
    }

    async fn destroy_tenant_key(&mut self, version: u32) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE tenant_keys SET state = 'destroyed', wrapped = $3, own_provider = NULL, own_mode = NULL,
                    own_wrapped = NULL
                 WHERE tenant_id = $1 AND version = $2 AND state = 'rotating'",
                [version.into(), Value::bytes(&[])],
            )
            .await?;
        swapped(changed, "tenant_key")
    }

    async fn rewrap_key_version(&mut self, from: &KeyVersion, to: &KeyVersion) -> Result<(), StoreError> {
        let (
            StoredMaterial::Wrapped { bytes: old, tenant_key_version: under, .. },
            StoredMaterial::Wrapped { bytes, tenant_key_version, check },
        ) = (&from.material, &to.material)
        else {
            return Err(StoreError::Changed("key_version"));
        };
        let changed = self
            .execute(
                "UPDATE key_versions SET wrapped = $5, tenant_key_version = $6, key_check = $8
                 WHERE tenant_id = $1 AND key = $2 AND version = $3 AND wrapped = $4 AND tenant_key_version = $7",
                [
                    Value::text(from.key),
                    from.version.into(),
                    Value::bytes(old),
                    Value::bytes(bytes),
                    (*tenant_key_version).into(),
                    (*under).into(),
                    Value::opt_bytes(check.as_ref().map(|check| check.0.as_slice())),
                ],
            )
            .await?;
        swapped(changed, "key_version")
    }

    async fn keep_key_check(&mut self, version: &KeyVersion, check: KeyCheck) -> Result<(), StoreError> {
        let StoredMaterial::Wrapped { bytes, .. } = &version.material else {
            return Err(StoreError::Changed("key_version"));
        };
        let changed = self
            .execute(
                "UPDATE key_versions SET key_check = $5
                 WHERE tenant_id = $1 AND key = $2 AND version = $3 AND wrapped = $4 AND key_check IS NULL
                    AND provider IS NULL",
                [Value::text(version.key), version.version.into(), Value::bytes(bytes), Value::bytes(&check.0)],
            )
            .await?;
        swapped(changed, "key_version")
    }
}
