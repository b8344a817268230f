//! The directory: which tenant a credential belongs to. The only statements without a tenant.

use chancery_domain::TenantId;
use chancery_domain::ids::ApiKeyId;
use chancery_domain::store::{ApiKeyEntry, StoreError, TenantEntry};

use crate::rows::after;
use crate::{Driver, Row, Value};

/// The entry of an API key.
pub async fn api_key(driver: &mut dyn Driver, id: ApiKeyId) -> Result<Option<ApiKeyEntry>, StoreError> {
    let sql = "SELECT id, tenant_id, digest, revoked FROM directory_api_keys WHERE id = $1";
    let rows = driver.fetch(sql.into(), vec![Value::text(id)]).await?;
    rows.into_iter()
        .next()
        .map(|values| {
            let mut row = Row::new("api_key", values);
            Ok(ApiKeyEntry { id: row.parsed()?, tenant: row.parsed()?, digest: row.array()?, revoked: row.boolean()? })
        })
        .transpose()
}

/// The tenant with this id.
pub async fn tenant(driver: &mut dyn Driver, id: TenantId) -> Result<Option<TenantEntry>, StoreError> {
    let sql = "SELECT tenant_id, slug, state, clear_fields FROM directory_tenants WHERE tenant_id = $1";
    let rows = driver.fetch(sql.into(), vec![Value::text(id)]).await?;
    rows.into_iter().next().map(read).transpose()
}

/// The tenant with this short name.
pub async fn tenant_by_slug(driver: &mut dyn Driver, slug: &str) -> Result<Option<TenantEntry>, StoreError> {
    let sql = "SELECT tenant_id, slug, state, clear_fields FROM directory_tenants WHERE slug = $1";
    let rows = driver.fetch(sql.into(), vec![slug.into()]).await?;
    rows.into_iter().next().map(read).transpose()
}

/// All tenants by id, `limit` at a time, those after `since`.
pub async fn tenants(
    driver: &mut dyn Driver,
    since: Option<TenantId>,
    limit: u32,
) -> Result<Vec<TenantEntry>, StoreError> {
    let sql = "SELECT tenant_id, slug, state, clear_fields FROM directory_tenants
               WHERE tenant_id > $1 ORDER BY tenant_id LIMIT $2";
    let rows = driver.fetch(sql.into(), vec![after(since), limit.into()]).await?;
    rows.into_iter().map(read).collect()
}

fn read(values: Vec<Value>) -> Result<TenantEntry, StoreError> {
    let mut row = Row::new("tenant", values);
    Ok(TenantEntry { id: row.parsed()?, slug: row.text()?, state: row.parsed()?, clear_fields: row.number()? })
}
