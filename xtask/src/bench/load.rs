//! `POST /v1/seal` under load, next to an empty axum handler under the same load.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{Measured, reason};
use crate::postgres::free_port;
use crate::prerequisites::{self, Need};
use crate::process::{self, Guarded};
use crate::server::{Server, contract::Answer};
use crate::workspace;

/// How many tenants are asked for the first time.
const COLD: usize = 100;

/// What the load runs showed.
#[derive(Debug)]
pub(super) struct Load {
    /// Requests per second of the empty handler.
    pub(super) empty: Measured,
    /// Requests per second of one item each.
    pub(super) single: Measured,
    /// Items per second in requests of a hundred.
    pub(super) hundred: Measured,
    pub(super) start_ms: Measured,
    pub(super) idle_mb: Measured,
    /// The first request of a tenant whose keys are not in memory.
    pub(super) cold_ms: Measured,
    /// Its second.
    pub(super) warm_ms: Measured,
}

impl Load {
    pub(super) fn left_out() -> Self {
        Self::without(&anyhow::anyhow!("left out with --no-load"))
    }

    fn without(error: &anyhow::Error) -> Self {
        let reason: Measured = Err(format!("{error:#}"));
        let [empty, single, hundred, start_ms, idle_mb, cold_ms, warm_ms] = std::array::from_fn(|_| reason.clone());
        Self { empty, single, hundred, start_ms, idle_mb, cold_ms, warm_ms }
    }

    pub(super) fn measure(seconds: u32) -> Self {
        let said = |measured: Result<f64>| measured.map_err(reason);
        let empty = said(empty(seconds));
        let server = match Idle::start() {
            Ok(server) => server,
            Err(error) => return Self { empty, ..Self::without(&error) },
        };
        let (cold_ms, warm_ms) = match server.cold() {
            Ok((cold, warm)) => (Ok(cold), Ok(warm)),
            Err(error) => (Err(format!("{error:#}")), Err(format!("{error:#}"))),
        };
        Self {
            empty,
            cold_ms,
            warm_ms,
            single: said(server.seal(1, 256, seconds)),
            hundred: said(server.seal(100, 16, seconds).map(|requests| requests * 100.0)),
            start_ms: Ok(server.start_ms),
            idle_mb: server.idle_mb.clone(),
        }
    }
}

/// The optimised server on SQLite, with a tenant that may seal.
struct Idle {
    server: Server,
    key: String,
    /// Of tenants that were not asked for anything since the start.
    cold: Vec<String>,
    start_ms: f64,
    idle_mb: Measured,
}

impl Idle {
    fn start() -> Result<Self> {
        let binary = workspace::build_server(true)?;
        let mut server = Server::prepare(&binary, None, false)?;
        // The first start makes keys and tables; a cold start is the one after.
        server.start()?;
        let admin = server.admin()?;
        let tenant = admin.make_tenant("load")?;
        admin.with_key(&admin.make_api_key(&tenant, "security_officer")?).register_field()?;
        let key = admin.make_api_key(&tenant, "clinician")?;
        let mut cold = Vec::with_capacity(COLD);
        for number in 0..COLD {
            let tenant = admin.make_tenant(&format!("cold-{number}"))?;
            admin.with_key(&admin.make_api_key(&tenant, "security_officer")?).register_field()?;
            cold.push(admin.make_api_key(&tenant, "clinician")?);
        }
        server.finish()?;
        let start = Instant::now();
        server.start()?;
        let start_ms = start.elapsed().as_secs_f64() * 1e3;
        process::pause(Duration::from_secs(2))?;
        let idle_mb = server.memory_mb().map_err(reason);
        Ok(Self { server, key, cold, start_ms, idle_mb })
    }

    /// Median times in ms of the first and the second request of tenants whose keys are not in memory yet.
    fn cold(&self) -> Result<(f64, f64)> {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for key in &self.cold {
            let client = self.server.client(key);
            for times in [&mut first, &mut second] {
                let start = Instant::now();
                let answer = client.seal(1);
                times.push(start.elapsed().as_secs_f64() * 1e3);
                if !matches!(answer, Answer::Acknowledged { .. }) {
                    bail!("a cold tenant's request failed");
                }
            }
        }
        Ok((median(&mut first)?, median(&mut second)?))
    }

