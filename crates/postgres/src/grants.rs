//! What the role may do that runs, where another one owns the tables: no more than it does.
//!
//! An owner can drop a trigger, empty a table and alter it. A role that owns nothing can do none of that: what only grows, it only adds
//! to, and what goes with a purge it deletes only where the triggers let it.

use chancery_crypto::sha256;
use data_encoding::HEXLOWER;
use sqlx::PgConnection;

use crate::error::ConnectError;

/// Gives the role of `chancery.role` what it needs, and takes what it does not.
const GIVE: &str = r#"DO $$
DECLARE
    role TEXT := current_setting('chancery.role');
    name TEXT;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', role);
    -- Databases that came from PostgreSQL 14 let everyone make things there: a function that looks like one of PostgreSQL's own, and
    -- fits better, would be run by the owner.
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    EXECUTE format('REVOKE CREATE ON SCHEMA public FROM %I', role);
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', role);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO %I', role);
    EXECUTE format('GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO %I', role);
    EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON _sqlx_migrations FROM %I', role);
    -- Who can make a temporary table can put it before another's eyes.
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    -- Months of the log are reached through the whole table alone; what stays is also read by itself, behind walls of its own.
    FOR name IN SELECT c.oid::regclass::text FROM pg_class AS c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relispartition AND c.relkind IN ('r', 'p')
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %I', name, role);
    END LOOP;
    EXECUTE format('GRANT SELECT ON audit_events_kept TO %I', role);
    -- Only added to.
    FOREACH name IN ARRAY ARRAY['audit_checkpoints', 'audit_archives', 'audit_quarantine', 'certificates'] LOOP
        EXECUTE format('REVOKE UPDATE, DELETE ON %I FROM %I', name, role);
    END LOOP;
    -- Added to, and taken from by a purge; the queue by the log; an intent by its outcome.
    FOREACH name IN ARRAY ARRAY['audit_events', 'audit_sealed', 'audit_references', 'audit_queue', 'audit_intents'] LOOP
        EXECUTE format('REVOKE UPDATE ON %I FROM %I', name, role);
    END LOOP;
    -- Of these a few columns move, and forward alone.
    FOREACH name IN ARRAY ARRAY['audit_tiles', 'audit_logs', 'audit_purges'] LOOP
        EXECUTE format('REVOKE UPDATE, DELETE ON %I FROM %I', name, role);
    END LOOP;
    EXECUTE format('GRANT UPDATE (hashes) ON audit_tiles TO %I', role);
    EXECUTE format('GRANT UPDATE (size, root) ON audit_logs TO %I', role);
    EXECUTE format('GRANT UPDATE (next_idx, ended_at) ON audit_purges TO %I', role);
    EXECUTE format('COMMENT ON TABLE _sqlx_migrations IS %L', current_setting('chancery.given'));
END;
$$"#;

/// What was last given, and by which text; the role cannot change it.
const GIVEN: &str = "SELECT obj_description('public._sqlx_migrations'::regclass)";

/// PostgreSQL's code for a lock that was waited for too long.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Gives `role` what it needs, if nobody has since the last migration: hundreds of tables change in the catalogue. Of several nodes one
/// does it and the others wait: two at once would change the same rows.
pub(crate) async fn give(owner: &mut PgConnection, role: &str) -> Result<(), ConnectError> {
    let version: i64 = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(&mut *owner).await?;
    let digest = HEXLOWER.encode(&sha256(GIVE.as_bytes()));
    let wanted = format!("{role} may serve since {version}, by {digest}");
    // Whoever serves may take this lock too, and hold it.
    sqlx::query("SELECT set_config('lock_timeout', '30s', false)").execute(&mut *owner).await?;
    sqlx::query("SELECT pg_advisory_lock(684106)").execute(&mut *owner).await.map_err(|error| {
        match error.as_database_error() {
            Some(refusal) if refusal.code().as_deref() == Some(LOCK_NOT_AVAILABLE) => ConnectError::Locked,
            _ => ConnectError::Database(error),
        }
    })?;
    let given = give_once(&mut *owner, role, &wanted).await;
    sqlx::query("SELECT pg_advisory_unlock(684106)").execute(&mut *owner).await?;
    Ok(given?)
}

async fn give_once(owner: &mut PgConnection, role: &str, wanted: &str) -> Result<(), sqlx::Error> {
    let given: Option<String> = sqlx::query_scalar(GIVEN).fetch_one(&mut *owner).await?;
    if given.as_deref() == Some(wanted) {
        return Ok(());
    }
    let settings = "SELECT set_config('chancery.role', $1, false), set_config('chancery.given', $2, false)";
    sqlx::query(settings).bind(role).bind(wanted).execute(&mut *owner).await?;
    sqlx::query(GIVE).execute(&mut *owner).await?;
    Ok(())
}
