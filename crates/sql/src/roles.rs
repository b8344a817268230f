use async_trait::async_trait;
use chancery_domain::access::PermissionSet;
use chancery_domain::roles::{DefinedRole, RoleRows, RoleWrites};
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

use crate::rows::swapped;
use crate::{Driver, Row, Rows, Value};

fn read(row: &mut Row) -> Result<DefinedRole, StoreError> {
    Ok(DefinedRole {
        name: row.text()?,
        base: row.parsed()?,
        permissions: PermissionSet::from_text(&row.text()?).map_err(|_| row.damaged())?,
        description: row.text()?,
        changed_at: row.time()?,
    })
}

#[async_trait]
impl<D: Driver> RoleRows for Rows<D> {
    async fn defined_roles(&mut self) -> Result<Vec<DefinedRole>, StoreError> {
        let sql =
            "SELECT name, base, permissions, description, changed_at FROM roles WHERE tenant_id = $1 ORDER BY name";
        self.all("role", sql, [], read).await
    }

    async fn defined_role(&mut self, name: &str) -> Result<Option<DefinedRole>, StoreError> {
        let sql =
            "SELECT name, base, permissions, description, changed_at FROM roles WHERE tenant_id = $1 AND name = $2";
        self.one("role", sql, [name.into()], read).await
    }

    async fn roles_of(&mut self, holder: &str) -> Result<Vec<DefinedRole>, StoreError> {
        let sql = "SELECT r.name, r.base, r.permissions, r.description, r.changed_at
             FROM role_holders AS h JOIN roles AS r ON r.tenant_id = h.tenant_id AND r.name = h.role
             WHERE h.tenant_id = $1 AND h.holder = $2 ORDER BY r.name";
        self.all("role", sql, [holder.into()], read).await
    }

    async fn role_holders(&mut self, name: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT holder FROM role_holders WHERE tenant_id = $1 AND role = $2 ORDER BY holder LIMIT $3";
        self.all("role", sql, [name.into(), limit.into()], Row::text).await
    }
}

#[async_trait]
impl<D: Driver> RoleWrites for Rows<D> {
    async fn put_role(&mut self, role: &DefinedRole) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO roles (tenant_id, name, base, permissions, description, changed_at)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (tenant_id, name) DO UPDATE SET base = excluded.base, permissions = excluded.permissions,
                description = excluded.description, changed_at = excluded.changed_at",
            [
                role.name.as_str().into(),
                Value::text(role.base),
                Value::Text(Some(role.permissions.to_text())),
                role.description.as_str().into(),
                Value::time(role.changed_at),
            ],
        )
        .await?;
        Ok(())
    }

    async fn delete_role(&mut self, name: &str) -> Result<(), StoreError> {
        let changed = self.execute("DELETE FROM roles WHERE tenant_id = $1 AND name = $2", [name.into()]).await?;
        swapped(changed, "role")
    }

    async fn give_role(&mut self, name: &str, holder: &str, at: Timestamp) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO role_holders (tenant_id, role, holder, given_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (tenant_id, role, holder) DO NOTHING",
            [name.into(), holder.into(), Value::time(at)],
        )
        .await?;
        Ok(())
    }

    async fn take_role(&mut self, name: &str, holder: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM role_holders WHERE tenant_id = $1 AND role = $2 AND holder = $3";
        swapped(self.execute(sql, [name.into(), holder.into()]).await?, "role")
    }
}
