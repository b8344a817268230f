//! The contract of the store, and what is SQLite's alone.
#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

use std::os::unix::fs::PermissionsExt as _;

use chancery_domain::store::{Directory as _, Store as _};
use chancery_sqlite::{OpenError, Sqlite};
use chancery_testkit::samples::{
    ONE_EVENT_PURGED, OURS, THEIRS, certificate, checkpoint, identity_provider, logged_event, queued_event,
    subject_key, user,
};
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

async fn open() -> Option<Box<Sqlite>> {
    Some(Box::new(Sqlite::in_memory().await.unwrap()))
}

chancery_testkit::store_conformance!(open);

async fn on_disk() -> (tempfile::TempDir, std::path::PathBuf, Sqlite) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chancery.db");
    let store = Sqlite::open(&path).await.unwrap();
    (folder, path, store)
}

async fn raw(path: &std::path::Path) -> SqliteConnection {
    SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path)).await.unwrap()
}

async fn save(store: &Sqlite, n: u64) {
    let mut tx = store.begin(OURS).await.unwrap();
    tx.insert_user(&user(n)).await.unwrap();
    tx.commit().await.unwrap();
}

mod archive {
    use std::collections::BTreeSet;

    use chancery_sql::archive::{LEFT_OUT, TABLES};

    use super::*;

    /// A table that a migration adds is in the backup, or somebody decided that it is not.
    #[tokio::test]
    async fn every_table_is_in_the_backup_or_left_out() {
        let (_folder, path, _store) = on_disk().await;
        let tables: Vec<String> =
            sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
                .fetch_all(&mut raw(&path).await)
                .await
                .unwrap();
        let known: BTreeSet<&str> = TABLES.iter().map(|table| table.name).chain(LEFT_OUT.iter().copied()).collect();
        assert_eq!(tables.iter().map(String::as_str).collect::<BTreeSet<_>>(), known);
    }
}

mod file {
    use super::*;

    #[tokio::test]
    async fn it_and_its_companions_are_the_owners_alone() {
        let (_folder, path, store) = on_disk().await;
        save(&store, 1).await;
        for suffix in ["", "-wal", "-shm"] {
            let file = format!("{}{suffix}", path.display());
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
        }
    }

