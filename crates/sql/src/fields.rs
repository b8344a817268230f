use async_trait::async_trait;
use chancery_domain::fields::{Field, FieldRows, FieldWrites};
use chancery_domain::indexes::{IndexKind, IndexRows as _, IndexWrites as _};
use chancery_domain::store::StoreError;

use crate::{Driver, Row, Rows, Value};

fn read(row: &mut Row) -> Result<Field, StoreError> {
    Ok(Field {
        id: row.parsed()?,
        table_id: row.parsed()?,
        table: row.text()?,
        column: row.text()?,
        class: row.parsed()?,
        field_type: row.parsed()?,
        bind: row.parsed()?,
        indexes: Vec::new(),
        encrypt: row.boolean()?,
        created_at: row.time()?,
    })
}

#[async_trait]
impl<D: Driver> FieldRows for Rows<D> {
    async fn fields(&mut self) -> Result<Vec<Field>, StoreError> {
        let mut fields = self
            .all(
                "field",
                "SELECT id, table_id, table_name, column_name, class, type, bind, encrypt, created_at
             FROM fields WHERE tenant_id = $1 ORDER BY table_name, column_name",
                [],
                read,
            )
            .await?;
        for index in self.indexes().await? {
            if let (false, [of]) = (index.kind == IndexKind::Compound, index.fields.as_slice()) {
                let field = fields.iter_mut().find(|field| field.id == *of);
                field.ok_or(StoreError::Damaged("index"))?.indexes.push(index);
            }
        }
        for field in &mut fields {
            field.indexes.sort_by_key(|index| index.kind);
        }
        Ok(fields)
    }
}

#[async_trait]
impl<D: Driver> FieldWrites for Rows<D> {
    async fn put_field(&mut self, field: &Field) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO fields (tenant_id, id, table_id, table_name, column_name, class, type, bind,
                encrypt, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (tenant_id, id) DO UPDATE SET
                table_id = excluded.table_id, table_name = excluded.table_name, column_name = excluded.column_name,
                class = excluded.class, type = excluded.type, bind = excluded.bind,
                encrypt = excluded.encrypt, created_at = excluded.created_at",
            [
                Value::text(field.id),
                Value::text(field.table_id),
                field.table.as_str().into(),
                field.column.as_str().into(),
                Value::text(field.class),
                Value::text(field.field_type),
                Value::text(field.bind),
                field.encrypt.into(),
                Value::time(field.created_at),
            ],
        )
        .await?;
        for index in &field.indexes {
            self.put_index(index).await?;
        }
        Ok(())
    }
}
