use async_trait::async_trait;
use chancery_crypto::Handle;
use chancery_domain::keyring::{Tombstone, TombstoneRows, TombstoneWrites};
use chancery_domain::store::StoreError;

use crate::{Driver, Row, Rows, Value};

fn read(row: &mut Row) -> Result<Tombstone, StoreError> {
    Ok(Tombstone {
        kind: row.parsed()?,
        id: row.text()?,
        handle: Handle(row.array()?),
        fingerprint: row.array()?,
        destroyed_at: row.time()?,
        destroyed_by: row.text()?,
        approval: row.opt_parsed()?,
        certificate: row.opt_parsed()?,
    })
}

#[async_trait]
impl<D: Driver> TombstoneRows for Rows<D> {
    async fn tombstones(&mut self) -> Result<Vec<Tombstone>, StoreError> {
        self.all(
            "tombstone",
            "SELECT kind, id, handle, fingerprint, destroyed_at, destroyed_by, approval, certificate
             FROM tombstones WHERE tenant_id = $1 ORDER BY kind, id",
            [],
            read,
        )
        .await
    }

    async fn destroyed_keys(&mut self) -> Result<u64, StoreError> {
        let sql = "SELECT (SELECT COUNT(*) FROM tombstones WHERE tenant_id = $1)
                + (SELECT COUNT(*) FROM tenant_keys WHERE tenant_id = $1 AND state = 'destroyed')";
        Ok(self.one("tombstone", sql, [], |row| row.number()).await?.unwrap_or(0))
    }
}

#[async_trait]
impl<D: Driver> TombstoneWrites for Rows<D> {
    async fn insert_tombstone(&mut self, tombstone: &Tombstone) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO tombstones (tenant_id, kind, id, handle, fingerprint, destroyed_at, destroyed_by, approval,
                certificate)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            [
                Value::text(tombstone.kind),
                tombstone.id.as_str().into(),
                Value::bytes(&tombstone.handle.0),
                Value::bytes(&tombstone.fingerprint),
                Value::time(tombstone.destroyed_at),
                tombstone.destroyed_by.as_str().into(),
                Value::opt_text(tombstone.approval),
                Value::opt_text(tombstone.certificate),
            ],
        )
        .await?;
        Ok(())
    }
}
