use async_trait::async_trait;
use chancery_domain::TenantId;
use chancery_domain::store::StoreError;
use chancery_domain::tenants::{Registration, Tenant, TenantRows, TenantState, TenantWrites};

use crate::rows::{after, swapped};
use crate::{Driver, Row, Rows, Sql, Value};

macro_rules! select {
    (sqlite $rest:literal) => {
        select!("json_group_array(e.term ORDER BY e.position)", $rest)
    };
    (postgres $rest:literal) => {
        select!("COALESCE(json_agg(e.term ORDER BY e.position), '[]')::text", $rest)
    };
    ($terms:literal, $rest:literal) => {
        concat!(
            "SELECT t.id, t.slug, t.name, t.state, t.email, (SELECT ",
            $terms,
            " FROM tenant_email_terms AS e WHERE e.tenant_id = $1 AND e.id = t.id), t.metadata, t.created_at
             FROM tenants AS t WHERE t.tenant_id = $1 AND ",
            $rest
        )
    };
}

const BY_ID: Sql = Sql::dialects(select!(sqlite "t.id = $2"), select!(postgres "t.id = $2"));
const PAGE: Sql = Sql::dialects(
    select!(sqlite "t.id > $2 ORDER BY t.id LIMIT $3"),
    select!(postgres "t.id > $2 ORDER BY t.id LIMIT $3"),
);
const BY_TERMS: Sql = Sql::dialects(
    select!(sqlite "t.id IN (SELECT e.id FROM tenant_email_terms AS e
        WHERE e.tenant_id = $1 AND e.term IN (SELECT value FROM json_each($2))) ORDER BY t.id"),
    select!(postgres "t.id IN (SELECT e.id FROM tenant_email_terms AS e
        WHERE e.tenant_id = $1 AND e.term IN (SELECT json_array_elements_text($2::json))) ORDER BY t.id"),
);

fn read(row: &mut Row) -> Result<Tenant, StoreError> {
    Ok(Tenant {
        id: row.parsed()?,
        slug: row.text()?,
        name: row.text()?,
        state: row.parsed()?,
        email: row.opt_bytes()?,
        email_terms: serde_json::from_str(&row.text()?).map_err(|_| row.damaged())?,
        metadata: row.opt_bytes()?,
        created_at: row.time()?,
    })
}

#[async_trait]
impl<D: Driver> TenantRows for Rows<D> {
    async fn tenant_record(&mut self, id: TenantId) -> Result<Option<Tenant>, StoreError> {
        self.one("tenant", BY_ID, [Value::text(id)], read).await
    }

    async fn tenant_records(&mut self, since: Option<TenantId>, limit: u32) -> Result<Vec<Tenant>, StoreError> {
        self.all("tenant", PAGE, [after(since), limit.into()], read).await
    }

    async fn tenants_by_email_terms(&mut self, terms: &[String]) -> Result<Vec<Tenant>, StoreError> {
        self.all("tenant", BY_TERMS, [Value::list(terms)], read).await
    }
}

#[async_trait]
impl<D: Driver> TenantWrites for Rows<D> {
    async fn insert_tenant(&mut self, tenant: &Tenant) -> Result<(), StoreError> {
        // The schema refuses this anywhere but in the platform's rows.
        self.execute(
            "INSERT INTO tenants (tenant_id, id, slug, name, state, email, metadata, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            [
                Value::text(tenant.id),
                tenant.slug.as_str().into(),
                tenant.name.as_str().into(),
                Value::text(tenant.state),
                Value::opt_bytes(tenant.email.as_deref()),
                Value::opt_bytes(tenant.metadata.as_deref()),
                Value::time(tenant.created_at),
            ],
        )
        .await?;
        // `$1` is the platform here; the row is the new tenant's.
        self.execute(
            "INSERT INTO directory_tenants (tenant_id, slug, state, clear_fields)
             SELECT t.id, t.slug, t.state, 0 FROM tenants AS t WHERE t.tenant_id = $1 AND t.id = $2",
            [Value::text(tenant.id)],
        )
        .await?;
        insert_terms(self, tenant).await
    }

    async fn hold_tenant_record(&mut self, id: TenantId) -> Result<Option<Tenant>, StoreError> {
        // SQLite has one writer, so it is held already.
        let sql = Sql::dialects(
            "SELECT id FROM tenants WHERE tenant_id = $1 AND id = $2",
            "SELECT id FROM tenants WHERE tenant_id = $1 AND id = $2 FOR UPDATE",
        );
        self.one("tenant", sql, [Value::text(id)], Row::text).await?;
        self.tenant_record(id).await
    }

    async fn update_tenant(&mut self, tenant: &Tenant) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE tenants SET name = $3, email = $4, metadata = $5 WHERE tenant_id = $1 AND id = $2",
                [
                    Value::text(tenant.id),
                    tenant.name.as_str().into(),
                    Value::opt_bytes(tenant.email.as_deref()),
                    Value::opt_bytes(tenant.metadata.as_deref()),
                ],
            )
            .await?;
        swapped(changed, "tenant")?;
        let sql = "DELETE FROM tenant_email_terms WHERE tenant_id = $1 AND id = $2";
        self.execute(sql, [Value::text(tenant.id)]).await?;
        insert_terms(self, tenant).await
    }

    async fn set_tenant_state(&mut self, id: TenantId, from: TenantState, to: TenantState) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE tenants SET state = $4 WHERE tenant_id = $1 AND id = $2 AND state = $3",
                [Value::text(id), Value::text(from), Value::text(to)],
            )
            .await?;
        swapped(changed, "tenant")?;
        let changed = self
            .execute(
                "UPDATE directory_tenants SET state = $3
                 WHERE tenant_id = $2 AND EXISTS (SELECT 1 FROM tenants WHERE tenants.tenant_id = $1 AND tenants.id = $2)",
                [Value::text(id), Value::text(to)],
            )
            .await?;
        swapped(changed, "tenant")?;
        self.stops_keys |= to != TenantState::Active;
        Ok(())
    }

    async fn hold_tenant(&mut self) -> Result<(), StoreError> {
        // SQLite has one writer, so it is held already.
        let sql = Sql::dialects(
            "SELECT slug FROM directory_tenants WHERE tenant_id = $1",
            "SELECT slug FROM directory_tenants WHERE tenant_id = $1 FOR UPDATE",
        );
        self.one("tenant", sql, [], Row::text).await?;
        Ok(())
    }

    async fn set_clear_fields(&mut self, count: u32) -> Result<(), StoreError> {
        let changed =
            self.execute("UPDATE directory_tenants SET clear_fields = $2 WHERE tenant_id = $1", [count.into()]).await?;
        swapped(changed, "tenant")
    }

    async fn set_registration(&mut self, registration: Registration) -> Result<(), StoreError> {
        let sql = "UPDATE directory_tenants SET registration = $2 WHERE tenant_id = $1";
        swapped(self.execute(sql, [Value::text(registration)]).await?, "tenant")
    }
}

async fn insert_terms<D: Driver>(rows: &mut Rows<D>, tenant: &Tenant) -> Result<(), StoreError> {
    for (position, term) in (0_i64..).zip(&tenant.email_terms) {
        rows.execute(
            "INSERT INTO tenant_email_terms (tenant_id, id, position, term) VALUES ($1, $2, $3, $4)",
            [Value::text(tenant.id), position.into(), term.as_str().into()],
        )
        .await?;
    }
    Ok(())
}
