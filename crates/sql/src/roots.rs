use async_trait::async_trait;
use chancery_domain::ids::RecipientId;
use chancery_domain::keyring::{RootRecipient, RootRows, RootSecret, RootVersion, RootWrites};
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

use crate::keys::{read_recipient, select_recipients};
use crate::rows::swapped;
use crate::{Driver, Row, Rows, Sql, Value};

/// The versions are the platform's and every tenant may see and hold them. SQLite has one writer, so they are held anyway.
const HOLD: Sql = Sql::dialects(
    "SELECT version FROM directory_roots WHERE $1 <> '' AND version = $2 AND state = 'active'",
    "SELECT version FROM directory_roots WHERE $1 <> '' AND version = $2 AND state = 'active' FOR SHARE",
);

const SEIZE_RECIPIENTS: Sql = Sql::dialects(select_recipients!(""), select_recipients!(" FOR UPDATE"));

fn read_version(row: &mut Row) -> Result<RootVersion, StoreError> {
    Ok(RootVersion {
        version: row.number()?,
        state: row.parsed()?,
        created_at: row.time()?,
        superseded_at: row.opt_time()?,
        retired_at: row.opt_time()?,
    })
}

#[async_trait]
impl<D: Driver> RootRows for Rows<D> {
    async fn roots(&mut self) -> Result<Vec<RootVersion>, StoreError> {
        self.all(
            "root",
            "SELECT version, state, created_at, superseded_at, retired_at FROM directory_roots
             WHERE $1 <> '' ORDER BY version",
            [],
            read_version,
        )
        .await
    }

    async fn root_secrets(&mut self) -> Result<Vec<RootSecret>, StoreError> {
        self.all(
            "root_secret",
            "SELECT version, wrapped, root_version FROM root_secrets WHERE tenant_id = $1 ORDER BY version",
            [],
            |row| Ok(RootSecret { version: row.number()?, wrapped: row.bytes()?, root_version: row.number()? }),
        )
        .await
    }
}

#[async_trait]
impl<D: Driver> RootWrites for Rows<D> {
    async fn insert_root(&mut self, root: &RootVersion) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO directory_roots (tenant_id, version, state, created_at, superseded_at, retired_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
            [
                root.version.into(),
                Value::text(root.state),
                Value::time(root.created_at),
                Value::opt_time(root.superseded_at),
                Value::opt_time(root.retired_at),
            ],
        )
        .await?;
        Ok(())
    }

    async fn hold_root(&mut self, version: u32) -> Result<(), StoreError> {
        let held = self.one("root", HOLD, [version.into()], Row::number::<u32>).await?;
        held.map(|_| ()).ok_or(StoreError::Changed("root"))
    }

    async fn supersede_root(&mut self, version: u32, at: Timestamp) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE directory_roots SET state = 'superseded', superseded_at = $3
                 WHERE tenant_id = $1 AND version = $2 AND state = 'active'",
                [version.into(), Value::time(at)],
            )
            .await?;
        swapped(changed, "root")
    }

    async fn retire_root(&mut self, version: u32, at: Timestamp) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE directory_roots SET state = 'retired', retired_at = $3
                 WHERE tenant_id = $1 AND version = $2 AND state = 'superseded'",
                [version.into(), Value::time(at)],
            )
            .await?;
        swapped(changed, "root")
    }

    async fn put_root_secret(&mut self, secret: &RootSecret) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO root_secrets (tenant_id, version, wrapped, root_version) VALUES ($1, $2, $3, $4)
             ON CONFLICT (tenant_id, version) DO UPDATE SET wrapped = excluded.wrapped, root_version = excluded.root_version",
            [secret.version.into(), Value::bytes(&secret.wrapped), secret.root_version.into()],
        )
        .await?;
        Ok(())
    }

    async fn seize_root_recipients(&mut self) -> Result<Vec<RootRecipient>, StoreError> {
        self.all("root_recipient", SEIZE_RECIPIENTS, [], read_recipient).await
    }

    async fn remove_root_recipient(&mut self, id: RecipientId) -> Result<(), StoreError> {
        let removed =
            self.execute("DELETE FROM root_recipients WHERE tenant_id = $1 AND id = $2", [Value::text(id)]).await?;
        swapped(removed, "root_recipient")
    }

    async fn fail_root_recipient(&mut self, id: RecipientId, at: Timestamp) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE root_recipients SET failed_at = COALESCE(failed_at, $3) WHERE tenant_id = $1 AND id = $2",
                [Value::text(id), Value::time(at)],
            )
            .await?;
        swapped(changed, "root_recipient")
    }
}
