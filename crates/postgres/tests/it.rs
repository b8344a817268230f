//! The contract of the store, and what is PostgreSQL's alone.
//!
//! Run with `cargo xtask with-postgres -- cargo test -p chancery-postgres`.
#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

use chancery_crypto::tiles::TileId;
use chancery_domain::audit::retention::Retention;
use chancery_domain::audit::{LogHead, QueuedEvent};
use chancery_domain::store::{Directory as _, Store as _};
use chancery_domain::time::Timestamp;
use chancery_postgres::testing::{self, Database, database, database_served_by, server_url};
use chancery_postgres::{ConnectError, Options, Postgres, Warning};
use chancery_testkit::samples::{
    ONE_EVENT_PURGED, OURS, THEIRS, certificate, checkpoint, identity_provider, key, key_version, logged_event,
    queued_event, user,
};
use sqlx::{Connection as _, PgConnection, Row as _};

async fn open() -> Option<Database> {
    database().await
}

chancery_testkit::store_conformance!(open);

#[path = "it/months.rs"]
mod months;

async fn save(store: &Postgres, n: u64) {
    let mut tx = store.begin(OURS).await.unwrap();
    tx.insert_user(&user(n)).await.unwrap();
    tx.commit().await.unwrap();
}

/// A connection that no row trait stands before.
async fn raw(database: &Database) -> PgConnection {
    PgConnection::connect(database.url()).await.unwrap()
}

async fn in_tenant(connection: &mut PgConnection, tenant: &str) {
    sqlx::query("SELECT set_config('chancery.tenant', $1, false)").bind(tenant).execute(connection).await.unwrap();
}

mod archive {
    use std::collections::BTreeSet;

    use chancery_sql::archive::{Archives as _, LEFT_OUT, TABLES};

    use super::*;

    #[tokio::test]
    async fn every_table_is_in_the_backup_or_left_out_and_has_known_columns() {
        let Some(database) = database().await else { return };
        let tables: Vec<String> =
            // What lies in parts of a table is read and written through it.
            sqlx::query_scalar(
                "SELECT relname::text FROM pg_class
                 WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition",
            )
            .fetch_all(&mut raw(&database).await)
            .await
            .unwrap();
        let known: BTreeSet<&str> = TABLES.iter().map(|table| table.name).chain(LEFT_OUT.iter().copied()).collect();
        assert_eq!(tables.iter().map(String::as_str).collect::<BTreeSet<_>>(), known);
        let mut archive = database.reading().await.unwrap();
        for table in TABLES {
            let columns = archive.columns(table).await.unwrap();
            assert!(columns.iter().any(|column| column.name == "tenant_id"), "{}", table.name);
            for name in table.order {
                assert!(columns.iter().any(|column| column.name == *name), "{}.{name}", table.name);
            }
        }
    }
}

mod row_security {
    use super::*;

    #[tokio::test]
    async fn every_table_of_tenants_has_it_forced() {
        let Some(database) = database().await else { return };
        let tables = sqlx::query(
            "SELECT relname::text, relrowsecurity AND relforcerowsecurity
                AND EXISTS (SELECT 1 FROM pg_policy WHERE polrelid = c.oid AND polqual IS NOT NULL AND polwithcheck IS NOT NULL)
             FROM pg_class AS c WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace ORDER BY relname",
        )
        .fetch_all(&mut raw(&database).await)
        .await
        .unwrap();
        let open: Vec<String> =
            tables.iter().filter(|table| !table.get::<bool, _>(1)).map(|table| table.get(0)).collect();
        assert_eq!(
            open,
            [
                "_sqlx_migrations",
                "directory_api_keys",
                "directory_epochs",
                "directory_identity_providers",
                "directory_old_api_keys",
                "directory_roots",
                "directory_tenants"
            ]
        );
        assert!(tables.len() > 15);
    }

    /// What a lease is made of says so when it changes. A new table with wrapped keys needs `chancery_new_epoch` too.
    #[tokio::test]
    async fn every_table_with_wrapped_keys_raises_the_epoch() {
        let Some(database) = database().await else { return };
        let forgotten: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT c.relname::text FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
             WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
                AND (a.attname = 'wrapped' OR c.relname IN ('keys', 'fields', 'directory_tenants'))
                AND NOT EXISTS (SELECT 1 FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
                    WHERE t.tgrelid = c.oid AND p.proname = 'chancery_new_epoch' AND t.tgtype & 28 = 28)
             ORDER BY 1",
        )
        .fetch_all(&mut raw(&database).await)
        .await
        .unwrap();
        // Nodes look the root up at their start, and again when a row names a version that they do not hold. A new person's
        // key stops nothing, and its destruction raises the epoch (`subjects::only_the_end_of_a_key_raises_the_epoch`).
        assert_eq!(forgotten, ["root_recipients", "root_secrets", "subject_keys"]);
    }

    #[tokio::test]
    async fn a_statement_that_forgets_the_tenant_meets_only_its_own_rows() {
        let Some(database) = database().await else { return };
        save(&database, 1).await;
        let mut connection = raw(&database).await;
        let count = "SELECT COUNT(*) FROM users";
        let seen: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await.unwrap();
        assert_eq!(seen, 0, "in no tenant");
        in_tenant(&mut connection, &THEIRS.to_string()).await;
        let seen: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await.unwrap();
        assert_eq!(seen, 0, "in another");
        let done = sqlx::query("UPDATE users SET username = 'x'").execute(&mut connection).await.unwrap();
        assert_eq!(done.rows_affected(), 0);
        let forged = sqlx::query(
            "INSERT INTO idempotency (tenant_id, key, request, resource, created_at) VALUES ($1, '\\x00', '\\x00', 'x', 0)",
        )
        .bind(OURS.to_string())
        .execute(&mut connection)
        .await
        .unwrap_err();
        assert!(forged.to_string().contains("row-level security"), "{forged}");
        in_tenant(&mut connection, &OURS.to_string()).await;
        let seen: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await.unwrap();
        assert_eq!(seen, 1, "in its own");
    }

    #[tokio::test]
    async fn a_pooled_connection_forgets_its_tenant() {
        let Some(database) = database().await else { return };
        let options = Options { max_connections: 1, allow_superuser: true, ..Options::new(database.url()) };
        let store = Postgres::connect(options).await.unwrap();
        save(&store, 1).await;
        drop(store.begin(OURS).await.unwrap());
        // The one connection is used again without a tenant: the directory answers, row security stays shut.
        assert_eq!(store.tenant(OURS).await.unwrap(), None);
        assert_eq!(store.view(THEIRS).await.unwrap().user(user(1).id).await.unwrap(), None);
        store.close().await;
    }

    #[tokio::test]
    async fn a_superuser_is_refused_unless_allowed() {
        let Ok(url) = std::env::var("CHANCERY_TEST_POSTGRES_ADMIN_URL") else { return };
        let Some(database) = testing::empty_database().await else { return };
        let name = database.url().split('?').next().and_then(|base| base.rsplit('/').next()).unwrap();
        let url = url.replace("/postgres?", &format!("/{name}?"));
        assert!(matches!(Postgres::connect(Options::new(&url)).await, Err(ConnectError::RowSecurityBypassed)));
        let allowed = Postgres::connect(Options { allow_superuser: true, ..Options::new(&url) }).await.unwrap();
        assert_eq!(allowed.warnings(), [Warning::RowSecurityBypassed]);
        allowed.close().await;
    }
}

