use async_trait::async_trait;
use chancery_domain::backups::{Backup, BackupRows, BackupWrites};
use chancery_domain::store::StoreError;

use crate::{Driver, Row, Rows, Value};

fn read(row: &mut Row) -> Result<Backup, StoreError> {
    Ok(Backup { id: row.parsed()?, made_at: row.time()?, header_sha256: row.array()?, keys_expire_at: row.time()? })
}

#[async_trait]
impl<D: Driver> BackupRows for Rows<D> {
    async fn newest_backup(&mut self) -> Result<Option<Backup>, StoreError> {
        self.one(
            "backup",
            "SELECT id, made_at, header_sha256, keys_expire_at FROM backups WHERE tenant_id = $1
             ORDER BY made_at DESC, id DESC LIMIT 1",
            [],
            read,
        )
        .await
    }
}

#[async_trait]
impl<D: Driver> BackupWrites for Rows<D> {
    async fn insert_backup(&mut self, backup: &Backup) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO backups (tenant_id, id, made_at, header_sha256, keys_expire_at) VALUES ($1, $2, $3, $4, $5)",
            [
                Value::text(backup.id),
                Value::time(backup.made_at),
                Value::bytes(&backup.header_sha256),
                Value::time(backup.keys_expire_at),
            ],
        )
        .await?;
        Ok(())
    }
}
