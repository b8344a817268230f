use async_trait::async_trait;
use chancery_domain::blocks::{Block, BlockRows, BlockWrites};
use chancery_domain::ids::BlockId;
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

use ipnet::IpNet;

use crate::rows::after;
use crate::{Driver, Row, Rows, Value};

fn read(row: &mut Row) -> Result<Block, StoreError> {
    Ok(Block {
        id: row.parsed()?,
        network: row.parsed()?,
        reason: row.text()?,
        automatic: row.boolean()?,
        made_at: row.time()?,
        expires_at: row.opt_time()?,
    })
}

#[async_trait]
impl<D: Driver> BlockRows for Rows<D> {
    async fn blocks(&mut self, now: Timestamp, since: Option<BlockId>, limit: u32) -> Result<Vec<Block>, StoreError> {
        self.all(
            "block",
            "SELECT id, network, reason, automatic, made_at, expires_at FROM ip_blocks
             WHERE tenant_id = $1 AND (expires_at IS NULL OR expires_at > $2) AND id > $3 ORDER BY id LIMIT $4",
            [Value::time(now), after(since), limit.into()],
            read,
        )
        .await
    }

    async fn find_block(&mut self, id: BlockId) -> Result<Option<Block>, StoreError> {
        self.one(
            "block",
            "SELECT id, network, reason, automatic, made_at, expires_at FROM ip_blocks WHERE tenant_id = $1 AND id = $2",
            [Value::text(id)],
            read,
        )
        .await
    }
}

#[async_trait]
impl<D: Driver> BlockWrites for Rows<D> {
    async fn insert_block(&mut self, block: &Block) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO ip_blocks (tenant_id, id, network, reason, automatic, made_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            [
                Value::text(block.id),
                Value::text(block.network),
                block.reason.as_str().into(),
                block.automatic.into(),
                Value::time(block.made_at),
                Value::opt_time(block.expires_at),
            ],
        )
        .await?;
        Ok(())
    }

    async fn remove_block_of(&mut self, network: IpNet) -> Result<(), StoreError> {
        self.execute("DELETE FROM ip_blocks WHERE tenant_id = $1 AND network = $2", [Value::text(network)]).await?;
        Ok(())
    }

    async fn remove_block(&mut self, id: BlockId) -> Result<(), StoreError> {
        self.execute("DELETE FROM ip_blocks WHERE tenant_id = $1 AND id = $2", [Value::text(id)]).await?;
        Ok(())
    }

    async fn forget_blocks(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.execute("DELETE FROM ip_blocks WHERE tenant_id = $1 AND expires_at <= $2", [Value::time(now)]).await?;
        Ok(())
    }
}