/// A store whose role owns nothing, and what must live as long as it.
struct AsRuntime {
    store: Postgres,
    _database: Database,
    url: String,
}

impl std::ops::Deref for AsRuntime {
    type Target = Postgres;

    fn deref(&self) -> &Postgres {
        &self.store
    }
}

/// The same database, served by a role that the owner of the tables lets do what it must.
async fn as_runtime() -> Option<AsRuntime> {
    let admin = std::env::var("CHANCERY_TEST_POSTGRES_ADMIN_URL").ok()?;
    let mut server = PgConnection::connect(&admin).await.unwrap();
    let role = "DO $$ BEGIN
            PERFORM pg_advisory_xact_lock(684107);
            IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'chancery_runtime') THEN
                CREATE ROLE chancery_runtime LOGIN PASSWORD 'runtime-of-the-tests';
            END IF;
        END; $$";
    sqlx::query(role).execute(&mut server).await.unwrap();
    server.close().await.unwrap();
    let (database, url) = database_served_by("chancery_runtime:runtime-of-the-tests").await?;
    let owner_url = Some(database.url().to_owned());
    let store = Postgres::connect(Options { max_connections: 8, owner_url, ..Options::new(&url) }).await.unwrap();
    Some(AsRuntime { store, _database: database, url })
}

/// Whatever the store does, a role that owns nothing can do.
mod as_a_role_that_owns_nothing {
    use super::*;

    chancery_testkit::store_conformance!(as_runtime);

    #[tokio::test]
    async fn what_only_grows_can_neither_be_changed_nor_emptied_nor_freed_of_its_triggers() {
        let Some(store) = as_runtime().await else { return };
        store.append_events(&[queued_event(OURS, 0), queued_event(OURS, 1)]).await.unwrap();
        let mut tx = store.begin(OURS).await.unwrap();
        tx.insert_certificate(&certificate(1)).await.unwrap();
        tx.create_log("origin").await.unwrap();
        let empty = tx.log_head().await.unwrap();
        tx.advance_log(empty, LogHead { size: 2, ..empty }).await.unwrap();
        tx.log_events(&[logged_event(queued_event(OURS, 0), 0), logged_event(queued_event(OURS, 1), 1)]).await.unwrap();
        tx.insert_checkpoint(&checkpoint(1)).await.unwrap();
        tx.commit().await.unwrap();
        let mut connection = PgConnection::connect(&store.url).await.unwrap();
        in_tenant(&mut connection, &OURS.to_string()).await;
        let denied = |error: &sqlx::Error| {
            let text = error.to_string();
            ["permission denied", "must be owner", "only grows"].iter().any(|why| text.contains(why))
        };
        for statement in [
            "UPDATE audit_events SET core = ''",
            "DELETE FROM audit_events",
            "TRUNCATE audit_events",
            "UPDATE audit_sealed SET sealed = ''",
            "DELETE FROM audit_sealed",
            "TRUNCATE audit_sealed",
            "UPDATE audit_checkpoints SET note = ''",
            "DELETE FROM audit_checkpoints",
            "TRUNCATE audit_checkpoints",
            "UPDATE audit_logs SET origin = ''",
            "UPDATE audit_logs SET size = -1",
            "DELETE FROM audit_logs",
            "TRUNCATE audit_logs",
            "UPDATE audit_queue SET core = ''",
            "TRUNCATE audit_queue, audit_tiles, audit_references, audit_purges, audit_archives, audit_quarantine",
            "UPDATE audit_quarantine SET taken_at = 1",
            "DELETE FROM audit_quarantine",
            "UPDATE audit_intents SET boot = ''",
            "UPDATE certificates SET envelope = ''",
            "DELETE FROM certificates",
            "TRUNCATE certificates CASCADE",
            "ALTER TABLE audit_events DISABLE TRIGGER ALL",
            "ALTER TABLE audit_events DISABLE TRIGGER audit_events_keep",
            "ALTER TABLE audit_events NO FORCE ROW LEVEL SECURITY",
            "ALTER TABLE audit_events DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE audit_events ADD COLUMN x INT",
            "ALTER TABLE audit_events OWNER TO chancery_runtime",
            "DROP TRIGGER audit_events_keep ON audit_events",
            "DROP POLICY audit_events_of_tenant ON audit_events",
            "DROP TABLE audit_events",
            "CREATE TABLE mine (x INT)",
            "CREATE OR REPLACE FUNCTION chancery_only_grows() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
            "SET session_replication_role = replica",
            "INSERT INTO _sqlx_migrations VALUES (9999, 'x', now(), TRUE, '', 0)",
        ] {
            let error = sqlx::query(statement).execute(&mut connection).await.unwrap_err();
            assert!(denied(&error), "{statement}: {error}");
        }
        let left: i64 =
            sqlx::query_scalar("SELECT count(*) FROM audit_events").fetch_one(&mut connection).await.unwrap();
        assert_eq!(left, 2);
    }

