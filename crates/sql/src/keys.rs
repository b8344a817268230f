use async_trait::async_trait;
use chancery_crypto::Handle;
use chancery_domain::ids::{KeyId, RecipientId, UserId};
use chancery_domain::keyring::{
    HsmLink, Key, KeyBackup, KeyRows, KeyVersion, KeyWrites, Managed, OwnWrap, Revocation, RootRecipient, Standing,
    StoredMaterial, TenantKey,
};
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

use crate::rows::{after, swapped};
use crate::{Driver, Row, Rows, Sql, Value};

macro_rules! select_key {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, type, purpose, managed, access_policy, allowed_users, origin, provider, expires_in_days,
                auto_rotate, rotation_interval_days, last_rotated_at, reminded_at, hsm_provider, hsm_key_id,
                backup, backup_version, backup_location, backup_at, backup_by, created_at
             FROM keys WHERE tenant_id = $1 ",
            $rest
        )
    };
}

macro_rules! select_recipients {
    ($rest:literal) => {
        concat!(
            "SELECT id, root_version, root_handle, provider, label, environment, wrapped, created_at, proven_at, failed_at
             FROM root_recipients WHERE tenant_id = $1 ORDER BY id",
            $rest
        )
    };
}
pub(crate) use select_recipients;

macro_rules! version_columns {
    () => {
        "v.key, v.version, v.key_id, v.handle, v.state, v.wrapped, v.tenant_key_version, v.provider, v.resident_id,
         v.public_jwk, v.previous, v.next, v.created_at, v.activated_at, v.retired_at, v.expires_at, v.resumes_to,
         v.cancels_to, v.deletion_due_at, v.revoked_reason, v.last_valid_index, v.uses, v.last_used_at"
    };
}

macro_rules! select_version {
    ($rest:literal) => {
        concat!("SELECT ", version_columns!(), " FROM key_versions AS v WHERE v.tenant_id = $1 AND v.key = $2 ", $rest)
    };
}

pub(crate) use version_columns;

/// SQLite has one writer, so whoever reads in a transaction that writes holds everything anyway.
const HOLD: Sql =
    Sql::dialects(select_version!("AND v.state = 'active'"), select_version!("AND v.state = 'active' FOR SHARE"));
/// So many rotations in a row may overtake one use.
const ROTATIONS: usize = 100;
const ACTIVE: &str = select_version!("AND v.state = 'active'");
const SEIZE: Sql =
    Sql::dialects(select_version!("AND v.state = 'active'"), select_version!("AND v.state = 'active' FOR UPDATE"));

const SEIZE_ALL: Sql =
    Sql::dialects(select_version!("ORDER BY v.version"), select_version!("ORDER BY v.version FOR UPDATE"));
const HOLD_ONE: Sql =
    Sql::dialects(select_version!("AND v.version = $3"), select_version!("AND v.version = $3 FOR SHARE"));
/// Not `FOR UPDATE`: a new version refers to its key, and its insertion must not wait for its own transaction's peers.
const SEIZE_KEY: Sql = Sql::dialects(select_key!("AND id = $2"), select_key!("AND id = $2 FOR NO KEY UPDATE"));

