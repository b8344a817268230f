//! Writes events with their proofs to a file.

use std::{
    fs::OpenOptions,
    io::{BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Value, json};

use super::{Wanted, page};
use crate::commands::{client::Api, say};

/// A proof is some kilobytes, so a page is small.
const PAGE: u32 = 200;

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
    let path = format!("{}&proof=true", args.wanted.path()?);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&args.out);
    let file = file.with_context(|| format!("cannot make {}", args.out.display()))?;
    let mut lines = BufWriter::new(file);
    let (mut count, mut cursor) = (0_u64, None);
    loop {
        let (items, next) = page(api, &path, PAGE, cursor.as_deref()).await?;
        for event in &items {
            writeln!(lines, "{}", line(event, args.personal))
                .with_context(|| format!("cannot write {}", args.out.display()))?;
            count += 1;
        }
        match next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    let file = lines.into_inner().map_err(std::io::IntoInnerError::into_error);
    let file = file.with_context(|| format!("cannot write {}", args.out.display()))?;
    file.sync_all().with_context(|| format!("cannot write {}", args.out.display()))?;
    say(format_args!("{count} events with their proofs are in {}", args.out.display()));
    for purge in purged(api, &path).await? {
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

/// What of the time that was asked for was purged.
async fn purged(api: &Api, path: &str) -> Result<Vec<Value>> {
    let mut answer = api.get(&format!("{path}&limit=1")).await?;
    Ok(answer.get_mut("purged").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default())
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