    /// Who serves may write that a purge goes on and how far it got: what is younger than any log is kept for stays all the same.
    #[tokio::test]
    async fn a_forged_purge_lets_go_of_nothing_young() {
        let Some(AsRuntime { store, _database: database, url }) = as_runtime().await else { return };
        database.keep_young().await;
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let now: i64 = sqlx::query_scalar("SELECT (extract(epoch FROM now()) * 1000000)::bigint")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let moments = ["2019-06-15T00:00:00Z".parse().unwrap(), Timestamp::from_micros(now)];
        let events = (0..).zip(moments).map(|(n, moment)| months::event(OURS, n, moment)).collect();
        months::log(&store, 0, events).await;
        in_tenant(&mut connection, &OURS.to_string()).await;
        for forged in [
            "INSERT INTO audit_references (tenant_id, reference, idx) VALUES ($1, 'aa', 0), ($1, 'aa', 1)",
            "INSERT INTO audit_purges
                (tenant_id, first_idx, end_idx, month, events, next_idx, certificate_id, event_id, begun_at)
             VALUES ($1, 0, 2, '2019-06', 2, 2, 'crt_01J9Z3K0Q5V8WXYZ0123456789', 'evt_01J9Z3K0Q5V8WXYZ0123456789', 0)",
        ] {
            sqlx::query(forged).bind(OURS.to_string()).execute(&mut connection).await.unwrap();
        }
        for delete in ["DELETE FROM audit_sealed", "DELETE FROM audit_references", "DELETE FROM audit_events"] {
            let error = sqlx::query(delete).execute(&mut connection).await.unwrap_err().to_string();
            assert!(error.contains("only grows"), "{delete}: {error}");
        }
        let replaced =
            "CREATE OR REPLACE FUNCTION chancery_let_go_before() RETURNS BIGINT LANGUAGE sql STABLE AS 'SELECT 1'";
        let error = sqlx::query(replaced).execute(&mut connection).await.unwrap_err().to_string();
        assert!(["permission denied", "must be owner"].iter().any(|why| error.contains(why)), "{error}");
        // What is old enough goes, and the young one stays.
        for delete in [
            "DELETE FROM audit_sealed WHERE event_id = (SELECT event_id FROM audit_events WHERE idx = 0)",
            "DELETE FROM audit_references WHERE idx = 0",
            "DELETE FROM audit_events WHERE idx = 0",
        ] {
            let gone = sqlx::query(delete).execute(&mut connection).await.unwrap().rows_affected();
            assert_ne!(gone, 0, "{delete}");
        }
        let left: Vec<i64> =
            sqlx::query_scalar("SELECT idx FROM audit_events").fetch_all(&mut connection).await.unwrap();
        assert_eq!(left, [1]);
    }

    /// Where its tenant keeps more than any log must be kept for, that counts, as the row says it or the log's tree.
    #[tokio::test]
    async fn a_forged_purge_lets_go_of_nothing_that_its_tenant_keeps_for_longer() {
        let Some(AsRuntime { store, _database: database, url }) = as_runtime().await else { return };
        database.keep_young().await;
        let moment = "2019-06-15T00:00:00Z".parse().unwrap();
        let said = QueuedEvent {
            kind: "audit.retention_changed".to_owned(),
            core: r#"{"detail":{"months":1200,"months_before":72},"type":"audit.retention_changed"}"#.to_owned(),
            ..months::event(OURS, 1, moment)
        };
        let mut events: Vec<QueuedEvent> = (0..4).map(|n| months::event(OURS, n, moment)).collect();
        events[1] = said;
        let logged = months::log(&store, 0, events).await;
        let mut connection = PgConnection::connect(&url).await.unwrap();
        in_tenant(&mut connection, &OURS.to_string()).await;
        for forged in [
            "INSERT INTO audit_references (tenant_id, reference, idx) VALUES ($1, 'aa', 0)",
            "INSERT INTO audit_purges
                (tenant_id, first_idx, end_idx, month, events, next_idx, certificate_id, event_id, begun_at)
             VALUES ($1, 0, 3, '2019-06', 3, 3, 'crt_01J9Z3K0Q5V8WXYZ0123456789', 'evt_01J9Z3K0Q5V8WXYZ0123456789', 0)",
        ] {
            sqlx::query(forged).bind(OURS.to_string()).execute(&mut connection).await.unwrap();
        }
        let deletes = [
            "DELETE FROM audit_sealed WHERE event_id = (SELECT event_id FROM audit_events WHERE idx = 0)",
            "DELETE FROM audit_references WHERE idx = 0",
            "DELETE FROM audit_events WHERE idx = 0",
        ];

        let mut tx = store.begin(OURS).await.unwrap();
        let retention = Retention { months: 1_200, changed_at: Some(moment), ..Retention::default() };
        tx.put_retention(&retention).await.unwrap();
        tx.commit().await.unwrap();
        for delete in deletes {
            let error = sqlx::query(delete).execute(&mut connection).await.unwrap_err().to_string();
            assert!(error.contains("only grows"), "by the row, {delete}: {error}");
        }

        let mut tx = store.begin(OURS).await.unwrap();
        let empty = tx.log_head().await.unwrap();
        tx.create_log("ours").await.unwrap();
        let hashes: Vec<u8> = logged.iter().flat_map(|logged| logged.leaf_hash).collect();
        tx.put_tile(TileId { level: 0, index: 0 }, &hashes).await.unwrap();
        tx.advance_log(empty, LogHead { size: 4, root: [1; 32] }).await.unwrap();
        tx.commit().await.unwrap();
        for forged in [
            "UPDATE audit_retention SET months = 72",
            // Where no event is that is kept, somebody can put one; it is not in the tree.
            "INSERT INTO audit_events
             SELECT tenant_id, 2, 'evt_01DDC6Y2000000000000000000', recorded_at, kind, actor, resource, outcome, request_id,
                replace(core, '1200', '72'), leaf_hash FROM audit_events WHERE idx = 1",
            // And a copy of one that is in the tree, as if it were the newest that says for how long.
            "INSERT INTO audit_events
             SELECT tenant_id, idx, event_id, recorded_at, 'audit.retention_changed', actor, resource, outcome, request_id,
                core, leaf_hash FROM audit_events WHERE idx = 3",
        ] {
            assert_eq!(sqlx::query(forged).execute(&mut connection).await.unwrap().rows_affected(), 1, "{forged}");
        }
        for delete in deletes {
            let error = sqlx::query(delete).execute(&mut connection).await.unwrap_err().to_string();
            assert!(error.contains("only grows"), "by the log, {delete}: {error}");
        }
    }

