use async_trait::async_trait;
use chancery_crypto::Handle;
use chancery_domain::census::{CensusRows, CensusWrites, Counted, OwnColumn, OwnValue, Source};
use chancery_domain::ids::KeyId;
use chancery_domain::store::StoreError;

use crate::{Driver, Row, Rows, Value};

/// The handle is at bytes 4 to 11 of a sealed value.
const OWN_SEALED: &str = "SELECT handle, COUNT(*) FROM (
    SELECT substr(email, 5, 8) AS handle FROM users WHERE tenant_id = $1
    UNION ALL SELECT substr(first_name, 5, 8) FROM users WHERE tenant_id = $1 AND first_name IS NOT NULL
    UNION ALL SELECT substr(last_name, 5, 8) FROM users WHERE tenant_id = $1 AND last_name IS NOT NULL
    UNION ALL SELECT substr(metadata, 5, 8) FROM users WHERE tenant_id = $1 AND metadata IS NOT NULL
    UNION ALL SELECT substr(secret, 5, 8) FROM totp_factors WHERE tenant_id = $1
    UNION ALL SELECT substr(sealed, 5, 8) FROM webhook_secrets WHERE tenant_id = $1 AND sealed IS NOT NULL
    UNION ALL SELECT substr(sealed, 5, 8) FROM webhook_deliveries WHERE tenant_id = $1 AND sealed IS NOT NULL
    UNION ALL SELECT substr(sealed, 5, 8) FROM webhook_parts WHERE tenant_id = $1
    UNION ALL SELECT substr(email, 5, 8) FROM tenants WHERE tenant_id = $1 AND email IS NOT NULL
    UNION ALL SELECT substr(metadata, 5, 8) FROM tenants WHERE tenant_id = $1 AND metadata IS NOT NULL
    UNION ALL SELECT substr(reason, 5, 8) FROM approvals WHERE tenant_id = $1 AND reason IS NOT NULL
) AS own GROUP BY handle ORDER BY handle";

const OWN_UNDER: &str = "SELECT place, id, sealed FROM (
    SELECT 'user_email' AS place, id, email AS sealed FROM users WHERE tenant_id = $1
    UNION ALL SELECT 'user_first_name', id, first_name FROM users WHERE tenant_id = $1 AND first_name IS NOT NULL
    UNION ALL SELECT 'user_last_name', id, last_name FROM users WHERE tenant_id = $1 AND last_name IS NOT NULL
    UNION ALL SELECT 'user_metadata', id, metadata FROM users WHERE tenant_id = $1 AND metadata IS NOT NULL
    UNION ALL SELECT 'user_totp', user_id, secret FROM totp_factors WHERE tenant_id = $1
    UNION ALL SELECT 'webhook_secret', id, sealed FROM webhook_secrets WHERE tenant_id = $1 AND sealed IS NOT NULL
    UNION ALL SELECT 'webhook_payload', id, sealed FROM webhook_deliveries WHERE tenant_id = $1 AND sealed IS NOT NULL
    UNION ALL SELECT 'webhook_part', id, sealed FROM webhook_parts WHERE tenant_id = $1
    UNION ALL SELECT 'tenant_email', id, email FROM tenants WHERE tenant_id = $1 AND email IS NOT NULL
    UNION ALL SELECT 'tenant_metadata', id, metadata FROM tenants WHERE tenant_id = $1 AND metadata IS NOT NULL
    UNION ALL SELECT 'approval_reason', id, reason FROM approvals WHERE tenant_id = $1 AND reason IS NOT NULL
) AS own WHERE substr(sealed, 5, 8) = $2 AND (place > $4 OR (place = $4 AND id > $5)) ORDER BY place, id LIMIT $3";

