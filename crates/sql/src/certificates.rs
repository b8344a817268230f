use async_trait::async_trait;
use chancery_domain::certificates::{Certificate, CertificateEnd, CertificateRows, CertificateWrites};
use chancery_domain::ids::CertificateId;
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

use crate::rows::after as above;
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

    async fn certificate_ends(&mut self, id: CertificateId) -> Result<Vec<CertificateEnd>, StoreError> {
        self.all(
            "certificate_end",
            "SELECT state, reason, successor_id, ended_at, event_id FROM certificate_ends
             WHERE tenant_id = $1 AND certificate_id = $2 ORDER BY state",
            [Value::text(id)],
            |row| {
                Ok(CertificateEnd {
                    certificate: id,
                    state: row.parsed()?,
                    reason: row.parsed()?,
                    successor: row.opt_parsed()?,
                    at: row.time()?,
                    event: row.parsed()?,
                })
            },
        )
        .await
    }

    async fn certificates_about(
        &mut self,
        reference: &str,
        after: Option<CertificateId>,
        limit: u32,
    ) -> Result<Vec<CertificateId>, StoreError> {
        self.all(
            "certificate_subject",
            "SELECT certificate_id FROM certificate_subjects
             WHERE tenant_id = $1 AND reference = $2 AND certificate_id > $3 ORDER BY certificate_id LIMIT $4",
            [reference.into(), above(after), limit.into()],
            Row::parsed,
        )
        .await
    }

    async fn is_certificate_about(&mut self, id: CertificateId, reference: &str) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM certificate_subjects WHERE tenant_id = $1 AND reference = $2 AND certificate_id = $3";
        let found = self.one("certificate_subject", sql, [reference.into(), Value::text(id)], |_| Ok(())).await?;
        Ok(found.is_some())
    }

    async fn certificates(
        &mut self,
        kind: Option<&str>,
        after: Option<CertificateId>,
        limit: u32,
    ) -> Result<Vec<Certificate>, StoreError> {
        // Two statements: with a null for every kind, neither engine would use the index.
        let Some(kind) = kind else {
            let sql = "SELECT id, key_id, kind, issued_at, envelope, event_id FROM certificates
                WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3";
            return self.all("certificate", sql, [above(after), limit.into()], read).await;
        };
        let sql = "SELECT id, key_id, kind, issued_at, envelope, event_id FROM certificates
            WHERE tenant_id = $1 AND kind = $2 AND id > $3 ORDER BY id LIMIT $4";
        self.all("certificate", sql, [kind.into(), above(after), limit.into()], read).await
    }

    async fn lockdown_since(&mut self) -> Result<Option<Timestamp>, StoreError> {
        self.one("lockdown", "SELECT since FROM lockdowns WHERE tenant_id = $1", [], Row::time).await
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

    async fn insert_certificate_subject(&mut self, id: CertificateId, reference: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO certificate_subjects (tenant_id, reference, certificate_id) VALUES ($1, $2, $3)";
        self.execute(sql, [reference.into(), Value::text(id)]).await.map(drop)
    }

    async fn insert_certificate_end(&mut self, end: &CertificateEnd) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO certificate_ends (tenant_id, certificate_id, state, reason, successor_id, ended_at, event_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            [
                Value::text(end.certificate),
                end.state.as_str().into(),
                end.reason.as_str().into(),
                Value::opt_text(end.successor),
                Value::time(end.at),
                Value::text(end.event),
            ],
        )
        .await
        .map(drop)
    }

    async fn set_lockdown(&mut self, since: Option<Timestamp>) -> Result<(), StoreError> {
        let Some(since) = since else {
            return self.execute("DELETE FROM lockdowns WHERE tenant_id = $1", []).await.map(drop);
        };
        let sql = "INSERT INTO lockdowns (tenant_id, since) VALUES ($1, $2)
            ON CONFLICT (tenant_id) DO UPDATE SET since = excluded.since";
        self.execute(sql, [Value::time(since)]).await.map(drop)
    }
}
