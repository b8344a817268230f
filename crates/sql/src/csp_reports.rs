use async_trait::async_trait;
use chancery_domain::csp_reports::{CspReport, CspReportRows, CspReportWrites, Seen};
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

use crate::{Driver, Row, Rows, Value};

fn read(row: &mut Row) -> Result<CspReport, StoreError> {
    Ok(CspReport {
        seen: Seen {
            directive: row.text()?,
            blocked: row.text()?,
            document: row.text()?,
            source: row.text()?,
            enforced: row.boolean()?,
        },
        count: row.number()?,
        first_at: row.time()?,
        last_at: row.time()?,
    })
}

#[async_trait]
impl<D: Driver> CspReportRows for Rows<D> {
    async fn csp_reports(&mut self) -> Result<Vec<CspReport>, StoreError> {
        let sql = "SELECT directive, blocked, document, source, enforced, count, first_at, last_at FROM csp_reports
             WHERE tenant_id = $1 ORDER BY count DESC, directive, blocked, document, source, enforced";
        self.all("csp_report", sql, [], read).await
    }
}

#[async_trait]
impl<D: Driver> CspReportWrites for Rows<D> {
    async fn add_csp_report(&mut self, report: &CspReport, most: u32) -> Result<(), StoreError> {
        let CspReport { seen, count, first_at, last_at } = report;
        self.execute(
            "INSERT INTO csp_reports (tenant_id, directive, blocked, document, source, enforced, count, first_at, last_at)
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9
             WHERE (SELECT count(*) FROM csp_reports WHERE tenant_id = $1) < $10
                OR EXISTS (SELECT 1 FROM csp_reports WHERE tenant_id = $1 AND directive = $2 AND blocked = $3
                    AND document = $4 AND source = $5 AND enforced = $6)
             ON CONFLICT (tenant_id, directive, blocked, document, source, enforced) DO UPDATE SET
                count = csp_reports.count + excluded.count,
                first_at = CASE WHEN excluded.first_at < csp_reports.first_at THEN excluded.first_at ELSE csp_reports.first_at END,
                last_at = CASE WHEN excluded.last_at > csp_reports.last_at THEN excluded.last_at ELSE csp_reports.last_at END",
            [
                seen.directive.as_str().into(),
                seen.blocked.as_str().into(),
                seen.document.as_str().into(),
                seen.source.as_str().into(),
                seen.enforced.into(),
                Value::count(*count),
                Value::time(*first_at),
                Value::time(*last_at),
                Value::count(u64::from(most)),
            ],
        )
        .await?;
        Ok(())
    }

    async fn forget_csp_reports(&mut self, before: Timestamp) -> Result<(), StoreError> {
        let sql = "DELETE FROM csp_reports WHERE tenant_id = $1 AND last_at < $2";
        self.execute(sql, [Value::time(before)]).await?;
        Ok(())
    }
}
