//! Where events go besides the log.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::commands::client::{Api, Output, list};

/// What is shown of a sink in one log.
const COLUMNS: [&str; 9] =
    ["sink", "kind", "log", "state", "position", "pending", "failures", "reason", "failing_since"];

/// `chancery audit sinks`, as the platform's administrator or auditor.
#[derive(Debug, Args)]
pub(super) struct SinksArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// How far each sink is in whose log
    List,
    /// Let a sink pass over events that it refuses; this is an event itself
    Skip(SkipArgs),
}

#[derive(Debug, Args)]
struct SkipArgs {
    /// Which sink
    sink: String,
    /// In whose log: a tenant's id
    #[arg(long, value_name = "TENANT")]
    log: String,
    /// The first place that it is handed again
    #[arg(long, value_name = "INDEX")]
    to: u64,
    /// Why; sealed in the log
    #[arg(long)]
    reason: String,
}

pub(super) async fn run(api: &Api, output: Output, args: SinksArgs) -> Result<ExitCode> {
    match args.verb {
        Verb::List => {
            let (mut found, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = api.get(&format!("/v1/audit/sinks?limit=100{cursor}")).await?;
                found.extend(list(&page, "items")?.iter().cloned());
                match page.get("next_cursor").and_then(Value::as_str) {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            output.table(&found, &COLUMNS);
        }
        Verb::Skip(args) => {
            let fine = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
            if args.sink.is_empty() || !args.sink.chars().all(fine) {
                bail!("`{}` is no name of a sink; `chancery audit sinks list` shows them", args.sink);
            }
            let body = json!({"log": args.log, "to": args.to, "reason": args.reason});
            let moved = api.post(&format!("/v1/audit/sinks/{}/skip", args.sink), &body).await?;
            output.thing(&moved, &["sink", "log", "state", "position", "pending", "skipped"]);
        }
    }
    Ok(ExitCode::SUCCESS)
}
