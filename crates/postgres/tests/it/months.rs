//! Tables of single months of the audit log (ADR 0028).

use std::path::PathBuf;
use std::time::{Duration, Instant};

use chancery_domain::TenantId;
use chancery_domain::audit::months::{MonthHolds, MonthPart};
use chancery_domain::audit::retention::{KEPT, Month, Purge};
use chancery_domain::audit::{EventFilter, EventKind, LoggedEvent, QueuedEvent};
use chancery_domain::ids::{CertificateId, EventId};
use chancery_domain::time::Timestamp;
use chancery_sql::archive::{Archives as _, TABLES};
use chancery_testkit::samples::bytes;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn month(text: &str) -> Month {
    text.parse().unwrap()
}

/// An event of this moment, by its id too.
pub(super) fn event(tenant: TenantId, n: u64, recorded_at: Timestamp) -> QueuedEvent {
    let mut id = bytes(n);
    let millis = u64::try_from(recorded_at.as_micros().max(0) / 1_000).unwrap().to_be_bytes();
    id[..6].copy_from_slice(&millis[2..]);
    QueuedEvent {
        id: EventId::from_bytes(id),
        recorded_at,
        core: format!("{{\"n\":{n},\"resource\":{{\"ref_hmac\":[\"b{n}\"]}}}}"),
        sealed: Some(format!("part of {n}").into_bytes()),
        ..queued_event(tenant, n)
    }
}

/// Queues and logs events, from this place of the log on.
pub(super) async fn log(store: &Postgres, first: u64, events: Vec<QueuedEvent>) -> Vec<LoggedEvent> {
    store.append_events(&events).await.unwrap();
    let tenant = events.first().unwrap().tenant;
    let logged: Vec<LoggedEvent> = (first..).zip(events).map(|(index, event)| logged_event(event, index)).collect();
    let mut tx = store.begin(tenant).await.unwrap();
    tx.log_events(&logged).await.unwrap();
    tx.commit().await.unwrap();
    logged
}

async fn everything(store: &Postgres, tenant: TenantId) -> Vec<LoggedEvent> {
    store.view(tenant).await.unwrap().logged_events(&EventFilter::after(None, 1_000)).await.unwrap()
}

/// What lies in the log by the month, by name.
async fn parts(connection: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT p.part FROM (VALUES ('audit_events_months'), ('audit_sealed_months')) AS t(parent)
            CROSS JOIN LATERAL chancery_parts(t.parent::regclass) AS p ORDER BY p.part",
    )
    .fetch_all(connection)
    .await
    .unwrap()
}

async fn exists(connection: &mut PgConnection, table: &str) -> bool {
    let found: Option<String> =
        sqlx::query_scalar("SELECT to_regclass($1)::text").bind(table).fetch_one(connection).await.unwrap();
    found.is_some()
}

/// Lets these places of a tenant's log go.
async fn purge(store: &Postgres, tenant: TenantId, first: u64, end: u64) {
    let purge = Purge {
        first,
        end,
        month: month("2020-01"),
        events: end - first,
        next: first,
        certificate: CertificateId::from_bytes(bytes(first)),
        event: EventId::from_bytes(bytes(first)),
        begun_at: at("2026-01-01T00:00:00Z"),
        ended_at: None,
    };
    let mut tx = store.begin(tenant).await.unwrap();
    tx.insert_purge(&purge).await.unwrap();
    tx.purge_events(&purge, end, &KEPT).await.unwrap();
    tx.end_purge(first, purge.begun_at).await.unwrap();
    tx.commit().await.unwrap();
}

async fn drop_month(store: &Postgres, part: MonthPart) -> bool {
    store.drop_month(part).await.unwrap()
}

#[tokio::test]
async fn a_new_store_has_room_for_this_month_and_three_more_and_no_default() {
    let Some(database) = database().await else { return };
    let mut connection = raw(&database).await;
    let now: i64 = sqlx::query_scalar("SELECT (extract(epoch FROM now()) * 1000000)::bigint")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let now = Timestamp::from_micros(now);
    assert_eq!(database.months_open(now, 12).await.unwrap(), Some(4));
    let defaults: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_partitioned_table WHERE partdefid <> 0")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(defaults, 0);
    let this = Month::of(now);
    let later = [4, 5].map(|months| this.plus(months).start());
    database.make_room(&later).await.unwrap();
    database.make_room(&later).await.unwrap();
    assert_eq!(database.months_open(now, 12).await.unwrap(), Some(6));
    assert_eq!(database.months_open(now, 1).await.unwrap(), Some(1));
    assert_eq!(database.months_open(this.plus(20).start(), 12).await.unwrap(), Some(0));
}

