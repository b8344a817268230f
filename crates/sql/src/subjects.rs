use async_trait::async_trait;
use chancery_crypto::Handle;
use chancery_domain::ids::SubjectId;
use chancery_domain::store::StoreError;
use chancery_domain::subjects::{SubjectHoldings, SubjectKey, SubjectReferences, SubjectRows, SubjectWrites};
use chancery_domain::time::Timestamp;

use crate::rows::{after, swapped};
use crate::{Driver, Row, Rows, Sql, Value};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, handle, reference, reference_key, wrapped, root_key, state, created_at, destroyed_at
             FROM subject_keys WHERE tenant_id = $1 ",
            $rest
        )
    };
}

const BY_REFERENCE: Sql = Sql::dialects(
    select!("AND reference IN (SELECT value FROM json_each($2)) ORDER BY id"),
    select!("AND reference IN (SELECT json_array_elements_text($2::json)) ORDER BY id"),
);
const BY_HANDLE: Sql = Sql::dialects(
    select!("AND handle IN (SELECT value FROM json_each($2)) ORDER BY id"),
    select!("AND handle IN (SELECT json_array_elements_text($2::json)) ORDER BY id"),
);

fn read(row: &mut Row) -> Result<SubjectKey, StoreError> {
    Ok(SubjectKey {
        id: row.parsed()?,
        handle: Handle::from_hex(&row.text()?).ok_or_else(|| row.damaged())?,
        reference: row.text()?,
        reference_key: row.text()?,
        wrapped: row.opt_bytes()?,
        root_key: row.text()?,
        state: row.parsed()?,
        created_at: row.time()?,
        destroyed_at: row.opt_time()?,
    })
}

fn read_references(row: &mut Row) -> Result<SubjectReferences, StoreError> {
    Ok(SubjectReferences {
        key_id: row.text()?,
        handle: Handle::from_hex(&row.text()?).ok_or_else(|| row.damaged())?,
        wrapped: row.bytes()?,
        root_key: row.text()?,
    })
}

#[async_trait]
impl<D: Driver> SubjectRows for Rows<D> {
    async fn subject_keys_of(&mut self, references: &[String]) -> Result<Vec<SubjectKey>, StoreError> {
        self.all("subject_key", BY_REFERENCE, [Value::list(references)], read).await
    }

    async fn subject_keys_by_handle(&mut self, handles: &[Handle]) -> Result<Vec<SubjectKey>, StoreError> {
        let handles = handles.iter().map(|handle| handle.to_hex());
        self.all("subject_key", BY_HANDLE, [Value::list(handles)], read).await
    }

    async fn subject_keys(&mut self, since: Option<SubjectId>, limit: u32) -> Result<Vec<SubjectKey>, StoreError> {
        let sql = select!("AND id > $2 ORDER BY id LIMIT $3");
        self.all("subject_key", sql, [after(since), limit.into()], read).await
    }

    async fn subject_keys_under(
        &mut self,
        root_key: &str,
        since: Option<SubjectId>,
        limit: u32,
    ) -> Result<Vec<SubjectKey>, StoreError> {
        let sql = select!("AND root_key = $2 AND state = 'active' AND id > $3 ORDER BY id LIMIT $4");
        self.all("subject_key", sql, [root_key.into(), after(since), limit.into()], read).await
    }

    async fn subject_holdings(&mut self, root_key: &str) -> Result<SubjectHoldings, StoreError> {
        let sql = "SELECT
                (SELECT COUNT(*) FROM subject_keys WHERE tenant_id = $1 AND root_key = $2 AND state = 'active'),
                (SELECT COUNT(*) FROM subject_references WHERE tenant_id = $1 AND root_key = $2)
                + CASE WHEN EXISTS (SELECT 1 FROM subject_keys WHERE tenant_id = $1 AND reference_key = $2)
                    AND NOT EXISTS (SELECT 1 FROM subject_references WHERE tenant_id = $1 AND key_id = $2)
                    THEN 1 ELSE 0 END";
        let read = |row: &mut Row| Ok(SubjectHoldings { keys: row.number()?, references: row.number()? });
        Ok(self.one("subject_key", sql, [root_key.into()], read).await?.unwrap_or_default())
    }

    async fn subject_references(&mut self) -> Result<Vec<SubjectReferences>, StoreError> {
        let sql = "SELECT key_id, handle, wrapped, root_key FROM subject_references
             WHERE tenant_id = $1 ORDER BY key_id";
        self.all("subject_references", sql, [], read_references).await
    }
}

#[async_trait]
impl<D: Driver> SubjectWrites for Rows<D> {
    async fn insert_subject_key(&mut self, key: &SubjectKey) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO subject_keys (tenant_id, id, handle, reference, reference_key, wrapped, root_key, state,
                created_at, destroyed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            [
                Value::text(key.id),
                Value::text(key.handle.to_hex()),
                key.reference.as_str().into(),
                key.reference_key.as_str().into(),
                Value::opt_bytes(key.wrapped.as_deref()),
                key.root_key.as_str().into(),
                Value::text(key.state),
                Value::time(key.created_at),
                Value::opt_time(key.destroyed_at),
            ],
        )
        .await?;
        Ok(())
    }

    async fn destroy_subject_key(&mut self, id: SubjectId, at: Timestamp) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE subject_keys SET state = 'destroyed', wrapped = NULL, destroyed_at = $3
                 WHERE tenant_id = $1 AND id = $2 AND state = 'active'",
                [Value::text(id), Value::time(at)],
            )
            .await?;
        self.stops_keys = true;
        swapped(changed, "subject_key")
    }

    async fn rewrap_subject_key(&mut self, key: &SubjectKey, from: &str) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE subject_keys SET wrapped = $4, root_key = $5, reference = $6, reference_key = $7
                 WHERE tenant_id = $1 AND id = $2 AND root_key = $3 AND state = 'active'",
                [
                    Value::text(key.id),
                    from.into(),
                    Value::opt_bytes(key.wrapped.as_deref()),
                    key.root_key.as_str().into(),
                    key.reference.as_str().into(),
                    key.reference_key.as_str().into(),
                ],
            )
            .await?;
        swapped(changed, "subject_key")
    }

    async fn insert_subject_references(&mut self, references: &SubjectReferences) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO subject_references (tenant_id, key_id, handle, wrapped, root_key)
             VALUES ($1, $2, $3, $4, $5)",
            [
                references.key_id.as_str().into(),
                Value::text(references.handle.to_hex()),
                Value::bytes(&references.wrapped),
                references.root_key.as_str().into(),
            ],
        )
        .await?;
        Ok(())
    }

    async fn rewrap_subject_references(
        &mut self,
        references: &SubjectReferences,
        from: &str,
    ) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE subject_references SET wrapped = $4, root_key = $5
                 WHERE tenant_id = $1 AND key_id = $2 AND root_key = $3",
                [
                    references.key_id.as_str().into(),
                    from.into(),
                    Value::bytes(&references.wrapped),
                    references.root_key.as_str().into(),
                ],
            )
            .await?;
        swapped(changed, "subject_references")
    }
}
