use async_trait::async_trait;
use chancery_domain::access::{Role, RoleSet};
use chancery_domain::ids::UserId;
use chancery_domain::store::StoreError;
use chancery_domain::users::{User, UserRows, UserWrites, name_key};

use crate::rows::{after, swapped};
use crate::{Driver, Row, Rows, Sql, Value};

/// The columns of [`read`]; the terms come as one JSON list.
macro_rules! select {
    (sqlite $rest:literal) => {
        select!("json_group_array(t.term ORDER BY t.position)", $rest)
    };
    (postgres $rest:literal) => {
        select!("COALESCE(json_agg(t.term ORDER BY t.position), '[]')::text", $rest)
    };
    ($terms:literal, $rest:literal) => {
        concat!(
            "SELECT u.id, u.username, u.email, (SELECT ",
            $terms,
            " FROM user_email_terms AS t WHERE t.tenant_id = $1 AND t.user_id = u.id),
             u.first_name, u.last_name, u.metadata, u.password_hash, u.roles, u.state, u.created_at, u.email_proven
             FROM users AS u WHERE u.tenant_id = $1 AND ",
            $rest
        )
    };
}

const BY_ID: Sql = Sql::dialects(select!(sqlite "u.id = $2"), select!(postgres "u.id = $2"));
const BY_USERNAME: Sql = Sql::dialects(
    select!(sqlite "u.id = COALESCE((SELECT n.id FROM users AS n WHERE n.tenant_id = $1 AND n.username = $2),
        (SELECT n.id FROM users AS n WHERE n.tenant_id = $1 AND n.name_key = $3))"),
    select!(postgres "u.id = COALESCE((SELECT n.id FROM users AS n WHERE n.tenant_id = $1 AND n.username = $2),
        (SELECT n.id FROM users AS n WHERE n.tenant_id = $1 AND n.name_key = $3))"),
);
const BY_TERMS: Sql = Sql::dialects(
    select!(sqlite "u.id IN (SELECT t.user_id FROM user_email_terms AS t
        WHERE t.tenant_id = $1 AND t.term IN (SELECT value FROM json_each($2))) ORDER BY u.id"),
    select!(postgres "u.id IN (SELECT t.user_id FROM user_email_terms AS t
        WHERE t.tenant_id = $1 AND t.term IN (SELECT json_array_elements_text($2::json))) ORDER BY u.id"),
);
const PAGE: Sql = Sql::dialects(
    select!(sqlite "u.id > $2 AND u.state <> 'deleted' ORDER BY u.id LIMIT $3"),
    select!(postgres "u.id > $2 AND u.state <> 'deleted' ORDER BY u.id LIMIT $3"),
);
const COUNT: Sql = Sql::dialects(
    "SELECT COUNT(*) FROM users WHERE tenant_id = $1 AND state = 'active' AND INSTR(' ' || roles || ' ', ' ' || $2 || ' ') > 0",
    "SELECT COUNT(*) FROM users WHERE tenant_id = $1 AND state = 'active' AND STRPOS(' ' || roles || ' ', ' ' || $2 || ' ') > 0",
);

fn read(row: &mut Row) -> Result<User, StoreError> {
    Ok(User {
        id: row.parsed()?,
        username: row.text()?,
        email: row.bytes()?,
        email_terms: serde_json::from_str(&row.text()?).map_err(|_| row.damaged())?,
        first_name: row.opt_bytes()?,
        last_name: row.opt_bytes()?,
        metadata: row.opt_bytes()?,
        password_hash: row.opt_text()?,
        roles: RoleSet::from_text(&row.text()?).map_err(|_| row.damaged())?,
        state: row.parsed()?,
        created_at: row.time()?,
        email_proven: row.boolean()?,
    })
}

#[async_trait]
impl<D: Driver> UserRows for Rows<D> {
    async fn user(&mut self, id: UserId) -> Result<Option<User>, StoreError> {
        self.one("user", BY_ID, [Value::text(id)], read).await
    }

    async fn user_by_username(&mut self, username: &str) -> Result<Option<User>, StoreError> {
        self.one("user", BY_USERNAME, [username.into(), name_key(username).as_str().into()], read).await
    }

    async fn users_by_email_terms(&mut self, terms: &[String]) -> Result<Vec<User>, StoreError> {
        self.all("user", BY_TERMS, [Value::list(terms)], read).await
    }

    async fn users(&mut self, since: Option<UserId>, limit: u32) -> Result<Vec<User>, StoreError> {
        self.all("user", PAGE, [after(since), limit.into()], read).await
    }

