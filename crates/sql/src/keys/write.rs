//! Adds and changes keys, and holds them for those who do.

use async_trait::async_trait;
use chancery_domain::ids::{KeyId, RecipientId};
use chancery_domain::keyring::{Key, KeyVersion, KeyWrites, RootRecipient, TenantKey};
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

use super::columns::{
    backup_values, last_valid_index, link_values, material_values, opt_number, read_key, read_version, select_key,
    select_version, version_columns, words,
};
use crate::rows::swapped;
use crate::{Driver, Rows, Sql, Value};

/// SQLite has one writer, so whoever reads in a transaction that writes holds everything anyway.
const HOLD: Sql =
    Sql::dialects(select_version!("AND v.state = 'active'"), select_version!("AND v.state = 'active' FOR SHARE"));
/// So many rotations in a row may overtake one use.
const ROTATIONS: usize = 100;
const ACTIVE: &str = select_version!("AND v.state = 'active'");
const SEIZE_ALL: Sql =
    Sql::dialects(select_version!("ORDER BY v.version"), select_version!("ORDER BY v.version FOR UPDATE"));
const HOLD_ONE: Sql =
    Sql::dialects(select_version!("AND v.version = $3"), select_version!("AND v.version = $3 FOR SHARE"));
/// Not `FOR UPDATE`: a new version refers to its key, and its insertion must not wait for its own transaction's peers.
const SEIZE_KEY: Sql = Sql::dialects(select_key!("AND id = $2"), select_key!("AND id = $2 FOR NO KEY UPDATE"));

