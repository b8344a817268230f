use async_trait::async_trait;
use chancery_domain::access::{Role, RoleSet};
use chancery_domain::api_keys::{ApiKey, ApiKeyRows, ApiKeyWrites};
use chancery_domain::ids::ApiKeyId;
use chancery_domain::roles::RoleWrites as _;
use chancery_domain::store::{ApiKeyEntry, StoreError};
use chancery_domain::time::Timestamp;
use ipnet::IpNet;

use crate::directory::read_entry;
use crate::rows::{after, swapped};
use crate::{Driver, Row, Rows, Sql, Value};

const COUNT: Sql = Sql::dialects(
    "SELECT COUNT(*) FROM api_keys WHERE tenant_id = $1 AND revoked_at IS NULL
     AND (expires_at IS NULL OR expires_at > $3) AND INSTR(' ' || roles || ' ', ' ' || $2 || ' ') > 0
     AND NOT EXISTS (SELECT 1 FROM lockouts AS l
        WHERE l.tenant_id = $1 AND l.kind = 'api_key' AND l.subject = api_keys.id AND l.expires_at > $3)",
    "SELECT COUNT(*) FROM api_keys WHERE tenant_id = $1 AND revoked_at IS NULL
     AND (expires_at IS NULL OR expires_at > $3) AND STRPOS(' ' || roles || ' ', ' ' || $2 || ' ') > 0
     AND NOT EXISTS (SELECT 1 FROM lockouts AS l
        WHERE l.tenant_id = $1 AND l.kind = 'api_key' AND l.subject = api_keys.id AND l.expires_at > $3)",
);

const OLD: Sql = Sql::dialects(
    "SELECT o.prefix, k.id, k.tenant_id, k.digest, k.pepper_version, k.revoked
     FROM directory_old_api_keys AS o JOIN directory_api_keys AS k ON k.tenant_id = o.tenant_id AND k.id = o.id
     WHERE o.tenant_id = $1 AND o.prefix IN (SELECT value FROM json_each($2)) ORDER BY o.prefix, k.id",
    "SELECT o.prefix, k.id, k.tenant_id, k.digest, k.pepper_version, k.revoked
     FROM directory_old_api_keys AS o JOIN directory_api_keys AS k ON k.tenant_id = o.tenant_id AND k.id = o.id
     WHERE o.tenant_id = $1 AND o.prefix = ANY (ARRAY(SELECT json_array_elements_text($2::json)))
     ORDER BY o.prefix, k.id",
);

const ONE: Sql = Sql::dialects(
    "SELECT id, description, roles, user_id, digest, pepper_version, allowed_cidrs, created_at, expires_at, revoked_at,
        last_used_at, replaced_by, rate_limit,
        (SELECT GROUP_CONCAT(role, ' ') FROM role_holders WHERE tenant_id = $1 AND holder = api_keys.id),
        (SELECT expires_at FROM lockouts WHERE tenant_id = $1 AND kind = 'api_key' AND subject = api_keys.id)
     FROM api_keys WHERE tenant_id = $1 AND id = $2",
    "SELECT id, description, roles, user_id, digest, pepper_version, allowed_cidrs, created_at, expires_at, revoked_at,
        last_used_at, replaced_by, rate_limit,
        (SELECT STRING_AGG(role, ' ') FROM role_holders WHERE tenant_id = $1 AND holder = api_keys.id),
        (SELECT expires_at FROM lockouts WHERE tenant_id = $1 AND kind = 'api_key' AND subject = api_keys.id)
     FROM api_keys WHERE tenant_id = $1 AND id = $2",
);
const PAGE: Sql = Sql::dialects(
    "SELECT id, description, roles, user_id, digest, pepper_version, allowed_cidrs, created_at, expires_at, revoked_at,
        last_used_at, replaced_by, rate_limit,
        (SELECT GROUP_CONCAT(role, ' ') FROM role_holders WHERE tenant_id = $1 AND holder = api_keys.id),
        (SELECT expires_at FROM lockouts WHERE tenant_id = $1 AND kind = 'api_key' AND subject = api_keys.id)
     FROM api_keys WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3",
    "SELECT id, description, roles, user_id, digest, pepper_version, allowed_cidrs, created_at, expires_at, revoked_at,
        last_used_at, replaced_by, rate_limit,
        (SELECT STRING_AGG(role, ' ') FROM role_holders WHERE tenant_id = $1 AND holder = api_keys.id),
        (SELECT expires_at FROM lockouts WHERE tenant_id = $1 AND kind = 'api_key' AND subject = api_keys.id)
     FROM api_keys WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3",
);

fn read(row: &mut Row) -> Result<ApiKey, StoreError> {
    let mut key = ApiKey {
        id: row.parsed()?,
        description: row.text()?,
        roles: RoleSet::from_text(&row.text()?).map_err(|_| row.damaged())?,
        defined_roles: Vec::new(),
        user: row.opt_parsed()?,
        digest: row.array()?,
        pepper_version: row.number()?,
        allowed_cidrs: cidrs(&row.text()?).ok_or_else(|| row.damaged())?,
        rate_limit: None,
        created_at: row.time()?,
        expires_at: row.opt_time()?,
        revoked_at: row.opt_time()?,
        suspended_until: None,
        last_used_at: row.opt_time()?,
        replaced_by: row.opt_parsed()?,
    };
    key.rate_limit = row.opt_int()?.map(u32::try_from).transpose().map_err(|_| row.damaged())?;
    key.defined_roles = row.opt_text()?.unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect();
    // Neither engine promises an order of what it strings together.
    key.defined_roles.sort_unstable();
    key.suspended_until = row.opt_time()?;
    Ok(key)
}

