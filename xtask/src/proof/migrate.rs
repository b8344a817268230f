//! The migration of a column of a live table, with a writer at work, kills and a rollback.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use serde_json::Value;

use super::psql::Psql;
use super::{Options, Stage, number, open, private_file, started};
use crate::postgres::Postgres;
use crate::process::Guarded;
use crate::{ambient, process};

const TABLE: &str = "CREATE TABLE patients (id bigint PRIMARY KEY, ssn text, generation bigint NOT NULL);";
/// Every thousandth row has no number.
const FILL: &str = "INSERT INTO patients SELECT n, CASE WHEN n % 1000 = 0 THEN NULL ELSE '999-' || lpad(n::text, 7, '0') || '-0' END, 0
    FROM generate_series(1, :rows) AS n;";
const CHANGE: &str = "UPDATE patients SET generation = generation + 1,
    ssn = '999-' || lpad(id::text, 7, '0') || '-' || (generation + 1)::text WHERE id = :id AND ssn IS NOT NULL;";
const ADD: &str = "INSERT INTO patients VALUES (:id, '999-' || lpad(:'id', 7, '0') || '-0', 0);";
/// Rows whose plaintext is not what was written into them.
const WRONG: &str =
    "SELECT count(*) FROM patients WHERE ssn <> '999-' || lpad(id::text, 7, '0') || '-' || generation::text
    OR (ssn IS NULL) <> (id % 1000 = 0 AND id <= :rows);";
const ROWS: &str = "SELECT count(*) FROM patients;";
const COLUMNS: &str = "SELECT column_name FROM information_schema.columns WHERE table_name = 'patients' ORDER BY 1;";
const TRIGGERS: &str = "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'patients'::regclass AND NOT tgisinternal;";
const FAR: &str = "SELECT COALESCE((SELECT row_at FROM chancery_migrations), '0');";
const PAGE: &str = "SELECT id, generation, ssn, ssn_encrypted FROM patients WHERE id > :id ORDER BY id LIMIT 1000;";

/// Runs the proof.
pub(crate) fn migrate(options: &Options, postgres: Option<&Postgres>) -> Result<()> {
    let mut own = None;
    let postgres = started(postgres, &mut own)?;
    let stage = Stage::open(options, postgres, "migrate")?;
    let mut table = Psql::open(&stage.psql, &stage.url)?;
    let rows = options.rows.to_string();
    table.ask(TABLE, &[])?;
    table.ask(FILL, &[("rows", &rows)])?;
    println!("migration: {rows} rows in clear");
    private_file(&stage.server.data().join("proof/app.url"), &stage.url)?;
    private_file(&stage.server.data().join("proof/api-key"), &stage.service_key)?;

    let writer = Writer::default();
    let outcome = thread::scope(|scope| {
        let worker = scope.spawn(|| writer.run(Psql::open(&stage.psql, &stage.url)?, options.rows));
        let outcome = with_writer(&stage, &mut table, options);
        writer.stop.store(true, Ordering::Relaxed);
        worker.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        outcome
    });
    outcome?;
    let (changed, added) = (writer.changed.load(Ordering::Relaxed), writer.added.load(Ordering::Relaxed));
    println!("migration: the writer changed {changed} rows and added {added}");
    if changed == 0 || added == 0 {
        bail!("the writer did not write, so nothing was tested");
    }
    // What it wrote last.
    let last = run(&stage, options, &[])?;
    check_report(&last)?;
    let opened = verify(&stage, &mut table, options.rows, true)?;
    println!("migration: {opened} sealed values open to the plaintext beside them");
    let finished = run(&stage, options, &["--finish"])?;
    check_report(&finished)?;
    if verify(&stage, &mut table, options.rows, false)? != opened {
        bail!("values are gone after --finish");
    }
    println!("migration: finished; the plaintext is gone and {opened} values open to what it was");
    run(&stage, options, &["--find-plaintext"])?;
    let mut server = stage.server;
    server.finish()?;
    Ok(())
}

/// A run that is killed and rolled back, then one that is killed so many times and goes on each time.
fn with_writer(stage: &Stage, table: &mut Psql, options: &Options) -> Result<()> {
    let rows = options.rows.to_string();
    killed_at(stage, table, options, options.rows / 4)?;
    let rolled_back = run(stage, options, &["--rollback"])?;
    let columns = table.ask(COLUMNS, &[])?;
    let (wrong, triggers) = (table.ask(WRONG, &[("rows", &rows)])?, table.ask(TRIGGERS, &[])?);
    if columns != ["generation", "id", "ssn"] || wrong != ["0"] || triggers != ["0"] {
        bail!("the rollback left {columns:?}, {wrong:?} wrong rows, {triggers:?} triggers: {rolled_back}");
    }
    println!("migration: killed, rolled back; columns, trigger and sealed values are gone, the plaintext is as it was");
    let began = Instant::now();
    for kill in 1..=options.kills {
        killed_at(stage, table, options, options.rows * u64::from(kill) / u64::from(options.kills + 1))?;
        println!("migration: kill {kill} after {:.1} s", began.elapsed().as_secs_f64());
    }
    // The writer goes on, so a few rows may be pending again by the end: exit code 2 says just that.
    let (code, report) = run_any(stage, options, &[])?;
    let seconds = began.elapsed().as_secs_f64();
    let of = |name: &str| report.get(name).and_then(Value::as_u64);
    let clean = ["unsealed", "mismatches", "refused"].iter().all(|name| of(name) == Some(0));
    if !matches!(code, 0 | 2) || !clean || of("pending").is_none_or(|pending| pending > 1000) {
        bail!("exit code {code}: {report}");
    }
    println!("migration: sealed with {} kills in {seconds:.1} s: {report}", options.kills);
    if table.ask(WRONG, &[("rows", &rows)])? != ["0"] {
        bail!("plaintext changed");
    }
    Ok(())
}

