//! PF-04: one application table, plain and sealed, under the same queries. `cargo bench -p chancery-sealed --bench pf04`.
//!
//! Two tables of the same 20,000 patients: ten columns, five of them personal. In one they are plain, in the other sealed, with a
//! term beside the e-mail; sealed columns are binary, the shorter of the two forms. The application does four things: shows a patient by id (name and e-mail are opened, the other three
//! sealed columns are read and stay closed), finds one by e-mail, lists a ward of twenty with their names, writes a phone number.
//! A load is 1,000 of them, 70 : 15 : 5 : 10, by two tasks on two connections; on SQLite on one, where a second writer would sleep
//! until the first is done. Plain and sealed take turns, forty rounds each
//! (`-- --rounds=N` for another number), so that a machine that is busy for a while disturbs both; what is reported is the median
//! of the rounds' ratios, with its quartiles. Everything goes through sqlx with prepared statements, as an application's code would.
//!
//! A database on the application's own machine answers in 60 to 80 µs, and every microsecond of ours is a percent. Most are not there:
//! PostgreSQL is measured once more behind a link that takes 0.5 ms there and back, as between two machines of one region.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement for a terminal: it stops where something is wrong"
)]

use std::{
    hint::black_box,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use chancery_sealed::{Column, Email, Indexed, Normalizer, PersonName, Phone, Sealed, Sealer, Stored};
use sqlx::{
    PgPool, Row as _, SqlitePool,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

const PATIENTS: usize = 20_000;
const WARD: usize = 20;
const LOAD: usize = 1_000;
const TASKS: usize = 2;
/// How long the link takes in each direction.
const LINK: Duration = Duration::from_micros(250);

macro_rules! columns {
    ($($name:ident: $type:ty = $column:literal;)+) => { $(
        struct $name;
        impl Column for $name {
            type Value = $type;
            const TABLE: &'static str = "patients";
            const COLUMN: &'static str = $column;
            const STORED: Stored = Stored::Bytes;
        }
    )+ };
}
columns! {
    Name: PersonName = "name";
    Mail: Email = "email";
    Call: Phone = "phone";
    Address: String = "address";
    Note: String = "note";
}
impl Indexed for Mail {
    const NORMALIZER: Normalizer = Normalizer::Email;
}

struct Person {
    id: String,
    name: String,
    email: String,
    phone: String,
    address: String,
    note: String,
}

fn person(number: usize) -> Person {
    Person {
        id: format!("patient-{number:06}"),
        name: format!("Ana{} Núñez{}", number % 977, number % 1_009),
        email: format!("ana{number}@example.org"),
        phone: format!("+1 555 {:07}", number * 13 % 10_000_000),
        address: format!("{} Main Street, Springfield {:05}", number % 999, number % 99_999),
        note: "Seen in the outpatient department; follow-up in six weeks, bring the medication list."
            .repeat(1 + number % 3),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Deed {
    Show,
    Find,
    List,
    Write,
}

/// What is measured: a mix, or one kind alone.
const LOADS: [(&str, Option<Deed>); 5] = [
    ("the mix", None),
    ("show by id, open 2 of 5", Some(Deed::Show)),
    ("find by e-mail, open 2", Some(Deed::Find)),
    ("list a ward, open 20 of 100", Some(Deed::List)),
    ("write a phone number", Some(Deed::Write)),
];

fn deed(step: usize) -> Deed {
    match step * 37 % 100 {
        0..70 => Deed::Show,
        70..85 => Deed::Find,
        85..90 => Deed::List,
        _ => Deed::Write,
    }
}

/// Which patient: spread over the table, the same for plain and sealed.
fn chosen(round: usize, step: usize) -> usize {
    (round * 7_919 + step * 104_729) % PATIENTS
}

const PLAIN_TABLE: &str = "CREATE TABLE pf04_plain (id TEXT PRIMARY KEY, ward INTEGER NOT NULL, beds INTEGER, admitted TEXT, \
    state TEXT, name TEXT, email TEXT, phone TEXT, address TEXT, note TEXT)";
macro_rules! sealed_table {
    ($bytes:literal) => {
        concat!(
            "CREATE TABLE pf04_sealed (id TEXT PRIMARY KEY, ward INTEGER NOT NULL, beds INTEGER, admitted TEXT, state TEXT, name ",
            $bytes, ", email ", $bytes, ", phone ", $bytes, ", address ", $bytes, ", note ", $bytes, ", email_term TEXT)"
        )
    };
}
const FIND: &str = "SELECT id, name, email FROM pf04_sealed WHERE email_term = $1";
const INDEXES: [&str; 4] = [
    "CREATE INDEX pf04_plain_email ON pf04_plain (email)",
    "CREATE INDEX pf04_plain_ward ON pf04_plain (ward)",
    "CREATE INDEX pf04_sealed_email ON pf04_sealed (email_term)",
    "CREATE INDEX pf04_sealed_ward ON pf04_sealed (ward)",
];
const DROP: [&str; 2] = ["DROP TABLE IF EXISTS pf04_plain", "DROP TABLE IF EXISTS pf04_sealed"];
const INSERT_PLAIN: &str = "INSERT INTO pf04_plain (id, ward, beds, admitted, state, name, email, phone, address, note) \
    VALUES ($1, $2, 2, '2026-01-01', 'in', $3, $4, $5, $6, $7)";
const INSERT_SEALED: &str = "INSERT INTO pf04_sealed (id, ward, beds, admitted, state, name, email, phone, address, note, email_term) \
    VALUES ($1, $2, 2, '2026-01-01', 'in', $3, $4, $5, $6, $7, $8)";

macro_rules! clinic {
    ($module:ident, $pool:ty, $bytes:literal, $find:literal) => {
        mod $module {
            use super::*;

            pub(super) async fn fill(pool: &$pool, sealer: &Sealer) {
                for statement in DROP.into_iter().chain([PLAIN_TABLE, sealed_table!($bytes)]) {
                    sqlx::query(statement).execute(pool).await.unwrap();
                }
                let mut tx = pool.begin().await.unwrap();
                for number in 0..PATIENTS {
                    let Person { id, name, email, phone, address, note } = person(number);
                    let ward = i64::try_from(number / WARD).unwrap();
                    sqlx::query(INSERT_PLAIN)
                        .bind(&id)
                        .bind(ward)
                        .bind(&name)
                        .bind(&email)
                        .bind(&phone)
                        .bind(&address)
                        .bind(&note)
                        .execute(&mut *tx)
                        .await
                        .unwrap();
                    let email = Email::parse(&email).unwrap();
                    sqlx::query(INSERT_SEALED)
                        .bind(&id)
                        .bind(ward)
                        .bind(Sealed::<Name>::seal(sealer, &id, &PersonName::parse(&name).unwrap()).unwrap())
                        .bind(Sealed::<Mail>::seal(sealer, &id, &email).unwrap())
                        .bind(Sealed::<Call>::seal(sealer, &id, &Phone::parse(&phone).unwrap()).unwrap())
                        .bind(Sealed::<Address>::seal(sealer, &id, &address).unwrap())
                        .bind(Sealed::<Note>::seal(sealer, &id, &note).unwrap())
                        .bind(sealer.term::<Mail>(&email).unwrap())
                        .execute(&mut *tx)
                        .await
                        .unwrap();
                }
                tx.commit().await.unwrap();
                for statement in INDEXES.into_iter().chain(["ANALYZE"]) {
                    sqlx::query(statement).execute(pool).await.unwrap();
                }
            }

            pub(super) async fn clear(pool: &$pool) {
                for statement in DROP {
                    sqlx::query(statement).execute(pool).await.unwrap();
                }
            }

            async fn plain(pool: &$pool, deed: Deed, number: usize) {
                let person = person(number);
                match deed {
                    Deed::Show => {
                        let row = sqlx::query("SELECT * FROM pf04_plain WHERE id = $1")
                            .bind(&person.id)
                            .fetch_one(pool)
                            .await
                            .unwrap();
                        let all: [String; 5] =
                            ["name", "email", "phone", "address", "note"].map(|column| row.get(column));
                        assert!(black_box(&all)[1] == person.email);
                    }
                    Deed::Find => {
                        let rows = sqlx::query("SELECT id, name, email FROM pf04_plain WHERE email = $1")
                            .bind(&person.email)
                            .fetch_all(pool)
                            .await
                            .unwrap();
                        let (name, email): (String, String) = (rows[0].get("name"), rows[0].get("email"));
                        assert!(rows.len() == 1 && black_box(name) == person.name && email == person.email);
                    }
                    Deed::List => {
                        let rows =
                            sqlx::query("SELECT id, name, email, phone, address, note FROM pf04_plain WHERE ward = $1")
                                .bind(i64::try_from(number / WARD).unwrap())
                                .fetch_all(pool)
                                .await
                                .unwrap();
                        for row in &rows {
                            let all: [String; 5] =
                                ["name", "email", "phone", "address", "note"].map(|column| row.get(column));
                            black_box(&all);
                        }
                        assert!(rows.len() == WARD);
                    }
                    Deed::Write => {
                        let done = sqlx::query("UPDATE pf04_plain SET phone = $1 WHERE id = $2")
                            .bind(&person.phone)
                            .bind(&person.id)
                            .execute(pool)
                            .await
                            .unwrap();
                        assert!(done.rows_affected() == 1);
                    }
                }
            }

            async fn sealed(pool: &$pool, sealer: &Sealer, deed: Deed, number: usize) {
                let person = person(number);
                let opener = sealer.unaudited("a measurement");
                match deed {
                    Deed::Show => {
                        let row = sqlx::query("SELECT * FROM pf04_sealed WHERE id = $1")
                            .bind(&person.id)
                            .fetch_one(pool)
                            .await
                            .unwrap();
                        let (name, email): (Sealed<Name>, Sealed<Mail>) = (row.get("name"), row.get("email"));
                        let (phone, address): (Sealed<Call>, Sealed<Address>) = (row.get("phone"), row.get("address"));
                        black_box((phone, address, row.get::<Sealed<Note>, _>("note")));
                        black_box(name.open(&opener, &person.id).unwrap());
                        assert!(email.open(&opener, &person.id).unwrap().expose().as_str() == person.email);
                    }
                    Deed::Find => {
                        let wanted = Email::parse(&person.email).unwrap();
                        let terms = sealer.terms::<Mail>(&wanted).unwrap();
                        let rows = match terms.only() {
                            Some(term) => sqlx::query(FIND).bind(term.clone()).fetch_all(pool).await.unwrap(),
                            None => sqlx::query($find).bind(terms).fetch_all(pool).await.unwrap(),
                        };
                        let (name, email): (Sealed<Name>, Sealed<Mail>) = (rows[0].get("name"), rows[0].get("email"));
                        assert!(Mail::same(email.open(&opener, &person.id).unwrap().expose(), &wanted));
                        let name = name.open(&opener, &person.id).unwrap();
                        assert!(rows.len() == 1 && black_box(name).expose().as_str() == person.name);
                    }
                    Deed::List => {
                        let rows = sqlx::query(
                            "SELECT id, name, email, phone, address, note FROM pf04_sealed WHERE ward = $1",
                        )
                        .bind(i64::try_from(number / WARD).unwrap())
                        .fetch_all(pool)
                        .await
                        .unwrap();
                        for row in &rows {
                            let (id, name): (String, Sealed<Name>) = (row.get("id"), row.get("name"));
                            let (email, phone): (Sealed<Mail>, Sealed<Call>) = (row.get("email"), row.get("phone"));
                            let (address, note): (Sealed<Address>, Sealed<Note>) =
                                (row.get("address"), row.get("note"));
                            black_box((email, phone, address, note));
                            black_box(name.open(&opener, id).unwrap());
                        }
                        assert!(rows.len() == WARD);
                    }
                    Deed::Write => {
                        let phone = Phone::parse(&person.phone).unwrap();
                        let done = sqlx::query("UPDATE pf04_sealed SET phone = $1 WHERE id = $2")
                            .bind(Sealed::<Call>::seal(sealer, &person.id, &phone).unwrap())
                            .bind(&person.id)
                            .execute(pool)
                            .await
                            .unwrap();
                        assert!(done.rows_affected() == 1);
                    }
                }
            }

            /// Times one load on one table.
            async fn time(pool: &$pool, sealer: Option<&Arc<Sealer>>, only: Option<Deed>, round: usize) -> Duration {
                let start = Instant::now();
                let tasks: Vec<_> = (0..TASKS)
                    .map(|task| {
                        let (pool, sealer) = (pool.clone(), sealer.cloned());
                        tokio::spawn(async move {
                            for step in (task..LOAD).step_by(TASKS) {
                                let (deed, number) = (only.unwrap_or_else(|| deed(step)), chosen(round, step));
                                match &sealer {
                                    None => plain(&pool, deed, number).await,
                                    Some(sealer) => sealed(&pool, sealer, deed, number).await,
                                }
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
                start.elapsed()
            }

            pub(super) async fn measure(database: &str, pool: &$pool, sealer: &Arc<Sealer>, rounds: usize) {
                for (name, only) in LOADS {
                    let mut pairs = Vec::new();
                    for round in 0..rounds + 2 {
                        // Who goes first takes turns too.
                        let (plain, sealed) = if round % 2 == 0 {
                            let plain = time(pool, None, only, round).await;
                            (plain, time(pool, Some(sealer), only, round).await)
                        } else {
                            let sealed = time(pool, Some(sealer), only, round).await;
                            (time(pool, None, only, round).await, sealed)
                        };
                        // The first two warm up.
                        if round >= 2 {
                            pairs.push((plain, sealed));
                        }
                    }
                    report(database, name, &pairs);
                }
            }
        }
    };
}

clinic!(
    sqlite,
    SqlitePool,
    "BLOB",
    "SELECT id, name, email FROM pf04_sealed WHERE email_term IN (SELECT value FROM json_each($1))"
);
clinic!(postgres, PgPool, "BYTEA", "SELECT id, name, email FROM pf04_sealed WHERE email_term = ANY($1)");

fn report(database: &str, name: &str, pairs: &[(Duration, Duration)]) {
    let sorted = |of: &dyn Fn(&(Duration, Duration)) -> f64| {
        let mut all: Vec<f64> = pairs.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    let each = |all: &[f64]| all[all.len() / 2] * 1e6 / LOAD as f64;
    let (plain, sealed) = (sorted(&|pair| pair.0.as_secs_f64()), sorted(&|pair| pair.1.as_secs_f64()));
    let slower = sorted(&|pair| (pair.1.as_secs_f64() / pair.0.as_secs_f64() - 1.0) * 100.0);
    println!(
        "| {database} | {name} | {:.1} µs | {:.1} µs | {:+.1} % | {:+.1} to {:+.1} % |",
        each(&plain),
        each(&sealed),
        slower[slower.len() / 2],
        slower[slower.len() / 4],
        slower[slower.len() * 3 / 4],
    );
}

/// A link to the local server at `port` that holds back whatever passes, in each direction, for [`LINK`]. Gives its own port.
fn link(port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", port)).unwrap());
            hold_back(client.try_clone().unwrap(), server.try_clone().unwrap());
            hold_back(server, client);
        }
    });
    own
}

/// Passes bytes on, each [`LINK`] after it came.
fn hold_back(mut from: TcpStream, mut to: TcpStream) {
    to.set_nodelay(true).unwrap();
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            sender.send((Instant::now(), buffer[..count].to_vec())).unwrap();
        }
    });
    thread::spawn(move || {
        for (came, bytes) in receiver {
            // A sleeping thread wakes some 50 µs late; the end is waited for awake, or the link would be slower than it says.
            thread::sleep((LINK - Duration::from_micros(80)).saturating_sub(came.elapsed()));
            while came.elapsed() < LINK {
                thread::yield_now();
            }
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let wanted = std::env::args().find_map(|argument| argument.strip_prefix("--rounds=")?.parse().ok());
    let rounds = wanted.unwrap_or(40);
    let folder = tempfile::tempdir().unwrap();
    let sealer = Arc::new(Sealer::create(folder.path().join("pf04.key")).unwrap());
    println!("| database | load | plain | sealed | slower (median) | quartiles |");
    println!("| --- | --- | --- | --- | --- | --- |");

    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("pf04.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(Duration::from_secs(30));
    let connections = u32::try_from(TASKS).unwrap();
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    sqlite::fill(&pool, &sealer).await;
    sqlite::measure("SQLite", &pool, &sealer, rounds).await;
    sqlite::clear(&pool).await;

    match std::env::var("CHANCERY_TEST_POSTGRES_URL") {
        Err(_) => println!("PostgreSQL was left out: run with `cargo xtask with-postgres --`"),
        Ok(url) => {
            // The server is private and its database empty: nobody may make tables in it yet.
            if let Ok(admin) = std::env::var("CHANCERY_TEST_POSTGRES_ADMIN_URL") {
                let pool = PgPoolOptions::new().max_connections(1).connect(&admin).await.unwrap();
                sqlx::query("GRANT CREATE, USAGE ON SCHEMA public TO PUBLIC").execute(&pool).await.unwrap();
            }
            let direct: PgConnectOptions = url.parse().unwrap();
            let far = direct.clone().port(link(direct.get_port()));
            let pool = |options| PgPoolOptions::new().max_connections(connections).connect_with(options);
            let (pool, far) = (pool(direct).await.unwrap(), pool(far).await.unwrap());
            postgres::fill(&pool, &sealer).await;
            postgres::measure("PostgreSQL", &pool, &sealer, rounds).await;
            postgres::measure("PostgreSQL at 0.5 ms", &far, &sealer, rounds).await;
            postgres::clear(&pool).await;
        }
    }
}
