//! The directory: which tenant a credential belongs to, and the epochs. The only statements without a tenant.

use std::collections::BTreeMap;
use std::time::Instant;

use chancery_domain::TenantId;
use chancery_domain::identity_providers::{AudienceClaim, IdentityProviderEntry};
use chancery_domain::ids::ApiKeyId;
use chancery_domain::store::{ApiKeyEntry, Epochs, StoreError, TenantEntry};

use crate::rows::after;
use crate::{Driver, Row, Sql, Value};

/// The entry of an API key.
pub async fn api_key(driver: &mut dyn Driver, id: ApiKeyId) -> Result<Option<ApiKeyEntry>, StoreError> {
    let sql = "SELECT id, tenant_id, digest, pepper_version, revoked FROM directory_api_keys WHERE id = $1";
    let rows = driver.fetch(sql.into(), vec![Value::text(id)]).await?;
    rows.into_iter().next().map(read_key).transpose()
}

/// The entries of the keys of other systems with this beginning of their SHA-256.
pub async fn old_api_keys(driver: &mut dyn Driver, prefix: &str) -> Result<Vec<ApiKeyEntry>, StoreError> {
    let sql = "SELECT k.id, k.tenant_id, k.digest, k.pepper_version, k.revoked
               FROM directory_old_api_keys AS o JOIN directory_api_keys AS k ON k.tenant_id = o.tenant_id AND k.id = o.id
               WHERE o.prefix = $1 AND NOT k.revoked ORDER BY k.id";
    let rows = driver.fetch(sql.into(), vec![prefix.into()]).await?;
    rows.into_iter().map(read_key).collect()
}

fn read_key(values: Vec<Value>) -> Result<ApiKeyEntry, StoreError> {
    read_entry(&mut Row::new("api_key", values))
}

/// The entry of an API key from its five columns.
pub(crate) fn read_entry(row: &mut Row) -> Result<ApiKeyEntry, StoreError> {
    Ok(ApiKeyEntry {
        id: row.parsed()?,
        tenant: row.parsed()?,
        digest: row.array()?,
        pepper_version: row.number()?,
        revoked: row.boolean()?,
    })
}

/// At most so many providers share an issuer and an audience.
const MAX_SHARED: u32 = 5_000;

/// The audiences alone are looked up by the index; the pairs of claim and audience then say which of the rows it is.
const IDENTITY_PROVIDERS: Sql = Sql::dialects(
    "SELECT d.tenant_id, d.id, d.audience_claim, d.audience, d.tenant_claim, d.tenant_value
     FROM directory_identity_providers AS d
     WHERE d.issuer = $1 AND d.audience IN (SELECT value FROM json_each($2))
        AND d.audience_claim || ' ' || d.audience IN (SELECT value FROM json_each($3))
        AND NOT EXISTS (SELECT 1 FROM directory_tenants AS t WHERE t.tenant_id = d.tenant_id AND t.state <> 'active')
     ORDER BY d.tenant_id, d.id LIMIT $4",
    "SELECT d.tenant_id, d.id, d.audience_claim, d.audience, d.tenant_claim, d.tenant_value
     FROM directory_identity_providers AS d
     WHERE d.issuer = $1 AND d.audience = ANY (ARRAY(SELECT json_array_elements_text($2::json)))
        AND d.audience_claim || ' ' || d.audience = ANY (ARRAY(SELECT json_array_elements_text($3::json)))
        AND NOT EXISTS (SELECT 1 FROM directory_tenants AS t WHERE t.tenant_id = d.tenant_id AND t.state <> 'active')
     ORDER BY d.tenant_id, d.id LIMIT $4",
);

/// The enabled providers with this issuer and one of these audiences.
pub async fn identity_providers(
    driver: &mut dyn Driver,
    issuer: &str,
    audiences: &[(AudienceClaim, &str)],
) -> Result<Vec<IdentityProviderEntry>, StoreError> {
    let values = audiences.iter().map(|(_, audience)| *audience);
    // A row without a claim is of the version before, which looked in all of them.
    let pairs = audiences.iter().flat_map(|(claim, audience)| [format!("{claim} {audience}"), format!(" {audience}")]);
    let args = vec![issuer.into(), Value::list(values), Value::list(pairs), MAX_SHARED.into()];
    let rows = driver.fetch(IDENTITY_PROVIDERS, args).await?;
    rows.into_iter().map(|values| read_provider(&mut Row::new("identity_provider", values))).collect()
}

