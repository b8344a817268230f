//! How soon a revoked credential is refused on every node, and that a node without its store admits nobody.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use super::started;
use crate::bench::measured::{self, count};
use crate::postgres::Postgres;
use crate::server::Server;
use crate::server::contract::{Answer, Client, text};
use crate::{ambient, process, workspace};

/// The design's limit on the 99th percentile (§12), in ms.
pub(crate) const LIMIT_MS: f64 = 500.0;
/// A node that could not ask its store for so long admits nobody, known or not (ADR 0009: 2 s, and a request's own time).
const CUT_OFF: Duration = Duration::from_secs(4);
/// Nobody waits longer for a refusal.
const PATIENCE: Duration = Duration::from_secs(10);

/// How to run it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// How many credentials to revoke
    #[arg(long, default_value_t = Options::default().trials)]
    pub(crate) trials: usize,
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
        Self { trials: 1_000, release: false, binary: None, record: false }
    }
}

/// Runs the proof.
pub(crate) fn revoke(options: &Options) -> Result<()> {
    let mut own = None;
    let postgres = started(None, &mut own)?;
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => workspace::build_server(options.release)?,
    };
    let times = latencies(&binary, postgres, options.trials)?;
    let at =
        |percent: usize| times.get((times.len() * percent / 100).min(times.len() - 1)).copied().unwrap_or(f64::MAX);
    println!(
        "revocation: {} credentials on 2 nodes over PostgreSQL; from the acknowledgement to the last refusal: p50 {:.0} ms, p99 {:.0} ms, at most {:.0} ms",
        times.len(),
        at(50),
        at(99),
        at(100)
    );
    println!("a node that lost its store refused within {} s", CUT_OFF.as_secs());
    ensure!(at(99) < LIMIT_MS, "p99 is over {LIMIT_MS} ms");
    if options.record {
        let seen = format!(
            "{} credentials on 2 nodes over PostgreSQL, each refused on both: p50 {:.0} ms, p99 {:.0} ms, at most {:.0} ms",
            count(times.len()),
            at(50),
            at(99),
            at(100)
        );
        measured::record("revoke-proof", &seen)?;
    }
    Ok(())
}

/// From each acknowledged revocation to the last refusal in ms, ascending: API keys and access tokens in turn, known on both
/// nodes the moment before. Ends with the loss of the store, after which both nodes must refuse.
pub(crate) fn latencies(binary: &Path, postgres: &Postgres, trials: usize) -> Result<Vec<f64>> {
    let store = format!("revoke_{:08x}", u32::from_le_bytes(ambient::random()?));
    postgres.make_database(&store)?;
    // Nodes of one installation are one issuer.
    let issuer = "https://chancery.test";
    let node = || {
        let server = Server::prepare(binary, Some(&postgres.url(&store)), false)?;
        anyhow::Ok(server.with("CHANCERY__SERVER__PUBLIC_URL", issuer))
    };
    let mut nodes = [node()?, node()?];
    let [first, second] = &mut nodes;
    first.start()?;
    // The second machine: a folder of its own with the same root key.
    std::fs::create_dir_all(second.data())?;
    std::fs::copy(first.data().join("root.key"), second.data().join("root.key"))?;
    second.start()?;
    let admin = first.admin()?;
    let tenant = admin.make_tenant("clinic")?;
    let officer = admin.with_key(&admin.make_api_key(&tenant, "tenant_admin")?);
    let service = admin.make_api_key(&tenant, "service")?;
    let program = admin.with_key(&service);
    let mut times = Vec::with_capacity(trials);
    for trial in 0..trials {
        process::pause(Duration::ZERO)?;
        times.push(once(&nodes, &officer, &program, trial)?);
    }
    let known = nodes.each_ref().map(|node| node.client("").with_key(&service));
    for node in &known {
        node.expect("GET", "/v1/auth/session", None)?;
    }
    postgres.drop_database(&store)?;
    thread::sleep(CUT_OFF);
    for node in &known {
        match node.call("GET", "/v1/auth/session", None) {
            Answer::Refused { status: 503, .. } => {}
            other => bail!("a node without its store answered {other:?}"),
        }
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(times)
}

/// One credential: known on both nodes, revoked on the first, refused on both; how long that took in ms.
fn once(nodes: &[Server; 2], officer: &Client, program: &Client, trial: usize) -> Result<f64> {
    let (credential, path, body) = if trial.is_multiple_of(2) {
        let made =
            officer.expect("POST", "/v1/api-keys", Some(&json!({"description": "revoke", "roles": ["service"]})))?;
        (text(&made, "key")?, format!("/v1/api-keys/{}/revoke", text(&made, "id")?), json!({}))
    } else {
        let made = program.expect("POST", "/v1/tokens", Some(&json!({"lifetime_minutes": 5})))?;
        let body = json!({"jti": text(&made, "jti")?, "reason": "proof"});
        (text(&made, "access_token")?, "/v1/revocations".to_owned(), body)
    };
    let clients = nodes.each_ref().map(|node| node.client("").with_key(&credential));
    for client in &clients {
        client.expect("GET", "/v1/auth/session", None)?;
    }
    officer.expect("POST", &path, Some(&body))?;
    let acknowledged = Instant::now();
    let refused = thread::scope(|scope| {
        let watching = clients.each_ref().map(|client| scope.spawn(move || until_refused(client, acknowledged)));
        watching.map(|watch| watch.join().map_err(|_| anyhow::anyhow!("a watcher panicked"))?)
    });
    let [one, other] = refused;
    let slowest = one?.max(other?);
    Ok(slowest.as_secs_f64() * 1e3)
}

fn until_refused(client: &Client, acknowledged: Instant) -> Result<Duration> {
    loop {
        match client.call("GET", "/v1/auth/session", None) {
            Answer::Refused { status: 401, .. } => return Ok(acknowledged.elapsed()),
            Answer::Acknowledged { .. } if acknowledged.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(2)),
            other => return Err(anyhow::anyhow!("{other:?}")).context("it should be refused, at last"),
        }
    }
}
