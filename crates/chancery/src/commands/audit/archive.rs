//! Closed months outside the store: which there are, whether one proves what it holds, and what is in it.

use std::{
    fs::{self, OpenOptions},
    io::{BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use chancery_domain::certificates::verify_archive;
use clap::{Args, Subcommand};

use super::export::line;
use crate::commands::{
    client::{ClientArgs, list},
    say,
    verify::show,
};

const COLUMNS: [&str; 7] = ["month", "first", "end", "place", "name", "bytes", "written_at"];
/// The exit code for files that cannot be read: nothing was checked.
const UNREADABLE: u8 = 40;

/// `chancery audit archive`.
#[derive(Debug, Args)]
pub(super) struct ArchiveArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Which months are archived, and where
    List,
    /// Check an archive here, without a server or a key: its leaves are in the log, and nothing of it was changed. Exit codes as
    /// of `chancery verify`
    Verify(VerifyArgs),
    /// Write the events of an archive to a file, a line of JSON each. The server opens it with the tenant's keys, and says so in
    /// the log
    Open(OpenArgs),
}

#[derive(Debug, Args)]
struct VerifyArgs {
    /// The archive
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The trust file of the server, from /.well-known/chancery-trust.json, kept since you first trusted it
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
    /// A newer checkpoint of the same log
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct OpenArgs {
    /// The first place of the log that it holds, as the list says
    #[arg(value_name = "INDEX")]
    first: u64,
    /// From this place; from any that has it if nothing is said
    #[arg(long)]
    place: Option<String>,
    /// Where to; the file must not be there
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Also the personal part of each event, for callers who may see it
    #[arg(long)]
    personal: bool,
}

pub(super) async fn run(client: &ClientArgs, args: ArchiveArgs) -> Result<ExitCode> {
    match args.verb {
        Verb::List => {
            let found = client.api()?.get("/v1/audit/archives").await?;
            client.output().table(list(&found, "items")?, &COLUMNS);
            Ok(ExitCode::SUCCESS)
        }
        Verb::Verify(args) => Ok(verify(&args, client.output().is_json())),
        Verb::Open(args) => open(client, args).await,
    }
}

/// Opens no connection.
#[expect(clippy::print_stderr, reason = "what went wrong goes to the terminal")]
fn verify(args: &VerifyArgs, json: bool) -> ExitCode {
    let read = |path: &PathBuf| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let read_all = || -> Result<_> {
        let checkpoint = args.checkpoint.as_ref().map(read).transpose()?;
        Ok(verify_archive(&read(&args.file)?, &read(&args.trust)?, checkpoint.as_deref()))
    };
    match read_all() {
        Ok(report) => show(&report, json),
        Err(error) => {
            eprintln!("chancery: {error:#}");
            ExitCode::from(UNREADABLE)
        }
    }
}

async fn open(client: &ClientArgs, args: OpenArgs) -> Result<ExitCode> {
    let mut path = format!("/v1/audit/archives/{}", args.first);
    if let Some(place) = &args.place {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("place", place).finish();
        path = format!("{path}?{query}");
    }
    let found = client.api()?.get(&path).await?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&args.out);
    let file = file.with_context(|| format!("cannot make {}", args.out.display()))?;
    let mut lines = BufWriter::new(file);
    let events = list(&found, "items")?;
    for event in events {
        writeln!(lines, "{}", line(event, args.personal))
            .with_context(|| format!("cannot write {}", args.out.display()))?;
    }
    let file = lines.into_inner().map_err(std::io::IntoInnerError::into_error);
    let file = file.with_context(|| format!("cannot write {}", args.out.display()))?;
    file.sync_all().with_context(|| format!("cannot write {}", args.out.display()))?;
    say(format_args!("{} events are in {}", events.len(), args.out.display()));
    Ok(ExitCode::SUCCESS)
}
