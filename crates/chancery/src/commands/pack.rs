//! `chancery pack`: evidence from a running server, for people who have none.

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use chancery_domain::certificates::undisclosed;
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    audit,
    client::{ServerArgs, explain},
};
use crate::commands::say;

/// `chancery pack`: certificates or events by their ids, certificates about one thing or person, or every event of a span of time with the
/// certificates among them.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("scope").required(true).args(["certificates", "events", "from", "subject_kind"]))]
pub struct PackArgs {
    /// The certificates, by their ids (`crt_…`)
    #[arg(value_name = "CERTIFICATE", conflicts_with_all = ["from", "to"])]
    certificates: Vec<String>,
    /// An event of the log, by its id (`evt_…`); may be given several times
    #[arg(long = "event", value_name = "EVENT")]
    events: Vec<String>,
    /// With what these events say in confidence, such as reasons and addresses: whoever gets the pack reads it
    #[arg(long, requires = "events")]
    disclose: bool,
    /// Every event recorded at or after this moment, such as 2026-01-01T00:00:00Z
    #[arg(long, value_name = "TIME", requires = "to")]
    from: Option<String>,
    /// And before this one; at most 366 days later
    #[arg(long, value_name = "TIME", requires = "from")]
    to: Option<String>,
    /// Every certificate about one thing or person: what it is, such as patient
    #[arg(long, value_name = "KIND", requires = "subject_file")]
    subject_kind: Option<String>,
    /// And which: a file with what the application calls it, or - for standard input; other processes see arguments
    #[arg(long, value_name = "FILE", requires = "subject_kind")]
    subject_file: Option<PathBuf>,
    /// Where the pack goes; a file that is there already is not overwritten
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Also keep the instance's trust file here. Whoever shall check the pack gets it another way, once, beforehand
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Server")]
    server: ServerArgs,
}

/// Runs it.
///
/// # Errors
///
/// With what the server said, or why the file was not written.
pub async fn run(args: PackArgs) -> Result<ExitCode> {
    let api = args.server.api()?;
    let subject = audit::read(args.subject_file.as_ref())?;
    let body = match (&args.from, &args.to, &args.subject_kind) {
        (Some(from), Some(to), _) => json!({ "from": from, "to": to }),
        _ if !args.events.is_empty() => json!({ "events": args.events, "disclose": args.disclose }),
        (_, _, Some(kind)) => json!({ "subject": { "kind": kind, "ref": subject } }),
        _ => json!({ "certificates": args.certificates }),
    };
    let pack = fetch(api.request(Method::POST, "/v1/certificates/packs")?.json(&body)).await?;
    // It may say what only those may read who fetched it.
    write_new(&args.output, &pack, 0o600)?;
    say(format_args!("{}: {} bytes", args.output.display(), pack.len()));
    if args.disclose {
        tell_undisclosed(&pack);
    }
    if let Some(path) = &args.trust {
        write_new(path, &fetch(api.request(Method::GET, "/.well-known/chancery-trust.json")?).await?, 0o644)?;
        say(format_args!("{}: the trust file", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

async fn fetch(request: reqwest::RequestBuilder) -> Result<Vec<u8>> {
    let response = request.send().await.context("no answer; is the server running, and is --url right?")?;
    let status = response.status();
    let bytes = response.bytes().await.context("the answer broke off")?;
    if status.is_success() {
        return Ok(bytes.to_vec());
    }
    let problem: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    bail!("{}", explain(status.as_u16(), &problem))
}

/// Whoever reads the pack would take what is gone for what was never said.
#[expect(clippy::print_stderr, reason = "what is not in the pack goes to the terminal")]
fn tell_undisclosed(pack: &[u8]) {
    for event in undisclosed(pack) {
        eprintln!(
            "{event}: what it says in confidence is not in the pack: it was purged, its key was destroyed, or it is damaged"
        );
    }
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = file.with_context(|| format!("cannot make {}", path.display()))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).with_context(|| format!("cannot write {}", path.display()))
}
