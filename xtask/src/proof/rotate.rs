//! A full rotation of the data key over a registered table, under load, with kills.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::psql::Psql;
use super::{Options, Stage, number, open, private_file, seal, started};
use crate::postgres::Postgres;
use crate::server::contract::text;
use crate::{ambient, process};

const TABLE: &str =
    "CREATE TABLE patients (id bigint PRIMARY KEY, ssn_encrypted text, ssn_hash text, generation bigint NOT NULL);";
const FILL: &str = "COPY patients FROM STDIN;";
const ONE: &str = "SELECT ssn_encrypted, generation FROM patients WHERE id = :id;";
const CHANGE: &str = "UPDATE patients SET ssn_encrypted = :'sealed', ssn_hash = :'term', generation = :next
    WHERE id = :id AND generation = :last RETURNING id;";
const PAGE: &str = "SELECT id, generation, ssn_encrypted FROM patients WHERE id > :id ORDER BY id LIMIT 1000;";
/// Rows of a batch, as a re-seal has them; and what it would do without sealing: read a batch, write it back, commit.
const BATCH: u64 = 500;
const READ: &str = "SELECT id, ssn_encrypted, ssn_hash FROM patients WHERE id BETWEEN :first AND :last;";
const REWRITE: &str = "UPDATE patients SET ssn_encrypted = ssn_encrypted || '', ssn_hash = ssn_hash || '' WHERE id BETWEEN :first AND :last;";
/// Flags and handle of each value, and how many there are: what the census must say.
const HANDLES: &str = "SELECT substr(ssn_encrypted, 10, 12), count(*) FROM patients GROUP BY 1 ORDER BY 1;";

/// Runs the proof.
pub(crate) fn rotate(options: &Options, postgres: Option<&Postgres>) -> Result<()> {
    let mut own = None;
    let postgres = started(postgres, &mut own)?;
    let mut stage = Stage::open(options, postgres, "rotate")?;
    let mut table = Psql::open(&stage.psql, &stage.url)?;
    let key = prepare(&stage, &mut table, options.rows)?;
    let load = Load::default();
    let (psql, url) = (stage.psql.clone(), stage.url.clone());
    let service = stage.service.clone();
    let outcome = thread::scope(|scope| {
        let workers = [
            scope.spawn(|| load.write(&service, Psql::open(&psql, &url)?, options.rows)),
            scope.spawn(|| load.read(&service, Psql::open(&psql, &url)?, options.rows)),
        ];
        let outcome = reseal(&mut stage, options);
        load.stop.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))??;
        }
        outcome
    });
    let (job, seconds) = outcome?;
    let (written, read) = (load.written.load(Ordering::Relaxed), load.read.load(Ordering::Relaxed));
    println!(
        "rotation: re-sealed in {seconds:.1} s with {} kills, {} overtaken by the writer, {written} writes and {read} reads meanwhile",
        options.kills,
        job.get("overtaken").and_then(Value::as_u64).unwrap_or_default()
    );
    if written == 0 || read == 0 {
        bail!("the load did not reach the server, so nothing was tested");
    }
    let opened = verify(&stage, &mut table, options.rows)?;
    census(&stage, &mut table, &key, options.rows)?;
    println!(
        "rotation: {opened} values open to what was written, none is sealed twice, the census is exact, the old version is inactive"
    );
    stage.server.finish()?;
    Ok(())
}

/// Fills a registered table, and rotates the key under it. Gives the key.
fn prepare(stage: &Stage, table: &mut Psql, rows: u64) -> Result<String> {
    table.ask(TABLE, &[])?;
    let began = Instant::now();
    fill(stage, table, rows)?;
    println!("rotation: {rows} rows sealed and stored in {:.1} s", began.elapsed().as_secs_f64());
    private_file(&stage.server.data().join("datasets").join(&stage.tenant).join("clinic.url"), &stage.url)?;
    let dataset = json!({
        "database_url_file": "clinic.url", "table": "patients", "row_column": "id",
        "columns": [{"column": "ssn", "terms_in": "ssn_hash"}],
    });
    stage.officer.expect("PUT", "/v1/datasets/patients", Some(&dataset))?;
    let keys = stage.officer.expect("GET", "/v1/keys?managed=data", None)?;
    let key = keys.pointer("/items/0/id").and_then(Value::as_str).context("no data key")?.to_owned();
    stage.officer.expect("POST", &format!("/v1/keys/{key}/rotate"), Some(&json!({})))?;
    Ok(key)
}