fn cidrs_text(key: &ApiKey) -> String {
    key.allowed_cidrs.iter().map(IpNet::to_string).collect::<Vec<_>>().join(" ")
}

pub(crate) fn cidrs(text: &str) -> Option<Vec<IpNet>> {
    text.split_ascii_whitespace().map(|cidr| cidr.parse().ok()).collect()
}

#[async_trait]
impl<D: Driver> ApiKeyRows for Rows<D> {
    async fn api_key(&mut self, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
        self.one("api_key", ONE, [Value::text(id)], read).await
    }

    async fn api_keys(&mut self, since: Option<ApiKeyId>, limit: u32) -> Result<Vec<ApiKey>, StoreError> {
        self.all("api_key", PAGE, [after(since), limit.into()], read).await
    }

    async fn count_api_keys_with_role(&mut self, role: Role, now: Timestamp) -> Result<u32, StoreError> {
        let count = self.one("api_key", COUNT, [Value::text(role), Value::time(now)], Row::number).await?;
        Ok(count.unwrap_or(0))
    }

    async fn old_api_keys_of(&mut self, prefixes: &[String]) -> Result<Vec<(String, ApiKeyEntry)>, StoreError> {
        let read = |row: &mut Row| Ok((row.text()?, read_entry(row)?));
        self.all("api_key", OLD, [Value::list(prefixes)], read).await
    }
}

#[async_trait]
impl<D: Driver> ApiKeyWrites for Rows<D> {
    async fn hold_api_key(&mut self, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
        // SQLite has one writer, so it is held already.
        let sql = Sql::dialects(
            "SELECT id FROM api_keys WHERE tenant_id = $1 AND id = $2",
            "SELECT id FROM api_keys WHERE tenant_id = $1 AND id = $2 FOR UPDATE",
        );
        self.one("api_key", sql, [Value::text(id)], Row::text).await?;
        self.api_key(id).await
    }

    async fn insert_api_key(&mut self, key: &ApiKey) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO api_keys (tenant_id, id, description, roles, user_id, digest, pepper_version, allowed_cidrs,
                created_at, expires_at, revoked_at, last_used_at, replaced_by, rate_limit)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
            [
                Value::text(key.id),
                key.description.as_str().into(),
                Value::Text(Some(key.roles.to_text())),
                Value::opt_text(key.user),
                Value::bytes(&key.digest),
                key.pepper_version.into(),
                Value::Text(Some(cidrs_text(key))),
                Value::time(key.created_at),
                Value::opt_time(key.expires_at),
                Value::opt_time(key.revoked_at),
                Value::opt_time(key.last_used_at),
                Value::opt_text(key.replaced_by),
                Value::Int(key.rate_limit.map(i64::from)),
            ],
        )
        .await?;
        self.execute(
            "INSERT INTO directory_api_keys (tenant_id, id, digest, pepper_version, revoked) VALUES ($1, $2, $3, $4, $5)",
            [
                Value::text(key.id),
                Value::bytes(&key.digest),
                key.pepper_version.into(),
                key.revoked_at.is_some().into(),
            ],
        )
        .await?;
        for role in &key.defined_roles {
            self.give_role(role, &key.id.to_string(), key.created_at).await?;
        }
        Ok(())
    }

    async fn update_api_key(&mut self, key: &ApiKey) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE api_keys SET description = $3, allowed_cidrs = $4, expires_at = $5, replaced_by = $6, rate_limit = $7
                 WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL",
                [
                    Value::text(key.id),
                    key.description.as_str().into(),
                    Value::Text(Some(cidrs_text(key))),
                    Value::opt_time(key.expires_at),
                    Value::opt_text(key.replaced_by),
                    Value::Int(key.rate_limit.map(i64::from)),
                ],
            )
            .await?;
        swapped(changed, "api_key")
    }

    async fn touch_api_keys(&mut self, used: &[(ApiKeyId, Timestamp)]) -> Result<(), StoreError> {
        for (id, at) in used {
            self.execute(
                "UPDATE api_keys SET last_used_at = $3
                 WHERE tenant_id = $1 AND id = $2 AND (last_used_at IS NULL OR last_used_at < $3)",
                [Value::text(id), Value::time(*at)],
            )
            .await?;
        }
        Ok(())
    }

    async fn insert_old_api_key(&mut self, id: ApiKeyId, prefix: &str) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO directory_old_api_keys (tenant_id, id, prefix) VALUES ($1, $2, $3)",
            [Value::text(id), prefix.into()],
        )
        .await?;
        Ok(())
    }

    async fn revoke_api_key(&mut self, id: ApiKeyId, at: Timestamp) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE api_keys SET revoked_at = $3 WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL",
                [Value::text(id), Value::time(at)],
            )
            .await?;
        swapped(changed, "api_key")?;
        let changed = self
            .execute(
                "UPDATE directory_api_keys SET revoked = $3 WHERE tenant_id = $1 AND id = $2",
                [Value::text(id), true.into()],
            )
            .await?;
        swapped(changed, "api_key")
    }

    async fn set_api_key_digest(
        &mut self,
        id: ApiKeyId,
        from: u32,
        digest: &[u8; 32],
        pepper_version: u32,
    ) -> Result<(), StoreError> {
        for sql in [
            "UPDATE api_keys SET digest = $4, pepper_version = $5 WHERE tenant_id = $1 AND id = $2 AND pepper_version = $3",
            "UPDATE directory_api_keys SET digest = $4, pepper_version = $5
             WHERE tenant_id = $1 AND id = $2 AND pepper_version = $3",
        ] {
            let args = [Value::text(id), from.into(), Value::bytes(digest), pepper_version.into()];
            swapped(self.execute(sql, args).await?, "api_key")?;
        }
        Ok(())
    }
}