/// What lies apart from the months is exactly what no purge takes. If this fails, a migration has to replace `chancery_stays`.
#[tokio::test]
async fn what_is_kept_and_the_platforms_log_lie_apart_from_the_months() {
    let Some(database) = database().await else { return };
    let mut connection = raw(&database).await;
    for kind in EventKind::ALL {
        for (tenant, stays) in [("ten_x", KEPT.contains(kind)), ("ten_platform", true)] {
            let found: bool = sqlx::query_scalar("SELECT chancery_stays($1, $2)")
                .bind(tenant)
                .bind(kind.as_str())
                .fetch_one(&mut connection)
                .await
                .unwrap();
            assert_eq!(found, stays, "{tenant} {kind}");
        }
    }
}

#[tokio::test]
async fn an_event_of_a_month_without_a_table_gets_one_whatever_the_clock_said() {
    let Some(database) = database().await else { return };
    let moments = [
        i64::MIN,
        -62_135_596_800_000_001,
        -1,
        0,
        at("2019-02-28T23:59:59.999999Z").as_micros(),
        at("2019-03-01T00:00:00Z").as_micros(),
        at("2099-12-31T23:59:59.999999Z").as_micros(),
        at("9999-11-30T00:00:00Z").as_micros(),
        253_402_300_800_000_000,
        i64::MAX,
    ];
    let events = (0..).zip(moments).map(|(n, moment)| event(OURS, n, Timestamp::from_micros(moment))).collect();
    let logged = log(&database, 0, events).await;
    let all = |wanted: &[LoggedEvent]| wanted.iter().map(|logged| logged.index).collect::<Vec<_>>();
    // Nothing is recorded before the end of time.
    assert_eq!(all(&everything(&database, OURS).await), (0..9).collect::<Vec<_>>());
    for logged in &logged {
        let found = database.view(OURS).await.unwrap().logged_event(logged.event.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(logged));
    }
    let mut connection = raw(&database).await;
    let parts = parts(&mut connection).await;
    for month in ["0001_01", "1969_12", "1970_01", "2019_02", "2019_03", "2099_12", "9999_11", "9999_12"] {
        assert!(parts.contains(&format!("audit_events_{month}")), "{month}: {parts:?}");
    }
    assert!(!parts.contains(&"audit_sealed_1969_12".to_owned()), "no id is of before 1970");
}

/// Whoever makes room waits two seconds for another who does; then nothing moved and nothing is lost.
#[tokio::test]
async fn without_room_nothing_moves_and_the_events_stay_queued() {
    let Some(database) = database().await else { return };
    let mut other = raw(&database).await;
    sqlx::query("BEGIN").execute(&mut other).await.unwrap();
    sqlx::query("LOCK TABLE ONLY audit_events_months IN SHARE UPDATE EXCLUSIVE MODE")
        .execute(&mut other)
        .await
        .unwrap();
    let events = vec![event(OURS, 1, at("2031-05-05T00:00:00Z"))];
    database.append_events(&events).await.unwrap();
    let logged = [logged_event(events[0].clone(), 0)];
    let begun = Instant::now();
    let mut tx = database.begin(OURS).await.unwrap();
    assert!(tx.log_events(&logged).await.is_err());
    drop(tx);
    let waited = begun.elapsed();
    assert!((Duration::from_millis(1_900)..Duration::from_secs(5)).contains(&waited), "{waited:?}");
    assert_eq!(database.view(OURS).await.unwrap().queued_events(9).await.unwrap(), events);
    assert_eq!(everything(&database, OURS).await, []);
    sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    let mut tx = database.begin(OURS).await.unwrap();
    tx.log_events(&logged).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(everything(&database, OURS).await, logged);
}

