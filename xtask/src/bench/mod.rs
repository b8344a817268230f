//! `cargo xtask bench`: how fast, next to peers measured in the same run on the same machine. Ratios count.

mod audit;
mod criterion;
mod edge;
mod load;
pub(crate) mod measured;
mod peers;
mod printed;
mod report;
pub(crate) mod soak;

use std::fs;

use anyhow::{Context as _, Result};

use audit::{Log, Pack};
use criterion::Times;
use edge::Edge;
use load::Load;
use peers::Peers;
use printed::Printed;
use report::{Row, Target};

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Build the peer `ironcore-alloy` if it is not there yet; that takes minutes
    #[arg(long)]
    alloy: bool,
    /// How long each load run presses, in seconds
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Measure the gateway next to other proxies alone, and write nothing
    #[arg(long)]
    edge: bool,
    /// Leave out the load runs, and what takes minutes: keys in memory, an application's table, a re-seal, the audit log
    #[arg(long)]
    no_load: bool,
}

/// Measures, and writes `docs/performance.md`.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.edge {
        println!("{}", report::page(&Edge::measure(options.seconds).rows(), &report::busy()));
        return Ok(());
    }
    let busy = report::busy();
    // Read first: a fault in it would be found after hours.
    let long_runs = measured::table()?;
    // One after the other: they would disturb each other.
    let times = criterion::run().map_err(reason);
    crate::process::pause(std::time::Duration::ZERO)?;
    let peers = Peers::measure(options.alloy);
    crate::process::pause(std::time::Duration::ZERO)?;
    let load = if options.no_load { Load::left_out() } else { Load::measure(options.seconds) };
    crate::process::pause(std::time::Duration::ZERO)?;
    let printed = if options.no_load { None } else { Some(Printed::measure()) };
    crate::process::pause(std::time::Duration::ZERO)?;
    let logs = if options.no_load { Vec::new() } else { Log::measure() };
    let pack = if options.no_load { None } else { Some(Pack::measure()) };
    crate::process::pause(std::time::Duration::ZERO)?;
    let edge = if options.no_load { None } else { Some(Edge::measure(options.seconds)) };
    crate::process::pause(std::time::Duration::ZERO)?;
    let mut rows = rows(&times, &peers, &load);
    rows.extend(printed.iter().flat_map(in_use));
    rows.extend(logs.iter().flat_map(Log::rows));
    rows.extend(pack.iter().flat_map(Pack::rows));
    rows.extend(edge.iter().flat_map(Edge::rows));
    let page = report::page(&rows, &busy) + &long_runs;
    let path = report::path();
    fs::write(&path, &page).with_context(|| format!("could not write {}", path.display()))?;
    println!("\n{page}");
    Ok(())
}

// What is known of why a target is missed.
const RANDOM: &str = "A seal draws 32 random bytes from AWS-LC's generator, 250 to 350 ns that the peers' nonces of 12 bytes do not take \
    in full; they are not drawn ahead, for a snapshot of a virtual machine would give them out twice.";
const DURABLE: &str = "Each request waits for an event that is on the disk: queued, put into a Merkle log, indexed three ways. The seal itself is \
    3 of about 130 µs (profile of one item: SQLite's thread 23 %, allocation and copies 22 %, the kernel 13 %). Load generator and server share \
    two cores, a quarter of which wait for the disk.";
const TENANTS: &str = "About 38 MB are pages of the program's own file (measured on a server under load), which the system may drop; \
    keys and callers take some 25 kB a tenant.";
const WIDE: &str = "Rows are wider and lie in memory behind no network; each value that is opened adds 1 to 2 µs. With a network \
    between application and database the same microseconds are a few percent: see the row 0.5 ms away.";
const RESEAL: &str = "Plain rewriting is one statement; a re-seal opens, seals and files each value, writes them through the job's own \
    connection with a comparison of the old one, and reads them back.";
const JUDGED: &str = "A request has three counters read with `MGET`, judged in Lua and written with `SETRANGE`, where the peer's script \
    does nothing, and Redis does one thing at a time. Those that ask together go in one call: one of 16 requests holds Redis for 65 µs, \
    one of the peer's for 1 (ADR 0029).";
const KNOWN_TOKEN: &str = "0.8 µs of it are the SHA-256 of its 700 letters, by which it is known; an API key has 60.";
const NEW_CALLER: &str = "The rest is the look-up of the holder in the store: its session or key, its tenant, and what was revoked; five \
    statements of SQLite.";

/// How often short measurements run: the machine's other work comes in waves that are longer than one of them.
const PASSES: usize = 3;

/// Why a number is missing.
type Measured = Result<f64, String>;

/// Why, as a cell of the table has room for; all of it goes to the terminal.
fn reason(error: anyhow::Error) -> String {
    let reason = format!("{error:#}");
    eprintln!("not measured: {reason}");
    reason
}

