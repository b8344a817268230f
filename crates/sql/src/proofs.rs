use async_trait::async_trait;
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;
use chancery_domain::tokens::ProofWrites;

use crate::rows::swapped;
use crate::{Driver, Rows, Value};

#[async_trait]
impl<D: Driver> ProofWrites for Rows<D> {
    async fn use_proof(&mut self, digest: &[u8; 32], expires_at: Timestamp) -> Result<(), StoreError> {
        let added = self
            .execute(
                "INSERT INTO used_proofs (tenant_id, digest, expires_at) VALUES ($1, $2, $3)
                 ON CONFLICT (tenant_id, digest) DO NOTHING",
                [Value::bytes(digest), Value::time(expires_at)],
            )
            .await?;
        swapped(added, "proof")
    }

    async fn forget_proofs(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.execute("DELETE FROM used_proofs WHERE tenant_id = $1 AND expires_at < $2", [Value::time(now)]).await?;
        Ok(())
    }
}
