//! `chancery audit …`: reads the audit log of a running server, checks it here, and takes it away; guards it in the store itself.

use std::{
    io::{Read as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use chancery_domain::{Clock as _, Timestamp};
use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::{
    client::{Api, ClientArgs},
    log_guard::{accept_pin_folder, accept_restore, guard, sample_logs, scrub},
};
use crate::clock::SystemClock;

mod archive;
mod export;
mod open_export;
mod retention;
mod search;
mod sinks;
mod tail;
mod verify;

/// How many events one request asks for.
const PAGE: u32 = 500;

/// `chancery audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show events as they come, until stopped
    Tail(tail::TailArgs),
    /// Find events; without more, those of the last 24 hours
    Search(search::SearchArgs),
    /// Check a part of the log here: every leaf, its place, the signed head, and that the log only grew
    Verify(verify::VerifyArgs),
    /// Write events with their proofs to a file, a line of JSON each
    Export(export::ExportArgs),
    /// On the files or objects themselves: open what a sink sealed into a bucket, with a holder of the root
    OpenExport(open_export::OpenExportArgs),
    /// How long the log is kept, what holds it, and what of it was purged
    Retention(retention::RetentionArgs),
    /// Legal holds: what keeps events beyond their time
    Hold(retention::HoldArgs),
    /// Let events go whose time is over, by whole months; takes another officer's approval
    Purge(retention::PurgeArgs),
    /// Closed months in files outside the store: which there are, whether one proves what it holds, what is in it
    Archive(archive::ArchiveArgs),
    /// Where events go besides the log: how far each sink is, and letting one pass over what it refuses
    Sinks(sinks::SinksArgs),
    /// On the store itself: hash everything that is stored again, in one go: entries, tiles, every head ever signed
    Scrub(scrub::ScrubArgs),
    /// On the store itself: how each log is guarded: its keys, what was signed, pinned, looked at again and witnessed
    Guard(guard::GuardArgs),
    /// On the store itself: search lines of the program's own log for secrets and personal data, and keep in the platform's log what came of it
    SampleLogs(sample_logs::SampleLogsArgs),
    /// On the store itself: let a log go on that is behind what was signed of it, because its store was put back
    AcceptRestore(accept_restore::AcceptRestoreArgs),
    /// On the store itself: let a new folder keep the last signed heads of a log that was signed before
    AcceptPinFolder(accept_pin_folder::AcceptPinFolderArgs),
}

/// Which events.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Events")]
struct Wanted {
    /// Recorded at or after this moment (2026-11-26T21:00:00Z); 24 hours ago if nothing is said
    #[arg(long, value_name = "MOMENT")]
    from: Option<Timestamp>,
    /// Recorded before this moment; now if nothing is said
    #[arg(long, value_name = "MOMENT")]
    to: Option<Timestamp>,
    /// By this actor: a user's or an API key's id, or `system`
    #[arg(long, value_name = "ID")]
    actor: Option<String>,
    /// Of this type, such as record.opened
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Of a type that begins so, such as app. or key.
    #[arg(long, value_name = "START")]
    type_prefix: Option<String>,
    /// On the thing with this id
    #[arg(long, value_name = "ID")]
    resource: Option<String>,
    /// On this key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// That name a person: a file with what the application calls it, or - for standard input; other processes see arguments
    #[arg(long, value_name = "FILE")]
    subject_file: Option<PathBuf>,
    /// That name rows: a file with table/row,table/row, or - for standard input
    #[arg(long, value_name = "FILE")]
    rows_file: Option<PathBuf>,
    /// With this outcome: 0 it worked, 4 refused or ended early, 8 failed or did not open, 12 nobody knows
    #[arg(long)]
    outcome: Option<i64>,
    /// With this request
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// Security events alone
    #[arg(long)]
    security: bool,
}

impl Wanted {
    /// The span of time.
    fn span(&self) -> (Timestamp, Timestamp) {
        let now = SystemClock.now();
        (self.from.unwrap_or_else(|| now.plus_seconds(-24 * 3_600)), self.to.unwrap_or_else(|| now.plus_seconds(1)))
    }

    /// What asks for these, without page and cursor. It goes in a body: who is looked for does not belong into an address.
    fn body(&self) -> Result<Map<String, Value>> {
        let (from, to) = self.span();
        let mut body = between(from, to);
        let (subject, rows) = (read(self.subject_file.as_ref())?, read(self.rows_file.as_ref())?);
        for (name, value) in [
            ("actor", &self.actor),
            ("type", &self.kind),
            ("type_prefix", &self.type_prefix),
            ("resource", &self.resource),
            ("key", &self.key),
            ("subject", &subject),
            ("rows", &rows),
            ("request_id", &self.request),
        ] {
            if let Some(value) = value {
                body.insert(name.to_owned(), value.as_str().into());
            }
        }
        if let Some(outcome) = self.outcome {
            body.insert("outcome".to_owned(), outcome.into());
        }
        if self.security {
            body.insert("security".to_owned(), true.into());
        }
        Ok(body)
    }
}

/// What asks for the events of a span of time.
fn between(from: Timestamp, to: Timestamp) -> Map<String, Value> {
    [("from", from), ("to", to)].into_iter().map(|(name, at)| (name.to_owned(), at.to_string().into())).collect()
}

/// What a file holds, or standard input, without blanks around it.
pub(super) fn read(path: Option<&PathBuf>) -> Result<Option<String>> {
    let Some(path) = path else { return Ok(None) };
    let text = if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        text
    } else {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
    };
    Ok(Some(text.trim().to_owned()))
}