/// A table that somebody dropped beside us is missed by the move itself; the next one makes it anew.
#[tokio::test]
async fn a_missing_table_is_an_error_once_and_made_anew() {
    let Some(database) = database().await else { return };
    log(&database, 0, vec![event(OURS, 0, at("2031-05-05T00:00:00Z"))]).await;
    let mut connection = raw(&database).await;
    sqlx::query("DROP TABLE audit_events_2031_05").execute(&mut connection).await.unwrap();
    let events = vec![event(OURS, 1, at("2031-05-06T00:00:00Z"))];
    database.append_events(&events).await.unwrap();
    let logged = [logged_event(events[0].clone(), 1)];
    let mut tx = database.begin(OURS).await.unwrap();
    assert!(tx.log_events(&logged).await.is_err());
    drop(tx);
    assert_eq!(database.view(OURS).await.unwrap().queued_events(9).await.unwrap(), events);
    let mut tx = database.begin(OURS).await.unwrap();
    tx.log_events(&logged).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(everything(&database, OURS).await, logged);
}

/// From several nodes at once too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_is_made_while_others_read_and_write() {
    let Some(database) = database().await else { return };
    let now = at("2026-06-15T00:00:00Z");
    log(&database, 0, vec![event(OURS, 0, now)]).await;
    let (store, stop) = (Postgres::clone(&database), std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let stopped = stop.clone();
    let worker = tokio::spawn(async move {
        let (mut next, mut slowest) = (1, Duration::ZERO);
        while !stopped.load(std::sync::atomic::Ordering::SeqCst) {
            let begun = Instant::now();
            log(&store, next, vec![event(OURS, next, now.plus_seconds(next.try_into().unwrap()))]).await;
            next += 1;
            assert_eq!(everything(&store, OURS).await.len() as u64, next.min(1_000));
            slowest = slowest.max(begun.elapsed());
        }
        (next, slowest)
    });
    let mut nodes = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let options = Options { allow_superuser: true, max_connections: 1, ..Options::new(database.url()) };
        let node = Postgres::connect(options).await.unwrap();
        nodes.spawn(async move {
            for months in 0..24 {
                node.make_room(&[month("2040-01").plus(months).start()]).await.unwrap();
            }
            node.close().await;
        });
    }
    nodes.join_all().await;
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    let (written, slowest) = worker.await.unwrap();
    assert!(written > 3, "{written}");
    assert!(slowest < Duration::from_secs(2), "nobody waited for a table: {slowest:?}");
    assert_eq!(database.months_open(at("2040-01-01T00:00:00Z"), 50).await.unwrap(), Some(24));
}

/// Where the server keeps a table, if it is on this machine.
async fn file_of(connection: &mut PgConnection, table: &str) -> Option<PathBuf> {
    let path: String = sqlx::query_scalar("SELECT pg_relation_filepath($1::text::regclass)")
        .bind(table)
        .fetch_one(connection)
        .await
        .unwrap();
    let admin = std::env::var("CHANCERY_TEST_POSTGRES_ADMIN_URL").ok()?;
    let mut admin = PgConnection::connect(&admin).await.unwrap();
    sqlx::query("CHECKPOINT").execute(&mut admin).await.unwrap();
    let folder: String = sqlx::query_scalar("SHOW data_directory").fetch_one(&mut admin).await.unwrap();
    Some(PathBuf::from(folder).join(path))
}

