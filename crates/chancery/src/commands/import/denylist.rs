//! Brings the denylist of an older system: tokens that it had revoked stay revoked.

use std::{io::BufRead as _, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Value, json};

use crate::commands::{
    client::{Api, Output, list},
    say,
};

/// Lines of one request.
const BATCH: usize = 1_000;

#[derive(Debug, Args)]
pub(super) struct DenylistArgs {
    /// A JSON object on each line: jti, expires_at, and if known user and reason
    file: PathBuf,
}

pub(super) async fn run(api: &Api, output: Output, args: DenylistArgs) -> Result<ExitCode> {
    let file = &args.file;
    let opened = std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let lines: Vec<String> = std::io::BufReader::new(opened)
        .lines()
        .collect::<Result<_, _>>()
        .with_context(|| format!("{} is not UTF-8", file.display()))?;
    let (mut revoked, mut over, mut refused) = (0, 0, Vec::new());
    for (at, batch) in lines.chunks(BATCH).enumerate() {
        if batch.iter().all(|line| line.trim().is_empty()) {
            continue;
        }
        let first = at * BATCH;
        let answer = api.send_lines("/v1/revocations/import", batch).await.with_context(|| {
            format!("lines {} and after were not brought; those before were, and may be brought again", first + 1)
        })?;
        let count = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or_default();
        revoked += count("revoked");
        over += count("over");
        for item in list(&answer, "items")? {
            let mut item = item.clone();
            let line = item.get("line").and_then(Value::as_u64).unwrap_or_default() + first as u64;
            if let Some(members) = item.as_object_mut() {
                members.insert("line".to_owned(), json!(line));
            }
            refused.push(item);
        }
    }
    if output.is_json() {
        say(format_args!("{:#}", json!({"revoked": revoked, "over": over, "refused": refused})));
    } else {
        for item in &refused {
            say(format_args!("line {}: refused", item.get("line").and_then(Value::as_u64).unwrap_or_default()));
            for fault in item.get("errors").and_then(Value::as_array).into_iter().flatten() {
                let text = |name: &str| fault.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                say(format_args!("  {}  {}", text("pointer"), text("message")));
            }
        }
        say(format_args!("{revoked} tokens revoked, {over} had expired, {} lines refused", refused.len()));
    }
    Ok(if refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