/// Replaces one value if it is still the one that was read.
const fn swap(column: OwnColumn) -> &'static str {
    match column {
        OwnColumn::UserEmail => "UPDATE users SET email = $4 WHERE tenant_id = $1 AND id = $2 AND email = $3",
        OwnColumn::UserFirstName => {
            "UPDATE users SET first_name = $4 WHERE tenant_id = $1 AND id = $2 AND first_name = $3"
        }
        OwnColumn::UserLastName => {
            "UPDATE users SET last_name = $4 WHERE tenant_id = $1 AND id = $2 AND last_name = $3"
        }
        OwnColumn::UserMetadata => "UPDATE users SET metadata = $4 WHERE tenant_id = $1 AND id = $2 AND metadata = $3",
        OwnColumn::UserTotp => {
            "UPDATE totp_factors SET secret = $4 WHERE tenant_id = $1 AND user_id = $2 AND secret = $3"
        }
        OwnColumn::WebhookSecret => {
            "UPDATE webhook_secrets SET sealed = $4 WHERE tenant_id = $1 AND id = $2 AND sealed = $3"
        }
        OwnColumn::WebhookPayload => {
            "UPDATE webhook_deliveries SET sealed = $4 WHERE tenant_id = $1 AND id = $2 AND sealed = $3"
        }
        OwnColumn::WebhookPart => {
            "UPDATE webhook_parts SET sealed = $4 WHERE tenant_id = $1 AND id = $2 AND sealed = $3"
        }
        OwnColumn::TenantEmail => "UPDATE tenants SET email = $4 WHERE tenant_id = $1 AND id = $2 AND email = $3",
        OwnColumn::TenantMetadata => {
            "UPDATE tenants SET metadata = $4 WHERE tenant_id = $1 AND id = $2 AND metadata = $3"
        }
        OwnColumn::ApprovalReason => {
            "UPDATE approvals SET reason = $4 WHERE tenant_id = $1 AND id = $2 AND reason = $3"
        }
    }
}

fn read(row: &mut Row) -> Result<Counted, StoreError> {
    let (key, version, dataset, field) = (row.parsed()?, row.number()?, row.text()?, row.text()?);
    let source = match dataset.as_str() {
        // In the place of a field: who reported it.
        "" => Source::Reported(field),
        id => Source::Dataset(id.parse().map_err(|_| row.damaged())?, field),
    };
    Ok(Counted { key, version, source, count: row.number()?, counted_at: row.time()? })
}

#[async_trait]
impl<D: Driver> CensusRows for Rows<D> {
    async fn counts(&mut self, key: KeyId) -> Result<Vec<Counted>, StoreError> {
        self.all(
            "census_count",
            "SELECT key, version, dataset, field, count, counted_at FROM census_counts
             WHERE tenant_id = $1 AND key = $2 ORDER BY version, dataset, field",
            [Value::text(key)],
            read,
        )
        .await
    }

    async fn own_sealed(&mut self) -> Result<Vec<(Handle, u64)>, StoreError> {
        self.all("sealed", OWN_SEALED, [], |row| Ok((Handle(row.array()?), row.number()?))).await
    }

    async fn own_under(
        &mut self,
        handle: Handle,
        after: Option<&OwnValue>,
        limit: u32,
    ) -> Result<Vec<OwnValue>, StoreError> {
        let (place, id) = after.map_or(("", ""), |after| (after.column.as_str(), after.row.as_str()));
        let args = [Value::bytes(&handle.0), limit.into(), place.into(), id.into()];
        self.all("sealed", OWN_UNDER, args, |row| {
            Ok(OwnValue { column: row.parsed()?, row: row.text()?, sealed: row.bytes()? })
        })
        .await
    }

    async fn own_terms(&mut self) -> Result<u64, StoreError> {
        let sql = "SELECT (SELECT COUNT(*) FROM user_email_terms WHERE tenant_id = $1)
            + (SELECT COUNT(*) FROM tenant_email_terms WHERE tenant_id = $1)";
        Ok(self.one("term", sql, [], |row| row.number()).await?.unwrap_or_default())
    }
}

#[async_trait]
impl<D: Driver> CensusWrites for Rows<D> {
    async fn put_count(&mut self, count: &Counted) -> Result<(), StoreError> {
        let (dataset, field) = match &count.source {
            Source::Reported(by) => (String::new(), by.as_str()),
            Source::Dataset(id, field) => (id.to_string(), field.as_str()),
        };
        self.execute(
            "INSERT INTO census_counts (tenant_id, key, version, dataset, field, count, counted_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (tenant_id, key, version, dataset, field) DO UPDATE SET
                count = excluded.count, counted_at = excluded.counted_at",
            [
                Value::text(count.key),
                count.version.into(),
                dataset.as_str().into(),
                field.into(),
                Value::count(count.count),
                Value::time(count.counted_at),
            ],
        )
        .await?;
        Ok(())
    }

    async fn swap_own(&mut self, value: &OwnValue, sealed: &[u8]) -> Result<bool, StoreError> {
        let args = [value.row.as_str().into(), Value::bytes(&value.sealed), Value::bytes(sealed)];
        Ok(self.execute(swap(value.column), args).await? == 1)
    }
}