/// Rows per second of a re-seal without load or kills, and of the same rows written back as they are, batch by batch.
pub(crate) fn rate(rows: u64) -> Result<[f64; 2]> {
    let postgres = Postgres::start()?;
    let options = Options { rows, kills: 0, release: true, rows_per_second: Some(1_000_000), ..Options::default() };
    let mut stage = Stage::open(&options, &postgres, "rate")?;
    let mut table = Psql::open(&stage.psql, &stage.url)?;
    prepare(&stage, &mut table, rows)?;
    let (_, seconds) = reseal(&mut stage, &options)?;
    let began = Instant::now();
    for first in (1..=rows).step_by(usize::try_from(BATCH)?) {
        let last = (first + BATCH - 1).to_string();
        table.ask(READ, &[("first", &first.to_string()), ("last", &last)])?;
        table.ask(REWRITE, &[("first", &first.to_string()), ("last", &last)])?;
    }
    let plain = began.elapsed().as_secs_f64();
    stage.server.finish()?;
    let rows = f64::from(u32::try_from(rows)?);
    Ok([rows / seconds, rows / plain])
}

fn fill(stage: &Stage, table: &mut Psql, rows: u64) -> Result<()> {
    let ids: Vec<u64> = (1..=rows).collect();
    for chunk in ids.chunks(1000) {
        let values: Vec<(u64, String)> = chunk.iter().map(|id| (*id, number(*id, 0))).collect();
        let sealed = seal(&stage.service, &values)?.context("the server does not answer")?;
        let lines: String = values
            .iter()
            .zip(&sealed)
            .map(|((id, _), (sealed, term))| format!("{id}\t{sealed}\t{term}\t0\n"))
            .collect();
        table.copy(FILL, &lines)?;
    }
    Ok(())
}

/// Starts the job, kills the server so many times while it runs, and waits for its end.
fn reseal(stage: &mut Stage, options: &Options) -> Result<(Value, f64)> {
    // So slow that every kill finds it at work.
    let rate = options
        .rows_per_second
        .unwrap_or_else(|| (options.rows / (u64::from(options.kills) * 3 + 1)).clamp(500, 1_000_000));
    let body = json!({"work": "reseal", "rows_per_second": rate});
    let job = stage.officer.expect("POST", "/v1/datasets/patients/reseal", Some(&body))?;
    let path = format!("/v1/datasets/patients/jobs/{}", text(&job, "id")?);
    let began = Instant::now();
    let (mut killed, mut last) = (0, Duration::ZERO);
    loop {
        process::pause(Duration::from_millis(50))?;
        let job = stage.officer.expect("GET", &path, None)?;
        let moved = job.get("moved").and_then(Value::as_u64).unwrap_or_default();
        match text(&job, "state")?.as_str() {
            "failed" => bail!("the job failed: {job}"),
            "done" if killed < options.kills => bail!("the job ended after {killed} kills; give it more rows"),
            "done" => return Ok((job, began.elapsed().as_secs_f64())),
            _ => {}
        }
        // Somewhere in the next of equal parts, and not at its beginning only.
        let due = options.rows * u64::from(killed) / u64::from(options.kills.max(1));
        if killed < options.kills && moved > due {
            let random = u64::from(u16::from_le_bytes(ambient::random()?)) % 700;
            process::pause(Duration::from_millis(random))?;
            stage.kill_server()?;
            killed += 1;
            println!("rotation: kill {killed} after {:.1} s, {moved} moved", began.elapsed().as_secs_f64());
        }
        if began.elapsed() - last > Duration::from_secs(30) {
            last = began.elapsed();
            println!("rotation: {moved} moved after {:.0} s", last.as_secs_f64());
        }
    }
}