#[async_trait]
impl<D: Driver> KeyWrites for Rows<D> {
    async fn insert_root_recipient(&mut self, recipient: &RootRecipient) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO root_recipients (tenant_id, id, root_version, root_handle, provider, label, environment,
                wrapped, created_at, proven_at, failed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            [
                Value::text(recipient.id),
                recipient.root_version.into(),
                Value::bytes(&recipient.root_handle.0),
                Value::text(recipient.provider),
                recipient.label.as_str().into(),
                recipient.environment.as_str().into(),
                Value::bytes(&recipient.wrapped),
                Value::time(recipient.created_at),
                Value::time(recipient.proven_at),
                Value::opt_time(recipient.failed_at),
            ],
        )
        .await?;
        Ok(())
    }

    async fn prove_root_recipient(&mut self, id: RecipientId, at: Timestamp) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE root_recipients SET proven_at = $3, failed_at = NULL WHERE tenant_id = $1 AND id = $2",
                [Value::text(id), Value::time(at)],
            )
            .await?;
        swapped(changed, "root_recipient")
    }

    async fn insert_tenant_key(&mut self, key: &TenantKey) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO tenant_keys (tenant_id, version, handle, wrapped, root_version, state, created_at,
                own_provider, own_mode, own_wrapped)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            [
                key.version.into(),
                Value::bytes(&key.handle.0),
                Value::bytes(&key.wrapped),
                key.root_version.into(),
                Value::text(key.state),
                Value::time(key.created_at),
                Value::opt_text(key.own.as_ref().map(|own| own.provider.as_str())),
                Value::opt_text(key.own.as_ref().map(|own| own.mode)),
                Value::opt_bytes(key.own.as_ref().map(|own| own.wrapped.as_slice())),
            ],
        )
        .await?;
        Ok(())
    }

    async fn insert_key(&mut self, key: &Key) -> Result<(), StoreError> {
        let [link_provider, link_id] = link_values(key.hsm.as_ref());
        let [backup, backup_version, location, backup_at, backup_by] = backup_values(key.backup.as_ref());
        self.execute(
            "INSERT INTO keys (tenant_id, id, name, type, purpose, managed, access_policy, allowed_users, origin,
                provider, expires_in_days, auto_rotate, rotation_interval_days, last_rotated_at, reminded_at,
                hsm_provider, hsm_key_id, backup, backup_version, backup_location, backup_at, backup_by, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
                $22, $23)",
            [
                Value::text(key.id),
                key.name.as_str().into(),
                Value::text(key.key_type),
                Value::text(key.purpose),
                Value::opt_text(key.managed),
                Value::text(key.access_policy),
                words(&key.allowed_users),
                Value::text(key.origin),
                Value::opt_text(key.provider),
                opt_number(key.expires_in_days),
                key.auto_rotate.into(),
                opt_number(key.rotation_interval_days),
                Value::opt_time(key.last_rotated_at),
                Value::opt_time(key.reminded_at),
                link_provider,
                link_id,
                backup,
                backup_version,
                location,
                backup_at,
                backup_by,
                Value::time(key.created_at),
            ],
        )
        .await?;
        Ok(())
    }

    async fn update_key(&mut self, key: &Key) -> Result<(), StoreError> {
        let [link_provider, link_id] = link_values(key.hsm.as_ref());
        let [backup, backup_version, location, backup_at, backup_by] = backup_values(key.backup.as_ref());
        let changed = self
            .execute(
                "UPDATE keys SET access_policy = $3, allowed_users = $4, provider = $5, expires_in_days = $6,
                    auto_rotate = $7, rotation_interval_days = $8, last_rotated_at = $9, reminded_at = $10,
                    hsm_provider = $11, hsm_key_id = $12, backup = $13, backup_version = $14, backup_location = $15,
                    backup_at = $16, backup_by = $17, type = $18
                 WHERE tenant_id = $1 AND id = $2",
                [
                    Value::text(key.id),
                    Value::text(key.access_policy),
                    words(&key.allowed_users),
                    Value::opt_text(key.provider),
                    opt_number(key.expires_in_days),
                    key.auto_rotate.into(),
                    opt_number(key.rotation_interval_days),
                    Value::opt_time(key.last_rotated_at),
                    Value::opt_time(key.reminded_at),
                    link_provider,
                    link_id,
                    backup,
                    backup_version,
                    location,
                    backup_at,
                    backup_by,
                    Value::text(key.key_type),
                ],
            )
            .await?;
        swapped(changed, "key")
    }

    async fn insert_key_version(&mut self, version: &KeyVersion) -> Result<(), StoreError> {
        let jwk = version
            .public_jwk
            .as_ref()
            .map(serde_json::to_string)
            .transpose()
            .map_err(|error| StoreError::Unavailable(error.into()))?;
        let [wrapped, tenant_key_version, provider, resident_id, check] = material_values(&version.material);
        self.execute(
            "INSERT INTO key_versions (tenant_id, key, version, key_id, handle, state, wrapped, tenant_key_version,
                provider, resident_id, public_jwk, previous, next, created_at, activated_at, retired_at, expires_at,
                resumes_to, cancels_to, deletion_due_at, revoked_reason, last_valid_index, uses, last_used_at, key_check)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
                $22, $23, $24, $25)",
            [
                Value::text(version.key),
                version.version.into(),
                version.key_id.as_str().into(),
                Value::bytes(&version.handle.0),
                Value::text(version.state),
                wrapped,
                tenant_key_version,
                provider,
                resident_id,
                Value::Text(jwk),
                Value::opt_text(version.previous.as_deref()),
                Value::opt_text(version.next.as_deref()),
                Value::time(version.created_at),
                Value::opt_time(version.activated_at),
                Value::opt_time(version.retired_at),
                Value::opt_time(version.expires_at),
                Value::opt_text(version.resumes_to),
                Value::opt_text(version.cancels_to),
                Value::opt_time(version.deletion_due_at),
                Value::opt_text(version.revocation.map(|revocation| revocation.reason)),
                last_valid_index(version.revocation),
                Value::count(version.uses),
                Value::opt_time(version.last_used_at),
                check,
            ],
        )
        .await?;
        Ok(())
    }

    async fn hold_active_version(&mut self, id: KeyId) -> Result<Option<KeyVersion>, StoreError> {
        // Whoever waited for a rotation finds the old version retired and does not see the new one yet: PostgreSQL gives each
        // statement the rows committed before it *began*. So as long as there is an active version, ask again.
        for _ in 0..ROTATIONS {
            let held = self.one("key_version", HOLD, [Value::text(id)], read_version).await?;
            if held.is_some() || self.one("key_version", ACTIVE, [Value::text(id)], read_version).await?.is_none() {
                return Ok(held);
            }
        }
        Err(StoreError::Changed("key_version"))
    }

    async fn seize_key(&mut self, id: KeyId) -> Result<Option<Key>, StoreError> {
        self.one("key", SEIZE_KEY, [Value::text(id)], read_key).await
    }

    async fn seize_versions(&mut self, id: KeyId) -> Result<Vec<KeyVersion>, StoreError> {
        self.all("key_version", SEIZE_ALL, [Value::text(id)], read_version).await
    }

    async fn hold_version(&mut self, id: KeyId, version: u32) -> Result<Option<KeyVersion>, StoreError> {
        self.one("key_version", HOLD_ONE, [Value::text(id), version.into()], read_version).await
    }

    async fn swap_key_version(&mut self, from: &KeyVersion, to: &KeyVersion) -> Result<(), StoreError> {
        let [wrapped, tenant_key_version, provider, resident_id, check] = material_values(&to.material);
        let [had_wrapped, _, _, had_resident, _] = material_values(&from.material);
        let changed = self
            .execute(
                "UPDATE key_versions SET state = $4, wrapped = $5, tenant_key_version = $6, provider = $7,
                    resident_id = $8, next = $9, activated_at = $10, retired_at = $11, expires_at = $12,
                    resumes_to = $13, cancels_to = $14, deletion_due_at = $15, revoked_reason = $16,
                    last_valid_index = $17, key_check = $21
                 WHERE tenant_id = $1 AND key = $2 AND version = $3 AND state = $18 AND wrapped = $19
                    AND COALESCE(resident_id, '') = COALESCE($20, '')",
                [
                    Value::text(from.key),
                    from.version.into(),
                    Value::text(to.state),
                    wrapped,
                    tenant_key_version,
                    provider,
                    resident_id,
                    Value::opt_text(to.next.as_deref()),
                    Value::opt_time(to.activated_at),
                    Value::opt_time(to.retired_at),
                    Value::opt_time(to.expires_at),
                    Value::opt_text(to.resumes_to),
                    Value::opt_text(to.cancels_to),
                    Value::opt_time(to.deletion_due_at),
                    Value::opt_text(to.revocation.map(|revocation| revocation.reason)),
                    last_valid_index(to.revocation),
                    Value::text(from.state),
                    had_wrapped,
                    had_resident,
                    check,
                ],
            )
            .await?;
        swapped(changed, "key_version")?;
        self.stops_keys |= from.state.opens() && !to.state.opens();
        Ok(())
    }

    async fn count_key_uses(&mut self, key_id: &str, uses: u64, last: Timestamp) -> Result<(), StoreError> {
        self.execute(
            "UPDATE key_versions SET uses = uses + $3, last_used_at = $4 WHERE tenant_id = $1 AND key_id = $2",
            [key_id.into(), Value::count(uses), Value::time(last)],
        )
        .await?;
        Ok(())
    }
}
