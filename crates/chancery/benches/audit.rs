//! What the audit log costs. `cargo bench -p chancery --bench audit`; with PostgreSQL too if `CHANCERY_TEST_POSTGRES_URL` says where
//! (`cargo xtask with-postgres -- cargo bench -p chancery --bench audit`; that server leaves it to the system when a commit gets to the disk,
//! the one of `cargo xtask bench` does not).
//!
//! A line of JSON per store:
//! - events per second that 256 writers make durable while a sequencer moves them into the Merkle log, until the last is there and the
//!   head is signed; beside it, from as many rows of the same bytes: one row per commit, and rows that a trigger (on SQLite, which has
//!   no SHA-256, the transaction itself) chains by the hash of the row before;
//! - what a request waits for its event at 2,000 events/s, arriving evenly, median and 99th percentile;
//! - a proof made from the store's tiles, and verified.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement for a terminal: it stops where something is wrong"
)]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chancery::clock::SystemClock;
use chancery_crypto::{Secret, merkle, random::SystemRandom, sha256};
use chancery_domain::{
    Instance, TenantId,
    access::{
        Call, RequestInfo,
        authenticate::{Presented, authenticate},
    },
    audit::{Detail, Event, EventFilter, EventKind, guard, receipt::note, sequence},
    datasets::tables::NoTables,
    ids::{NodeId, RequestId},
    initialise::{FirstAdmin, initialise},
    instance::Ports,
    store::{Directory, Store},
};
use chancery_testkit::samples::settings;
use serde_json::json;
use sqlx::{PgPool, SqlitePool, postgres::PgPoolOptions, sqlite::SqlitePoolOptions};

/// How many callers wait for their events at one time.
const WRITERS: usize = 256;
/// How many events they make durable.
const EVENTS: usize = 40_000;
/// How many rows the baselines write.
const ROWS: usize = 2_000;
/// Connections of the baseline on PostgreSQL, as many as the store has.
const CONNECTIONS: usize = 8;
/// The paced load: events per second, and for how many seconds.
const RATE: usize = 2_000;
const PACED_SECONDS: usize = 10;
/// How many proofs are made.
const PROOFS: usize = 500;
/// As long as a leaf of a sealing is.
const CORE: usize = 400;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir_in(".").unwrap(); // not in memory, where a commit costs nothing
        println!("{}", sqlite(folder.path()).await);
        match chancery_postgres::testing::database().await {
            Some(database) => println!("{}", postgres(folder.path(), &database).await),
            None => println!("{}", json!({"store": "PostgreSQL", "not_run": "no CHANCERY_TEST_POSTGRES_URL"})),
        }
    });
}