/// An application at work.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    written: AtomicU64,
    read: AtomicU64,
}

impl Load {
    fn row(&self, rows: u64) -> Result<Option<u64>> {
        thread::sleep(Duration::from_millis(3));
        if self.stop.load(Ordering::Relaxed) || process::interrupted() {
            return Ok(None);
        }
        Ok(Some(u64::from_le_bytes(ambient::random()?) % rows + 1))
    }

    /// Writes new values into random rows, as an application does: seal, then store.
    fn write(&self, service: &crate::server::contract::Client, mut table: Psql, rows: u64) -> Result<()> {
        while let Some(id) = self.row(rows)? {
            let text_id = id.to_string();
            let found = table.ask(ONE, &[("id", &text_id)])?;
            let last = found.first().and_then(|line| line.split('\t').nth(1)).context("a row is gone")?.to_owned();
            let next = last.parse::<u64>()? + 1;
            let Some(sealed) = seal(service, &[(id, number(id, next))])? else { continue };
            let (sealed, term) = sealed.first().context("no value")?;
            let values = [
                ("sealed", sealed.as_str()),
                ("term", term),
                ("next", &next.to_string()),
                ("id", &text_id),
                ("last", &last),
            ];
            if table.ask(CHANGE, &values)?.len() == 1 {
                self.written.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Opens random rows and compares them with what was written.
    fn read(&self, service: &crate::server::contract::Client, mut table: Psql, rows: u64) -> Result<()> {
        while let Some(id) = self.row(rows)? {
            let found = table.ask(ONE, &[("id", &id.to_string())])?;
            let (sealed, generation) = found.first().and_then(|line| line.split_once('\t')).context("a row is gone")?;
            let Some(opened) = open(service, &[(id, sealed.to_owned())])? else { continue };
            if opened != [number(id, generation.parse()?)] {
                bail!("row {id} opens to something else");
            }
            self.read.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Opens everything. What was sealed twice would open to something sealed.
fn verify(stage: &Stage, table: &mut Psql, rows: u64) -> Result<u64> {
    let (mut last, mut opened) = (0u64, 0);
    loop {
        let page = table.ask(PAGE, &[("id", &last.to_string())])?;
        let mut values = Vec::with_capacity(page.len());
        let mut wanted = Vec::with_capacity(page.len());
        for line in &page {
            let mut parts = line.split('\t');
            let (id, generation, sealed) = (parts.next(), parts.next(), parts.next());
            let id: u64 = id.context("no id")?.parse()?;
            wanted.push(number(id, generation.context("no generation")?.parse()?));
            values.push((id, sealed.context("no value")?.to_owned()));
            last = id;
        }
        if values.is_empty() {
            break;
        }
        let found = open(&stage.service, &values)?.context("the server does not answer")?;
        if found != wanted {
            bail!("values up to row {last} open to something else");
        }
        opened += u64::try_from(found.len())?;
    }
    if opened == rows { Ok(opened) } else { bail!("{opened} of {rows} rows are there") }
}

fn census(stage: &Stage, table: &mut Psql, key: &str, rows: u64) -> Result<()> {
    let handles = table.ask(HANDLES, &[])?;
    let [only] = handles.as_slice() else { bail!("values under more than one version: {handles:?}") };
    if only.split('\t').nth(1) != Some(rows.to_string().as_str()) {
        bail!("the table says {only}, not {rows}");
    }
    let census = stage.officer.expect("GET", &format!("/v1/keys/{key}/census"), None)?;
    let of = |at: usize, name: &str| census.pointer(&format!("/items/{at}/{name}")).cloned().unwrap_or_default();
    let found = [of(0, "state"), of(0, "count"), of(1, "state"), of(1, "count")];
    if found != [json!("inactive"), json!(0), json!("active"), json!(rows)] {
        bail!("the census says {census}");
    }
    Ok(())
}
