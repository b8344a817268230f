use async_trait::async_trait;
use chancery_domain::fields::{Field, FieldRows, FieldWrites, IndexSpec};
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
        index: match (row.opt_parsed()?, row.opt_int()?) {
            (None, None) => None,
            (Some(normalizer), Some(bits)) => {
                Some(IndexSpec { normalizer, bits: bits.try_into().map_err(|_| row.damaged())? })
            }
            _ => return Err(row.damaged()),
        },
        encrypt: row.boolean()?,
        created_at: row.time()?,
    })
}

#[async_trait]
impl<D: Driver> FieldRows for Rows<D> {
    async fn fields(&mut self) -> Result<Vec<Field>, StoreError> {
        self.all(
            "field",
            "SELECT id, table_id, table_name, column_name, class, type, bind, index_normalizer, index_bits,
                encrypt, created_at
             FROM fields WHERE tenant_id = $1 ORDER BY table_name, column_name",
            [],
            read,
        )
        .await
    }
}

#[async_trait]
impl<D: Driver> FieldWrites for Rows<D> {
    async fn put_field(&mut self, field: &Field) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO fields (tenant_id, id, table_id, table_name, column_name, class, type, bind,
                index_normalizer, index_bits, encrypt, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
             ON CONFLICT (tenant_id, id) DO UPDATE SET
                table_id = excluded.table_id, table_name = excluded.table_name, column_name = excluded.column_name,
                class = excluded.class, type = excluded.type, bind = excluded.bind,
                index_normalizer = excluded.index_normalizer, index_bits = excluded.index_bits,
                encrypt = excluded.encrypt, created_at = excluded.created_at",
            [
                Value::text(field.id),
                Value::text(field.table_id),
                field.table.as_str().into(),
                field.column.as_str().into(),
                Value::text(field.class),
                Value::text(field.field_type),
                Value::text(field.bind),
                Value::opt_text(field.index.map(|index| index.normalizer)),
                Value::Int(field.index.map(|index| index.bits.into())),
                field.encrypt.into(),
                Value::time(field.created_at),
            ],
        )
        .await?;
        Ok(())
    }
}
