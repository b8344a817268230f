use async_trait::async_trait;
use chancery_domain::ids::NodeId;
use chancery_domain::jobs::JobWrites;
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

use crate::{Driver, Rows, Value};

#[async_trait]
impl<D: Driver> JobWrites for Rows<D> {
    async fn claim_job(
        &mut self,
        name: &str,
        node: NodeId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let changed = self
            .execute(
                "INSERT INTO jobs (tenant_id, name, node, until) VALUES ($1, $2, $3, $5)
                 ON CONFLICT (tenant_id, name) DO UPDATE SET node = excluded.node, until = excluded.until
                 WHERE jobs.node = excluded.node OR jobs.until <= $4",
                [name.into(), Value::text(node), Value::time(now), Value::time(until)],
            )
            .await?;
        Ok(changed == 1)
    }

    async fn renew_job(
        &mut self,
        name: &str,
        node: NodeId,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let changed = self
            .execute(
                "UPDATE jobs SET until = $5 WHERE tenant_id = $1 AND name = $2 AND node = $3 AND until = $4",
                [name.into(), Value::text(node), Value::time(from), Value::time(until)],
            )
            .await?;
        Ok(changed == 1)
    }

    async fn claim_free_job(&mut self, name: &str, node: NodeId, until: Timestamp) -> Result<bool, StoreError> {
        let changed = self
            .execute(
                "INSERT INTO jobs (tenant_id, name, node, until) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (tenant_id, name) DO NOTHING",
                [name.into(), Value::text(node), Value::time(until)],
            )
            .await?;
        Ok(changed == 1)
    }

    async fn release_job(&mut self, name: &str, node: NodeId) -> Result<(), StoreError> {
        self.execute(
            "DELETE FROM jobs WHERE tenant_id = $1 AND name = $2 AND node = $3",
            [name.into(), Value::text(node)],
        )
        .await?;
        Ok(())
    }

    async fn forget_nodes(&mut self, own: &str, before: Timestamp) -> Result<(), StoreError> {
        self.execute(
            "DELETE FROM jobs WHERE tenant_id = $1 AND name >= 'node:' AND name < 'node;' AND until < $3
                AND EXISTS (
                    SELECT 1 FROM jobs AS other
                    WHERE other.tenant_id = $1 AND other.name >= 'node:' AND other.name < 'node;' AND other.name <> $2
                        AND other.until >= $3
                )",
            [own.into(), Value::time(before)],
        )
        .await?;
        Ok(())
    }
}
