//! Two nodes over one Redis let through exactly as many requests as a limit says, whatever is forgotten meanwhile.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::started;
use crate::bench::measured::{self, count};
use crate::redis::Redis;
use crate::server::Server;
use crate::server::contract::{Answer, Client};
use crate::{ambient, process, workspace};

/// How many ask each node at once.
const ASKING: usize = 3;

/// How to run it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// How many requests to make
    #[arg(long, default_value_t = Options::default().requests)]
    pub(crate) requests: usize,
    /// Use the optimised build
    #[arg(long)]
    pub(crate) release: bool,
    /// Test this program instead of building one
    #[arg(long)]
    pub(crate) binary: Option<PathBuf>,
    /// Write what was seen into docs/measured.json and docs/performance.md
    #[arg(long)]
    pub(crate) record: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { requests: 100_000, release: false, binary: None, record: false }
    }
}

/// Runs the proof.
pub(crate) fn limits(options: &Options) -> Result<()> {
    let mut own = None;
    let postgres = started(None, &mut own)?;
    let redis = Redis::start()?;
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => workspace::build_server(options.release)?,
    };
    let store = format!("limits_{:08x}", u32::from_le_bytes(ambient::random()?));
    postgres.make_database(&store)?;
    let limit = options.requests * 3 / 5;
    let node = || {
        let mut server = Server::prepare(&binary, Some(&postgres.url(&store)), false)?;
        for (name, value) in redis.environment() {
            server = server.with(name, &value);
        }
        // A window as long as a day, so that no edge of one falls into the proof; and patience, so that a busy machine is not taken for a
        // Redis that is away.
        let server =
            server.with("CHANCERY__REDIS__TIMEOUT_MS", "5000").with("CHANCERY__LIMITS__POLICIES__0__NAME", "proof");
        let server = server.with("CHANCERY__LIMITS__POLICIES__0__COUNT", &limit.to_string());
        let server = server.with("CHANCERY__LIMITS__POLICIES__0__SECONDS", "86400");
        let server = server.with("CHANCERY__LIMITS__POLICIES__0__PER", "address");
        anyhow::Ok(server.with("CHANCERY__LIMITS__POLICIES__0__ROUTES", "GET /livez"))
    };
    let mut nodes = [node()?, node()?];
    let [first, second] = &mut nodes;
    first.start()?;
    // The second machine: a folder of its own with the same root key, under which addresses are counted.
    std::fs::create_dir_all(second.data())?;
    std::fs::copy(first.data().join("root.key"), second.data().join("root.key"))?;
    second.start()?;
    let began = Instant::now();
    let askers = nodes.len() * ASKING;
    // Together they make as many as was said.
    let share = |number: usize| options.requests / askers + usize::from(number < options.requests % askers);
    let counted = thread::scope(|scope| {
        let asking: Vec<_> = nodes
            .iter()
            .flat_map(|node| (0..ASKING).map(|_| node.client("")))
            .enumerate()
            .map(|(number, client)| scope.spawn(move || ask(&client, share(number))))
            .collect();
        // What Redis forgets of scripts it is told again, in the middle of everything.
        while !asking.iter().all(|asking| asking.is_finished()) {
            redis.say(&["SCRIPT", "FLUSH"])?;
            process::pause(Duration::from_millis(500))?;
        }
        let joined =
            asking.into_iter().map(|asking| asking.join().map_err(|_| anyhow::anyhow!("one that asked panicked"))?);
        joined.collect::<Result<Vec<(usize, usize)>>>()
    })?;
    let (allowed, refused) = counted.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    println!(
        "limits: {} requests to 2 nodes over one Redis in {:.1} s: {allowed} let through, {refused} refused; the limit is {limit}",
        allowed + refused,
        began.elapsed().as_secs_f64()
    );
    ensure!(allowed + refused == options.requests, "{} requests were answered", allowed + refused);
    ensure!(allowed == limit, "{allowed} were let through where {limit} may be");
    if options.record {
        let (allowed, limit, requests) = (count(allowed), count(limit), count(options.requests));
        let seen = format!("exactly {allowed} of {limit} let through of {requests} requests to 2 nodes over one Redis");
        measured::record("limits-proof", &seen)?;
    }
    Ok(())
}

/// How many of so many requests were let through, and refused.
fn ask(client: &Client, requests: usize) -> Result<(usize, usize)> {
    let mut counts = (0, 0);
    for _ in 0..requests {
        match client.call("GET", "/livez", None) {
            Answer::Acknowledged { .. } => counts.0 += 1,
            Answer::Refused { status: 429, .. } => counts.1 += 1,
            other => anyhow::bail!("a node answered {other:?}"),
        }
    }
    Ok(counts)
}