async fn sqlite(folder: &Path) -> serde_json::Value {
    let store = Arc::new(chancery_sqlite::Sqlite::open(folder.join("log.db")).await.unwrap());
    let ours = measure(store.clone(), store, &folder.join("sqlite.key")).await;
    let url = format!("sqlite://{}?mode=rwc", folder.join("baseline.db").display());
    let pool = SqlitePoolOptions::new().max_connections(1).connect(&url).await.unwrap();
    for statement in [
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "CREATE TABLE plain (id INTEGER PRIMARY KEY, core BLOB NOT NULL)",
        "CREATE TABLE chain (id INTEGER PRIMARY KEY, core BLOB NOT NULL, hash BLOB NOT NULL)",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    ours.told("SQLite", rows_of(1, &pool, sqlite_row).await, rows_of(1, &pool, sqlite_link).await)
}

async fn sqlite_row(pool: SqlitePool, core: Vec<u8>) {
    sqlx::query("INSERT INTO plain (core) VALUES ($1)").bind(core).execute(&pool).await.unwrap();
}

async fn sqlite_link(pool: SqlitePool, core: Vec<u8>) {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let last: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT hash FROM chain ORDER BY id DESC LIMIT 1").fetch_optional(&mut *tx).await.unwrap();
    let hash = sha256(&[last.unwrap_or_default(), core.clone()].concat()).to_vec();
    sqlx::query("INSERT INTO chain (core, hash) VALUES ($1, $2)")
        .bind(core)
        .bind(hash)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

async fn postgres(folder: &Path, database: &chancery_postgres::testing::Database) -> serde_json::Value {
    let store = Arc::new(chancery_postgres::Postgres::clone(database));
    let ours = measure(store.clone(), store, &folder.join("postgres.key")).await;
    let connections = u32::try_from(CONNECTIONS).unwrap();
    let pool = PgPoolOptions::new().max_connections(connections).connect(database.url()).await.unwrap();
    for statement in [
        "CREATE TABLE plain (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, core BYTEA NOT NULL)",
        "CREATE TABLE chain (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, core BYTEA NOT NULL, hash BYTEA NOT NULL)",
        "CREATE FUNCTION link() RETURNS TRIGGER LANGUAGE plpgsql AS $$
         DECLARE last BYTEA;
         BEGIN
             PERFORM pg_advisory_xact_lock(1);
             NEW.id := nextval(pg_get_serial_sequence('chain', 'id'));
             SELECT hash INTO last FROM chain ORDER BY id DESC LIMIT 1;
             NEW.hash := sha256(coalesce(last, '') || NEW.core);
             RETURN NEW;
         END $$",
        "CREATE TRIGGER link BEFORE INSERT ON chain FOR EACH ROW EXECUTE FUNCTION link()",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    let (plain, chain) =
        (rows_of(CONNECTIONS, &pool, postgres_row).await, rows_of(CONNECTIONS, &pool, postgres_link).await);
    ours.told("PostgreSQL", plain, chain)
}

async fn postgres_row(pool: PgPool, core: Vec<u8>) {
    sqlx::query("INSERT INTO plain (core) VALUES ($1)").bind(core).execute(&pool).await.unwrap();
}

async fn postgres_link(pool: PgPool, core: Vec<u8>) {
    // The trigger gives the hash.
    sqlx::query("INSERT INTO chain (core, hash) VALUES ($1, '')").bind(core).execute(&pool).await.unwrap();
}

/// Rows per second that so many writers commit, each row for itself.
async fn rows_of<P, F>(writers: usize, pool: &P, row: fn(P, Vec<u8>) -> F) -> f64
where
    P: Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let started = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for number in 0..ROWS / writers {
                    row(pool.clone(), vec![u8::try_from(number % 251).unwrap(); CORE]).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    per_second(ROWS, started.elapsed())
}

/// What was found of our log on one store.
struct Ours {
    durable: f64,
    added: [f64; 2],
    prove: f64,
    verify: f64,
}

impl Ours {
    fn told(&self, store: &str, plain: f64, chain: f64) -> serde_json::Value {
        json!({
            "store": store, "events_per_second": self.durable, "row_per_commit": plain, "hash_chain": chain,
            "added_p50_us": self.added[0], "added_p99_us": self.added[1], "prove_us": self.prove, "verify_us": self.verify,
        })
    }
}

async fn measure<S: Store + Directory + 'static>(store: Arc<S>, directory: Arc<S>, key: &Path) -> Ours {
    let (instance, call) = opened(store, directory, key).await;
    let durable = durable(&instance, &call).await;
    let added = paced(&instance, &call).await;
    let [prove, verify] = proofs(&instance, &call).await;
    Ours { durable, added, prove, verify }
}

/// A new instance, and a call of its administrator.
async fn opened<S: Store + Directory + 'static>(store: Arc<S>, directory: Arc<S>, key: &Path) -> (Arc<Instance>, Call) {
    let ports = Ports {
        store,
        directory,
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        providers: vec![Arc::new(chancery_kms::Local::create(key).unwrap())],
        own: Vec::new(),
        resident: Vec::new(),
        tables: Arc::new(NoTables),
        documents: Arc::new(chancery_domain::identity_providers::NoDocuments),
    };
    let node = NodeId::from_bytes([1; 16]);
    let mut admin = String::new();
    let mut deliver = |text: &Secret<String>| {
        text.expose().clone_into(&mut admin);
        Ok(())
    };
    initialise(&ports, &settings(), node, FirstAdmin::default(), &mut deliver).await.unwrap();
    let instance = Instance::open(ports, settings(), node).await.unwrap();
    let id = RequestId::from_bytes([1; 16]);
    let request = RequestInfo { id, address: None, user_agent: None, key: None, route: "/v1/seal", method: "POST" };
    let caller = authenticate(&instance, &Presented::ApiKey(Secret::new(admin)), &request).await.unwrap();
    (instance, Call { caller, request, once: None })
}

/// An event with the details of an opening, of a kind that needs no keys.
async fn event(instance: &Instance, call: &Call) {
    let names = Detail::Names(vec!["patients.name".to_owned(), "patients.ssn".to_owned()]);
    let event = Event::new(EventKind::AuditRead).with("fields", names).with("count", Detail::Count(2));
    note(instance, call, call.tenant(), event).await.unwrap();
}

/// Moves what is queued, as the server's sequencer does, until it is told to stop.
fn sequencer(instance: &Arc<Instance>, tenant: TenantId) -> (Arc<AtomicBool>, tokio::task::JoinHandle<()>) {
    let stop = Arc::new(AtomicBool::new(false));
    let (instance, stopped) = (instance.clone(), stop.clone());
    let task = tokio::spawn(async move {
        while !stopped.load(Ordering::Relaxed) {
            sequence::sequence(&instance, tenant).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    (stop, task)
}

/// Events per second, until the last is in the log under a signed head.
async fn durable(instance: &Arc<Instance>, call: &Call) -> f64 {
    let (stop, sequencer) = sequencer(instance, call.tenant());
    let started = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (instance, call, next) = (instance.clone(), call.clone(), next.clone());
            tokio::spawn(async move {
                while next.fetch_add(1, Ordering::Relaxed) < EVENTS {
                    event(&instance, &call).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let signed = sequence::checkpoint(instance, call.tenant()).await.unwrap();
    let rate = per_second(EVENTS, started.elapsed());
    stop.store(true, Ordering::Relaxed);
    sequencer.await.unwrap();
    assert!(signed.size >= EVENTS as u64, "{} events are in the log", signed.size);
    rate
}

/// What a request waits for its event, in µs, when they arrive evenly: median and 99th percentile.
async fn paced(instance: &Arc<Instance>, call: &Call) -> [f64; 2] {
    let (stop, sequencer) = sequencer(instance, call.tenant());
    let started = Instant::now();
    let mut waits = Vec::with_capacity(RATE * PACED_SECONDS);
    for number in 0..RATE * PACED_SECONDS {
        let due = Duration::from_secs_f64(number as f64 / RATE as f64);
        // The timer has whole milliseconds: those of one come together.
        if let Some(early) = due.checked_sub(started.elapsed()).filter(|early| early.as_millis() > 0) {
            tokio::time::sleep(early).await;
        }
        let (instance, call) = (instance.clone(), call.clone());
        waits.push(tokio::spawn(async move {
            let asked = Instant::now();
            event(&instance, &call).await;
            asked.elapsed().as_secs_f64() * 1e6
        }));
    }
    let mut times = Vec::with_capacity(waits.len());
    for wait in waits {
        times.push(wait.await.unwrap());
    }
    stop.store(true, Ordering::Relaxed);
    sequencer.await.unwrap();
    times.sort_unstable_by(f64::total_cmp);
    [times[times.len() / 2], times[times.len() * 99 / 100]]
}

/// What a proof takes to make from the store and to verify with its signature, in µs.
async fn proofs(instance: &Arc<Instance>, call: &Call) -> [f64; 2] {
    let head = sequence::checkpoint(instance, call.tenant()).await.unwrap();
    let key = guard::log_keys(instance, call.tenant()).await.unwrap().pop().unwrap();
    let mut view = instance.store().fresh_view(call.tenant()).await.unwrap();
    let (mut making, mut verifying) = (Duration::ZERO, Duration::ZERO);
    for number in 0..PROOFS {
        let before = (head.size - 2) / PROOFS as u64 * number as u64;
        let event = view.logged_events(&EventFilter::after(Some(before), 1)).await.unwrap().pop().unwrap();
        let started = Instant::now();
        let proof = sequence::prove(&mut *view, call.tenant(), event.index, &head).await.unwrap();
        making += started.elapsed();
        let started = Instant::now();
        let checkpoint = proof.verify(&merkle::leaf_hash(event.event.core.as_bytes()), &key).unwrap();
        verifying += started.elapsed();
        assert_eq!(checkpoint.size, head.size);
    }
    [making, verifying].map(|time| time.as_secs_f64() * 1e6 / PROOFS as f64)
}

fn per_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
