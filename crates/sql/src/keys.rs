use async_trait::async_trait;
use chancery_crypto::Handle;
use chancery_domain::ids::{KeyId, RecipientId};
use chancery_domain::keyring::{Key, KeyRows, KeyState, KeyVersion, KeyWrites, Managed, RootRecipient, TenantKey};
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

use crate::rows::{after, swapped};
use crate::{Driver, Row, Rows, Sql, Value};

macro_rules! select_key {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, type, purpose, managed, access_policy, created_at FROM keys WHERE tenant_id = $1 ",
            $rest
        )
    };
}

macro_rules! version_columns {
    () => {
        "v.key, v.version, v.key_id, v.handle, v.state, v.wrapped, v.tenant_key_version, v.public_jwk,
         v.previous, v.next, v.created_at, v.activated_at, v.retired_at"
    };
}

macro_rules! select_version {
    ($rest:literal) => {
        concat!("SELECT ", version_columns!(), " FROM key_versions AS v WHERE v.tenant_id = $1 AND v.key = $2 ", $rest)
    };
}

/// SQLite has one writer, so whoever reads in a transaction that writes holds everything anyway.
const HOLD: Sql =
    Sql::dialects(select_version!("AND v.state = 'active'"), select_version!("AND v.state = 'active' FOR SHARE"));
/// So many rotations in a row may overtake one use.
const ROTATIONS: usize = 100;
const ACTIVE: &str = select_version!("AND v.state = 'active'");
const SEIZE: Sql =
    Sql::dialects(select_version!("AND v.state = 'active'"), select_version!("AND v.state = 'active' FOR UPDATE"));

fn read_key(row: &mut Row) -> Result<Key, StoreError> {
    Ok(Key {
        id: row.parsed()?,
        name: row.text()?,
        key_type: row.parsed()?,
        purpose: row.parsed()?,
        managed: row.opt_parsed()?,
        access_policy: row.parsed()?,
        created_at: row.time()?,
    })
}

fn read_version(row: &mut Row) -> Result<KeyVersion, StoreError> {
    Ok(KeyVersion {
        key: row.parsed()?,
        version: row.number()?,
        key_id: row.text()?,
        handle: Handle(row.array()?),
        state: row.parsed()?,
        wrapped: row.bytes()?,
        tenant_key_version: row.number()?,
        public_jwk: row.opt_text()?.map(|jwk| serde_json::from_str(&jwk).map_err(|_| row.damaged())).transpose()?,
        previous: row.opt_text()?,
        next: row.opt_text()?,
        created_at: row.time()?,
        activated_at: row.opt_time()?,
        retired_at: row.opt_time()?,
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
    })
}

fn read_recipient(row: &mut Row) -> Result<RootRecipient, StoreError> {
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
    })
}

#[async_trait]
impl<D: Driver> KeyRows for Rows<D> {
    async fn root_recipients(&mut self) -> Result<Vec<RootRecipient>, StoreError> {
        self.all(
            "root_recipient",
            "SELECT id, root_version, root_handle, provider, label, environment, wrapped, created_at, proven_at
             FROM root_recipients WHERE tenant_id = $1 ORDER BY id",
            [],
            read_recipient,
        )
        .await
    }

    async fn tenant_keys(&mut self) -> Result<Vec<TenantKey>, StoreError> {
        self.all(
            "tenant_key",
            "SELECT version, handle, wrapped, root_version, state, created_at
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
                wrapped, created_at, proven_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
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
            ],
        )
        .await?;
        Ok(())
    }

    async fn prove_root_recipient(&mut self, id: RecipientId, at: Timestamp) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE root_recipients SET proven_at = $3 WHERE tenant_id = $1 AND id = $2",
                [Value::text(id), Value::time(at)],
            )
            .await?;
        swapped(changed, "root_recipient")
    }

    async fn insert_tenant_key(&mut self, key: &TenantKey) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO tenant_keys (tenant_id, version, handle, wrapped, root_version, state, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            [
                key.version.into(),
                Value::bytes(&key.handle.0),
                Value::bytes(&key.wrapped),
                key.root_version.into(),
                Value::text(key.state),
                Value::time(key.created_at),
            ],
        )
        .await?;
        Ok(())
    }

    async fn insert_key(&mut self, key: &Key) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO keys (tenant_id, id, name, type, purpose, managed, access_policy, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            [
                Value::text(key.id),
                key.name.as_str().into(),
                Value::text(key.key_type),
                Value::text(key.purpose),
                Value::opt_text(key.managed),
                Value::text(key.access_policy),
                Value::time(key.created_at),
            ],
        )
        .await?;
        Ok(())
    }

    async fn insert_key_version(&mut self, version: &KeyVersion) -> Result<(), StoreError> {
        let jwk = version
            .public_jwk
            .as_ref()
            .map(serde_json::to_string)
            .transpose()
            .map_err(|error| StoreError::Unavailable(error.into()))?;
        self.execute(
            "INSERT INTO key_versions (tenant_id, key, version, key_id, handle, state, wrapped, tenant_key_version,
                public_jwk, previous, next, created_at, activated_at, retired_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
            [
                Value::text(version.key),
                version.version.into(),
                version.key_id.as_str().into(),
                Value::bytes(&version.handle.0),
                Value::text(version.state),
                Value::bytes(&version.wrapped),
                version.tenant_key_version.into(),
                Value::Text(jwk),
                Value::opt_text(version.previous.as_deref()),
                Value::opt_text(version.next.as_deref()),
                Value::time(version.created_at),
                Value::opt_time(version.activated_at),
                Value::opt_time(version.retired_at),
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

    async fn set_key_version_state(
        &mut self,
        key: KeyId,
        version: u32,
        from: KeyState,
        to: KeyState,
        next: Option<&str>,
        retired_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE key_versions SET state = $5, next = COALESCE($6, next), retired_at = COALESCE($7, retired_at)
                 WHERE tenant_id = $1 AND key = $2 AND version = $3 AND state = $4",
                [
                    Value::text(key),
                    version.into(),
                    Value::text(from),
                    Value::text(to),
                    Value::opt_text(next),
                    Value::opt_time(retired_at),
                ],
            )
            .await?;
        swapped(changed, "key_version")
    }
}