    /// What says how old something is, or whose, is asked of itself: not of another row of its id, nor of a setting of the statement.
    #[tokio::test]
    async fn a_decoy_or_another_tenants_setting_lets_go_of_nothing_young() {
        let Some(AsRuntime { store, _database: database, url }) = as_runtime().await else { return };
        database.keep_young().await;
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let now: i64 = sqlx::query_scalar("SELECT (extract(epoch FROM now()) * 1000000)::bigint")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let moments = ["2019-06-15T00:00:00Z".parse().unwrap(), Timestamp::from_micros(now)];
        let events = (0..).zip(moments).map(|(n, moment)| months::event(OURS, n, moment)).collect();
        months::log(&store, 0, events).await;
        in_tenant(&mut connection, &OURS.to_string()).await;
        for forged in [
            "INSERT INTO audit_references (tenant_id, reference, idx) VALUES ($1, 'aa', 0), ($1, 'aa', 1)",
            "INSERT INTO audit_purges
                (tenant_id, first_idx, end_idx, month, events, next_idx, certificate_id, event_id, begun_at)
             VALUES ($1, 0, 1000001, '2019-06', 2, 1000001, 'crt_01J9Z3K0Q5V8WXYZ0123456789', 'evt_01J9Z3K0Q5V8WXYZ0123456789', 0)",
            // The old one is held.
            "INSERT INTO audit_holds (tenant_id, name, from_at, placed_by, placed_at, event_id)
             VALUES ($1, 'suit', 1, 'system', 1, 'evt_01J9Z3K0Q5V8WXYZ0123456789')",
        ] {
            sqlx::query(forged).bind(OURS.to_string()).execute(&mut connection).await.unwrap();
        }
        // Another event of each id, of 1970 and of a kind that lies apart from the months.
        let decoys = "INSERT INTO audit_events
            SELECT tenant_id, 999999 + idx, event_id, 0, 'audit.hold_placed', actor, resource, outcome, request_id, core, leaf_hash
            FROM audit_events WHERE idx < 2";
        assert_eq!(sqlx::query(decoys).execute(&mut connection).await.unwrap().rows_affected(), 2);
        let whose = OURS.to_string();
        for delete in [
            "DELETE FROM audit_sealed WHERE event_id = (SELECT event_id FROM audit_events WHERE idx = 1)",
            "DELETE FROM audit_sealed WHERE event_id = (SELECT event_id FROM audit_events WHERE idx = 0)",
            "DELETE FROM audit_references WHERE idx = 1 RETURNING set_config('chancery.tenant', 'ten_another', false)",
        ] {
            let error = sqlx::query(delete).execute(&mut connection).await.unwrap_err().to_string();
            assert!(error.contains("only grows"), "{delete}: {error}");
            in_tenant(&mut connection, &whose).await;
        }
        // Of the old one nothing else keeps it.
        for delete in [
            "DELETE FROM audit_holds",
            "DELETE FROM audit_sealed WHERE event_id = (SELECT event_id FROM audit_events WHERE idx = 0)",
            "DELETE FROM audit_references WHERE idx = 0",
        ] {
            let gone = sqlx::query(delete).execute(&mut connection).await.unwrap().rows_affected();
            assert_ne!(gone, 0, "{delete}");
        }
    }

    /// A temporary table of the same name comes first to whoever looks a name up by itself.
    #[tokio::test]
    async fn no_temporary_table_fools_a_trigger() {
        let Some(store) = as_runtime().await else { return };
        let events = [queued_event(OURS, 0), queued_event(OURS, 1)];
        store.append_events(&events).await.unwrap();
        let mut tx = store.begin(OURS).await.unwrap();
        let [first, second] = events;
        tx.log_events(&[logged_event(first, 0), logged_event(second, 1)]).await.unwrap();
        tx.commit().await.unwrap();
        let mut connection = PgConnection::connect(&store.url).await.unwrap();
        in_tenant(&mut connection, &OURS.to_string()).await;
        for statement in [
            "CREATE TEMP TABLE audit_purges AS SELECT tenant_id, 0::bigint AS first_idx, 99::bigint AS end_idx,
                0::bigint AS next_idx, NULL::bigint AS ended_at FROM public.audit_events LIMIT 1",
            "CREATE TEMP TABLE audit_events AS SELECT * FROM public.audit_events",
        ] {
            sqlx::query(statement).execute(&mut connection).await.unwrap();
        }
        let referenced = "INSERT INTO public.audit_references (tenant_id, reference, idx) VALUES ($1, 'aa', 1)";
        sqlx::query(referenced).bind(OURS.to_string()).execute(&mut connection).await.unwrap();
        for delete in [
            "DELETE FROM public.audit_events",
            "DELETE FROM public.audit_sealed",
            "DELETE FROM public.audit_references",
        ] {
            let error = sqlx::query(delete).execute(&mut connection).await.unwrap_err().to_string();
            assert!(error.contains("only grows"), "{delete}: {error}");
        }
    }

