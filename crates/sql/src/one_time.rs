use async_trait::async_trait;
use chancery_domain::ids::{OneTimeId, UserId};
use chancery_domain::one_time::{OneTimeRows, OneTimeToken, OneTimeWrites};
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

use crate::rows::swapped;
use crate::{Driver, Row, Rows, Value};

fn read(row: &mut Row) -> Result<OneTimeToken, StoreError> {
    Ok(OneTimeToken {
        id: row.parsed()?,
        user: row.parsed()?,
        kind: row.parsed()?,
        digest: row.array()?,
        pepper_version: row.number()?,
        tries: row.number()?,
        created_at: row.time()?,
        expires_at: row.time()?,
    })
}

#[async_trait]
impl<D: Driver> OneTimeRows for Rows<D> {
    async fn one_time_token(&mut self, id: OneTimeId) -> Result<Option<OneTimeToken>, StoreError> {
        self.one(
            "one_time_token",
            "SELECT id, user_id, kind, digest, pepper_version, tries, created_at, expires_at
             FROM one_time_tokens WHERE tenant_id = $1 AND id = $2",
            [Value::text(id)],
            read,
        )
        .await
    }
}

#[async_trait]
impl<D: Driver> OneTimeWrites for Rows<D> {
    async fn insert_one_time_token(&mut self, token: &OneTimeToken) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO one_time_tokens (tenant_id, id, user_id, kind, digest, pepper_version, tries, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            [
                Value::text(token.id),
                Value::text(token.user),
                Value::text(token.kind),
                Value::bytes(&token.digest),
                token.pepper_version.into(),
                token.tries.into(),
                Value::time(token.created_at),
                Value::time(token.expires_at),
            ],
        )
        .await?;
        Ok(())
    }

    async fn try_one_time_token(&mut self, id: OneTimeId, most: u32) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE one_time_tokens SET tries = tries + 1 WHERE tenant_id = $1 AND id = $2 AND tries < $3",
                [Value::text(id), most.into()],
            )
            .await?;
        swapped(changed, "one_time_token")
    }

    async fn take_one_time_token(&mut self, id: OneTimeId) -> Result<(), StoreError> {
        let sql = "DELETE FROM one_time_tokens WHERE tenant_id = $1 AND id = $2";
        swapped(self.execute(sql, [Value::text(id)]).await?, "one_time_token")
    }

    async fn end_one_time_tokens_of(&mut self, user: UserId) -> Result<u64, StoreError> {
        let sql = "DELETE FROM one_time_tokens WHERE tenant_id = $1 AND user_id = $2";
        self.execute(sql, [Value::text(user)]).await
    }

    async fn forget_one_time_tokens(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let sql = "DELETE FROM one_time_tokens WHERE tenant_id = $1 AND expires_at < $2";
        self.execute(sql, [Value::time(now)]).await?;
        Ok(())
    }
}
