use async_trait::async_trait;
use chancery_domain::audit::archives::{Archive, ArchiveRows, ArchiveWrites};
use chancery_domain::store::StoreError;

use crate::{Driver, Row, Rows, Value};

pub(crate) const ARCHIVES: &str = "SELECT place, first_idx, end_idx, month, digest, bytes, event_id, written_at
    FROM audit_archives WHERE tenant_id = $1 ORDER BY place, first_idx, written_at, event_id";

pub(crate) fn read_archive(row: &mut Row) -> Result<Archive, StoreError> {
    Ok(Archive {
        place: row.text()?,
        first: row.number()?,
        end: row.number()?,
        month: row.parsed()?,
        digest: row.array()?,
        bytes: row.number()?,
        event: row.parsed()?,
        written_at: row.time()?,
    })
}

#[async_trait]
impl<D: Driver> ArchiveRows for Rows<D> {
    async fn archives(&mut self) -> Result<Vec<Archive>, StoreError> {
        self.readable("archive", ARCHIVES, [], read_archive).await
    }
}

#[async_trait]
impl<D: Driver> ArchiveWrites for Rows<D> {
    async fn insert_archive(&mut self, archive: &Archive) -> Result<(), StoreError> {
        let sql = "INSERT INTO audit_archives (tenant_id, place, first_idx, end_idx, month, digest, bytes, event_id,
                written_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let args = [
            archive.place.as_str().into(),
            Value::count(archive.first),
            Value::count(archive.end),
            Value::text(archive.month),
            Value::bytes(&archive.digest),
            Value::count(archive.bytes),
            Value::text(archive.event),
            Value::time(archive.written_at),
        ];
        self.execute(sql, args).await?;
        Ok(())
    }
}
