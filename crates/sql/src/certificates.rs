use async_trait::async_trait;
use chancery_domain::certificates::{Certificate, CertificateRows, CertificateWrites};
use chancery_domain::ids::CertificateId;
use chancery_domain::store::StoreError;

use crate::{Driver, Row, Rows, Value};

fn read(row: &mut Row) -> Result<Certificate, StoreError> {
    Ok(Certificate {
        id: row.parsed()?,
        key_id: row.text()?,
        kind: row.text()?,
        issued_at: row.time()?,
        envelope: row.bytes()?,
        event: row.parsed()?,
    })
}

#[async_trait]
impl<D: Driver> CertificateRows for Rows<D> {
    async fn certificate(&mut self, id: CertificateId) -> Result<Option<Certificate>, StoreError> {
        self.one(
            "certificate",
            "SELECT id, key_id, kind, issued_at, envelope, event_id FROM certificates
             WHERE tenant_id = $1 AND id = $2",
            [Value::text(id)],
            read,
        )
        .await
    }
}

#[async_trait]
impl<D: Driver> CertificateWrites for Rows<D> {
    async fn insert_certificate(&mut self, certificate: &Certificate) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO certificates (tenant_id, id, key_id, kind, issued_at, envelope, event_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            [
                Value::text(certificate.id),
                certificate.key_id.as_str().into(),
                certificate.kind.as_str().into(),
                Value::time(certificate.issued_at),
                Value::bytes(&certificate.envelope),
                Value::text(certificate.event),
            ],
        )
        .await?;
        Ok(())
    }
}