    async fn unfolded_users(&mut self, since: Option<UserId>, limit: u32) -> Result<Vec<(UserId, String)>, StoreError> {
        self.all(
            "user",
            "SELECT id, username FROM users WHERE tenant_id = $1 AND name_key IS NULL AND id > $2 ORDER BY id LIMIT $3",
            [after(since), limit.into()],
            |row| Ok((row.parsed()?, row.text()?)),
        )
        .await
    }

    async fn count_users_with_role(&mut self, role: Role) -> Result<u32, StoreError> {
        let count = self.one("user", COUNT, [Value::text(role)], Row::number).await?;
        Ok(count.unwrap_or(0))
    }
}

#[async_trait]
impl<D: Driver> UserWrites for Rows<D> {
    async fn insert_user(&mut self, user: &User) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO users (tenant_id, id, username, email, first_name, last_name, metadata,
                password_hash, roles, state, created_at, email_proven, name_key)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            [
                Value::text(user.id),
                user.username.as_str().into(),
                Value::bytes(&user.email),
                Value::opt_bytes(user.first_name.as_deref()),
                Value::opt_bytes(user.last_name.as_deref()),
                Value::opt_bytes(user.metadata.as_deref()),
                Value::opt_text(user.password_hash.as_deref()),
                Value::Text(Some(user.roles.to_text())),
                Value::text(user.state),
                Value::time(user.created_at),
                user.email_proven.into(),
                name_key(&user.username).as_str().into(),
            ],
        )
        .await?;
        insert_terms(self, user).await
    }

    async fn hold_user(&mut self, id: UserId) -> Result<Option<User>, StoreError> {
        // SQLite has one writer, so it is held already.
        let sql = Sql::dialects(
            "SELECT id FROM users WHERE tenant_id = $1 AND id = $2",
            "SELECT id FROM users WHERE tenant_id = $1 AND id = $2 FOR UPDATE",
        );
        self.one("user", sql, [Value::text(id)], Row::text).await?;
        self.user(id).await
    }

    async fn update_user(&mut self, user: &User) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE users SET username = $3, email = $4, first_name = $5, last_name = $6, metadata = $7, roles = $8, state = $9,
                    email_proven = $10, name_key = CASE WHEN username = $3 THEN name_key ELSE $11 END
                 WHERE tenant_id = $1 AND id = $2",
                [
                    Value::text(user.id),
                    user.username.as_str().into(),
                    Value::bytes(&user.email),
                    Value::opt_bytes(user.first_name.as_deref()),
                    Value::opt_bytes(user.last_name.as_deref()),
                    Value::opt_bytes(user.metadata.as_deref()),
                    Value::Text(Some(user.roles.to_text())),
                    Value::text(user.state),
                    user.email_proven.into(),
                    name_key(&user.username).as_str().into(),
                ],
            )
            .await?;
        swapped(changed, "user")?;
        let sql = "DELETE FROM user_email_terms WHERE tenant_id = $1 AND user_id = $2";
        self.execute(sql, [Value::text(user.id)]).await?;
        insert_terms(self, user).await
    }

    async fn clear_password_hash(&mut self, id: UserId) -> Result<(), StoreError> {
        let sql = "UPDATE users SET password_hash = NULL WHERE tenant_id = $1 AND id = $2";
        swapped(self.execute(sql, [Value::text(id)]).await?, "user")
    }

    async fn fold_username(&mut self, id: UserId, key: &str) -> Result<bool, StoreError> {
        let changed = self
            .execute(
                "UPDATE users SET name_key = $3 WHERE tenant_id = $1 AND id = $2 AND name_key IS NULL
                 AND NOT EXISTS (SELECT 1 FROM users AS o WHERE o.tenant_id = $1 AND o.name_key = $3)",
                [Value::text(id), key.into()],
            )
            .await?;
        Ok(changed > 0)
    }

    async fn set_password_hash(&mut self, id: UserId, hash: &str) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE users SET password_hash = $3 WHERE tenant_id = $1 AND id = $2",
                [Value::text(id), hash.into()],
            )
            .await?;
        swapped(changed, "user")
    }
}

async fn insert_terms<D: Driver>(rows: &mut Rows<D>, user: &User) -> Result<(), StoreError> {
    for (position, term) in (0_i64..).zip(&user.email_terms) {
        rows.execute(
            "INSERT INTO user_email_terms (tenant_id, user_id, position, term) VALUES ($1, $2, $3, $4)",
            [Value::text(user.id), position.into(), term.as_str().into()],
        )
        .await?;
    }
    Ok(())
}
