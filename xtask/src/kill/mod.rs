//! The crash test: `kill -9` at random moments under load; nothing that was acknowledged may be lost or doubled.
//!
//! On PostgreSQL some blows hit the database instead: connections are cut in the middle of whatever they do, one of its
//! processes is killed, upon which it ends all others and recovers from its log, or it is restarted. A campaign of its own is against a
//! PostgreSQL whose disk cannot be flushed for a moment, again and again.

mod ledger;
mod load;
mod merkle;

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::bench::measured::{self, count};
use crate::postgres::{Disk, Postgres, flush_library};
use crate::server::Server;
use crate::server::contract::{Client, Event};
use crate::{ambient, process, workspace};
use ledger::{Log, Promise};
use load::{Certificate, Clinic};

/// How to run it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// How often to kill, on each store
    #[arg(long, visible_alias = "kills", default_value_t = 50)]
    pub(crate) rounds: u32,
    /// So many events a second, in all: what single calls lack of them, batches of an application's events make up; 0 for single
    /// calls alone
    #[arg(long, default_value_t = 0)]
    pub(crate) rate: u64,
    /// Press so many milliseconds before a blow at most; the least is a fifteenth of it
    #[arg(long, default_value_t = 800)]
    pub(crate) press_ms: u64,
    /// Compare promises and log after so many kills, and at the end everything with everything
    #[arg(long, default_value_t = 5)]
    pub(crate) every: u32,
    /// Which stores
    #[arg(long, value_enum, default_value = "both")]
    pub(crate) store: Stores,
    /// Fail if the load reached less than nine tenths of the rate: then it was the machine that was pressed, and not the log
    #[arg(long)]
    pub(crate) strict: bool,
    /// On PostgreSQL: every other blow hits its disk, whose flushes fail for a moment
    #[arg(long)]
    pub(crate) flushes: bool,
    /// Both stores at one time: sooner done, but each has half the machine
    #[arg(long)]
    pub(crate) together: bool,
    /// Repeats the moments of an earlier run
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Use the optimised build
    #[arg(long)]
    pub(crate) release: bool,
    /// Test this program instead of building one
    #[arg(long)]
    pub(crate) binary: Option<PathBuf>,
    /// Keep the data folder, and say where it is
    #[arg(long)]
    pub(crate) keep: bool,
    /// Write what was seen into docs/measured.json and docs/performance.md
    #[arg(long)]
    pub(crate) record: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rounds: 50,
            rate: 0,
            press_ms: 800,
            every: 5,
            store: Stores::Both,
            strict: false,
            flushes: false,
            together: false,
            seed: None,
            release: false,
            binary: None,
            keep: false,
            record: false,
        }
    }
}

/// Which stores to test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stores {
    Sqlite,
    Postgres,
    Both,
}

/// Runs the crash test, on a PostgreSQL that is already there if one is given.
pub(crate) fn run(options: &Options, postgres: Option<&Postgres>) -> Result<()> {
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => workspace::build_server(options.release)?,
    };
    let seed = match options.seed {
        Some(seed) => seed,
        None => u64::from_le_bytes(ambient::random()?),
    };
    println!("seed {seed}");
    let sqlite = || match options.store {
        Stores::Postgres => Ok(()),
        _ => campaign(options, seed, "SQLite", Server::prepare(&binary, None, options.keep)?, None),
    };
    let postgres = || match options.store {
        Stores::Sqlite => Ok(()),
        _ => on_postgres(options, seed, &binary, postgres),
    };
    if !options.together {
        return sqlite().and_then(|()| postgres());
    }
    thread::scope(|scope| {
        let beside = scope.spawn(sqlite);
        let postgres = postgres();
        let Ok(sqlite) = beside.join() else { bail!("the campaign on SQLite panicked") };
        // Of two failures both are told.
        if let (Err(error), Err(_)) = (&sqlite, &postgres) {
            println!("{error:#}");
        }
        postgres.and(sqlite)
    })
}

/// The campaign on PostgreSQL: on this one, or on one of its own.
fn on_postgres(options: &Options, seed: u64, binary: &Path, postgres: Option<&Postgres>) -> Result<()> {
    let started = match postgres {
        _ if options.flushes => Some(Postgres::start_on(Disk::Failing { library: flush_library()? })?),
        None => Some(Postgres::start()?),
        Some(_) => None,
    };
    let postgres = started.as_ref().or(postgres).context("PostgreSQL is gone again")?;
    let database = format!("crash_{:016x}", u64::from_le_bytes(ambient::random()?));
    postgres.make_database(&database)?;
    let server = Server::prepare(binary, Some(&postgres.url(&database)), options.keep)?;
    campaign(options, seed, "PostgreSQL", server, Some((postgres, &database)))
}

/// What is known of one tenant.
struct Book {
    clinic: Clinic,
    log: Log,
    promises: Vec<Promise>,
    certificates: Vec<Certificate>,
    /// Before the first entry.
    beginning: String,
    /// All entries before this moment were seen.
    since: String,
    /// So many promises and certificates were compared with the log.
    compared: (usize, usize),
}

