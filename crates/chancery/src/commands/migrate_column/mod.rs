//! Seals a column of an application's live table, in batches, through the API.
//!
//! The application works on. Every batch is written only where the plaintext is still the one that was read, read back, opened through
//! the API and compared. Where a run stands is noted in the application's own database, in the batch's transaction.

mod finish;
mod legacy;
mod proof;
mod seal;
mod server;
mod value;

use std::{
    io::IsTerminal as _,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use chancery_datasets::{Database, Migration, Name, TableName};
use chancery_kms::private_file;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use self::{
    legacy::{HashForm, LegacyArgs, Reader},
    proof::Proof,
    server::{Field, Server},
};
use super::{client::ClientArgs, say};

/// The exit code when everything was sealed but what a program that does not seal yet wrote meanwhile.
const STILL_WRITTEN: u8 = 2;

/// `chancery migrate-column`.
#[derive(Debug, Args)]
pub struct MigrateColumnArgs {
    /// A file of mode 600 with the application's database: postgres://… or sqlite:PATH
    #[arg(long, value_name = "FILE")]
    database_url_file: PathBuf,
    /// The table, with its schema if it has one
    #[arg(long)]
    table: TableName,
    /// The column that tells rows apart: a primary key or unique by itself
    #[arg(long, default_value = "id")]
    row_column: Name,
    /// The column with plaintext, or with what another system sealed
    #[arg(long)]
    column: Name,
    /// The column for sealed values [default: COLUMN_encrypted]
    #[arg(long, value_name = "COLUMN")]
    to: Option<Name>,
    /// The column for search terms, if the field has an index [default: COLUMN_hash]
    #[arg(long, value_name = "COLUMN")]
    hash: Option<Name>,
    /// The table's name in the registry of fields [default: the table without its schema]
    #[arg(long, value_name = "TABLE")]
    field_table: Option<String>,
    /// The column's name in the registry of fields [default: COLUMN]
    #[arg(long, value_name = "COLUMN")]
    field_column: Option<String>,
    #[command(flatten)]
    legacy: LegacyArgs,
    /// Rows of one batch
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1000))]
    batch: u32,
    /// At most so many rows in a second
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..))]
    rows_per_second: u32,
    /// Say what there is to do and change nothing
    #[arg(long, conflicts_with_all = ["rollback", "finish", "find_plaintext"])]
    dry_run: bool,
    /// Find plaintext that was not sealed, and what is not sealed where it should be; exit code 1 if there is any
    #[arg(long, conflicts_with_all = ["rollback", "finish"])]
    find_plaintext: bool,
    /// Bring plaintext back where it was emptied, and remove what the migration added
    #[arg(long, conflicts_with = "finish")]
    rollback: bool,
    /// Empty the plaintext column, after every row was compared once more
    #[arg(long)]
    finish: bool,
    /// With --finish: drop the plaintext column. Only a backup brings it back
    #[arg(long, requires = "finish")]
    drop: bool,
    /// The API key may seal and open (role `service`)
    #[command(flatten)]
    client: ClientArgs,
}

/// Everything a step needs.
struct Run {
    migration: Migration,
    server: Server,
    field: Field,
    reader: Reader,
    batch: u32,
    rows_per_second: u32,
    bar: ProgressBar,
}

/// What a run did.
#[derive(Debug, Default)]
struct Done {
    /// Rows that were sealed.
    sealed: u64,
    /// Rows whose plaintext changed before they were written; a later pass sealed them.
    overtaken: u64,
    /// Rows that another reader is needed for, or whose value is not of the field's type. With the first of their ids.
    refused: u64,
    refused_rows: Vec<String>,
    /// Search hashes of before that were not those of their plaintext.
    other_hashes: u64,
}

/// Runs it.
///
/// # Errors
///
/// With what is wrong and its cure. What was sealed until then stays, and the next run goes on from there.
pub async fn run(args: MigrateColumnArgs) -> Result<ExitCode> {
    let json = args.client.output().is_json();
    let (finish, drop, rollback, find, dry) =
        (args.finish, args.drop, args.rollback, args.find_plaintext, args.dry_run);
    let mut run = Run::begin(args).await?;
    if run.migration.is_dropped() && !find && !dry {
        bail!(
            "the plaintext column was dropped; only a backup brings it back. --find-plaintext looks for what is not sealed"
        );
    }
    if dry {
        return run.plan(json).await;
    }
    if find {
        return run.find_plaintext(json).await;
    }
    if rollback {
        return run.rollback(json).await;
    }
    if finish {
        return run.finish(drop, json).await;
    }
    run.migrate(json).await
}

