//! Everything in a PostgreSQL database, read as its owner would back it up.

use std::collections::BTreeSet;

use anyhow::Result;
use chancery_domain::TenantId;
use sqlx::{PgPool, Row as _};

/// Every table that is not PostgreSQL's own.
const TABLES: &str = "SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg_toast%' \
     ORDER BY 1";
/// A table as text; bytes as hex, for base64 would be broken into lines.
const CONTENT: &str = "SELECT table_to_xml($1::regclass, true, true, '')::text AS content";

/// The content of every table. Row security hides other tenants' rows, so each tenant is entered in turn.
pub(super) async fn every_table(
    pool: &PgPool,
    tenants: impl Iterator<Item = TenantId>,
) -> Result<Vec<(String, Vec<u8>)>> {
    let names: Vec<String> =
        sqlx::query(TABLES).fetch_all(pool).await?.iter().map(|row| row.try_get("name")).collect::<Result<_, _>>()?;
    let tenants: BTreeSet<TenantId> = tenants.chain([TenantId::PLATFORM]).collect();
    let mut tables = Vec::new();
    for tenant in tenants {
        let mut transaction = pool.begin().await?;
        sqlx::query("SELECT set_config('chancery.tenant', $1, true), set_config('xmlbinary', 'hex', true)")
            .bind(tenant.to_string())
            .execute(&mut *transaction)
            .await?;
        for name in &names {
            let row = sqlx::query(CONTENT).bind(name).fetch_one(&mut *transaction).await?;
            tables.push((name.clone(), row.try_get::<String, _>("content")?.into_bytes()));
        }
    }
    Ok(tables)
}
