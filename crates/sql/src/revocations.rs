use async_trait::async_trait;
use chancery_domain::ids::{TokenId, UserId};
use chancery_domain::revocations::{Revocation, RevocationRows, RevocationWrites};
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

use crate::{Driver, Row, Rows, Value};

fn read(row: &mut Row) -> Result<Revocation, StoreError> {
    Ok(Revocation {
        kind: row.parsed()?,
        id: row.text()?,
        not_before: row.opt_time()?,
        expires_at: row.time()?,
        user: row.opt_parsed()?,
        reason: row.text()?,
        revoked_at: row.time()?,
    })
}

#[async_trait]
impl<D: Driver> RevocationRows for Rows<D> {
    async fn revocations_of(&mut self, token: TokenId, user: Option<UserId>) -> Result<Vec<Revocation>, StoreError> {
        self.all(
            "revocation",
            "SELECT kind, id, not_before, expires_at, user_id, reason, revoked_at FROM revocations
             WHERE tenant_id = $1 AND (kind = 'token' AND id = $2 OR kind = 'user' AND id = $3 OR kind = 'tenant' AND id = $1)
             ORDER BY kind",
            [Value::text(token), Value::opt_text(user)],
            read,
        )
        .await
    }

    async fn revocations(
        &mut self,
        now: Timestamp,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Revocation>, StoreError> {
        self.all(
            "revocation",
            "SELECT kind, id, not_before, expires_at, user_id, reason, revoked_at FROM revocations
             WHERE tenant_id = $1 AND expires_at > $2 AND id > $3 ORDER BY id LIMIT $4",
            [Value::time(now), after.unwrap_or_default().into(), limit.into()],
            read,
        )
        .await
    }

    async fn foreign_revocations_of(&mut self, jti: Option<&str>) -> Result<Vec<Revocation>, StoreError> {
        self.all(
            "revocation",
            "SELECT kind, id, not_before, expires_at, user_id, reason, revoked_at FROM revocations
             WHERE tenant_id = $1 AND (kind = 'foreign' AND id = $2 OR kind = 'tenant' AND id = $1) ORDER BY kind",
            [Value::opt_text(jti)],
            read,
        )
        .await
    }
}

#[async_trait]
impl<D: Driver> RevocationWrites for Rows<D> {
    async fn revoke(&mut self, revocation: &Revocation) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO revocations (tenant_id, kind, id, not_before, expires_at, user_id, reason, revoked_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (tenant_id, kind, id) DO UPDATE SET
                not_before = CASE WHEN excluded.not_before > revocations.not_before THEN excluded.not_before
                    ELSE revocations.not_before END,
                expires_at = CASE WHEN excluded.expires_at > revocations.expires_at THEN excluded.expires_at
                    ELSE revocations.expires_at END,
                reason = excluded.reason, revoked_at = excluded.revoked_at",
            [
                Value::text(revocation.kind),
                revocation.id.as_str().into(),
                Value::opt_time(revocation.not_before),
                Value::time(revocation.expires_at),
                Value::opt_text(revocation.user),
                revocation.reason.as_str().into(),
                Value::time(revocation.revoked_at),
            ],
        )
        .await?;
        Ok(())
    }

    async fn forget_revocations(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.execute("DELETE FROM revocations WHERE tenant_id = $1 AND expires_at < $2", [Value::time(now)]).await?;
        Ok(())
    }
}