    #[tokio::test]
    async fn an_open_mode_is_narrowed() {
        let (_folder, path, store) = on_disk().await;
        store.close().await;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        Sqlite::open(&path).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn what_was_committed_is_there_after_opening_again() {
        let (_folder, path, store) = on_disk().await;
        save(&store, 1).await;
        store.close().await;
        let again = Sqlite::open(&path).await.unwrap();
        assert_eq!(again.view(OURS).await.unwrap().user(user(1).id).await.unwrap(), Some(user(1)));
    }

    #[tokio::test]
    async fn a_copy_without_closing_has_every_commit() {
        let (_folder, path, store) = on_disk().await;
        for n in 0..20 {
            save(&store, n).await;
        }
        // As after a crash: the files as they are, the store still open.
        let other = tempfile::tempdir().unwrap();
        let copy = other.path().join("chancery.db");
        for suffix in ["", "-wal"] {
            std::fs::copy(format!("{}{suffix}", path.display()), format!("{}{suffix}", copy.display())).unwrap();
        }
        let again = Sqlite::open(&copy).await.unwrap();
        let mut view = again.view(OURS).await.unwrap();
        for n in 0..20 {
            assert!(view.user(user(n).id).await.unwrap().is_some());
        }
    }

    #[tokio::test]
    async fn the_settings_that_keep_data_safe_are_on() {
        let (_folder, _, store) = on_disk().await;
        let settings = store.settings().await.unwrap();
        assert_eq!(
            settings,
            [
                ("journal_mode".to_owned(), "wal".to_owned()),
                ("synchronous".to_owned(), "2".to_owned()),
                ("foreign_keys".to_owned(), "1".to_owned()),
                ("secure_delete".to_owned(), "1".to_owned()),
                ("temp_store".to_owned(), "2".to_owned()),
                ("recursive_triggers".to_owned(), "1".to_owned()),
            ]
        );
    }

    /// Names from before they were folded: the oldest of a spelling keeps it, the others log in by theirs alone.
    #[tokio::test]
    async fn names_of_users_from_before_are_folded_once() {
        let (_folder, path, store) = on_disk().await;
        for n in 1..=4 {
            save(&store, n).await;
        }
        store.close().await;
        let mut connection = raw(&path).await;
        for statement in [
            "DROP INDEX users_name_key",
            "DROP INDEX users_unfolded",
            "ALTER TABLE users DROP COLUMN name_key",
            "DELETE FROM _sqlx_migrations WHERE version = 21",
        ] {
            sqlx::query(statement).execute(&mut connection).await.unwrap();
        }
        let names = ["Alice", "alice", "\u{c8}ve", "Bob"];
        for (n, name) in (1..).zip(names) {
            let renamed = sqlx::query("UPDATE users SET username = $1 WHERE id = $2").bind(name);
            renamed.bind(user(n).id.to_string()).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();

        let store = Sqlite::open(&path).await.unwrap();
        let mut tx = store.begin(OURS).await.unwrap();
        for (spelled, n) in [("Alice", 1), ("alice", 2), ("ALICE", 1), ("bob", 4), ("Bob", 4), ("\u{c8}ve", 3)] {
            let found = tx.user_by_username(spelled).await.unwrap().map(|found| found.id);
            assert_eq!(found, Some(user(n).id), "{spelled}");
        }
        assert_eq!(tx.user_by_username("\u{e8}ve").await.unwrap(), None, "not yet");
        let left = [(user(2).id, "alice".to_owned()), (user(3).id, "\u{c8}ve".to_owned())];
        assert_eq!(tx.unfolded_users(None, 9).await.unwrap(), left);
        let after = [(user(3).id, "\u{c8}ve".to_owned())];
        assert_eq!(tx.unfolded_users(Some(user(2).id), 1).await.unwrap(), after);
        assert!(!tx.fold_username(user(2).id, "alice").await.unwrap(), "somebody has it");
        assert!(tx.fold_username(user(3).id, "\u{e8}ve").await.unwrap());
        assert_eq!(tx.user_by_username("\u{e8}VE").await.unwrap().map(|found| found.id), Some(user(3).id));
        // Whoever has none is changed like everybody else.
        let second = tx.user(user(2).id).await.unwrap().unwrap();
        tx.update_user(&second).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// A store of the version before learns in which claim each provider looks, and what that version writes meanwhile is found too.
    #[tokio::test]
    async fn providers_of_the_version_before_are_found_by_their_claim() {
        use chancery_domain::identity_providers::{AudienceClaim, IdentityProvider};
        let (_folder, path, store) = on_disk().await;
        let provider = IdentityProvider {
            enabled: true,
            audience_claim: AudienceClaim::Azp,
            tenant_claim: None,
            ..identity_provider(1)
        };
        let mut tx = store.begin(OURS).await.unwrap();
        tx.put_identity_provider(&provider).await.unwrap();
        tx.commit().await.unwrap();
        store.close().await;
        let mut connection = raw(&path).await;
        for step in [
            "DROP INDEX directory_identity_providers_door_key",
            "ALTER TABLE directory_identity_providers DROP COLUMN audience_claim",
            "CREATE UNIQUE INDEX directory_identity_providers_door_key
                ON directory_identity_providers (issuer, audience, tenant_claim, tenant_value)",
            "DELETE FROM _sqlx_migrations WHERE version = 22",
        ] {
            sqlx::query(step).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
        let store = Sqlite::open(&path).await.unwrap();
        let audience = provider.audiences[0].as_str();
        let found = async |claim| store.identity_providers(&provider.issuer, &[(claim, audience)]).await.unwrap();
        assert_eq!(found(AudienceClaim::Azp).await[0].audience_claim, Some(AudienceClaim::Azp));
        assert_eq!(found(AudienceClaim::Aud).await, []);
        let older = "UPDATE directory_identity_providers SET audience_claim = ''";
        sqlx::query(older).execute(&mut raw(&path).await).await.unwrap();
        for claim in [AudienceClaim::Aud, AudienceClaim::Azp] {
            assert_eq!(found(claim).await[0].audience_claim, None);
        }
        store.close().await;
    }

    #[tokio::test]
    async fn a_newer_schema_is_refused() {
        let (_folder, path, store) = on_disk().await;
        store.close().await;
        let mut connection = raw(&path).await;
        sqlx::query(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'later', TRUE, x'00', 0)",
        )
        .execute(&mut connection)
        .await
        .unwrap();
        connection.close().await.unwrap();
        assert!(matches!(Sqlite::open(&path).await, Err(OpenError::Newer(9999))));
    }

    /// Whoever has the files afterwards has not the key: neither in the file nor in its write-ahead log.
    #[tokio::test]
    async fn the_bytes_of_a_destroyed_key_are_in_no_file() {
        let (_folder, path, store) = on_disk().await;
        let mut key = subject_key(1);
        key.wrapped = Some((0..124).map(|byte: u8| byte.wrapping_mul(151).wrapping_add(43)).collect());
        let (wrapped, kept) = (key.wrapped.clone().unwrap(), subject_key(2));
        let held_by = |needle: &[u8]| -> Vec<&str> {
            let holds = |suffix: &&str| {
                let bytes = std::fs::read(format!("{}{suffix}", path.display())).unwrap_or_default();
                bytes.windows(needle.len()).any(|window| window == needle)
            };
            ["", "-wal"].into_iter().filter(holds).collect()
        };
        let mut tx = store.begin(OURS).await.unwrap();
        tx.insert_subject_key(&key).await.unwrap();
        tx.insert_subject_key(&kept).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(held_by(&wrapped), ["-wal"], "the search finds it while it is there");
        // Into the file, and into the log once more.
        store.scrub().await.unwrap();
        assert_eq!(held_by(&wrapped), [""]);
        for n in 3..40 {
            let mut tx = store.begin(OURS).await.unwrap();
            tx.insert_subject_key(&subject_key(n)).await.unwrap();
            tx.commit().await.unwrap();
        }
        assert!(held_by(&wrapped).contains(&"-wal"), "other changes of its page copy it");
        let mut tx = store.begin(OURS).await.unwrap();
        tx.destroy_subject_key(key.id, key.created_at).await.unwrap();
        tx.commit().await.unwrap();
        store.scrub().await.unwrap();
        assert_eq!(held_by(&wrapped), [""; 0]);
        assert_eq!(held_by(kept.wrapped.as_ref().unwrap()), [""], "and nothing else is gone");
    }

    /// The few events of a key are found among all the others by their index.
    #[tokio::test]
    async fn the_events_of_a_resource_are_found_by_its_index() {
        let (_folder, path, _store) = on_disk().await;
        let plan = format!("EXPLAIN QUERY PLAN {}", chancery_sql::EVENTS_ON.sqlite());
        let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(sqlx::AssertSqlSafe(plan))
            .bind("ten")
            .bind("key")
            .bind("[]")
            .fetch_all(&mut raw(&path).await)
            .await
            .unwrap();
        let found = steps.iter().any(|(.., step)| step.contains("audit_events_resource (tenant_id=? AND resource=?)"));
        assert!(found, "{steps:?}");
    }

    /// An accounting asks for them: what comes after them in the log is not read for it.
    #[tokio::test]
    async fn outcomes_are_found_by_their_time() {
        let (_folder, path, _store) = on_disk().await;
        let plan = format!("EXPLAIN QUERY PLAN {}", chancery_sql::OUTCOMES.sqlite());
        let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(sqlx::AssertSqlSafe(plan))
            .bind("ten")
            .bind(0)
            .bind(1)
            .bind("[]")
            .fetch_all(&mut raw(&path).await)
            .await
            .unwrap();
        let by = "audit_events_recorded_at (tenant_id=? AND recorded_at>? AND recorded_at<?)";
        assert!(steps.iter().any(|(.., step)| step.contains(by)), "{steps:?}");
    }

    /// It is counted for each message that comes, and what was delivered stays for a month.
    #[tokio::test]
    async fn what_waits_to_be_delivered_is_counted_by_its_index() {
        let (_folder, path, _store) = on_disk().await;
        let plan = format!("EXPLAIN QUERY PLAN {}", chancery_sql::WAITING_DELIVERIES);
        let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(sqlx::AssertSqlSafe(plan))
            .bind("ten")
            .bind("in")
            .fetch_all(&mut raw(&path).await)
            .await
            .unwrap();
        let found =
            steps.iter().any(|(.., step)| step.contains("COVERING INDEX webhook_deliveries_waiting (tenant_id=?)"));
        assert!(found, "{steps:?}");
    }

    /// It is looked for every minute, and what was delivered stays for a month.
    #[tokio::test]
    async fn what_was_delivered_long_ago_is_found_by_its_index() {
        let (_folder, path, _store) = on_disk().await;
        let plan = format!("EXPLAIN QUERY PLAN {}", chancery_sql::FORGET_DELIVERED);
        let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(sqlx::AssertSqlSafe(plan))
            .bind("ten")
            .bind(0)
            .fetch_all(&mut raw(&path).await)
            .await
            .unwrap();
        let by = "webhook_deliveries_over (tenant_id=? AND state=? AND changed_at<?)";
        assert!(steps.iter().any(|(.., step)| step.contains(by)), "{steps:?}");
    }

    /// What a lease is made of says so when it changes. A new table with wrapped keys needs the three triggers too.
    #[tokio::test]
    async fn every_table_with_wrapped_keys_raises_the_epoch() {
        let (_folder, path, _store) = on_disk().await;
        let forgotten: Vec<String> = sqlx::query_scalar(
            "SELECT t.name FROM sqlite_master AS t
             WHERE t.type = 'table'
                AND (t.name IN ('keys', 'fields', 'directory_tenants')
                    OR EXISTS (SELECT 1 FROM pragma_table_info(t.name) WHERE name = 'wrapped'))
                AND (SELECT COUNT(*) FROM sqlite_master AS r WHERE r.type = 'trigger' AND r.tbl_name = t.name
                    AND r.sql LIKE '%INTO directory_epochs%') < 3
             ORDER BY 1",
        )
        .fetch_all(&mut raw(&path).await)
        .await
        .unwrap();
        // Nodes look the root up at their start, and again when a row names a version that they do not hold. A new person's
        // key stops nothing, and its destruction raises the epoch (`subjects::only_the_end_of_a_key_raises_the_epoch`).
        assert_eq!(forgotten, ["root_recipients", "root_secrets", "subject_keys"]);
    }

    #[tokio::test]
    async fn what_only_grows_is_neither_changed_nor_removed() {
        let (_folder, path, store) = on_disk().await;
        store.append_events(&[queued_event(OURS, 0), queued_event(OURS, 1)]).await.unwrap();
        let mut tx = store.begin(OURS).await.unwrap();
        tx.insert_certificate(&certificate(1)).await.unwrap();
        tx.log_events(&[logged_event(queued_event(OURS, 0), 0), logged_event(queued_event(OURS, 1), 1)]).await.unwrap();
        tx.insert_checkpoint(&checkpoint(1)).await.unwrap();
        tx.commit().await.unwrap();
        let mut connection = raw(&path).await;
        for (number, statement) in ONE_EVENT_PURGED.into_iter().enumerate() {
            // Not before the purge has got there.
            if number < 2 {
                let early = sqlx::query("DELETE FROM audit_events WHERE idx = 0").execute(&mut connection).await;
                assert!(early.unwrap_err().to_string().contains("only grows"), "before {statement}");
            }
            sqlx::query(statement).execute(&mut connection).await.unwrap();
        }
        store.append_events(&[queued_event(OURS, 2)]).await.unwrap();
        for statement in [
            "INSERT INTO audit_logs (tenant_id, origin, size, root) SELECT tenant_id, 'o', 5, x'01' FROM audit_events",
            "INSERT INTO audit_tiles (tenant_id, level, idx, hashes) SELECT tenant_id, 0, 0, x'0102' FROM audit_events",
            "INSERT INTO audit_references (tenant_id, reference, idx) SELECT tenant_id, 'aa', 1 FROM audit_events",
            "INSERT INTO audit_archives (tenant_id, place, first_idx, end_idx, month, digest, bytes, event_id, written_at)
             SELECT tenant_id, 'disk', 0, 1, '2026-11', zeroblob(32), 1, 'evt_01J9Z3K0Q5V8WXYZ0123456789', 0 FROM audit_events",
            "INSERT INTO audit_quarantine (tenant_id, told_by, taken_at, event_id, recorded_at, kind, actor, outcome, request_id, core)
             SELECT tenant_id, 'evt', 0, x'01', 0, x'01', x'01', 0, x'01', x'01' FROM audit_events",
            // What is allowed: a tile that widens, a log that becomes longer.
            "UPDATE audit_tiles SET hashes = x'010203'",
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
            "UPDATE audit_checkpoints SET note = ''",
            "DELETE FROM audit_checkpoints",
            "UPDATE audit_sealed SET sealed = x'00'",
            "DELETE FROM audit_sealed",
            "UPDATE audit_references SET idx = 0",
            "DELETE FROM audit_references",
            "UPDATE audit_tiles SET hashes = x'00'",
            "UPDATE audit_tiles SET idx = 7",
            "DELETE FROM audit_tiles",
            "UPDATE audit_logs SET size = 5",
            "UPDATE audit_logs SET root = x'09'",
            "UPDATE audit_logs SET origin = 'x'",
            "DELETE FROM audit_logs",
            "UPDATE audit_queue SET core = ''",
            "UPDATE audit_archives SET bytes = 2",
            "DELETE FROM audit_archives",
            "UPDATE audit_quarantine SET taken_at = 1",
            "DELETE FROM audit_quarantine",
            "UPDATE certificates SET envelope = x''",
            "DELETE FROM certificates",
        ] {
            let error = sqlx::query(statement).execute(&mut connection).await.unwrap_err();
            assert!(error.to_string().contains("only grows"), "{error}");
        }
    }

    #[tokio::test]
    async fn two_processes_share_it() {
        let (_folder, path, store) = on_disk().await;
        let other = Sqlite::open(&path).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for (n, store) in (0..20).zip([&store, &other].into_iter().cycle()) {
            let store = store.clone();
            tasks.spawn(async move { save(&store, n).await });
        }
        tasks.join_all().await;
        let mut view = other.view(OURS).await.unwrap();
        for n in 0..20 {
            assert!(view.user(user(n).id).await.unwrap().is_some());
        }
    }

    #[tokio::test]
    async fn a_damaged_value_is_told_by_its_noun() {
        let (_folder, path, store) = on_disk().await;
        save(&store, 1).await;
        let mut connection = raw(&path).await;
        sqlx::query("UPDATE users SET state = 'strange'").execute(&mut connection).await.unwrap();
        let error = store.view(OURS).await.unwrap().user(user(1).id).await.unwrap_err();
        assert_eq!(error.to_string(), "a stored `user` is damaged");
    }

    #[tokio::test]
    async fn one_in_memory_is_not_another() {
        let (first, second) = (Sqlite::in_memory().await.unwrap(), Sqlite::in_memory().await.unwrap());
        save(&first, 1).await;
        assert_eq!(second.view(OURS).await.unwrap().user(user(1).id).await.unwrap(), None);
        assert_eq!(second.tenant(THEIRS).await.unwrap(), None);
    }
}

/// `cargo test -p chancery-sqlite --release -- --ignored --nocapture measure`
#[tokio::test]
#[ignore = "a measurement"]
async fn measure_appends() {
    let (_folder, _, store) = on_disk().await;
    let mut next = 0;
    for count in [1_u64, 16, 64, 256] {
        let rounds = 40;
        let mut spent = std::time::Duration::ZERO;
        for _ in 0..rounds {
            let events: Vec<_> = (next..next + count).map(|n| queued_event(OURS, n)).collect();
            next += count;
            let start = std::time::Instant::now();
            store.append_events(&events).await.unwrap();
            spent += start.elapsed();
        }
        println!("{count} events: {:?} per commit", spent / rounds);
    }
}