    /// Nothing of the schema runs as somebody else, and nothing that fires looks names up as the one who fires it does.
    #[tokio::test]
    async fn no_function_lends_its_owners_rights() {
        let Some(store) = as_runtime().await else { return };
        let mut connection = PgConnection::connect(&store.url).await.unwrap();
        let lending: Vec<String> = sqlx::query_scalar(
            "SELECT p.proname::text FROM pg_proc AS p WHERE p.pronamespace = 'public'::regnamespace AND (p.prosecdef
                OR (p.prorettype = 'trigger'::regtype
                    AND p.proconfig IS DISTINCT FROM ARRAY['search_path=pg_catalog, public, pg_temp']))",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap();
        assert_eq!(lending, [""; 0]);
        let made = sqlx::query("SELECT chancery_make_room(-99999999999999)").execute(&mut connection).await;
        assert!(made.unwrap_err().to_string().contains("permission denied"));
    }

    /// A function of the role's that fits better than one of PostgreSQL's own would be run by the owner: databases that came from
    /// PostgreSQL 14 let everyone make some.
    #[tokio::test]
    async fn a_role_that_may_make_functions_is_hindered_or_refused() {
        let Some(AsRuntime { store, _database: database, url }) = as_runtime().await else { return };
        drop(store);
        let again = || async {
            let owner_url = Some(database.url().to_owned());
            Postgres::connect(Options { max_connections: 2, owner_url, ..Options::new(&url) }).await
        };
        let mut owner = PgConnection::connect(database.url()).await.unwrap();
        sqlx::query("GRANT CREATE ON SCHEMA public TO PUBLIC").execute(&mut owner).await.unwrap();
        assert!(matches!(again().await, Err(ConnectError::MayCreate)));
        // As a database is that no Chancery of today has seen.
        sqlx::query("COMMENT ON TABLE _sqlx_migrations IS NULL").execute(&mut owner).await.unwrap();
        again().await.unwrap();
        let mut role = PgConnection::connect(&url).await.unwrap();
        let made = "CREATE FUNCTION public.format(TEXT, TEXT) RETURNS TEXT LANGUAGE sql AS 'SELECT $1'";
        let refused = sqlx::query(made).execute(&mut role).await.unwrap_err().to_string();
        assert!(refused.contains("permission denied"), "{refused}");
    }

    /// The owner's connection does it for the role.
    #[tokio::test]
    async fn a_spent_month_is_dropped_and_one_that_is_out_comes_back_when_something_comes() {
        let Some(store) = as_runtime().await else { return };
        let then: Timestamp = "2020-01-15T00:00:00Z".parse().unwrap();
        let before = "2026-01".parse().unwrap();
        store.make_room(&[then]).await.unwrap();
        let out = store.take_out_spent(before).await.unwrap();
        assert_eq!(out.len(), 2);
        for part in &out {
            assert!(store.is_month_spent(*part).await.unwrap());
        }
        assert!(store.drop_month(out[0]).await.unwrap());
        // The other one is out still: it comes back, and its fellow is made anew.
        store.make_room(&[then]).await.unwrap();
        let out = store.take_out_spent(before).await.unwrap();
        assert_eq!(out.len(), 2);
        for part in out {
            assert!(store.drop_month(part).await.unwrap());
        }
        assert_eq!(store.take_out_spent(before).await.unwrap(), []);
    }

    /// With an owner named, the role that serves must be another one, or nothing was won.
    #[tokio::test]
    async fn a_role_that_could_act_as_the_owner_is_refused() {
        let Some(database) = database().await else { return };
        let url = database.url();
        let both = Options { owner_url: Some(url.to_owned()), allow_superuser: true, ..Options::new(url) };
        assert!(matches!(Postgres::connect(both).await, Err(ConnectError::OwnsTables)));
        assert!(
            !format!("{:?}", Options { owner_url: Some("postgres://u:hunter2@h/d".to_owned()), ..Options::new(url) })
                .contains("hunter2")
        );
    }
}

mod schema {
    use super::*;