fn rows(times: &Result<Times, String>, peers: &Peers, load: &Load) -> Vec<Row> {
    let time = |name: &str| -> Measured { times.as_ref().map_err(Clone::clone)?.of(name) };
    let (lone, bare) = (time(criterion::SEAL_AND_OPEN), time(criterion::BARE));
    let (record, term) = (time(criterion::RECORD), time(criterion::TERM));
    let ten_lone = lone.clone().map(|lone| lone * 10.0);
    let one = "seal, then open, one 64-byte field";
    let ten = "row of 10 fields of 64 bytes, record profile";
    let [rounds, more_rounds] = criterion::PBKDF2.map(time);
    let cipher = time(criterion::GCM_MEBIBYTE).map(|time| f64::from(8_u32 << 20) / time);
    let (cold, warm) = (load.cold_ms.clone(), load.warm_ms.clone());
    let single = "`POST /v1/seal`, 1 item, 256 connections, SQLite";
    vec![
        Row::times(one, &lone, "bare AES-256-GCM of aws-lc-rs with key schedule", &bare, Target::AtMost(4.0))
            .because(RANDOM),
        Row::times(one, &lone, "`ironcore-alloy` standard document", &peers.alloy_one, Target::FasterBy(3.0))
            .because(RANDOM),
        Row::times(one, &lone, "Fernet of Python's `cryptography`", &peers.fernet, Target::FasterBy(12.0)),
        Row::times(ten, &record, "ten lone fields", &ten_lone, Target::AtMost(0.4)),
        Row::times(ten, &record, "`ironcore-alloy` standard document", &peers.alloy_ten, Target::FasterBy(6.0))
            .because(RANDOM),
        Row::rate("blind index term", "terms/s per core", &term.map(|term| 1e9 / term), 1e6),
        Row::limit(
            "one field sealed and opened, keys in memory (PF-02)",
            "µs",
            &lone.clone().map(|time| time / 1e3),
            200.0,
        ),
        Row::times(
            "column key from its root (PF-07)",
            &time(criterion::COLUMN_KEY),
            "PBKDF2 of 100,000 rounds",
            &rounds,
            Target::AtMost(0.01),
        ),
        Row::times("PBKDF2 of 120,000 rounds (PF-10)", &more_rounds, "100,000 rounds", &rounds, Target::AtMost(1.25)),
        Row::rate("AES-256-GCM, 1 MiB, one core (PF-08)", "Gb/s", &cipher, 2.0),
        Row::limit("first `POST /v1/seal` of a tenant whose keys are not in memory, median (PF-07)", "ms", &cold, 50.0),
        Row::limit("the second of the same tenant, median", "ms", &warm, 10.0),
        Row::share(single, "requests/s", &load.single, "an empty axum handler", &load.empty, 0.5).because(DURABLE),
        Row::rate("`POST /v1/seal`, 100 items, SQLite", "items/s on this machine", &load.hundred, 300e3)
            .because(DURABLE),
        Row::limit("cold start to ready, SQLite", "ms", &load.start_ms, 300.0),
        Row::limit("idle memory, SQLite", "MB", &load.idle_mb, 60.0),
    ]
}

/// How an application and an operator fare.
fn in_use(printed: &Printed) -> Vec<Row> {
    let Printed {
        warm,
        cold,
        evicting,
        resident_mb,
        callers,
        limits_local,
        limits_redis,
        evalsha,
        slower: [sqlite, postgres, far],
        revoked_ms,
        reseal,
        rewrite,
    } = printed;
    let four = "four fields sealed through the API's router, another tenant's keys must make room";
    let pf04 = |database| format!("an application's queries on a sealed table, {database} (PF-04)");
    let micro = |time: &Measured| time.clone().map(|time| time / 1e3);
    let mut rows = vec![
        Row::times(four, evicting, "the same with room for all", cold, Target::AtMost(1.25)),
        Row::times("four fields sealed, keys not in memory", cold, "keys in memory", warm, Target::AtMost(10.0)),
        Row::limit("10,000 tenants in Zipf traffic, resident memory", "MB", resident_mb, 300.0).because(TENANTS),
        Row::limit(&pf04("SQLite"), "% slower than plain", sqlite, 10.0).because(WIDE),
        Row::limit(&pf04("PostgreSQL"), "% slower than plain", postgres, 10.0).because(WIDE),
        Row::limit(&pf04("PostgreSQL 0.5 ms away"), "% slower than plain", far, 10.0).because(WIDE),
        Row::share(
            "re-seal of a registered PostgreSQL table, 1 column and its terms",
            "rows/s",
            reseal,
            "the same rows read and written back as they are",
            rewrite,
            0.25,
        )
        .because(RESEAL),
    ];
    rows.extend([
        Row::limit("three limits judged in process (PF-03)", "µs", &micro(limits_local), 0.5),
        Row::share(
            "three limits judged over Redis, one call",
            "requests/s",
            limits_redis,
            "`EVALSHA` of a script that does nothing",
            evalsha,
            0.8,
        )
        .because(JUDGED),
        Row::limit("authenticate an API key that is known (PF-01)", "µs", &micro(&callers.api_key_known), 2.0),
        Row::limit("authenticate an access token that is known", "µs", &micro(&callers.token_known), 2.0)
            .because(KNOWN_TOKEN),
        Row::times(
            "authenticate an access token that is new (PF-06)",
            &callers.token_new,
            "its ES256 signature check alone",
            &callers.es256,
            Target::AtMost(1.3),
        )
        .because(NEW_CALLER),
        Row::rate(
            "`POST /oauth2/introspect` through the API's router, one caller",
            "requests/s",
            &callers.introspection.clone().map(|time| 1e9 / time),
            1_000.0,
        ),
        Row::times(
            "`POST /v1/auth/login` through the API's router (PF-05, PF-09)",
            &callers.login,
            "its Argon2id hash alone",
            &callers.argon2,
            Target::AtMost(1.2),
        ),
        Row::limit(
            "from a revocation to its refusal on 2 nodes over PostgreSQL, p99",
            "ms",
            revoked_ms,
            crate::proof::REVOKED_WITHIN_MS,
        ),
        Row::limit("the same login", "ms", &callers.login.clone().map(|time| time / 1e6), 200.0),
    ]);
    rows
}
