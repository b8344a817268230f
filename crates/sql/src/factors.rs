use async_trait::async_trait;
use chancery_domain::factors::{FactorRows, FactorWrites, RecoveryCode, Totp};
use chancery_domain::ids::UserId;
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

use crate::rows::swapped;
use crate::{Driver, Row, Rows, Value};

fn read(row: &mut Row) -> Result<Totp, StoreError> {
    Ok(Totp {
        user: row.parsed()?,
        secret: row.bytes()?,
        last_step: row.opt_int()?.map(u64::try_from).transpose().map_err(|_| row.damaged())?,
        failures: row.number()?,
        failed_at: row.opt_time()?,
        created_at: row.time()?,
        confirmed_at: row.opt_time()?,
    })
}

fn read_code(row: &mut Row) -> Result<RecoveryCode, StoreError> {
    Ok(RecoveryCode { digest: row.array()?, pepper_version: row.number()?, used_at: row.opt_time()? })
}

#[async_trait]
impl<D: Driver> FactorRows for Rows<D> {
    async fn totp(&mut self, user: UserId) -> Result<Option<Totp>, StoreError> {
        self.one(
            "totp",
            "SELECT user_id, secret, last_step, failures, failed_at, created_at, confirmed_at
             FROM totp_factors WHERE tenant_id = $1 AND user_id = $2",
            [Value::text(user)],
            read,
        )
        .await
    }

    async fn recovery_codes(&mut self, user: UserId) -> Result<Vec<RecoveryCode>, StoreError> {
        self.all(
            "recovery_code",
            "SELECT digest, pepper_version, used_at FROM recovery_codes
             WHERE tenant_id = $1 AND user_id = $2 ORDER BY position",
            [Value::text(user)],
            read_code,
        )
        .await
    }
}

#[async_trait]
impl<D: Driver> FactorWrites for Rows<D> {
    async fn put_totp(&mut self, totp: &Totp) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "INSERT INTO totp_factors (tenant_id, user_id, secret, last_step, failures, failed_at, created_at, confirmed_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                 ON CONFLICT (tenant_id, user_id) DO UPDATE SET
                    secret = excluded.secret, last_step = excluded.last_step, created_at = excluded.created_at
                 WHERE totp_factors.confirmed_at IS NULL",
                [
                    Value::text(totp.user),
                    Value::bytes(&totp.secret),
                    Value::Int(totp.last_step.map(|step| i64::try_from(step).unwrap_or(i64::MAX))),
                    totp.failures.into(),
                    Value::opt_time(totp.failed_at),
                    Value::time(totp.created_at),
                    Value::opt_time(totp.confirmed_at),
                ],
            )
            .await?;
        swapped(changed, "totp")
    }

    async fn fail_totp(&mut self, user: UserId, failures: u32, at: Timestamp) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE totp_factors SET failures = failures + 1, failed_at = $4
                 WHERE tenant_id = $1 AND user_id = $2 AND failures = $3",
                [Value::text(user), failures.into(), Value::time(at)],
            )
            .await?;
        swapped(changed, "totp")
    }

    async fn pass_totp(&mut self, totp: &Totp, step: u64, at: Timestamp) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE totp_factors SET last_step = $4, failures = 0, failed_at = NULL,
                    confirmed_at = COALESCE(confirmed_at, $5)
                 WHERE tenant_id = $1 AND user_id = $2 AND secret = $3 AND (last_step IS NULL OR last_step < $4)",
                [Value::text(totp.user), Value::bytes(&totp.secret), Value::count(step), Value::time(at)],
            )
            .await?;
        swapped(changed, "totp")
    }

    async fn remove_totp(&mut self, user: UserId) -> Result<u64, StoreError> {
        let sql = "DELETE FROM totp_factors WHERE tenant_id = $1 AND user_id = $2";
        self.execute(sql, [Value::text(user)]).await
    }

    async fn remove_factors(&mut self, user: UserId) -> Result<u64, StoreError> {
        let codes = "DELETE FROM recovery_codes WHERE tenant_id = $1 AND user_id = $2";
        self.execute(codes, [Value::text(user)]).await?;
        let passkeys = "DELETE FROM passkeys WHERE tenant_id = $1 AND user_id = $2";
        let removed = self.execute(passkeys, [Value::text(user)]).await?;
        Ok(removed + self.remove_totp(user).await?)
    }

    async fn put_recovery_codes(&mut self, user: UserId, codes: &[RecoveryCode]) -> Result<(), StoreError> {
        let sql = "DELETE FROM recovery_codes WHERE tenant_id = $1 AND user_id = $2";
        self.execute(sql, [Value::text(user)]).await?;
        for (position, code) in (0_i64..).zip(codes) {
            self.execute(
                "INSERT INTO recovery_codes (tenant_id, user_id, position, digest, pepper_version, used_at)
                 VALUES ($1, $2, $3, $4, $5, $6)",
                [
                    Value::text(user),
                    position.into(),
                    Value::bytes(&code.digest),
                    code.pepper_version.into(),
                    Value::opt_time(code.used_at),
                ],
            )
            .await?;
        }
        Ok(())
    }

    async fn use_recovery_code(&mut self, user: UserId, digest: &[u8; 32], at: Timestamp) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE recovery_codes SET used_at = $4
                 WHERE tenant_id = $1 AND user_id = $2 AND digest = $3 AND used_at IS NULL",
                [Value::text(user), Value::bytes(digest), Value::time(at)],
            )
            .await?;
        swapped(changed, "recovery_code")
    }
}