    fn seal(&self, items: usize, connections: u32, seconds: u32) -> Result<f64> {
        let item = |number| json!({ "table": "patients", "column": "ssn", "row": format!("row-@-{number}"), "value": "999-12-3456" });
        let body = json!({ "items": (0..items).map(item).collect::<Vec<_>>() });
        press(&format!("{}/v1/seal", self.server.base()), &body, &self.key, connections, seconds)
    }
}

fn median(times: &mut [f64]) -> Result<f64> {
    times.sort_unstable_by(f64::total_cmp);
    times.get(times.len() / 2).copied().context("nothing was measured")
}

/// Starts the empty handler; says where it is.
pub(super) fn empty_handler() -> Result<(Guarded, String)> {
    let target = workspace::target()?.join("bench");
    let mut cargo =
        workspace::cargo(&["build", "--release", "--locked", "--manifest-path", "bench/empty-axum/Cargo.toml"]);
    process::run(cargo.arg("--target-dir").arg(&target))?;
    let address = format!("127.0.0.1:{}", free_port()?);
    let handler = Guarded::spawn(Command::new(target.join("release/empty-axum")).arg(&address).stdin(Stdio::null()))?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(&address).is_err() {
        if handler.ended()? || Instant::now() > deadline {
            bail!("the empty handler did not start");
        }
        process::pause(Duration::from_millis(10))?;
    }
    Ok((handler, address))
}

fn empty(seconds: u32) -> Result<f64> {
    let (_handler, address) = empty_handler()?;
    let body = json!({ "items": [{ "table": "patients", "column": "ssn", "row": "row-@-0", "value": "999-12-3456" }] });
    press(&format!("http://{address}/"), &body, "none", 256, seconds)
}

/// Requests per second, after a second to warm up.
fn press(url: &str, body: &Value, key: &str, connections: u32, seconds: u32) -> Result<f64> {
    prerequisites::ensure(&[Need::Wrk])?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("body.json");
    fs::write(&file, body.to_string())?;
    wrk(url, &file, key, connections, 1)?;
    let said = wrk(url, &file, key, connections, seconds)?;
    println!("{url}: {said}");
    rate(&said)
}

fn wrk(url: &str, body: &Path, key: &str, connections: u32, seconds: u32) -> Result<Value> {
    let wrk = prerequisites::on_path("wrk").unwrap_or_else(|| PathBuf::from("wrk"));
    let mut command = Command::new(wrk);
    command.args(["-t2", &format!("-c{connections}"), &format!("-d{seconds}s"), "-s"]);
    command.arg(workspace::root().join("bench/load.lua")).arg(url);
    command.env("LOAD_BODY", body).env("LOAD_AUTHORIZATION", format!("Bearer {key}"));
    let said = process::output(&mut command)?;
    let line = said.lines().find(|line| line.starts_with('{')).context("wrk gave no summary")?;
    serde_json::from_str(line).context("wrk's summary is not JSON")
}

pub(super) fn rate(summary: &Value) -> Result<f64> {
    let number = |name| summary.get(name).and_then(Value::as_f64).with_context(|| format!("wrk told no `{name}`"));
    let (requests, refused, lost) = (number("requests")?, number("refused")?, number("lost")?);
    if requests == 0.0 || refused + lost > requests / 1000.0 {
        bail!("{refused} of {requests} requests were refused and {lost} lost");
    }
    Ok((requests - refused) * 1e6 / number("microseconds")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_succeeded_counts_and_failures_spoil_the_run() {
        let summary = |refused| json!({ "requests": 10_000, "microseconds": 2_000_000, "refused": refused, "lost": 0 });
        assert_eq!(rate(&summary(2)).unwrap(), 4999.0);
        assert!(rate(&summary(5_000)).is_err());
        assert!(rate(&json!({ "requests": 0, "microseconds": 1, "refused": 0, "lost": 0 })).is_err());
    }
}