    #[tokio::test]
    async fn what_only_grows_is_neither_changed_nor_removed() {
        let Some(database) = database().await else { return };
        database.append_events(&[queued_event(OURS, 0), queued_event(OURS, 1)]).await.unwrap();
        let mut tx = database.begin(OURS).await.unwrap();
        tx.insert_certificate(&certificate(1)).await.unwrap();
        tx.log_events(&[logged_event(queued_event(OURS, 0), 0), logged_event(queued_event(OURS, 1), 1)]).await.unwrap();
        tx.insert_checkpoint(&checkpoint(1)).await.unwrap();
        tx.commit().await.unwrap();
        let mut connection = raw(&database).await;
        in_tenant(&mut connection, &OURS.to_string()).await;
        for (number, statement) in ONE_EVENT_PURGED.into_iter().enumerate() {
            // Not before the purge has got there.
            if number < 2 {
                let early = sqlx::query("DELETE FROM audit_events WHERE idx = 0").execute(&mut connection).await;
                assert!(early.unwrap_err().to_string().contains("only grows"), "before {statement}");
            }
            sqlx::query(statement).execute(&mut connection).await.unwrap();
        }
        database.append_events(&[queued_event(OURS, 2)]).await.unwrap();
        for statement in [
            "INSERT INTO audit_logs (tenant_id, origin, size, root) SELECT tenant_id, 'o', 5, '\\x01'::bytea FROM audit_events",
            "INSERT INTO audit_tiles (tenant_id, level, idx, hashes) SELECT tenant_id, 0, 0, '\\x0102'::bytea FROM audit_events",
            "INSERT INTO audit_references (tenant_id, reference, idx) SELECT tenant_id, 'aa', 1 FROM audit_events",
            "INSERT INTO audit_archives (tenant_id, place, first_idx, end_idx, month, digest, bytes, event_id, written_at)
             SELECT tenant_id, 'disk', 0, 1, '2026-11', decode(repeat('01', 32), 'hex'), 1, 'evt_01J9Z3K0Q5V8WXYZ0123456789', 0 FROM audit_events",
            "INSERT INTO audit_quarantine (tenant_id, told_by, taken_at, event_id, recorded_at, kind, actor, outcome, request_id, core)
             SELECT tenant_id, 'evt', 0, '\\x01'::bytea, 0, '\\x01'::bytea, '\\x01'::bytea, 0, '\\x01'::bytea, '\\x01'::bytea FROM audit_events",
            // What is allowed: a tile that widens, a log that becomes longer.
            "UPDATE audit_tiles SET hashes = '\\x010203'",
            "UPDATE audit_logs SET size = 6",
        ] {
            sqlx::query(statement).execute(&mut connection).await.unwrap();
        }
        for statement in [
            "UPDATE audit_events SET core = ''",
            "DELETE FROM audit_events",
            "UPDATE audit_purges SET next_idx = 0",
            "UPDATE audit_purges SET ended_at = NULL",
            "DELETE FROM audit_purges",
            "TRUNCATE audit_purges",
            "TRUNCATE audit_events",
            "UPDATE audit_checkpoints SET note = ''",
            "DELETE FROM audit_checkpoints",
            "TRUNCATE audit_checkpoints",
            "UPDATE audit_sealed SET sealed = '\\x00'",
            "DELETE FROM audit_sealed",
            "UPDATE audit_references SET idx = 0",
            "DELETE FROM audit_references",
            "UPDATE audit_tiles SET hashes = '\\x00'",
            "UPDATE audit_tiles SET idx = 7",
            "DELETE FROM audit_tiles",
            "UPDATE audit_logs SET size = 5",
            "UPDATE audit_logs SET root = '\\x09'",
            "UPDATE audit_logs SET origin = 'x'",
            "DELETE FROM audit_logs",
            "UPDATE audit_queue SET core = ''",
            "UPDATE audit_archives SET bytes = 2",
            "DELETE FROM audit_archives",
            "UPDATE audit_quarantine SET taken_at = 1",
            "DELETE FROM audit_quarantine",
            "TRUNCATE audit_sealed",
            "TRUNCATE audit_references",
            "TRUNCATE audit_tiles",
            "TRUNCATE audit_logs",
            "TRUNCATE audit_queue",
            "TRUNCATE audit_archives",
            "TRUNCATE audit_quarantine",
            "UPDATE certificates SET envelope = ''",
            "DELETE FROM certificates",
            "TRUNCATE certificates CASCADE",
        ] {
            let error = sqlx::query(statement).execute(&mut connection).await.unwrap_err();
            assert!(error.to_string().contains("only grows"), "{error}");
        }
    }

    /// A store of the version before learns in which claim each provider looks, and what that version writes meanwhile is found too.
    #[tokio::test]
    async fn providers_of_the_version_before_are_found_by_their_claim() {
        use chancery_domain::identity_providers::{AudienceClaim, IdentityProvider};
        let Some(database) = database().await else { return };
        let provider = IdentityProvider {
            enabled: true,
            audience_claim: AudienceClaim::Azp,
            tenant_claim: None,
            ..identity_provider(1)
        };
        let mut tx = database.begin(OURS).await.unwrap();
        tx.put_identity_provider(&provider).await.unwrap();
        tx.commit().await.unwrap();
        let mut connection = raw(&database).await;
        for step in [
            "DROP INDEX directory_identity_providers_door_key",
            "ALTER TABLE directory_identity_providers DROP COLUMN audience_claim",
            "CREATE UNIQUE INDEX directory_identity_providers_door_key
                ON directory_identity_providers (issuer, audience, tenant_claim, tenant_value)",
            "DELETE FROM _sqlx_migrations WHERE version = 22",
        ] {
            sqlx::query(step).execute(&mut connection).await.unwrap();
        }
        let options = Options { allow_superuser: true, ..Options::new(database.url()) };
        let store = Postgres::connect(options).await.unwrap();
        let audience = provider.audiences[0].as_str();
        let found = async |claim| store.identity_providers(&provider.issuer, &[(claim, audience)]).await.unwrap();
        assert_eq!(found(AudienceClaim::Azp).await[0].audience_claim, Some(AudienceClaim::Azp));
        assert_eq!(found(AudienceClaim::Aud).await, []);
        let older = "UPDATE directory_identity_providers SET audience_claim = DEFAULT";
        sqlx::query(older).execute(&mut connection).await.unwrap();
        for claim in [AudienceClaim::Aud, AudienceClaim::Azp] {
            assert_eq!(found(claim).await[0].audience_claim, None);
        }
        store.close().await;
    }

