//! Everything in a PostgreSQL database, read as its owner would back it up.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use chancery_domain::TenantId;
use sqlx::{PgPool, Row as _};

/// Every table that is not PostgreSQL's own; what lies in parts of one is read through it.
const TABLES: &str = "SELECT c.oid::regclass::text AS name, c.relrowsecurity AS guarded FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg_toast%' \
     ORDER BY 1";
/// A table as text; bytes as hex, for base64 would be broken into lines.
const CONTENT: &str = "SELECT table_to_xml($1::regclass, true, true, '')::text AS content";

/// The content of every table. Row security hides other tenants' rows, so each tenant is entered in turn.
pub(super) async fn every_table(
    pool: &PgPool,
    tenants: impl Iterator<Item = TenantId>,
) -> Result<Vec<(String, Vec<u8>)>> {
    let rows = sqlx::query(TABLES).fetch_all(pool).await?;
    let names = rows
        .iter()
        .map(|row| Ok((row.try_get("name")?, row.try_get("guarded")?)))
        .collect::<Result<Vec<(String, bool)>, sqlx::Error>>()?;
    let tenants: BTreeSet<TenantId> = tenants.chain([TenantId::PLATFORM]).collect();
    let mut tables = Vec::new();
    for tenant in tenants {
        let mut transaction = pool.begin().await?;
        sqlx::query("SELECT set_config('chancery.tenant', $1, true), set_config('xmlbinary', 'hex', true)")
            .bind(tenant.to_string())
            .execute(&mut *transaction)
            .await?;
        let mut seen = 0;
        for (name, guarded) in &names {
            let row = sqlx::query(CONTENT).bind(name).fetch_one(&mut *transaction).await?;
            let content = row.try_get::<String, _>("content")?.into_bytes();
            seen += if *guarded { content.len() } else { 0 };
            tables.push((name.clone(), content));
        }
        // Each tenant has keys and a log; seeing less means that row security hid them from the search.
        ensure!(seen > 4096, "the tables of {tenant} could not be read, so the search proves nothing");
    }
    Ok(tables)
}
