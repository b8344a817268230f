use async_trait::async_trait;
use chancery_domain::indexes::{Index, IndexRows, IndexVersion, IndexWrites};
use chancery_domain::store::StoreError;

use crate::{Driver, Row, Rows, Value};

/// An index and one of its versions.
fn read(row: &mut Row) -> Result<(Index, IndexVersion), StoreError> {
    let index = Index {
        id: row.parsed()?,
        table_id: row.parsed()?,
        name: row.text()?,
        kind: row.parsed()?,
        fields: serde_json::from_str(&row.text()?).map_err(|_| row.damaged())?,
        versions: Vec::new(),
    };
    let version = IndexVersion {
        version: row.number()?,
        rule: row.parsed()?,
        state: row.parsed()?,
        created_at: row.time()?,
        ready_at: row.opt_time()?,
        retired_at: row.opt_time()?,
    };
    if version.rule.kind() == index.kind { Ok((index, version)) } else { Err(row.damaged()) }
}

#[async_trait]
impl<D: Driver> IndexRows for Rows<D> {
    async fn indexes(&mut self) -> Result<Vec<Index>, StoreError> {
        let sql =
            "SELECT indexes.id, table_id, name, kind, field_ids, version, rule, state, created_at, ready_at, retired_at
             FROM indexes JOIN index_versions
                ON index_versions.tenant_id = indexes.tenant_id AND index_versions.index_id = indexes.id
             WHERE indexes.tenant_id = $1 ORDER BY indexes.id, version";
        let mut indexes: Vec<Index> = Vec::new();
        for (index, version) in self.all("index", sql, [], read).await? {
            match indexes.last_mut().filter(|last| last.id == index.id) {
                Some(last) => last.versions.push(version),
                None => indexes.push(Index { versions: vec![version], ..index }),
            }
        }
        Ok(indexes)
    }
}

#[async_trait]
impl<D: Driver> IndexWrites for Rows<D> {
    async fn put_index(&mut self, index: &Index) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO indexes (tenant_id, id, table_id, name, kind, field_ids) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (tenant_id, id) DO UPDATE SET
                table_id = excluded.table_id, name = excluded.name, kind = excluded.kind, field_ids = excluded.field_ids",
            [
                Value::text(index.id),
                Value::text(index.table_id),
                index.name.as_str().into(),
                Value::text(index.kind),
                Value::list(&index.fields),
            ],
        )
        .await?;
        for version in &index.versions {
            self.execute(
                "INSERT INTO index_versions
                    (tenant_id, index_id, version, rule, state, created_at, ready_at, retired_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                 ON CONFLICT (tenant_id, index_id, version) DO UPDATE SET
                    state = excluded.state, ready_at = excluded.ready_at, retired_at = excluded.retired_at",
                [
                    Value::text(index.id),
                    version.version.into(),
                    Value::text(&version.rule),
                    Value::text(version.state),
                    Value::time(version.created_at),
                    Value::opt_time(version.ready_at),
                    Value::opt_time(version.retired_at),
                ],
            )
            .await?;
        }
        Ok(())
    }
}
