//! Whoever can write the store's bytes is found: every byte of every row, tile and head of a small log, changed one by one.

use std::{path::Path, sync::Arc};

use chancery::{
    config::{Config, Flags},
    pins::PinFolder,
    wiring::{self, Stores, providers::Providers},
};
use chancery_domain::{
    Instance, TenantId,
    access::NetClass,
    audit::{
        guard::{self, IntegrityCheck},
        refusals,
        sequence::{self, SequenceError},
    },
    ids::NodeId,
    initialise::{FirstAdmin, initialise},
};
use chancery_testkit::Raw;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

const PLATFORM: TenantId = TenantId::PLATFORM;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Bytes,
    Int,
}

impl Kind {
    /// A column as text that SQL can carry: bytes in hex.
    fn read(self, raw: &Raw, column: &str) -> String {
        match (raw, self) {
            (_, Self::Int) => format!("CAST({column} AS TEXT)"),
            (Raw::Sqlite(_), _) => format!("hex(CAST({column} AS BLOB))"),
            (Raw::Postgres(_), Self::Text) => format!("encode(convert_to({column}, 'UTF8'), 'hex')"),
            (Raw::Postgres(_), Self::Bytes) => format!("encode({column}, 'hex')"),
        }
    }

    fn literal(self, raw: &Raw, value: &Cell) -> String {
        match (raw, self, value) {
            (_, _, Cell::Int(int)) => format!("({int})"),
            (Raw::Sqlite(_), Self::Text, Cell::Bytes(bytes)) => format!("CAST(x'{}' AS TEXT)", HEXLOWER.encode(bytes)),
            (Raw::Sqlite(_), _, Cell::Bytes(bytes)) => format!("x'{}'", HEXLOWER.encode(bytes)),
            (Raw::Postgres(_), Self::Text, Cell::Bytes(bytes)) => {
                format!("convert_from(decode('{}', 'hex'), 'UTF8')", HEXLOWER.encode(bytes))
            }
            (Raw::Postgres(_), _, Cell::Bytes(bytes)) => format!("decode('{}', 'hex')", HEXLOWER.encode(bytes)),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Cell {
    Bytes(Vec<u8>),
    Int(i64),
}

impl Cell {
    fn parse(kind: Kind, text: &str) -> Self {
        match kind {
            Kind::Int => Self::Int(text.parse().unwrap()),
            _ => Self::Bytes(HEXLOWER_PERMISSIVE.decode(text.as_bytes()).unwrap()),
        }
    }

    /// Every value that differs in one bit of one byte.
    fn changed(&self) -> Vec<Self> {
        match self {
            Self::Int(int) => (0..8).map(|byte| Self::Int(int ^ (1 << (8 * byte)))).collect(),
            Self::Bytes(bytes) => (0..bytes.len())
                .map(|at| {
                    let mut changed = bytes.clone();
                    changed[at] ^= 1;
                    Self::Bytes(changed)
                })
                .collect(),
        }
    }
}

/// A log with its store and a way to change what is stored.
struct Log {
    folder: tempfile::TempDir,
    _database: Option<chancery_postgres::testing::Database>,
    stores: Stores,
    instance: Arc<Instance>,
    raw: Raw,
}

impl Log {
    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chancery.db");
        let stores = Stores::of(Arc::new(chancery_sqlite::Sqlite::open(&path).await.unwrap()));
        let instance = begin(&stores, folder.path()).await;
        let mut raw = Raw::sqlite(&path).await;
        raw.run("PRAGMA synchronous = OFF").await.unwrap();
        for table in ["audit_events", "audit_checkpoints", "audit_tiles", "audit_logs"] {
            raw.tear_down(table).await;
        }
        Self { folder, _database: None, stores, instance, raw }
    }

    async fn postgres() -> Option<Self> {
        let database = chancery_postgres::testing::database().await?;
        let folder = tempfile::tempdir().unwrap();
        let stores = Stores::of(Arc::new(chancery_postgres::Postgres::clone(&database)));
        let instance = begin(&stores, folder.path()).await;
        let mut raw = Raw::postgres(database.url(), PLATFORM).await;
        raw.run("SET synchronous_commit = off").await.unwrap();
        for table in ["audit_events", "audit_checkpoints", "audit_tiles", "audit_logs"] {
            raw.tear_down(table).await;
        }
        Some(Self { folder, _database: Some(database), stores, instance, raw })
    }

    /// Another process over the same store.
    async fn another(&self) -> Arc<Instance> {
        let provider = Arc::new(chancery_kms::Local::open(&self.folder.path().join("root.key")).unwrap());
        let providers = Providers { root: vec![("local".to_owned(), provider)], ..Providers::default() };
        let settings = self.instance.settings().clone();
        Instance::open(self.stores.ports(&providers), settings, NodeId::from_bytes([2; 16])).await.unwrap()
    }

    /// What the newest event of this kind in the platform's log says.
    async fn told(&mut self, kind: &str) -> serde_json::Value {
        chancery_domain::audit::sequence(&self.instance, PLATFORM).await.unwrap();
        let newest = format!("SELECT core FROM audit_events WHERE kind = '{kind}' ORDER BY idx DESC LIMIT 1");
        let core = self.raw.texts(&newest).await.remove(0).unwrap();
        serde_json::from_str::<serde_json::Value>(&core).unwrap()["detail"].clone()
    }

    async fn findings(&self) -> Vec<guard::Finding> {
        guard::inspect(&self.instance, PLATFORM).await.unwrap()
    }

    async fn indexes(&mut self) -> Vec<i64> {
        let sql = format!("SELECT CAST(idx AS TEXT) FROM audit_events WHERE tenant_id = '{PLATFORM}' ORDER BY idx");
        self.raw.texts(&sql).await.into_iter().map(|index| index.unwrap().parse().unwrap()).collect()
    }

    /// Changes one column of one row in every way there is, and looks each time; how many ways that were.
    async fn try_column(&mut self, table: &str, keys: &[(&str, i64)], column: &str, kind: Kind) -> u32 {
        let row = |value: Option<&Cell>| {
            let keys = keys.iter().map(|(key, old)| match value {
                Some(Cell::Int(new)) if *key == column => format!(" AND {key} = {new}"),
                _ => format!(" AND {key} = {old}"),
            });
            format!("tenant_id = '{PLATFORM}'{}", keys.collect::<String>())
        };
        let read = format!("SELECT {} FROM {table} WHERE {}", kind.read(&self.raw, column), row(None));
        let Some(stored) = self.raw.texts(&read).await.remove(0) else { return 0 };
        let stored = Cell::parse(kind, &stored);
        let mut ways = 0;
        for changed in stored.changed() {
            // The place of another row, which could not be told from it afterwards.
            let there = format!("SELECT CAST(COUNT(*) AS TEXT) FROM {table} WHERE {}", row(Some(&changed)));
            let is_key = keys.iter().any(|(key, _)| *key == column);
            if is_key && self.raw.texts(&there).await != [Some("0".to_owned())] {
                continue;
            }
            let set = format!("UPDATE {table} SET {column} = {}", kind.literal(&self.raw, &changed));
            match self.raw.run(&format!("{set} WHERE {}", row(None))).await {
                Ok(rows) => assert_eq!(rows, 1, "{set}"),
                // The place of another row: the store itself does not take that.
                Err(sqlx::Error::Database(error)) if error.is_unique_violation() => continue,
                Err(error) => panic!("{set}: {error}"),
            }
            let found = self.findings().await;
            assert!(!found.is_empty(), "nobody found {set} WHERE {}", row(None));
            let back = format!("UPDATE {table} SET {column} = {}", kind.literal(&self.raw, &stored));
            assert_eq!(self.raw.run(&format!("{back} WHERE {}", row(Some(&changed)))).await.unwrap(), 1);
            ways += 1;
        }
        ways
    }
}

async fn begin(stores: &Stores, folder: &Path) -> Arc<Instance> {
    let flags = Flags { dev: true, data: Some(folder.to_owned()), ..Flags::default() };
    let (config, _) = Config::load(&flags, &[]).unwrap();
    let provider = Arc::new(chancery_kms::Local::create(&folder.join("root.key")).unwrap());
    let providers = Providers { root: vec![("local".to_owned(), provider)], ..Providers::default() };
    let (ports, settings) = (stores.ports(&providers), wiring::settings(&config));
    let node = NodeId::from_bytes([1; 16]);
    initialise(&ports, &settings, node, FirstAdmin::default(), &mut |_| Ok(())).await.unwrap();
    Instance::open(ports, settings, node).await.unwrap()
}

/// Adds so many events to the platform's log, and signs its head.
async fn grow(instance: &Instance, events: usize) {
    for number in 0..events {
        // The codes of a test live as long as it.
        let code = Box::leak(format!("test-{number:05}").into_boxed_str());
        refusals::count_anonymous(instance, code, None, NetClass::Private);
    }
    refusals::flush_anonymous(instance).await.unwrap();
    sequence::checkpoint(instance, PLATFORM).await.unwrap();
}

/// The columns of an entry. Its personal part is sealed, and a change of it is found when it is opened.
const EVENT: &[(&str, Kind)] = &[
    ("idx", Kind::Int),
    ("event_id", Kind::Text),
    ("recorded_at", Kind::Int),
    ("kind", Kind::Text),
    ("actor", Kind::Text),
    ("resource", Kind::Text),
    ("outcome", Kind::Int),
    ("request_id", Kind::Text),
    ("core", Kind::Text),
    ("leaf_hash", Kind::Bytes),
];

async fn every_changed_byte_is_found(mut log: Log, rows: usize) {
    grow(&log.instance, 1).await;
    grow(&log.instance, 1).await;
    assert_eq!(log.findings().await, [], "nothing was changed yet");
    let indexes = log.indexes().await;
    assert!(indexes.len() >= 4, "{indexes:?}");
    let mut ways = 0;
    // The last ones, and among them that of a key's activation if there is room: the heads' signer follows from it.
    for index in indexes.iter().rev().take(rows) {
        for (column, kind) in EVENT {
            ways += log.try_column("audit_events", &[("idx", *index)], column, *kind).await;
        }
    }
    let tile = [("level", 0), ("idx", 0)];
    for (column, kind) in [("hashes", Kind::Bytes), ("level", Kind::Int), ("idx", Kind::Int)] {
        ways += log.try_column("audit_tiles", &tile, column, kind).await;
    }
    for (column, kind) in [("size", Kind::Int), ("root", Kind::Bytes), ("origin", Kind::Text)] {
        ways += log.try_column("audit_logs", &[], column, kind).await;
    }
    let sizes = format!("SELECT CAST(size AS TEXT) FROM audit_checkpoints WHERE tenant_id = '{PLATFORM}'");
    let sizes: Vec<i64> = log.raw.texts(&sizes).await.into_iter().map(|size| size.unwrap().parse().unwrap()).collect();
    assert_eq!(sizes.len(), 2, "every head that was ever signed");
    for size in sizes {
        // When it was signed is not in a head; witnesses tell the time.
        for (column, kind) in [("size", Kind::Int), ("note", Kind::Text)] {
            ways += log.try_column("audit_checkpoints", &[("size", size)], column, kind).await;
        }
    }
    assert_eq!(log.findings().await, [], "everything was put back");
    assert!(ways > 1_000, "{ways} changes, each found");
}

#[tokio::test]
async fn every_changed_byte_of_a_small_log_is_found_in_sqlite() {
    every_changed_byte_is_found(Log::sqlite().await, usize::MAX).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_changed_byte_of_a_small_log_is_found_in_postgres() {
    if let Some(log) = Log::postgres().await {
        every_changed_byte_is_found(log, 1).await;
    }
}

/// Tiles above tiles, entries that are gone, and changes that agree with each other.
#[tokio::test]
async fn a_larger_log_is_looked_at_up_to_its_root() {
    let mut log = Log::sqlite().await;
    grow(&log.instance, 700).await;
    assert_eq!(log.findings().await, []);
    let size = log.indexes().await.len();
    assert!(size > 700);
    for (keys, check) in
        [([("level", 0), ("idx", 1)], IntegrityCheck::TileHash), ([("level", 1), ("idx", 0)], IntegrityCheck::TileHash)]
    {
        let read = Kind::Bytes.read(&log.raw, "hashes");
        let at = format!("tenant_id = '{PLATFORM}' AND level = {} AND idx = {}", keys[0].1, keys[1].1);
        let stored = log.raw.texts(&format!("SELECT {read} FROM audit_tiles WHERE {at}")).await.remove(0).unwrap();
        let Cell::Bytes(bytes) = Cell::parse(Kind::Bytes, &stored) else { panic!() };
        for changed in [0, 31, 40, bytes.len() - 1] {
            let mut bad = bytes.clone();
            bad[changed] ^= 0x80;
            let literal = Kind::Bytes.literal(&log.raw, &Cell::Bytes(bad));
            log.raw.run(&format!("UPDATE audit_tiles SET hashes = {literal} WHERE {at}")).await.unwrap();
            let found = log.findings().await;
            assert!(found.iter().any(|finding| finding.check == check), "{at} {changed}: {found:?}");
        }
        for wrong in [bytes[..bytes.len() - 32].to_vec(), [&bytes[..], &[0; 32]].concat()] {
            let literal = Kind::Bytes.literal(&log.raw, &Cell::Bytes(wrong));
            log.raw.run(&format!("UPDATE audit_tiles SET hashes = {literal} WHERE {at}")).await.unwrap();
            assert!(!log.findings().await.is_empty(), "a tile of another width: {at}");
        }
        let literal = Kind::Bytes.literal(&log.raw, &Cell::Bytes(bytes));
        log.raw.run(&format!("UPDATE audit_tiles SET hashes = {literal} WHERE {at}")).await.unwrap();
    }
    assert_eq!(log.findings().await, []);

    // An entry whose hash beside it agrees with the forged bytes: the tile tells.
    let entry = format!("tenant_id = '{PLATFORM}' AND idx = 300");
    log.raw.run("CREATE TABLE kept AS SELECT * FROM audit_events").await.unwrap();
    let core = log.raw.texts(&format!("SELECT core FROM audit_events WHERE {entry}")).await.remove(0).unwrap();
    let forged = core.replace("test-", "tost-");
    let hash = HEXLOWER.encode(&chancery_crypto::merkle::leaf_hash(forged.as_bytes()));
    let literal = Kind::Text.literal(&log.raw, &Cell::Bytes(forged.into_bytes()));
    let forge = format!("UPDATE audit_events SET core = {literal}, leaf_hash = x'{hash}' WHERE {entry}");
    log.raw.run(&forge).await.unwrap();
    let found = log.findings().await;
    assert_eq!(found, [guard::Finding { check: IntegrityCheck::TileHash, at: 300 }]);
    // An entry that is gone, and one that nobody wrote.
    log.raw.run(&format!("DELETE FROM audit_events WHERE {entry}")).await.unwrap();
    assert_eq!(log.findings().await, [guard::Finding { check: IntegrityCheck::EntryMissing, at: 300 }]);
    log.raw.run(&format!("INSERT INTO audit_events SELECT * FROM kept WHERE {entry}")).await.unwrap();
    assert_eq!(log.findings().await, []);
    let beyond = format!("UPDATE audit_events SET idx = {} WHERE {entry}", size + 5);
    log.raw.run(&beyond).await.unwrap();
    let checks: Vec<_> = log.findings().await.into_iter().map(|finding| finding.check).collect();
    assert_eq!(checks, [IntegrityCheck::EntryBeyondHead, IntegrityCheck::EntryMissing]);
}

/// What was changed between the sequencer and the signature is not signed over.
#[tokio::test]
async fn a_changed_row_is_not_signed_over() {
    let mut log = Log::sqlite().await;
    grow(&log.instance, 3).await;
    refusals::count_anonymous(&log.instance, "one-more", None, NetClass::Private);
    refusals::flush_anonymous(&log.instance).await.unwrap();
    let head = chancery_domain::audit::sequence(&log.instance, PLATFORM).await.unwrap();
    let last = format!("tenant_id = '{PLATFORM}' AND idx = {}", head.size - 1);
    log.raw.run(&format!("UPDATE audit_events SET actor = 'someone' WHERE {last}")).await.unwrap();
    let refused = sequence::checkpoint(&log.instance, PLATFORM).await;
    assert!(matches!(refused, Err(SequenceError::Forked(_))), "{refused:?}");
    assert_eq!(log.instance.forked_log(), Some(PLATFORM));
    log.raw.run(&format!("UPDATE audit_events SET actor = 'system' WHERE {last}")).await.unwrap();
    assert_eq!(sequence::checkpoint(&log.instance, PLATFORM).await.unwrap().size, head.size);
    assert_eq!(log.instance.forked_log(), None);
}

/// A finding is an event, is counted, and keeps the process from being ready until a whole cycle is clean; also over a restart.
#[tokio::test]
async fn a_finding_is_told_counted_and_remembered() {
    let mut log = Log::sqlite().await;
    grow(&log.instance, 3).await;
    let third = format!("tenant_id = '{PLATFORM}' AND idx = 2");
    log.raw.run(&format!("UPDATE audit_events SET outcome = outcome + 1 WHERE {third}")).await.unwrap();
    let step = guard::step(&log.instance, PLATFORM, u64::MAX).await.unwrap();
    assert_eq!(step.found, [guard::Finding { check: IntegrityCheck::EntryColumns, at: 2 }]);
    assert!(step.ended);
    assert_eq!(log.instance.guard().damaged_log(), Some(PLATFORM));
    let counted = log.instance.guard().failures().find(|(check, _)| *check == IntegrityCheck::EntryColumns);
    assert_eq!(counted, Some((IntegrityCheck::EntryColumns, 1)));
    chancery_domain::audit::sequence(&log.instance, PLATFORM).await.unwrap();
    let told = "SELECT core FROM audit_events WHERE kind = 'log.integrity_failed'";
    let told = log.raw.texts(told).await;
    assert!(told.len() == 1 && told[0].as_ref().unwrap().contains("\"check\":\"entry_columns\""), "{told:?}");
    // Another process begins.
    let again = log.another().await;
    assert_eq!(again.guard().damaged_log(), None, "it has not looked yet");
    guard::due(&again, PLATFORM).await.unwrap();
    assert_eq!(again.guard().damaged_log(), Some(PLATFORM));
    log.raw.run(&format!("UPDATE audit_events SET outcome = outcome - 1 WHERE {third}")).await.unwrap();
    assert_eq!(guard::step(&again, PLATFORM, u64::MAX).await.unwrap().found, []);
    assert_eq!(again.guard().damaged_log(), None);
}

/// Several tests over each engine.
macro_rules! on_both {
    ($($sqlite:ident $postgres:ident $test:ident,)+) => {
        $(
            #[tokio::test]
            async fn $sqlite() {
                $test(Log::sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn $postgres() {
                if let Some(log) = Log::postgres().await {
                    $test(log).await;
                }
            }
        )+
    };
}

on_both! {
    a_position_in_sqlite_hides_no_old_entry a_position_in_postgres_hides_no_old_entry hides_no_old_entry,
    a_row_in_sqlite_hides_no_finding a_row_in_postgres_hides_no_finding hides_no_finding,
    a_clean_look_of_another_process_is_enough_in_sqlite a_clean_look_of_another_process_is_enough_in_postgres
        a_clean_look_of_another_process_is_enough,
    a_position_beside_the_pins_goes_on_in_sqlite a_position_beside_the_pins_goes_on_in_postgres goes_on_beside_the_pins,
}

/// Whoever holds the store writes there that all up to the end was looked at a moment ago.
async fn hides_no_old_entry(mut log: Log) {
    grow(&log.instance, 3).await;
    let step = guard::step(&log.instance, PLATFORM, u64::MAX).await.unwrap();
    assert!(step.ended && step.found.is_empty(), "{step:?}");
    let second = format!("tenant_id = '{PLATFORM}' AND idx = 1");
    log.raw.run(&format!("UPDATE audit_events SET outcome = outcome + 1 WHERE {second}")).await.unwrap();
    let forge =
        "UPDATE audit_scrubs SET tile = 1000000, checkpoint_size = 4000000000, findings = 0, ended_findings = 0";
    assert_eq!(log.raw.run(&format!("{forge} WHERE tenant_id = '{PLATFORM}'")).await.unwrap(), 1);
    let again = log.another().await;
    assert!(guard::due(&again, PLATFORM).await.unwrap(), "a process begins anew");
    let step = guard::step(&again, PLATFORM, u64::MAX).await.unwrap();
    assert_eq!(step.found, [guard::Finding { check: IntegrityCheck::EntryColumns, at: 1 }]);
    // Neither does a row that is no position at all keep anybody from looking.
    log.raw.run(&format!("UPDATE audit_scrubs SET tile = -1 WHERE tenant_id = '{PLATFORM}'")).await.unwrap();
    let again = log.another().await;
    assert!(guard::due(&again, PLATFORM).await.unwrap());
    assert_eq!(guard::step(&again, PLATFORM, u64::MAX).await.unwrap().found.len(), 1);
}

/// Whoever holds the store writes there that nothing was found, or takes that row away: every process knows all the same.
async fn hides_no_finding(mut log: Log) {
    grow(&log.instance, 3).await;
    let running = log.another().await;
    guard::due(&running, PLATFORM).await.unwrap();
    assert_eq!(running.guard().damaged_log(), None);
    let ours = format!("tenant_id = '{PLATFORM}'");
    log.raw.run(&format!("UPDATE audit_events SET outcome = outcome + 1 WHERE {ours} AND idx = 1")).await.unwrap();
    assert_eq!(guard::step(&log.instance, PLATFORM, u64::MAX).await.unwrap().found.len(), 1);
    for forge in ["UPDATE audit_scrubs SET findings = 0, ended_findings = 0", "DELETE FROM audit_scrubs"] {
        assert_eq!(log.raw.run(&format!("{forge} WHERE {ours}")).await.unwrap(), 1);
        for process in [&running, &log.another().await] {
            guard::due(process, PLATFORM).await.unwrap();
            assert_eq!(process.guard().damaged_log(), Some(PLATFORM), "{forge}");
        }
    }
}

/// Whoever found it, and whoever saw that it is gone: every process knows.
async fn a_clean_look_of_another_process_is_enough(mut log: Log) {
    grow(&log.instance, 3).await;
    let other = log.another().await;
    let second = format!("tenant_id = '{PLATFORM}' AND idx = 1");
    log.raw.run(&format!("UPDATE audit_events SET outcome = outcome + 1 WHERE {second}")).await.unwrap();
    assert_eq!(guard::step(&log.instance, PLATFORM, u64::MAX).await.unwrap().found.len(), 1);
    guard::due(&other, PLATFORM).await.unwrap();
    assert_eq!(other.guard().damaged_log(), Some(PLATFORM));
    log.raw.run(&format!("UPDATE audit_events SET outcome = outcome - 1 WHERE {second}")).await.unwrap();
    guard::due(&other, PLATFORM).await.unwrap();
    assert_eq!(other.guard().damaged_log(), Some(PLATFORM), "nobody has looked since");
    guard::begin_again(&log.instance, PLATFORM);
    assert_eq!(guard::step(&log.instance, PLATFORM, u64::MAX).await.unwrap().found, []);
    assert_eq!(log.instance.guard().damaged_log(), None);
    guard::due(&other, PLATFORM).await.unwrap();
    assert_eq!(other.guard().damaged_log(), None);
    // And a row alone does not say that a log is damaged.
    log.raw.run(&format!("UPDATE audit_scrubs SET ended_findings = 9 WHERE tenant_id = '{PLATFORM}'")).await.unwrap();
    guard::due(&other, PLATFORM).await.unwrap();
    assert_eq!(other.guard().damaged_log(), None);
}

/// A log that takes longer than a process lives is still looked at to its end; what a process has not seen itself it says.
async fn goes_on_beside_the_pins(mut log: Log) {
    grow(&log.instance, 700).await;
    let flags = Flags { dev: true, data: Some(log.folder.path().to_owned()), ..Flags::default() };
    let (config, _) = Config::load(&flags, &[]).unwrap();
    let pins = || Arc::new(PinFolder::open(&config.audit).unwrap());
    log.instance.guard().pin_at(pins());
    sequence::checkpoint(&log.instance, PLATFORM).await.unwrap();
    assert!(!guard::step(&log.instance, PLATFORM, 1).await.unwrap().ended, "a tile");

    let next = log.another().await;
    next.guard().pin_at(pins());
    assert!(guard::due(&next, PLATFORM).await.unwrap());
    let step = guard::step(&next, PLATFORM, u64::MAX).await.unwrap();
    assert!(step.ended && step.found.is_empty(), "{step:?}");
    let told = log.told("log.scrubbed").await;
    assert_eq!((&told["first"], &told["end"]), (&serde_json::json!(256), &told["size"]), "{told}");
    // It does not rest before it has seen the beginning itself.
    assert!(guard::due(&next, PLATFORM).await.unwrap());
    assert!(guard::step(&next, PLATFORM, u64::MAX).await.unwrap().ended);
    let told = log.told("log.scrubbed").await;
    assert_eq!((&told["first"], &told["end"]), (&serde_json::json!(0), &told["size"]), "{told}");
    assert!(!guard::due(&next, PLATFORM).await.unwrap());
    // What was done by the end is done again by the next one.
    let third = log.another().await;
    third.guard().pin_at(pins());
    assert!(guard::due(&third, PLATFORM).await.unwrap());
    assert!(guard::step(&third, PLATFORM, u64::MAX).await.unwrap().rows > 700);
}