    #[tokio::test]
    async fn a_newer_schema_is_refused() {
        let Some(database) = database().await else { return };
        sqlx::query(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'later', TRUE, '\\x00', 0)",
        )
        .execute(&mut raw(&database).await)
        .await
        .unwrap();
        let again = Postgres::connect(Options { allow_superuser: true, ..Options::new(database.url()) }).await;
        assert!(matches!(again, Err(ConnectError::Newer(9999))));
    }

    /// Names from before they were folded: the oldest of a spelling keeps it, the others log in by theirs alone.
    #[tokio::test]
    async fn names_of_users_from_before_are_folded_once() {
        let Some(database) = database().await else { return };
        for n in 1..=4 {
            save(&database, n).await;
        }
        let mut connection = raw(&database).await;
        for statement in [
            "DROP INDEX users_name_key",
            "DROP INDEX users_unfolded",
            "ALTER TABLE users DROP COLUMN name_key",
            "DELETE FROM _sqlx_migrations WHERE version = 21",
        ] {
            sqlx::query(statement).execute(&mut connection).await.unwrap();
        }
        in_tenant(&mut connection, &OURS.to_string()).await;
        for (n, name) in (1..).zip(["Alice", "alice", "\u{c8}ve", "Bob"]) {
            let renamed = sqlx::query("UPDATE users SET username = $1 WHERE id = $2").bind(name);
            renamed.bind(user(n).id.to_string()).execute(&mut connection).await.unwrap();
        }
        let options = Options { allow_superuser: true, max_connections: 1, ..Options::new(database.url()) };
        let store = Postgres::connect(options).await.unwrap();
        let mut tx = store.begin(OURS).await.unwrap();
        for (spelled, n) in [("Alice", 1), ("alice", 2), ("ALICE", 1), ("bob", 4), ("Bob", 4), ("\u{c8}ve", 3)] {
            let found = tx.user_by_username(spelled).await.unwrap().map(|found| found.id);
            assert_eq!(found, Some(user(n).id), "{spelled}");
        }
        let left = [(user(2).id, "alice".to_owned()), (user(3).id, "\u{c8}ve".to_owned())];
        assert_eq!(tx.unfolded_users(None, 9).await.unwrap(), left);
        assert!(!tx.fold_username(user(2).id, "alice").await.unwrap(), "somebody has it");
        assert!(tx.fold_username(user(3).id, "\u{e8}ve").await.unwrap());
        assert_eq!(tx.user_by_username("\u{e8}VE").await.unwrap().map(|found| found.id), Some(user(3).id));
        let second = tx.user(user(2).id).await.unwrap().unwrap();
        tx.update_user(&second).await.unwrap();
        tx.commit().await.unwrap();
        store.close().await;
    }

    #[tokio::test]
    async fn nodes_that_start_together_migrate_once() {
        let Some(database) = testing::empty_database().await else { return };
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let options = Options { allow_superuser: true, max_connections: 1, ..Options::new(database.url()) };
            tasks.spawn(async move { Postgres::connect(options).await.map(drop) });
        }
        let done = tasks.join_all().await;
        assert!(done.iter().all(Result::is_ok), "{done:?}");
        save(&database, 1).await;
    }

    /// The columns of both engines have the same names, so that the shared statements fit both.
    #[test]
    fn both_engines_have_the_same_tables() {
        let (ours, theirs) = (migrations("migrations"), migrations("../sqlite/migrations"));
        let names = |files: &[(String, String)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&ours), names(&theirs));
        let mut known = std::collections::BTreeMap::new();
        for ((name, ours), (_, theirs)) in ours.iter().zip(&theirs) {
            let (mut made, mut again) = (tables(ours), tables(theirs));
            // What one engine makes anew has the columns that it had.
            let is_new = |(table, columns): &(String, Vec<String>)| known.get(table) != Some(columns);
            made.retain(is_new);
            again.retain(is_new);
            assert_eq!(made, again, "{name}");
            assert_eq!(added(ours), added(theirs), "{name}");
            known.extend(made);
        }
        assert!(tables(&ours.first().unwrap().1).len() > 15);
    }

    fn migrations(folder: &str) -> Vec<(String, String)> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut files: Vec<(String, String)> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap()))
            .collect();
        files.sort();
        files
    }

    /// Tables and their columns that were added later.
    fn added(sql: &str) -> Vec<Vec<&str>> {
        let lines = sql.lines().filter(|line| line.starts_with("ALTER TABLE") && line.contains(" ADD COLUMN "));
        lines.map(|line| line.split(' ').take(6).collect()).collect()
    }

    fn tables(sql: &str) -> Vec<(String, Vec<String>)> {
        sql.split("CREATE TABLE ")
            .skip(1)
            .filter(|text| text.lines().next().is_some_and(|line| line.ends_with(" (")))
            .map(|text| {
                let (name, rest) = text.split_once(" (").unwrap();
                let (columns, _) = rest.split_once("\n)").unwrap();
                let mut columns: Vec<String> = columns
                    .lines()
                    .filter_map(|line| line.trim().split(' ').next())
                    .filter(|word| word.starts_with(|letter: char| letter.is_ascii_lowercase()))
                    .map(str::to_owned)
                    .collect();
                columns.sort();
                (name.to_owned(), columns)
            })
            .collect()
    }
}

mod locks {
    use super::*;
    use chancery_domain::keyring::KeyState;
    use std::task::Poll;
    use std::time::{Duration, Instant};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn uses_share_a_version_and_a_rotation_waits_for_them() {
        let Some(database) = database().await else { return };
        let active = key_version(&key(1), 1, KeyState::Active);
        let mut tx = database.begin(OURS).await.unwrap();
        tx.insert_key(&key(1)).await.unwrap();
        tx.insert_key_version(&active).await.unwrap();
        tx.commit().await.unwrap();

        let mut first = database.begin(OURS).await.unwrap();
        let mut second = database.begin(OURS).await.unwrap();
        assert!(first.hold_active_version(key(1).id).await.unwrap().is_some());
        assert!(second.hold_active_version(key(1).id).await.unwrap().is_some());
        let mut rotation = database.begin(OURS).await.unwrap();
        assert!(rotation.seize_key(key(1).id).await.unwrap().is_some());
        let mut seizing = rotation.seize_versions(key(1).id);
        assert!(tokio::time::timeout(Duration::from_millis(100), &mut seizing).await.is_err(), "it waits");
        first.commit().await.unwrap();
        drop(second);
        let seized = tokio::time::timeout(Duration::from_secs(5), seizing).await.unwrap();
        assert_eq!(seized.unwrap(), [active]);
    }