fn holds(file: &std::path::Path, text: &str) -> bool {
    std::fs::read(file).is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

#[tokio::test]
async fn a_month_that_is_gone_for_everybody_leaves_the_disk_and_what_is_kept_stays() {
    let Some(database) = database().await else { return };
    let old = at("2020-01-15T00:00:00Z");
    let kept = QueuedEvent { kind: EventKind::KeyActivated.as_str().to_owned(), ..event(OURS, 1, old) };
    let young = event(OURS, 2, at("2025-12-31T00:00:00Z"));
    let ours = log(&database, 0, vec![event(OURS, 0, old), kept, young]).await;
    log(&database, 0, vec![event(THEIRS, 3, old)]).await;
    let platform = log(&database, 0, vec![event(TenantId::PLATFORM, 4, old)]).await;
    let mut connection = raw(&database).await;
    let files = match file_of(&mut connection, "audit_events_2020_01").await {
        Some(events) => Some((events, file_of(&mut connection, "audit_sealed_2020_01").await.unwrap())),
        None => None,
    };
    if let Some((events, sealed)) = &files {
        assert!(holds(events, "{\"n\":0,") && holds(sealed, "part of 0"), "it is there before");
    }

    let before = month("2026-01");
    assert_eq!(database.take_out_spent(before).await.unwrap(), [], "both have something there");
    purge(&database, OURS, 0, 2).await;
    assert_eq!(database.take_out_spent(before).await.unwrap(), [], "one has");
    purge(&database, THEIRS, 0, 1).await;
    if let Some((events, _)) = &files {
        file_of(&mut connection, "audit_events_2020_01").await;
        assert!(holds(events, "{\"n\":0,"), "a deleted row is there until somebody vacuums");
    }
    assert_eq!(database.take_out_spent(month("2020-01")).await.unwrap(), [], "it is not old enough");
    let part = |holds| MonthPart { holds, until: month("2020-02"), older: false };
    let spent = [part(MonthHolds::Events), part(MonthHolds::Personal)];
    assert_eq!(database.take_out_spent(before).await.unwrap(), spent);
    // Whoever died here leaves them out; the next one finds them.
    assert_eq!(database.take_out_spent(before).await.unwrap(), spent);
    for part in spent {
        assert!(database.is_month_spent(part).await.unwrap());
        assert!(drop_month(&database, part).await);
        assert!(!drop_month(&database, part).await, "it is gone");
    }
    for table in ["audit_events_2020_01", "audit_sealed_2020_01"] {
        assert!(!exists(&mut connection, table).await);
    }
    if let Some((events, sealed)) = &files {
        assert!(!holds(events, "{\"n\":0,") && !holds(sealed, "part of 0"));
    }
    assert_eq!(database.take_out_spent(before).await.unwrap(), []);

    // What is kept has lost its personal part; the rest is as it was, and the month can come again.
    let left = everything(&database, OURS).await;
    assert_eq!(left.iter().map(|logged| logged.index).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((left[0].leaf_hash, left[0].event.sealed.clone()), (ours[1].leaf_hash, None));
    assert_eq!(left[1], ours[2]);
    assert_eq!(everything(&database, TenantId::PLATFORM).await, platform);
    let again = log(&database, 3, vec![event(OURS, 5, old)]).await;
    assert_eq!(everything(&database, OURS).await[2], again[0]);
}

/// Also a month that nothing was in goes only when it is old; and one that something came into while it was out goes back.
#[tokio::test]
async fn what_came_into_a_month_that_was_out_goes_back_with_it() {
    let Some(database) = database().await else { return };
    database.make_room(&[at("2020-01-01T00:00:00Z")]).await.unwrap();
    let before = month("2026-01");
    let out = database.take_out_spent(before).await.unwrap();
    assert_eq!(out.len(), 2);
    let mut connection = raw(&database).await;
    in_tenant(&mut connection, &OURS.to_string()).await;
    let late = logged_event(event(OURS, 7, at("2020-01-15T00:00:00Z")), 7);
    sqlx::query(
        "INSERT INTO audit_events_2020_01 (tenant_id, idx, event_id, recorded_at, kind, actor, outcome, request_id, core, leaf_hash)
         VALUES ($1, 7, $2, $3, 'record.opened', 'system', 0, $4, $5, $6)",
    )
    .bind(OURS.to_string())
    .bind(late.event.id.to_string())
    .bind(late.event.recorded_at.as_micros())
    .bind(late.event.request.to_string())
    .bind(late.event.core)
    .bind(late.leaf_hash.to_vec())
    .execute(&mut connection)
    .await
    .unwrap();
    assert_eq!(everything(&database, OURS).await, [], "it is not in the log");
    assert!(!database.is_month_spent(out[0]).await.unwrap());
    assert!(!drop_month(&database, out[0]).await, "somebody has something there");
    database.put_back(out[0]).await.unwrap();
    database.put_back(out[0]).await.unwrap();
    assert_eq!(everything(&database, OURS).await.len(), 1);
    assert!(!drop_month(&database, out[0]).await, "it is in the log");
    assert_eq!(database.take_out_spent(before).await.unwrap(), out[1..]);
    // Its walls came back with it.
    let error = sqlx::query("DELETE FROM audit_events_2020_01").execute(&mut connection).await.unwrap_err();
    assert!(error.to_string().contains("only grows"), "{error}");
}

/// Of what began to go out and did not end, the next one makes an end.
#[tokio::test]
async fn a_month_that_is_half_out_goes_on_from_there() {
    let Some(database) = database().await else { return };
    database.make_room(&[at("2020-01-01T00:00:00Z")]).await.unwrap();
    let mut reader = raw(&database).await;
    sqlx::query("BEGIN ISOLATION LEVEL REPEATABLE READ").execute(&mut reader).await.unwrap();
    let _: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_events").fetch_one(&mut reader).await.unwrap();
    let mut connection = raw(&database).await;
    sqlx::query("SET statement_timeout = '500ms'").execute(&mut connection).await.unwrap();
    // It waits for the reader and is given up on.
    let detach = "ALTER TABLE audit_events_months DETACH PARTITION audit_events_2020_01 CONCURRENTLY";
    sqlx::query(detach).execute(&mut connection).await.unwrap_err();
    let leaving: Vec<String> =
        sqlx::query_scalar("SELECT part FROM chancery_parts('audit_events_months') WHERE leaving")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    assert_eq!(leaving, ["audit_events_2020_01"]);
    sqlx::query("COMMIT").execute(&mut reader).await.unwrap();
    let out = database.take_out_spent(month("2026-01")).await.unwrap();
    assert_eq!(out.len(), 2);
    for part in out {
        assert!(drop_month(&database, part).await);
    }
}

#[tokio::test]
async fn a_part_that_is_addressed_directly_has_the_same_walls() {
    let Some(database) = database().await else { return };
    let then = at("2026-06-15T00:00:00Z");
    let kept = QueuedEvent { kind: EventKind::KeyActivated.as_str().to_owned(), ..event(OURS, 1, then) };
    log(&database, 0, vec![event(OURS, 0, then), kept]).await;
    log(&database, 0, vec![event(TenantId::PLATFORM, 2, then)]).await;
    let mut connection = raw(&database).await;
    let tables = ["audit_events_2026_06", "audit_events_kept", "audit_events_months"];
    let personal = ["audit_sealed_2026_06", "audit_sealed_months"];
    for table in tables.iter().chain(&personal) {
        for (tenant, seen) in [(THEIRS.to_string(), false), (OURS.to_string(), true)] {
            in_tenant(&mut connection, &tenant).await;
            let count = sqlx::AssertSqlSafe(format!("SELECT count(*) > 0 FROM {table}"));
            let found: bool = sqlx::query_scalar(count).fetch_one(&mut connection).await.unwrap();
            assert_eq!(found, seen, "{table} for {tenant}");
        }
    }
    in_tenant(&mut connection, &THEIRS.to_string()).await;
    let forged = sqlx::query(
        "INSERT INTO audit_sealed_2026_06 (tenant_id, event_id, sealed) VALUES ($1, chancery_event_id($2) || '0000000000000000', 'x')",
    )
    .bind(OURS.to_string())
    .bind(then.as_micros());
    let forged = forged.execute(&mut connection).await.unwrap_err();
    assert!(forged.to_string().contains("row-level security"), "{forged}");
    in_tenant(&mut connection, &OURS.to_string()).await;
    for table in tables {
        for statement in ["UPDATE {} SET core = ''", "DELETE FROM {}", "TRUNCATE {}"] {
            let statement = sqlx::AssertSqlSafe(statement.replace("{}", table));
            let error = sqlx::query(statement).execute(&mut connection).await.unwrap_err();
            assert!(error.to_string().contains("only grows"), "{table}: {error}");
        }
    }
}

/// Every part, whatever made it: those of the schema, and those that came later.
#[tokio::test]
async fn every_part_has_every_key_index_trigger_and_policy() {
    let Some(database) = database().await else { return };
    log(&database, 0, vec![event(OURS, 0, at("2031-05-05T00:00:00Z"))]).await;
    let mut connection = raw(&database).await;
    let parts: Vec<(String, i64, i64, i64, bool)> = sqlx::query_as(
        "SELECT c.relname::text,
            (SELECT count(*) FROM pg_index AS i WHERE i.indrelid = c.oid),
            (SELECT count(*) FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisunique),
            (SELECT count(*) FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND t.tgenabled = 'O'),
            c.relrowsecurity AND c.relforcerowsecurity AND EXISTS (SELECT 1 FROM pg_policy AS p
                WHERE p.polrelid = c.oid AND p.polqual IS NOT NULL AND p.polwithcheck IS NOT NULL)
         FROM pg_class AS c WHERE c.relispartition AND c.relkind = 'r' ORDER BY c.relname",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(parts.len() >= 12, "{parts:?}");
    for (part, indexes, unique, triggers, walled) in parts {
        let expected = match part.as_str() {
            // Heads that the platform's log told of, what builds before proofs said of holds and retention, and how long a log is kept, are
            // looked for there.
            "audit_events_kept" => (7, 2, 2),
            part if part.starts_with("audit_events") => (4, 2, 2),
            _ => (1, 1, 2),
        };
        assert_eq!((indexes, unique, triggers), expected, "{part}");
        assert!(walled, "{part}");
    }
}

/// A backup knows nothing of months: what it holds goes into those of another store.
#[tokio::test]
async fn events_of_all_months_go_from_one_store_into_an_empty_one() {
    let (Some(from), Some(to)) = (database().await, database().await) else { return };
    let moments = ["2019-02-01T00:00:00Z", "2026-06-15T00:00:00Z", "2026-06-16T00:00:00Z", "2044-01-01T00:00:00Z"];
    let mut events: Vec<QueuedEvent> = (0..).zip(moments).map(|(n, moment)| event(OURS, n, at(moment))).collect();
    events[2].kind = EventKind::KeyActivated.as_str().to_owned();
    let logged = log(&from, 0, events).await;
    let (mut reading, mut writing) = (from.reading().await.unwrap(), to.writing().await.unwrap());
    for table in
        TABLES.iter().filter(|table| ["audit_events", "audit_sealed", "audit_references"].contains(&table.name))
    {
        let columns = reading.columns(table).await.unwrap();
        assert_eq!(columns, writing.columns(table).await.unwrap());
        let rows = reading.page(&OURS.to_string(), table, Vec::new()).await.unwrap();
        assert_eq!(rows.len(), 4, "{}", table.name);
        for row in rows {
            writing.put(&OURS.to_string(), table, &columns, row).await.unwrap();
        }
    }
    writing.commit().await.unwrap();
    assert_eq!(everything(&to, OURS).await, logged);
    let parts = parts(&mut raw(&to).await).await;
    assert!(parts.contains(&"audit_events_2019_02".to_owned()) && parts.contains(&"audit_sealed_2044_01".to_owned()));
}

/// A store of the version before: its rows become a part without being written again, but those that lie elsewhere.
#[tokio::test]
async fn a_store_of_before_keeps_its_rows() {
    let Some(database) = testing::empty_database().await else { return };
    let mut connection = raw(&database).await;
    for step in ["DROP SCHEMA public CASCADE", "CREATE SCHEMA public"] {
        sqlx::query(step).execute(&mut connection).await.unwrap();
    }
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let ours = files.iter().position(|file| file.ends_with("0034_monthly_partitions.sql")).unwrap();
    for file in files.iter().take(ours) {
        let text = std::fs::read_to_string(file).unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
    }
    let (year, ahead) = ("2026-06-15T00:00:00Z", "2098-07-15T00:00:00Z");
    let mut expected = Vec::new();
    for (tenant, n, kind, moment) in [
        (OURS.to_string(), 0, "record.opened", year),
        (OURS.to_string(), 1, "certificate.issued", year),
        (OURS.to_string(), 2, "record.opened", ahead),
        (OURS.to_string(), 3, "record.opened", year),
        (THEIRS.to_string(), 4, "record.opened", year),
        ("ten_platform".to_owned(), 5, "backup.made", year),
    ] {
        in_tenant(&mut connection, &tenant).await;
        let event = event(OURS, n, at(moment));
        let id = event.id.to_string();
        sqlx::query(
            "INSERT INTO audit_events (tenant_id, idx, event_id, recorded_at, kind, actor, outcome, request_id, core, leaf_hash)
             VALUES ($1, $2, $3, $4, $5, 'system', 0, 'req', 'x', 'x')",
        )
        .bind(&tenant)
        .bind(i64::try_from(n).unwrap())
        .bind(&id)
        .bind(event.recorded_at.as_micros())
        .bind(kind)
        .execute(&mut connection)
        .await
        .unwrap();
        sqlx::query("INSERT INTO audit_sealed (tenant_id, event_id, sealed) VALUES ($1, $2, 'x')")
            .bind(&tenant)
            .bind(&id)
            .execute(&mut connection)
            .await
            .unwrap();
        expected.push((tenant, i64::try_from(n).unwrap(), id));
    }
    let before: String =
        sqlx::query_scalar("SELECT pg_relation_filepath('audit_events')").fetch_one(&mut connection).await.unwrap();
    let text = std::fs::read_to_string(files.get(ours).unwrap()).unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut connection).await.unwrap();

    let mut found = Vec::new();
    for tenant in [OURS.to_string(), THEIRS.to_string(), "ten_platform".to_owned()] {
        in_tenant(&mut connection, &tenant).await;
        let rows: Vec<(String, i64, String, String, String)> = sqlx::query_as(
            "SELECT e.tenant_id, e.idx, e.event_id, e.tableoid::regclass::text, s.tableoid::regclass::text
             FROM audit_events AS e JOIN audit_sealed AS s ON s.tenant_id = e.tenant_id AND s.event_id = e.event_id ORDER BY e.idx",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap();
        found.extend(rows);
    }
    let rows: Vec<_> = found.iter().map(|(tenant, idx, id, ..)| (tenant.clone(), *idx, id.clone())).collect();
    assert_eq!(rows, expected);
    let lie: Vec<(&str, &str)> = found.iter().map(|(.., events, sealed)| (events.as_str(), sealed.as_str())).collect();
    let (events, sealed) = lie[0];
    assert!(events.starts_with("audit_events_until_") && sealed.starts_with("audit_sealed_until_"), "{lie:?}");
    assert_eq!(lie[1], ("audit_events_kept", sealed));
    assert_eq!(lie[2], ("audit_events_2098_07", "audit_sealed_2098_07"));
    assert_eq!((lie[3], lie[4]), (lie[0], lie[0]));
    assert_eq!(lie[5], ("audit_events_kept", "audit_sealed_platform"));
    let after: String = sqlx::query_scalar("SELECT pg_relation_filepath($1::text::regclass)")
        .bind(events)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(before, after, "it is the same file");
    let room: i64 = sqlx::query_scalar("SELECT chancery_room((extract(epoch FROM now()) * 1000000)::bigint, 12)")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(room, 4);
    let error = sqlx::query("DELETE FROM audit_events").execute(&mut connection).await.unwrap_err();
    assert!(error.to_string().contains("only grows"), "{error}");
}

/// A store of the version before a migration, with two tenants; and that migration's text.
async fn before(database: &Database, migration: &str) -> String {
    let mut connection = raw(database).await;
    for step in ["DROP SCHEMA public CASCADE", "CREATE SCHEMA public"] {
        sqlx::query(step).execute(&mut connection).await.unwrap();
    }
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let ours = files.iter().position(|file| file.ends_with(migration)).unwrap();
    for file in files.iter().take(ours) {
        let text = std::fs::read_to_string(file).unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
    }
    for tenant in [OURS.to_string(), THEIRS.to_string()] {
        in_tenant(&mut connection, &tenant).await;
        for step in [
            "INSERT INTO directory_tenants (tenant_id, slug, state, clear_fields) VALUES ($1, $1, 'active', 0)",
            "INSERT INTO audit_logs (tenant_id, origin, size, root) VALUES ($1, $1, 0, 'x')",
        ] {
            sqlx::query(step).bind(&tenant).execute(&mut connection).await.unwrap();
        }
    }
    std::fs::read_to_string(files.get(ours).unwrap()).unwrap()
}

/// Puts an event of today into the log of a tenant that was entered, and has the log grow.
async fn grow(connection: &mut PgConnection, tenant: &str, idx: i64, kind: &str) {
    sqlx::query(
        "INSERT INTO audit_events (tenant_id, idx, event_id, recorded_at, kind, actor, outcome, request_id, core, leaf_hash)
         VALUES ($1, $2, $2::text, (extract(epoch FROM now()) * 1000000)::bigint, $3, 'system', 0, 'req', 'x', 'x')",
    )
    .bind(tenant)
    .bind(idx)
    .bind(kind)
    .execute(&mut *connection)
    .await
    .unwrap();
    sqlx::query("UPDATE audit_logs SET size = $2 WHERE tenant_id = $1")
        .bind(tenant)
        .bind(idx + 1)
        .execute(connection)
        .await
        .unwrap();
}

/// The places of a tenant's log, and whether they lie apart from the months.
async fn apart(connection: &mut PgConnection, tenant: &str) -> Vec<(i64, bool)> {
    in_tenant(connection, tenant).await;
    let lie =
        "SELECT idx, tableoid = 'audit_events_kept'::regclass FROM audit_events WHERE tenant_id = $1 ORDER BY idx";
    sqlx::query_as(lie).bind(tenant).fetch_all(connection).await.unwrap()
}

/// A migration that keeps further kinds moves what there is of them: otherwise it would be purged with its month, and nobody would find
/// it among what is kept.
#[tokio::test]
async fn what_was_dismissed_or_revoked_before_it_was_kept_lies_with_what_is_kept() {
    let Some(database) = testing::empty_database().await else { return };
    let text = before(&database, "0050_quarantine.sql").await;
    let mut connection = raw(&database).await;
    let tenants = [OURS.to_string(), THEIRS.to_string()];
    for tenant in &tenants {
        in_tenant(&mut connection, tenant).await;
        for (idx, kind) in [(0, "key.revoked"), (1, "record.opened"), (2, "audit.purge_dismissed")] {
            grow(&mut connection, tenant, idx, kind).await;
        }
    }
    sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
    for tenant in &tenants {
        assert_eq!(apart(&mut connection, tenant).await, [(0, true), (1, false), (2, true)]);
    }
    let error = sqlx::query("DELETE FROM audit_events").execute(&mut connection).await.unwrap_err();
    assert!(error.to_string().contains("only grows"), "{error}");
    let left = ["audit_events_moving", "audit_logs_seen"];
    assert!(!exists(&mut connection, left[0]).await && !exists(&mut connection, left[1]).await);
}

/// Looking through a large log takes minutes. Meanwhile others log on, and what they log is moved too.
#[tokio::test]
async fn while_a_migration_looks_for_what_is_to_move_the_log_is_open() {
    let Some(database) = testing::empty_database().await else { return };
    let text = before(&database, "0050_quarantine.sql").await;
    let mut other = raw(&database).await;
    let ours = OURS.to_string();
    in_tenant(&mut other, &ours).await;
    grow(&mut other, &ours, 0, "key.revoked").await;
    // Whoever looks at all months waits for this one, in which nobody logs now.
    let parts = parts(&mut other).await;
    let last = parts.iter().rfind(|part| part.starts_with("audit_events_")).unwrap();
    let mut shut = raw(&database).await;
    let lock = format!("BEGIN; LOCK TABLE {last} IN ACCESS EXCLUSIVE MODE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut shut).await.unwrap();

    let mut migrating = raw(&database).await;
    let migration = async { sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut migrating).await.unwrap() };
    let meanwhile = async {
        let deadline = Instant::now() + Duration::from_secs(10);
        let waits = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE relation = $1::text::regclass AND NOT granted)";
        while !sqlx::query_scalar::<_, bool>(waits).bind(last).fetch_one(&mut other).await.unwrap() {
            assert!(Instant::now() < deadline, "the migration does not look at the months");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        sqlx::query("SET lock_timeout = '2s'").execute(&mut other).await.unwrap();
        grow(&mut other, &ours, 1, "key.revoked").await;
        grow(&mut other, &ours, 2, "record.opened").await;
        sqlx::raw_sql("ROLLBACK").execute(&mut shut).await.unwrap();
    };
    tokio::join!(migration, meanwhile);
    assert_eq!(apart(&mut other, &ours).await, [(0, true), (1, true), (2, false)]);
}