/// The entry of a provider from its six columns.
pub(crate) fn read_provider(row: &mut Row) -> Result<IdentityProviderEntry, StoreError> {
    let (tenant, id, audience_claim, audience) = (row.parsed()?, row.parsed()?, row.text()?, row.text()?);
    let audience_claim = match audience_claim.as_str() {
        "" => None,
        claim => Some(claim.parse().map_err(|_| row.damaged())?),
    };
    let (claim, value) = (row.text()?, row.text()?);
    let tenant_claim = (!claim.is_empty()).then_some((claim, value));
    Ok(IdentityProviderEntry { tenant, id, audience_claim, audience, tenant_claim })
}

/// The tenant with this id.
pub async fn tenant(driver: &mut dyn Driver, id: TenantId) -> Result<Option<TenantEntry>, StoreError> {
    let sql = "SELECT tenant_id, slug, state, clear_fields, registration FROM directory_tenants WHERE tenant_id = $1";
    let rows = driver.fetch(sql.into(), vec![Value::text(id)]).await?;
    rows.into_iter().next().map(read).transpose()
}

/// The tenant with this short name.
pub async fn tenant_by_slug(driver: &mut dyn Driver, slug: &str) -> Result<Option<TenantEntry>, StoreError> {
    let sql = "SELECT tenant_id, slug, state, clear_fields, registration FROM directory_tenants WHERE slug = $1";
    let rows = driver.fetch(sql.into(), vec![slug.into()]).await?;
    rows.into_iter().next().map(read).transpose()
}

/// All tenants by id, `limit` at a time, those after `since`.
pub async fn tenants(
    driver: &mut dyn Driver,
    since: Option<TenantId>,
    limit: u32,
) -> Result<Vec<TenantEntry>, StoreError> {
    let sql = "SELECT tenant_id, slug, state, clear_fields, registration FROM directory_tenants
               WHERE tenant_id > $1 ORDER BY tenant_id LIMIT $2";
    let rows = driver.fetch(sql.into(), vec![after(since), limit.into()]).await?;
    rows.into_iter().map(read).collect()
}

const EPOCHS: Sql = Sql::dialects(
    "SELECT tenant_id, epoch FROM directory_epochs WHERE tenant_id IN (SELECT value FROM json_each($1))",
    "SELECT tenant_id, epoch FROM directory_epochs WHERE tenant_id = ANY (ARRAY(SELECT json_array_elements_text($1::json)))",
);

/// One statement, so that mark and rows are of one snapshot. In PostgreSQL the mark is the oldest transaction that may still
/// commit something this snapshot does not show; in SQLite changes are numbered in the order of their commits.
const EPOCHS_SINCE: Sql = Sql::dialects(
    "SELECT m.mark, e.tenant_id, e.epoch
     FROM (SELECT COALESCE(MAX(changed), 0) + 1 AS mark FROM directory_epochs) AS m
     LEFT JOIN directory_epochs AS e ON e.changed >= $1",
    "SELECT m.mark, e.tenant_id, e.epoch
     FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS mark) AS m
     LEFT JOIN directory_epochs AS e ON e.changed >= $1",
);

/// The epochs of these tenants.
pub async fn epochs(
    driver: &mut dyn Driver,
    tenants: impl IntoIterator<Item = TenantId> + Send,
) -> Result<Epochs, StoreError> {
    let (tenants, read_at) = (Value::list(tenants), Instant::now());
    let rows = driver.fetch(EPOCHS, vec![tenants]).await?;
    let read = |values| {
        let mut row = Row::new("epoch", values);
        Ok((row.parsed()?, row.number()?))
    };
    Ok(Epochs { read_at, of: rows.into_iter().map(read).collect::<Result<_, StoreError>>()? })
}

/// The epochs that changed since `mark`, and the mark for next time.
pub async fn epochs_since(driver: &mut dyn Driver, mark: Option<i64>) -> Result<(Epochs, i64), StoreError> {
    let (mut of, mut next, read_at) = (BTreeMap::new(), None, Instant::now());
    for values in driver.fetch(EPOCHS_SINCE, vec![mark.unwrap_or(i64::MAX).into()]).await? {
        let mut row = Row::new("epoch", values);
        next = Some(row.int()?);
        if let Some(tenant) = row.opt_parsed()? {
            of.insert(tenant, row.number()?);
        }
    }
    Ok((Epochs { read_at, of }, next.ok_or(StoreError::Damaged("epoch"))?))
}

fn read(values: Vec<Value>) -> Result<TenantEntry, StoreError> {
    let mut row = Row::new("tenant", values);
    Ok(TenantEntry {
        id: row.parsed()?,
        slug: row.text()?,
        state: row.parsed()?,
        clear_fields: row.number()?,
        registration: row.parsed()?,
    })
}