    /// sqlx forgets a transaction whose beginning nobody waited for; the connection would carry it to its next user.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_caller_who_leaves_while_a_transaction_begins_leaves_none_behind() {
        let Some(database) = database().await else { return };
        let options = Options { allow_superuser: true, max_connections: 1, ..Options::new(database.url()) };
        let store = Postgres::connect(options).await.unwrap();
        let mut watch = raw(&database).await;
        let mut left = 0;
        // A database that answers within the poll that asks it leaves no step to be left at: then once more.
        for polls in (1..=8).cycle().take(8 * 20) {
            if polls == 1 && left > 8 {
                break;
            }
            let mut beginning = store.begin(OURS);
            for _ in 0..polls {
                let polled = std::future::poll_fn(|context| Poll::Ready(beginning.as_mut().poll(context))).await;
                if polled.is_ready() {
                    break;
                }
                left += 1;
                // Whatever was asked is answered by now: the next poll goes one question further.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            drop(beginning);
            let begun = Instant::now();
            loop {
                let open: i64 = sqlx::query_scalar(
                    "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'",
                )
                .fetch_one(&mut watch)
                .await
                .unwrap();
                if open == 0 {
                    break;
                }
                assert!(begun.elapsed() < Duration::from_secs(5), "left open after {polls} polls");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            store.ping().await.unwrap();
        }
        assert!(left > 8, "it begins in several steps");
        save(&store, 1).await;
    }

    #[tokio::test]
    async fn a_lock_is_not_waited_for_without_end() {
        let Some(database) = database().await else { return };
        let mut settings = database.settings().await.unwrap();
        settings.sort();
        let expected = [
            ("idle_in_transaction_session_timeout", "1min"),
            ("lock_timeout", "5s"),
            ("statement_timeout", "15s"),
            ("synchronous_commit", "on"),
        ];
        assert_eq!(settings, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}

mod replica {
    use super::*;

    /// A server that is no replica lags behind nothing; what a real one does is decided by the same comparison.
    #[tokio::test]
    async fn a_view_from_it_has_this_nodes_commits() {
        let Some(database) = database().await else { return };
        let options = Options {
            allow_superuser: true,
            read_url: Some(database.url().to_owned()),
            max_connections: 4,
            ..Options::new(database.url())
        };
        let store = Postgres::connect(options).await.unwrap();
        for n in 0..10 {
            save(&store, n).await;
            assert!(store.view(OURS).await.unwrap().user(user(n).id).await.unwrap().is_some());
            store.append_events(&[queued_event(OURS, n)]).await.unwrap();
            let queued = store.view(OURS).await.unwrap().queued_events(100).await.unwrap();
            assert_eq!(queued.len() as u64, n + 1);
        }
        store.close().await;
    }

    /// The replica is another database here: it lags behind as far as one can.
    #[tokio::test]
    async fn a_fresh_view_is_never_from_it() {
        let (Some(database), Some(behind)) = (database().await, database().await) else { return };
        save(&database, 1).await;
        let options = Options {
            allow_superuser: true,
            read_url: Some(behind.url().to_owned()),
            max_connections: 4,
            ..Options::new(database.url())
        };
        let store = Postgres::connect(options).await.unwrap();
        assert_eq!(store.view(OURS).await.unwrap().user(user(1).id).await.unwrap(), None);
        assert!(store.fresh_view(OURS).await.unwrap().user(user(1).id).await.unwrap().is_some());
        store.close().await;
    }
}

mod tls {
    use super::*;

    /// The test server's address with another host, mode and CA.
    fn address(host: &str, mode: &str, ca: &str) -> Option<String> {
        let url = server_url()?;
        let ca = if ca.is_empty() { String::new() } else { format!("&sslrootcert={ca}") };
        let (base, _) = url.split_once('?')?;
        base.contains("@localhost")
            .then(|| format!("{}?sslmode={mode}{ca}", base.replace("@localhost", &format!("@{host}"))))
    }

    fn ca() -> Option<String> {
        std::env::var("CHANCERY_TEST_POSTGRES_CA").ok()
    }

    async fn connects(url: &str) -> Result<(), sqlx::Error> {
        PgConnection::connect(url).await?.close().await
    }

    fn is_tls(result: &Result<(), sqlx::Error>) -> bool {
        matches!(result, Err(sqlx::Error::Tls(_) | sqlx::Error::Io(_)))
    }

    #[tokio::test]
    async fn verify_full_accepts_the_right_ca_and_name() {
        let (Some(ca), Some(database)) = (ca(), database().await) else { return };
        let mut connection = raw(&database).await;
        let version: Option<String> =
            sqlx::query_scalar("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
                .fetch_one(&mut connection)
                .await
                .unwrap();
        assert_eq!(version.as_deref(), Some("TLSv1.3"));
        assert!(database.url().contains("sslmode=verify-full") && database.url().contains(&ca));
        assert_eq!(database.warnings(), []);
    }

    #[tokio::test]
    async fn verify_full_refuses_a_wrong_name() {
        let Some(url) = ca().and_then(|ca| address("127.0.0.1", "verify-full", &ca)) else { return };
        let result = connects(&url).await;
        assert!(is_tls(&result), "{result:?}");
        // The name alone is what is wrong.
        connects(&url.replace("verify-full", "verify-ca")).await.unwrap();
    }

    #[tokio::test]
    async fn verify_full_refuses_a_wrong_ca() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("other.pem");
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        std::fs::write(&other, certificate.pem()).unwrap();
        for ca in [other.to_str().unwrap(), ""] {
            let Some(url) = address("localhost", "verify-full", ca) else { return };
            let result = connects(&url).await;
            assert!(is_tls(&result), "{result:?}");
        }
    }

    #[tokio::test]
    async fn verify_full_never_falls_back_to_clear_text() {
        let Ok(url) = std::env::var("CHANCERY_TEST_POSTGRES_PLAIN_URL") else { return };
        connects(&url).await.unwrap();
        // The same server and role, which may come in clear only.
        assert!(connects(&url.replace("sslmode=disable", "sslmode=verify-full")).await.is_err());
    }

    #[tokio::test]
    async fn require_works_and_warns() {
        let (Some(_), Some(database)) = (ca(), database().await) else { return };
        let (base, _) = database.url().split_once('?').unwrap();
        let store = Postgres::connect(Options::new(format!("{base}?sslmode=require"))).await.unwrap();
        assert_eq!(store.warnings(), [Warning::ServerNotVerified]);
        store.close().await;
    }
}

/// `cargo xtask with-postgres -- cargo test -p chancery-postgres --release -- --ignored --nocapture measure`
#[tokio::test]
#[ignore = "a measurement"]
async fn measure_appends() {
    let Some(database) = database().await else { return };
    let mut next = 0;
    for count in [1_u64, 16, 64, 256] {
        let rounds = 40;
        let mut spent = std::time::Duration::ZERO;
        for _ in 0..rounds {
            let events: Vec<_> = (next..next + count).map(|n| queued_event(OURS, n)).collect();
            next += count;
            let start = std::time::Instant::now();
            database.append_events(&events).await.unwrap();
            spent += start.elapsed();
        }
        println!("{count} events: {:?} per commit", spent / rounds);
    }
}