/// One page: its events, and where the next one begins.
async fn page(
    api: &Api,
    wanted: &Map<String, Value>,
    limit: u32,
    cursor: Option<&str>,
) -> Result<(Vec<Value>, Option<String>)> {
    let mut body = wanted.clone();
    body.insert("limit".to_owned(), limit.into());
    if let Some(cursor) = cursor {
        body.insert("cursor".to_owned(), cursor.into());
    }
    let mut answer = api.post("/v1/audit/events/search", &Value::Object(body)).await?;
    for place in answer.get("damaged").and_then(Value::as_array).into_iter().flatten() {
        let told =
            format!("the event at place {place} is not what was logged, and is not shown; run `chancery audit scrub`");
        let _ = writeln!(std::io::stderr().lock(), "{told}"); // whoever reads may be gone
    }
    let next = answer.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
    let items = answer.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take);
    Ok((items.context("the answer has no list `items`")?, next))
}

/// Runs it.
///
/// # Errors
///
/// With what the server said, or what is wrong with the store; what was not said to be done was not done.
pub async fn run(args: AuditArgs) -> Result<ExitCode> {
    let client = args.client;
    match args.verb {
        Verb::Tail(args) => tail::run(&client.api()?, client.output(), args).await,
        Verb::Search(args) => search::run(&client.api()?, client.output(), args).await,
        Verb::Verify(args) => verify::run(&client.api()?, client.output(), args).await,
        Verb::Export(args) => export::run(&client.api()?, args).await,
        Verb::OpenExport(args) => open_export::run(args).await,
        Verb::Retention(args) => retention::run(&client.api()?, client.output(), args).await,
        Verb::Hold(args) => retention::hold(&client.api()?, client.output(), args).await,
        Verb::Purge(args) => retention::purge(&client.api()?, client.output(), args).await,
        Verb::Archive(args) => archive::run(&client, args).await,
        Verb::Sinks(args) => sinks::run(&client.api()?, client.output(), args).await,
        Verb::Scrub(args) => scrub::run(args).await,
        Verb::Guard(args) => guard::run(args).await,
        Verb::SampleLogs(args) => sample_logs::run(args).await,
        Verb::AcceptRestore(args) => accept_restore::run(args).await,
        Verb::AcceptPinFolder(args) => accept_pin_folder::run(args).await,
    }
}