/// Ids as words with blanks between.
fn words(ids: &[UserId]) -> Value {
    Value::text(ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
}

fn opt_number(number: Option<u32>) -> Value {
    Value::Int(number.map(i64::from))
}

fn read_opt_number<T: TryFrom<i64>>(row: &mut Row) -> Result<Option<T>, StoreError> {
    row.opt_int()?.map(|number| T::try_from(number).map_err(|_| row.damaged())).transpose()
}

fn read_link(row: &mut Row) -> Result<Option<HsmLink>, StoreError> {
    match (row.opt_parsed()?, row.opt_parsed()?) {
        (Some(provider), Some(key_id)) => Ok(Some(HsmLink { provider, key_id })),
        (None, None) => Ok(None),
        _ => Err(row.damaged()),
    }
}

fn read_backup(row: &mut Row) -> Result<Option<KeyBackup>, StoreError> {
    let state = row.opt_parsed()?;
    let (version, location) = (read_opt_number(row)?, row.opt_text()?);
    let (at, by) = (row.opt_time()?, row.opt_text()?);
    Ok(state.map(|state| KeyBackup { state, version, location, at, by }))
}

fn read_material(row: &mut Row) -> Result<StoredMaterial, StoreError> {
    let (bytes, tenant_key_version) = (row.bytes()?, row.number()?);
    match (row.opt_parsed()?, row.opt_parsed()?) {
        (Some(provider), Some(id)) => Ok(StoredMaterial::Resident { provider, id }),
        (None, None) => Ok(StoredMaterial::Wrapped { bytes, tenant_key_version }),
        _ => Err(row.damaged()),
    }
}

/// The columns of a material: wrapped, tenant key version, provider, resident id.
fn material_values(material: &StoredMaterial) -> [Value; 4] {
    match material {
        StoredMaterial::Wrapped { bytes, tenant_key_version } => {
            [Value::bytes(bytes), (*tenant_key_version).into(), Value::Text(None), Value::Text(None)]
        }
        StoredMaterial::Resident { provider, id } => {
            [Value::bytes(&[]), 0_u32.into(), Value::text(*provider), Value::text(id)]
        }
    }
}

fn last_valid_index(revocation: Option<Revocation>) -> Value {
    let index = revocation.and_then(|revocation| revocation.last_valid_index);
    Value::Int(index.map(|index| i64::try_from(index).unwrap_or(i64::MAX)))
}

fn link_values(link: Option<&HsmLink>) -> [Value; 2] {
    [Value::opt_text(link.map(|link| link.provider)), Value::opt_text(link.map(|link| &link.key_id))]
}

fn backup_values(backup: Option<&KeyBackup>) -> [Value; 5] {
    [
        Value::opt_text(backup.map(|backup| backup.state)),
        opt_number(backup.and_then(|backup| backup.version)),
        Value::opt_text(backup.and_then(|backup| backup.location.as_deref())),
        Value::opt_time(backup.and_then(|backup| backup.at)),
        Value::opt_text(backup.and_then(|backup| backup.by.as_deref())),
    ]
}

fn read_revocation(row: &mut Row) -> Result<Option<Revocation>, StoreError> {
    let reason = row.opt_parsed()?;
    let last_valid_index = read_opt_number(row)?;
    Ok(reason.map(|reason| Revocation { reason, last_valid_index }))
}

pub(crate) fn read_key(row: &mut Row) -> Result<Key, StoreError> {
    Ok(Key {
        id: row.parsed()?,
        name: row.text()?,
        key_type: row.parsed()?,
        purpose: row.parsed()?,
        managed: row.opt_parsed()?,
        access_policy: row.parsed()?,
        allowed_users: {
            let text = row.text()?;
            let parsed = text.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>();
            parsed.map_err(|_| row.damaged())?
        },
        origin: row.parsed()?,
        provider: row.opt_parsed()?,
        expires_in_days: read_opt_number(row)?,
        auto_rotate: row.boolean()?,
        rotation_interval_days: read_opt_number(row)?,
        last_rotated_at: row.opt_time()?,
        reminded_at: row.opt_time()?,
        hsm: read_link(row)?,
        backup: read_backup(row)?,
        created_at: row.time()?,
    })
}

pub(crate) fn read_version(row: &mut Row) -> Result<KeyVersion, StoreError> {
    Ok(KeyVersion {
        key: row.parsed()?,
        version: row.number()?,
        key_id: row.text()?,
        handle: Handle(row.array()?),
        state: row.parsed()?,
        material: read_material(row)?,
        public_jwk: row.opt_text()?.map(|jwk| serde_json::from_str(&jwk).map_err(|_| row.damaged())).transpose()?,
        previous: row.opt_text()?,
        next: row.opt_text()?,
        created_at: row.time()?,
        activated_at: row.opt_time()?,
        retired_at: row.opt_time()?,
        expires_at: row.opt_time()?,
        resumes_to: row.opt_parsed()?,
        cancels_to: row.opt_parsed()?,
        deletion_due_at: row.opt_time()?,
        revocation: read_revocation(row)?,
        uses: row.number()?,
        last_used_at: row.opt_time()?,
    })
}

fn read_tenant_key(row: &mut Row) -> Result<TenantKey, StoreError> {
    Ok(TenantKey {
        version: row.number()?,
        handle: Handle(row.array()?),
        wrapped: row.bytes()?,
        root_version: row.number()?,
        state: row.parsed()?,
        created_at: row.time()?,
        own: match (row.opt_text()?, row.opt_parsed()?, row.opt_bytes()?) {
            (Some(provider), Some(mode), Some(wrapped)) => Some(OwnWrap { provider, mode, wrapped }),
            (None, None, None) => None,
            _ => return Err(row.damaged()),
        },
    })
}

pub(crate) fn read_recipient(row: &mut Row) -> Result<RootRecipient, StoreError> {
    Ok(RootRecipient {
        id: row.parsed()?,
        root_version: row.number()?,
        root_handle: Handle(row.array()?),
        provider: row.parsed()?,
        label: row.text()?,
        environment: row.text()?,
        wrapped: row.bytes()?,
        created_at: row.time()?,
        proven_at: row.time()?,
        failed_at: row.opt_time()?,
    })
}

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

impl<D: Driver> Rows<D> {
    /// The active version under a lock.
    ///
    /// Whoever waited for a rotation finds the old version retired and does not see the new one yet: PostgreSQL gives each
    /// statement the rows committed before it *began*. So as long as there is an active version, ask again.
    async fn locked(&mut self, sql: Sql, id: KeyId) -> Result<Option<KeyVersion>, StoreError> {
        for _ in 0..ROTATIONS {
            let locked = self.one("key_version", sql, [Value::text(id)], read_version).await?;
            if locked.is_some() || self.one("key_version", ACTIVE, [Value::text(id)], read_version).await?.is_none() {
                return Ok(locked);
            }
        }
        Err(StoreError::Changed("key_version"))
    }
}

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
                    backup_at = $16, backup_by = $17
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
        let [wrapped, tenant_key_version, provider, resident_id] = material_values(&version.material);
        self.execute(
            "INSERT INTO key_versions (tenant_id, key, version, key_id, handle, state, wrapped, tenant_key_version,
                provider, resident_id, public_jwk, previous, next, created_at, activated_at, retired_at, expires_at,
                resumes_to, cancels_to, deletion_due_at, revoked_reason, last_valid_index, uses, last_used_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
                $22, $23, $24)",
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
            ],
        )
        .await?;
        Ok(())
    }

    async fn hold_active_version(&mut self, id: KeyId) -> Result<Option<KeyVersion>, StoreError> {
        self.locked(HOLD, id).await
    }

    async fn seize_active_version(&mut self, id: KeyId) -> Result<Option<KeyVersion>, StoreError> {
        self.locked(SEIZE, id).await
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
        let [wrapped, tenant_key_version, provider, resident_id] = material_values(&to.material);
        let [had_wrapped, _, _, had_resident] = material_values(&from.material);
        let changed = self
            .execute(
                "UPDATE key_versions SET state = $4, wrapped = $5, tenant_key_version = $6, provider = $7,
                    resident_id = $8, next = $9, activated_at = $10, retired_at = $11, expires_at = $12,
                    resumes_to = $13, cancels_to = $14, deletion_due_at = $15, revoked_reason = $16,
                    last_valid_index = $17
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
