use async_trait::async_trait;
use chancery_domain::idempotency::{IdempotencyRows, IdempotencyWrites, Remembered};
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

use crate::{Driver, Row, Rows, Value};

fn read(row: &mut Row) -> Result<Remembered, StoreError> {
    Ok(Remembered { key: row.array()?, request: row.array()?, resource: row.text()?, created_at: row.time()? })
}

#[async_trait]
impl<D: Driver> IdempotencyRows for Rows<D> {
    async fn remembered(&mut self, key: &[u8; 32]) -> Result<Option<Remembered>, StoreError> {
        self.one(
            "idempotency_key",
            "SELECT key, request, resource, created_at FROM idempotency WHERE tenant_id = $1 AND key = $2",
            [Value::bytes(key)],
            read,
        )
        .await
    }
}

#[async_trait]
impl<D: Driver> IdempotencyWrites for Rows<D> {
    async fn remember(&mut self, entry: &Remembered) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO idempotency (tenant_id, key, request, resource, created_at) VALUES ($1, $2, $3, $4, $5)",
            [
                Value::bytes(&entry.key),
                Value::bytes(&entry.request),
                entry.resource.as_str().into(),
                Value::time(entry.created_at),
            ],
        )
        .await?;
        Ok(())
    }

    async fn forget_remembered_before(&mut self, moment: Timestamp) -> Result<(), StoreError> {
        self.execute("DELETE FROM idempotency WHERE tenant_id = $1 AND created_at < $2", [Value::time(moment)]).await?;
        Ok(())
    }
}
