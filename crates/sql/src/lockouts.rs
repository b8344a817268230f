use async_trait::async_trait;
use chancery_domain::ids::{LockoutId, UserId};
use chancery_domain::lockouts::{Lockout, LockoutKind, LockoutRows, LockoutWrites};
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

use crate::rows::after;
use crate::{Driver, Row, Rows, Value};

fn read(row: &mut Row) -> Result<Lockout, StoreError> {
    Ok(Lockout {
        id: row.parsed()?,
        kind: row.parsed()?,
        subject: row.text()?,
        user: row.opt_parsed()?,
        policy: row.opt_text()?,
        ladders: Lockout::ladders_from_text(&row.text()?).ok_or_else(|| row.damaged())?,
        made_at: row.time()?,
        expires_at: row.time()?,
    })
}

#[async_trait]
impl<D: Driver> LockoutRows for Rows<D> {
    async fn lockouts(
        &mut self,
        now: Timestamp,
        since: Option<LockoutId>,
        limit: u32,
    ) -> Result<Vec<Lockout>, StoreError> {
        self.all(
            "lockout",
            "SELECT id, kind, subject, user_id, policy, ladders, made_at, expires_at FROM lockouts
             WHERE tenant_id = $1 AND expires_at > $2 AND id > $3 ORDER BY id LIMIT $4",
            [Value::time(now), after(since), limit.into()],
            read,
        )
        .await
    }

    async fn find_lockout(&mut self, id: LockoutId) -> Result<Option<Lockout>, StoreError> {
        self.one(
            "lockout",
            "SELECT id, kind, subject, user_id, policy, ladders, made_at, expires_at FROM lockouts
             WHERE tenant_id = $1 AND id = $2",
            [Value::text(id)],
            read,
        )
        .await
    }

    async fn lockout_of(
        &mut self,
        kind: LockoutKind,
        subject: &str,
        now: Timestamp,
    ) -> Result<Option<Lockout>, StoreError> {
        self.one(
            "lockout",
            "SELECT id, kind, subject, user_id, policy, ladders, made_at, expires_at FROM lockouts
             WHERE tenant_id = $1 AND kind = $2 AND subject = $3 AND expires_at > $4",
            [Value::text(kind), subject.into(), Value::time(now)],
            read,
        )
        .await
    }

    async fn known_address(&mut self, user: UserId, address: &str) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT expires_at FROM known_addresses WHERE tenant_id = $1 AND user_id = $2 AND address = $3";
        self.one("known_address", sql, [Value::text(user), address.into()], Row::time).await
    }
}

#[async_trait]
impl<D: Driver> LockoutWrites for Rows<D> {
    async fn put_lockout(&mut self, lockout: &Lockout) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO lockouts (tenant_id, id, kind, subject, user_id, policy, ladders, made_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (tenant_id, kind, subject) DO UPDATE SET user_id = excluded.user_id, policy = excluded.policy,
                ladders = excluded.ladders, made_at = excluded.made_at, expires_at = excluded.expires_at",
            [
                Value::text(lockout.id),
                Value::text(lockout.kind),
                lockout.subject.as_str().into(),
                Value::opt_text(lockout.user),
                Value::Text(lockout.policy.clone()),
                Value::Text(Some(lockout.ladders_text())),
                Value::time(lockout.made_at),
                Value::time(lockout.expires_at),
            ],
        )
        .await?;
        Ok(())
    }

    async fn remove_lockout_of(&mut self, kind: LockoutKind, subject: &str) -> Result<(), StoreError> {
        self.execute(
            "DELETE FROM lockouts WHERE tenant_id = $1 AND kind = $2 AND subject = $3",
            [Value::text(kind), subject.into()],
        )
        .await?;
        Ok(())
    }

    async fn forget_lockouts(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.execute("DELETE FROM lockouts WHERE tenant_id = $1 AND expires_at <= $2", [Value::time(now)]).await?;
        Ok(())
    }

    async fn know_address(
        &mut self,
        user: UserId,
        address: &str,
        until: Timestamp,
        most: u32,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO known_addresses (tenant_id, user_id, address, expires_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (tenant_id, user_id, address) DO UPDATE SET expires_at = excluded.expires_at",
            [Value::text(user), address.into(), Value::time(until)],
        )
        .await?;
        self.execute(
            "DELETE FROM known_addresses WHERE tenant_id = $1 AND user_id = $2 AND address NOT IN
                (SELECT address FROM known_addresses WHERE tenant_id = $1 AND user_id = $2
                 ORDER BY expires_at DESC, address LIMIT $3)",
            [Value::text(user), most.into()],
        )
        .await?;
        Ok(())
    }

    async fn forget_addresses(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let sql = "DELETE FROM known_addresses WHERE tenant_id = $1 AND expires_at <= $2";
        self.execute(sql, [Value::time(now)]).await?;
        Ok(())
    }

    async fn forget_addresses_of(&mut self, user: UserId) -> Result<(), StoreError> {
        let sql = "DELETE FROM known_addresses WHERE tenant_id = $1 AND user_id = $2";
        self.execute(sql, [Value::text(user)]).await?;
        Ok(())
    }
}
