use async_trait::async_trait;
use chancery_domain::ids::KeyId;
use chancery_domain::keyring::{KeyCopy, KeyCopyRows, KeyCopyWrites};
use chancery_domain::store::StoreError;

use crate::rows::swapped;
use crate::{Driver, Row, Rows, Value};

fn read(row: &mut Row) -> Result<KeyCopy, StoreError> {
    Ok(KeyCopy {
        key: row.parsed()?,
        location: row.text()?,
        state: row.parsed()?,
        version: row.opt_int()?.map(|number| u32::try_from(number).map_err(|_| row.damaged())).transpose()?,
        at: row.opt_time()?,
        by: row.opt_text()?,
    })
}

#[async_trait]
impl<D: Driver> KeyCopyRows for Rows<D> {
    async fn key_copies(&mut self, key: KeyId) -> Result<Vec<KeyCopy>, StoreError> {
        let sql = "SELECT key, location, state, version, made_at, made_by FROM key_copies
             WHERE tenant_id = $1 AND key = $2 ORDER BY location";
        self.all("key_copy", sql, [Value::text(key)], read).await
    }
}

#[async_trait]
impl<D: Driver> KeyCopyWrites for Rows<D> {
    async fn put_key_copy(&mut self, copy: &KeyCopy) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO key_copies (tenant_id, key, location, state, version, made_at, made_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (tenant_id, key, location) DO UPDATE SET state = excluded.state, version = excluded.version,
                made_at = excluded.made_at, made_by = excluded.made_by",
            [
                Value::text(copy.key),
                copy.location.as_str().into(),
                Value::text(copy.state),
                Value::Int(copy.version.map(i64::from)),
                Value::opt_time(copy.at),
                Value::opt_text(copy.by.as_deref()),
            ],
        )
        .await?;
        Ok(())
    }

    async fn remove_key_copy(&mut self, copy: &KeyCopy) -> Result<(), StoreError> {
        let removed = self
            .execute(
                "DELETE FROM key_copies WHERE tenant_id = $1 AND key = $2 AND location = $3 AND state = $4
                    AND COALESCE(made_at, 0) = COALESCE($5, 0)",
                [
                    Value::text(copy.key),
                    copy.location.as_str().into(),
                    Value::text(copy.state),
                    Value::opt_time(copy.at),
                ],
            )
            .await?;
        swapped(removed, "key_copy")
    }
}