fn command(stage: &Stage, options: &Options, more: &[&str]) -> Command {
    let mut command = Command::new(&stage.binary);
    command.args(["migrate-column", "--json", "--table", "patients", "--column", "ssn", "--url", &stage.server.base()]);
    command.arg("--api-key-file").arg(stage.server.data().join("proof/api-key"));
    command.arg("--database-url-file").arg(stage.server.data().join("proof/app.url"));
    // So slow that every kill finds it at work.
    let rate = options
        .rows_per_second
        .unwrap_or_else(|| (options.rows / (u64::from(options.kills) + 1)).clamp(500, 1_000_000));
    command.args(["--rows-per-second", &rate.to_string()]).args(more);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// A run to its end, which must be one of a proven column; what it printed.
fn run(stage: &Stage, options: &Options, more: &[&str]) -> Result<Value> {
    let (code, report) = run_any(stage, options, more)?;
    if code == 0 { Ok(report) } else { bail!("exit code {code}: {report}") }
}

/// A run to its end; its exit code and what it printed.
fn run_any(stage: &Stage, options: &Options, more: &[&str]) -> Result<(i32, Value)> {
    let output = command(stage, options, more).output()?;
    let printed = String::from_utf8(output.stdout)?;
    let report = serde_json::from_str(printed.trim()).with_context(|| format!("no JSON: {printed}"))?;
    Ok((output.status.code().unwrap_or(-1), report))
}

/// Starts a run and kills it when it has come so far.
fn killed_at(stage: &Stage, table: &mut Psql, options: &Options, row: u64) -> Result<()> {
    let mut child = Guarded::spawn(command(stage, options, &[]).stdout(Stdio::null()))?;
    let far = |table: &mut Psql| -> Result<u64> {
        let exists = table.ask("SELECT to_regclass('chancery_migrations') IS NOT NULL;", &[])?;
        let found = if exists == ["t"] { table.ask(FAR, &[])? } else { Vec::new() };
        Ok(found.first().and_then(|row| row.parse().ok()).unwrap_or_default())
    };
    while far(table)? < row {
        if child.ended()? {
            bail!("the run ended before it was killed; give it more rows");
        }
        process::pause(Duration::from_millis(20))?;
    }
    process::pause(Duration::from_millis(u64::from(ambient::random::<1>()?[0])))?;
    if child.ended()? {
        bail!("the run ended before it was killed; give it more rows");
    }
    child.signal(Signal::KILL)?;
    child.wait_for(Duration::from_secs(10))?;
    Ok(())
}

fn check_report(report: &Value) -> Result<()> {
    let of = |name: &str| report.get(name).and_then(Value::as_u64);
    let clean =
        ["pending", "unsealed", "mismatches"].iter().all(|name| of(name) == Some(0)) && of("refused").unwrap_or(0) == 0;
    if clean && of("compared").is_some_and(|compared| compared > 0) {
        Ok(())
    } else {
        bail!("not everything is proven: {report}")
    }
}

/// Opens everything and compares it with the plaintext beside it, or with what was written there. How many values there were.
fn verify(stage: &Stage, table: &mut Psql, rows: u64, beside: bool) -> Result<u64> {
    let (mut last, mut met, mut opened) = (0u64, 0u64, 0u64);
    loop {
        let page = table.ask(PAGE, &[("id", &last.to_string())])?;
        if page.is_empty() {
            break;
        }
        let (mut values, mut wanted) = (Vec::new(), Vec::new());
        for line in &page {
            let parts: Vec<&str> = line.split('\t').collect();
            let [id, generation, plain, sealed] = parts.as_slice() else { bail!("an odd row: {line}") };
            (last, met) = (id.parse()?, met + 1);
            let none = last.is_multiple_of(1000) && last <= rows;
            let text = number(last, generation.parse()?);
            let plain_is = if none || !beside { "<null>" } else { text.as_str() };
            if *plain != plain_is || (*sealed == "<null>") != none {
                bail!("row {last} is {line}");
            }
            if !none {
                values.push((last, (*sealed).to_owned()));
                wanted.push(text);
            }
        }
        let found = open(&stage.service, &values)?.context("the server does not answer")?;
        if found != wanted {
            bail!("values up to row {last} open to something else");
        }
        opened += u64::try_from(found.len())?;
    }
    let there: u64 = table.ask(ROWS, &[])?.first().context("no count")?.parse()?;
    if met == there { Ok(opened) } else { bail!("{met} of {there} rows were met") }
}

/// An application that knows nothing of the sealed column yet.
#[derive(Default)]
struct Writer {
    stop: AtomicBool,
    changed: AtomicU64,
    added: AtomicU64,
}

impl Writer {
    fn run(&self, mut table: Psql, rows: u64) -> Result<()> {
        let mut next = rows;
        while !self.stop.load(Ordering::Relaxed) && !process::interrupted() {
            thread::sleep(Duration::from_millis(5));
            let id = u64::from_le_bytes(ambient::random()?) % rows + 1;
            table.ask(CHANGE, &[("id", &id.to_string())])?;
            self.changed.fetch_add(1, Ordering::Relaxed);
            if id.is_multiple_of(10) {
                next += 1;
                table.ask(ADD, &[("id", &next.to_string())])?;
                self.added.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}
