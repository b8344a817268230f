//! Writes events with their proofs to a file.

use std::{
    fs::OpenOptions,
    io::{BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::Wanted;
use crate::commands::{
    client::{Api, explain},
    say,
};

/// `chancery audit export`.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    wanted: Wanted,
    /// Where to; the file must not be there
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Also the personal part of each event, for callers who may see it
    #[arg(long)]
    personal: bool,
}

pub(super) async fn run(api: &Api, args: ExportArgs) -> Result<ExitCode> {
    let mut body = args.wanted.body()?;
    if args.personal {
        body.insert("personal".to_owned(), true.into());
    }
    let mut response = asked(api, &Value::Object(body)).await?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&args.out);
    let file = file.with_context(|| format!("cannot make {}", args.out.display()))?;
    let unwritten = || format!("cannot write {}", args.out.display());
    let mut lines = BufWriter::new(file);
    let (mut count, mut rest, mut end) = (0_u64, Vec::new(), None);
    while let Some(chunk) = response.chunk().await.with_context(|| broken(&args.out))? {
        rest.extend_from_slice(&chunk);
        while let Some(length) = rest.iter().position(|byte| *byte == b'\n') {
            let event: Value = serde_json::from_slice(rest.get(..length).unwrap_or_default())
                .context("a line of the answer is no JSON; is --url a Chancery?")?;
            rest.drain(..=length);
            if event.get("end").is_some() {
                end = Some(event);
                continue;
            }
            writeln!(lines, "{}", line(&event, args.personal)).with_context(unwritten)?;
            count += 1;
        }
    }
    let file = lines.into_inner().map_err(std::io::IntoInnerError::into_error);
    let file = file.with_context(unwritten)?;
    file.sync_all().with_context(unwritten)?;
    let end = end.filter(|end| rest.is_empty() && end.get("events").and_then(Value::as_u64) == Some(count));
    let end = end.with_context(|| broken(&args.out))?;
    say(format_args!("{count} events with their proofs are in {}", args.out.display()));
    for purge in end.get("purged").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| purge.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        say(format_args!(
            "events of {} were purged when their time was over: certificate {}, event {}",
            part("month"),
            part("certificate_id"),
            part("event_id")
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn broken(out: &Path) -> String {
    format!("the answer broke off: what is in {} is not all; remove it and ask again", out.display())
}

/// The answer, if it is one: it takes as long as it takes.
async fn asked(api: &Api, body: &Value) -> Result<reqwest::Response> {
    let request = api.request(Method::POST, "/v1/audit/exports")?.json(body);
    let response = request.send().await.context("no answer; is the server running, and is --url right?")?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let problem: Value = serde_json::from_slice(&response.bytes().await.unwrap_or_default()).unwrap_or_default();
    bail!("{}", explain(status.as_u16(), &problem))
}

/// What a sink of files writes too, so that one program reads both.
pub(super) fn line(event: &Value, personal: bool) -> Value {
    let mut line = json!({});
    for (name, member) in [
        ("index", "index"),
        ("id", "event_id"),
        ("core", "core"),
        ("leaf_hash", "leaf_hash"),
        ("proof", "proof"),
        ("sealed_part", "sealed_part"),
    ] {
        let wanted = member != "sealed_part" || personal;
        if let (true, Some(value), Some(members)) = (wanted, event.get(name), line.as_object_mut()) {
            members.insert(member.to_owned(), value.clone());
        }
    }
    line
}
