//! The audit log next to simpler logs, and a large pack in the hands of the offline verifiers.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::printed::{objects, output};
use super::report::{Row, Target};
use super::{Measured, reason};
use crate::postgres::{Disk, FLUSH_US, Postgres, flush_library};
use crate::{process, python, workspace};

/// By how much the slower disk is slower.
const LATER_US: u32 = 2_000;

const QUICK: &str = "A flush of this disk is quick, so that one row per commit waits for little; an event of ours is checked, written in full \
    twice (queue, log) with eight entries of indexes, hashed, and part of a tree whose head is signed.";
const ONE_BY_ONE: &str = "Eight connections commit at one time, and PostgreSQL writes their commits to the disk together: it groups them as we do.";
const WAITS: &str = "The event waits for the commit under way, then for its own: two writes to this disk.";

/// Where both, ours and the simpler logs, are written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    /// This machine's disk.
    Here,
    /// The same, but every flush (`fsync`, `fdatasync`) takes [`LATER_US`] more, as that of a volume over a network may.
    Later,
}

/// What `crates/chancery/benches/audit.rs` printed of one store.
#[derive(Debug)]
pub(super) struct Log {
    store: &'static str,
    disk: Where,
    said: Result<Value, String>,
}

impl Log {
    /// Of every store, on this disk and on a slower one.
    pub(super) fn measure() -> Vec<Self> {
        [Where::Here, Where::Later].into_iter().flat_map(Self::measure_on).collect()
    }

    fn measure_on(disk: Where) -> [Self; 2] {
        let said = printed(disk).map_err(reason);
        let of = |store: &'static str| {
            let lines = said.as_ref().map_err(Clone::clone);
            let line = lines.and_then(|lines| {
                lines.iter().find(|line| line["store"] == store).cloned().ok_or_else(|| format!("no line of {store}"))
            });
            Self { store, disk, said: line }
        };
        ["SQLite", "PostgreSQL"].map(of)
    }

    fn number(&self, name: &str) -> Measured {
        let line = self.said.as_ref().map_err(Clone::clone)?;
        line[name].as_f64().ok_or_else(|| format!("no `{name}` was told"))
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        let mut place = self.store.to_owned();
        if self.disk == Where::Later {
            place += &format!(", each flush of the disk taking {} ms more, for all of them", LATER_US / 1_000);
        }
        let durable = format!("audit events durable, in the Merkle log and under a signed head, 256 writers, {place}");
        let rate = self.number("events_per_second");
        let beside = |peer: &str, name: &str| {
            let why = if self.store == "SQLite" { QUICK } else { ONE_BY_ONE };
            Row::share(&durable, "events/s", &rate, peer, &self.number(name), 10.0).because(why)
        };
        let added = |what: &str, name: &str, limit: f64| {
            let wait = self.number(name).map(|time| time / 1e3);
            let what = format!("what a request waits for its event at 2,000 events/s, {what}, {place}");
            Row::limit(&what, "ms", &wait, limit).because(WAITS)
        };
        let proof = |what: &str, name: &str, limit: f64| {
            Row::limit(&format!("inclusion proof {what}, {place}"), "µs", &self.number(name), limit)
        };
        let mut rows = vec![
            beside("one row per commit, without a log", "row_per_commit"),
            beside("rows chained by their hashes", "hash_chain"),
            added("median", "added_p50_us", 5.0),
            added("p99", "added_p99_us", 20.0),
        ];
        // A proof writes nothing.
        if self.disk == Where::Here {
            rows.push(proof("made from stored tiles", "prove_us", 2_000.0));
            rows.push(proof("verified with its signature", "verify_us", 1_000.0));
        }
        rows
    }
}

/// Runs the bench next to a PostgreSQL that flushes what it commits: another would compare us with logs that nobody keeps.
fn printed(disk: Where) -> Result<Vec<Value>> {
    let mut cargo = workspace::cargo(&["bench", "--locked", "--package", "chancery", "--bench", "audit"]);
    let disk = match disk {
        Where::Here => Disk::Flushed,
        Where::Later => {
            let library = flush_library()?;
            // Cargo itself has built everything by now and hardly flushes.
            cargo.env("LD_PRELOAD", &library).env(FLUSH_US, LATER_US.to_string());
            Disk::Slow { library, flush_us: LATER_US }
        }
    };
    let postgres = Postgres::start_on(disk)?;
    Ok(objects(&output(cargo.envs(postgres.environment()))?))
}

/// Seconds that a pack of 100,000 events takes to be verified offline.
#[derive(Debug)]
pub(super) struct Pack {
    binary: Measured,
    python: Measured,
}

impl Pack {
    pub(super) fn measure() -> Self {
        match seconds() {
            Ok([binary, python]) => Self { binary: Ok(binary), python: Ok(python) },
            Err(error) => Self { binary: Err(format!("{error:#}")), python: Err(format!("{error:#}")) },
        }
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        let what = |verifier: &str| format!("pack of 100,000 events verified offline by {verifier}");
        vec![
            Row::limit(&what("`chancery verify`"), "s", &self.binary, 10.0),
            Row::times(
                &what("`tools/verify_pack.py`"),
                &self.python.clone().map(|time| time * 1e9),
                "`chancery verify`",
                &self.binary.clone().map(|time| time * 1e9),
                Target::AtMost(10.0),
            ),
        ]
    }
}

fn seconds() -> Result<[f64; 2]> {
    let python = python::with_module("cryptography", &["-r", "tools/vectors/requirements.txt"])?;
    let server = workspace::build_server(true)?;
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let tool = |script: &str| workspace::root().join(script);
    process::run(Command::new(&python).arg(tool("tools/verifiers/make_packs.py")).arg("--large").arg(folder.path()))?;
    let (pack, trust) = (folder.path().join("large.zip"), folder.path().join("trust.json"));
    let verified = |command: &mut Command| -> Result<f64> {
        let started = Instant::now();
        output(command.arg(&pack).arg("--trust").arg(&trust))?;
        Ok(started.elapsed().as_secs_f64())
    };
    let run = |program: &Path| Command::new(program);
    Ok([verified(run(&server).arg("verify"))?, verified(run(&python).arg(tool("tools/verify_pack.py")))?])
}