impl Run {
    async fn begin(args: MigrateColumnArgs) -> Result<Self> {
        let (server, json) = (Server::new(args.client.api()?), args.client.output().is_json());
        let url = private_text(&args.database_url_file)?;
        let database = Database::open(&url).await.context("the application's database")?;
        let field_table = args.field_table.unwrap_or_else(|| args.table.table.to_string());
        let field_column = args.field_column.unwrap_or_else(|| args.column.to_string());
        let field = server.field(&field_table, &field_column).await?;
        let sealed = args.to.map_or_else(|| args.column.with("_encrypted"), Ok)?;
        let term = match args.hash {
            Some(_) if !field.indexed => {
                bail!("{field_table}.{field_column} has no index, so there are no terms for --hash")
            }
            Some(hash) => Some(hash),
            None if field.indexed => Some(args.column.with("_hash")?),
            None => None,
        };
        let reader = Reader::of(&args.legacy)?;
        let migration = Migration::open(database, &args.table, &args.row_column, args.column, sealed, term).await?;
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        if json || !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        bar.set_style(ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {per_sec} {eta}")?);
        Ok(Self { migration, server, field, reader, batch: args.batch, rows_per_second: args.rows_per_second, bar })
    }

    async fn plan(&self, json: bool) -> Result<ExitCode> {
        let counts = self.migration.counts().await?;
        let progress = self.migration.progress().await?;
        let phase = progress.map_or_else(|| "not begun".to_owned(), |progress| progress.phase);
        if json {
            say(json!({
                "phase": phase, "rows": counts.rows, "plaintext": counts.plain, "sealed": counts.sealed,
                "pending": counts.pending, "unsealed": counts.unsealed, "nulls": counts.nulls,
            }));
        } else {
            say(format_args!("Phase           {phase}"));
            say(format_args!("Rows            {}", counts.rows));
            say(format_args!("To seal         {}", counts.pending));
            say(format_args!("Sealed          {}", counts.sealed));
            say(format_args!("Nulls           {}", counts.nulls));
            say("Nothing was changed.");
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn migrate(&mut self, json: bool) -> Result<ExitCode> {
        if let Some(progress) = self.migration.progress().await?
            && progress.phase == "finished"
        {
            bail!(
                "this column is finished; --find-plaintext looks for what slipped in, --rollback brings plaintext back"
            );
        }
        if self.migration.has_term() && self.reader.hash == HashForm::None && self.migration.progress().await?.is_none()
        {
            bail!(
                "the column of terms exists already; say with --legacy-hash what it holds (sha256, sha256-lower), \
                 or name another one with --hash"
            );
        }
        let began = Instant::now();
        self.migration.prepare().await?;
        let done = self.seal_all().await?;
        let seconds = began.elapsed().as_secs_f64();
        let proof = self.prove().await?;
        self.migration.note(if proof.is_whole() && done.refused == 0 { "sealed" } else { "sealing" }).await?;
        self.bar.finish_and_clear();
        report(&done, &proof, seconds, json);
        Ok(match (proof.is_whole(), proof.lacks_only_pending(), done.refused) {
            (true, _, 0) => ExitCode::SUCCESS,
            (false, true, 0) => ExitCode::from(STILL_WRITTEN),
            _ => ExitCode::FAILURE,
        })
    }

    /// The application's database belongs to the application.
    async fn pause(&self, rows: usize, began: Instant) {
        let due = Duration::from_secs_f64(u32::try_from(rows).map_or(0.0, f64::from) / f64::from(self.rows_per_second));
        tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
    }
}

/// The content of a private file, without the line's end.
fn private_text(path: &std::path::Path) -> Result<String> {
    let bytes = private_file::read(path, 4096)?;
    let text = std::str::from_utf8(&bytes).ok().with_context(|| format!("{} holds no text", path.display()))?;
    Ok(text.trim().to_owned())
}

fn report(done: &Done, proof: &Proof, seconds: f64, json: bool) {
    if json {
        let mut report = proof.to_json();
        if let Some(report) = report.as_object_mut() {
            report.insert("sealed_now".into(), json!(done.sealed));
            report.insert("overtaken".into(), json!(done.overtaken));
            report.insert("refused".into(), json!(done.refused));
            report.insert("refused_rows".into(), json!(done.refused_rows));
            report.insert("other_hashes".into(), json!(done.other_hashes));
            report.insert("seconds".into(), json!((seconds * 1000.0).round() / 1000.0));
        }
        say(report);
        return;
    }
    say(format_args!("Sealed now      {} in {seconds:.1} s", done.sealed));
    say(format_args!("Overtaken       {}  (the application was quicker; sealed in a later pass)", done.overtaken));
    if done.other_hashes > 0 {
        say(format_args!("Other hashes    {}  (were not the hash of their plaintext; replaced)", done.other_hashes));
    }
    if done.refused > 0 {
        say(format_args!("Refused         {}  rows {}", done.refused, done.refused_rows.join(", ")));
        say("                another reader is needed (--legacy), or the values are not of the field's type");
    }
    proof.print();
    if proof.counts.pending > done.refused && proof.lacks_only_pending() {
        say("                a program writes plaintext alone; run this again when it writes the sealed column too");
    }
    if proof.is_whole() && done.refused == 0 {
        say("Next            let the application read and write the sealed column, then run this with --finish");
    }
}