/// What hits whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    /// The server is killed.
    Kill,
    /// Every connection to the database is cut, again and again.
    Cut,
    /// A process of the database is killed.
    Crash,
    /// The database is stopped and started again.
    Restart,
    /// The database cannot flush what it writes for a moment.
    Flush,
}

impl Blow {
    /// Three of ten hit the database, if there is one to hit; or every other one its disk.
    fn of(round: u32, database: bool, flushes: bool) -> Self {
        match round % 10 {
            odd if database && flushes && odd % 2 == 1 => Self::Flush,
            _ if flushes => Self::Kill,
            2 if database => Self::Restart,
            4 if database => Self::Cut,
            9 if database => Self::Crash,
            _ => Self::Kill,
        }
    }
}

/// At the end so many certificates of each tenant are read and verified again; their events are all compared.
const CERTIFICATES: usize = 300;

fn campaign(
    options: &Options,
    seed: u64,
    store: &str,
    mut server: Server,
    database: Option<(&Postgres, &str)>,
) -> Result<()> {
    let mut random = Random(seed);
    server.start()?;
    let beginning = ambient::from_now(-3600)?;
    let mut books = Vec::new();
    for slug in ["crash-one", "crash-two"] {
        let clinic = Clinic::open(&server.admin()?, slug).with_context(|| server.log_end())?;
        books.push(Book {
            clinic,
            log: Log::default(),
            promises: Vec::new(),
            certificates: Vec::new(),
            beginning: beginning.clone(),
            since: beginning.clone(),
            compared: (0, 0),
        });
    }
    let (start, mut pressed, mut under_load) = (Instant::now(), Duration::ZERO, 0);
    for round in 1..=options.rounds {
        // Now and then the server dies while it recovers, too.
        if random.below(8) == 0 {
            server.kill()?;
            server.launch()?;
            process::pause(Duration::from_millis(random.below(250)))?;
            server.kill()?;
            server.start()?;
        }
        let least = options.press_ms.max(15) / 15;
        let moment =
            Duration::from_millis(least + random.below((options.press_ms - least.min(options.press_ms)).max(1)));
        let blow = Blow::of(round, database.is_some(), options.flushes);
        let before = promised(&books);
        let clinics: Vec<&Clinic> = books.iter().map(|book| &book.clinic).collect();
        let harvests = load::drive(&clinics, u64::from(round), options.rate, || {
            process::pause(moment)?;
            match (blow, database) {
                (Blow::Cut, Some((postgres, _))) => cut(postgres),
                (Blow::Crash, Some((postgres, _))) => postgres.crash(),
                (Blow::Restart, Some((postgres, _))) => postgres.restart(),
                (Blow::Flush, Some((postgres, _))) => postgres.fail_flushes(),
                _ => server.kill(),
            }
        })?;
        let mut faults = Vec::new();
        for (book, harvest) in books.iter_mut().zip(harvests) {
            faults.extend(harvest.faults);
            book.promises.extend(harvest.promises);
            book.certificates.extend(harvest.certificates);
        }
        // The rate is told of rounds that the server's death ends: until then nothing stood in its way.
        if blow == Blow::Kill {
            pressed += moment;
            under_load += promised(&books) - before;
        }
        // A server that is started while the database recovers ends, and says why; this is about what was promised.
        if let Some((postgres, _)) = database {
            postgres.wait_until_ready()?;
        }
        let up = if blow == Blow::Kill { server.start() } else { server.wait_until_ready() };
        up.with_context(|| format!("round {round}: not ready again after {blow:?}"))?;
        // What was promised since the last look against that part of the log; everything against everything at the end.
        let last = round == options.rounds;
        if last || round % options.every.max(1) == 0 {
            for book in &mut books {
                let from = if last { (0, book.certificates.len().saturating_sub(CERTIFICATES)) } else { book.compared };
                faults.extend(audit(book, from, last)?);
                book.compared = (book.promises.len(), book.certificates.len());
            }
        }
        println!(
            "{store}: round {round}/{}, {blow:?} after {} ms, {} events acknowledged",
            options.rounds,
            moment.as_millis(),
            promised(&books) - before
        );
        if !faults.is_empty() {
            for fault in faults.iter().take(20) {
                println!("  {fault}");
            }
            println!("{}", server.log_end());
            bail!("{store}: {} faults in round {round}; repeat with `cargo xtask kill --seed {seed}`", faults.len());
        }
    }
    let status = server.finish()?;
    if !status.success() {
        bail!("{store}: SIGTERM ended the server with {status}\n{}", server.log_end());
    }
    // And once more by the program's own word: every row, tile and head.
    server.scrub()?;
    let sum = |count: fn(&Book) -> usize| books.iter().map(count).sum::<usize>();
    let (promises, certificates, entries) =
        (sum(|book| book.promises.len()), sum(|book| book.certificates.len()), sum(|book| book.log.len()));
    let seconds = start.elapsed().as_secs();
    // What was acknowledged before the blow, over the time until it: neither recovery nor the walk through the log counts.
    let events = promised(&books);
    let reached = u128::from(under_load) * 1_000 / pressed.as_millis().max(1);
    let asked = if options.rate == 0 { String::new() } else { format!(" of {} asked for", options.rate) };
    let result = format!(
        "{store}: {} kills, {promises} acknowledged requests with {events} events, {certificates} certificates, {entries} log entries, \
         {reached} acknowledged events/s under load{asked}, nothing lost or doubled ({seconds} s)",
        options.rounds
    );
    println!("{result}");
    if promises == 0 || (certificates == 0 && options.rounds >= 5) {
        bail!("{store}: the load did not reach the server, so nothing was tested");
    }
    if options.strict && fell_short(reached, options.rate) {
        bail!(
            "{store}: {reached} events/s are less than nine tenths of {}, so it was not tested under that load",
            options.rate
        );
    }
    if options.record {
        let seen = format!(
            "{} kills: {} acknowledged requests with {} events, {} events/s{asked}; nothing lost or doubled",
            count(options.rounds),
            count(promises),
            count(events),
            count(reached)
        );
        let store = if database.is_some() { "postgres" } else { "sqlite" };
        measured::record(&format!("kill --store {store}"), &seen)?;
    }
    Ok(())
}

