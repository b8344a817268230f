use async_trait::async_trait;
use chancery_domain::audit::sinks::{SinkCursor, SinkRows, SinkWrites};
use chancery_domain::store::StoreError;

use crate::rows::swapped;
use crate::{Driver, Row, Rows, Value};

fn read(row: &mut Row) -> Result<SinkCursor, StoreError> {
    Ok(SinkCursor {
        sink: row.text()?,
        position: row.number()?,
        skipped: row.number()?,
        failing_since: row.opt_time()?,
        failures: row.number()?,
        reason: row.opt_text()?,
        told: row.boolean()?,
        updated_at: row.time()?,
        proof: row.opt_bytes()?,
    })
}

#[async_trait]
impl<D: Driver> SinkRows for Rows<D> {
    async fn sink_cursors(&mut self) -> Result<Vec<SinkCursor>, StoreError> {
        let sql =
            "SELECT sink, position, skipped, failing_since, failures, reason, told, updated_at, proof FROM audit_sinks
            WHERE tenant_id = $1 ORDER BY sink";
        self.all("sink", sql, [], read).await
    }
}

#[async_trait]
impl<D: Driver> SinkWrites for Rows<D> {
    async fn save_sink_cursor(&mut self, cursor: &SinkCursor, from: Option<u64>) -> Result<(), StoreError> {
        let columns = [
            cursor.sink.as_str().into(),
            Value::count(cursor.position),
            Value::count(cursor.skipped),
            Value::opt_time(cursor.failing_since),
            i64::from(cursor.failures).into(),
            Value::opt_text(cursor.reason.as_deref()),
            cursor.told.into(),
            Value::time(cursor.updated_at),
            Value::opt_bytes(cursor.proof.as_deref()),
        ];
        let changed = match from {
            None => {
                let sql = "INSERT INTO audit_sinks
                    (tenant_id, sink, position, skipped, failing_since, failures, reason, told, updated_at, proof)
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (tenant_id, sink) DO NOTHING";
                self.execute(sql, columns).await?
            }
            Some(from) => {
                let [sink, position, skipped, failing_since, failures, reason, told, updated_at, proof] = columns;
                let sql = "UPDATE audit_sinks SET position = $3, skipped = $4, failing_since = $5, failures = $6, reason = $7,
                    told = $8, updated_at = $9, proof = $10 WHERE tenant_id = $1 AND sink = $2 AND position = $11";
                let from = Value::count(from);
                let args = [sink, position, skipped, failing_since, failures, reason, told, updated_at, proof, from];
                self.execute(sql, args).await?
            }
        };
        swapped(changed, "sink")
    }
}