/// Whether a load was none to speak of, beside the one that was asked for.
fn fell_short(reached: u128, rate: u64) -> bool {
    reached * 10 < u128::from(rate) * 9
}

/// How many events were promised.
fn promised(books: &[Book]) -> u64 {
    books.iter().flat_map(|book| &book.promises).map(|promise| promise.events).sum()
}

/// Cuts every connection to a database a few times in a row: also those that were made meanwhile.
fn cut(postgres: &Postgres) -> Result<()> {
    for _ in 0..3 {
        postgres.cut()?;
        process::pause(Duration::from_millis(120))?;
    }
    Ok(())
}

/// Compares the promises from `from` on with what is new in the log, or with all of it.
fn audit(book: &mut Book, (promises, certificates): (usize, usize), all: bool) -> Result<Vec<String>> {
    if all {
        book.beginning.clone_into(&mut book.since);
    }
    let Book { clinic, log, promises: all_promises, certificates: all_certificates, since, .. } = book;
    let promises = all_promises.get(promises..).unwrap_or_default();
    let mut faults = Vec::new();
    // What happens while we read, or was in the queue until now, belongs to the next walk.
    let next = ambient::from_now(-60)?;
    // The sequencer has a second; a busy machine gets some more.
    let deadline = Instant::now() + Duration::from_secs(20);
    let (size, root) = loop {
        let (size, root) = merkle::checkpoint(&clinic.auditor.checkpoint()?)?;
        faults.extend(log.absorb(walk(&clinic.auditor, since)?));
        if log.missing(promises).is_empty() || !faults.is_empty() || Instant::now() > deadline {
            break (size, root);
        }
        process::pause(Duration::from_millis(200))?;
    };
    *since = next;
    faults.extend(log.check_root(size, root));
    faults.extend(log.check_promises(promises));
    for certificate in all_certificates.get(certificates..).unwrap_or_default() {
        faults.extend(certificate.check(&clinic.clinician));
    }
    Ok(faults.into_iter().map(|fault| format!("{}: {fault}", clinic.slug)).collect())
}

/// All events from a moment on.
fn walk(auditor: &Client, since: &str) -> Result<Vec<Event>> {
    let until = ambient::from_now(3600)?;
    let (mut events, mut cursor) = auditor.events(since, &until, None)?;
    while let Some(next) = cursor {
        let (page, following) = auditor.events(since, &until, Some(&next))?;
        events.extend(page);
        cursor = following;
    }
    Ok(events)
}

/// SplitMix64: the moments of a run can be repeated from its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_of_ten_blows_hit_the_database_if_there_is_one() {
        let blows = |database, flushes| (1..=10).map(|round| Blow::of(round, database, flushes)).collect::<Vec<_>>();
        assert_eq!((blows(false, false), blows(false, true)), (vec![Blow::Kill; 10], vec![Blow::Kill; 10]));
        assert_eq!(blows(true, false).iter().filter(|blow| **blow != Blow::Kill).count(), 3);
        assert_eq!(blows(true, true).iter().filter(|blow| **blow == Blow::Flush).count(), 5);
    }

    #[test]
    fn a_load_of_less_than_nine_tenths_falls_short() {
        assert!(fell_short(1_799, 2_000) && !fell_short(1_800, 2_000));
        assert!(!fell_short(0, 0), "no rate was asked for");
    }

    #[test]
    fn a_seed_repeats_its_moments() {
        let moments = |seed| (0..5).scan(Random(seed), |random, _| Some(random.below(1000))).collect::<Vec<_>>();
        assert_eq!(moments(7), moments(7));
        assert_ne!(moments(7), moments(8));
    }
}
