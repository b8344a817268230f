//! `chancery seal` and `chancery open`: pipes through a running server.
//!
//! Values are texts up to 1 MiB, or JSON of the field's type; blobs are streams of any length, held in memory a chunk at
//! a time. Nothing of what goes through is kept.

mod blob;
mod value;

use std::{fs::File, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use super::client::{ServerArgs, explain};

/// Exit code: the server refused, or what came back did not verify.
const REFUSED: u8 = 2;

/// Where a value lives, and which server seals it.
#[derive(Debug, Args)]
pub struct Place {
    /// The registered field: TABLE.COLUMN
    #[arg(long, value_name = "TABLE.COLUMN")]
    field: String,
    /// The row, for fields bound to rows
    #[arg(long, value_name = "ROW")]
    row: Option<String>,
    /// A stream of any length instead of one value; the field is of type `bytes`
    #[arg(long)]
    blob: bool,
    /// The value is JSON of the field's type, not text
    #[arg(long, conflicts_with = "blob")]
    json: bool,
    /// Read this file instead of standard input
    #[arg(value_name = "FILE")]
    input: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Server")]
    server: ServerArgs,
}

/// `chancery seal`. Exit codes: 0 sealed; 1 something failed here; 2 the server refused.
#[derive(Debug, Args)]
pub struct SealArgs {
    /// A file with the reference of the person whom it belongs to: sealed under a key of that person alone
    #[arg(long, value_name = "FILE")]
    subject_file: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// `chancery open`. Exit codes: 0 all of it was opened and verified; 1 something failed here; 2 the server refused, or it
/// did not verify: what came out before must not be used.
#[derive(Debug, Args)]
pub struct OpenArgs {
    /// Why, in 1 to 200 characters; sealed in the log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The purpose of use (HL7)
    #[arg(long, value_name = "CODE", default_value = "TREAT")]
    purpose: String,
    /// Only these bytes, FIRST-LAST or FIRST-: from a file, no other chunks are read or sent
    #[arg(long, value_name = "RANGE", requires = "blob")]
    range: Option<String>,
    #[command(flatten)]
    place: Place,
}

/// Seals standard input, or a file, to standard output.
///
/// # Errors
///
/// What failed on this side.
pub async fn seal(args: SealArgs) -> Result<ExitCode> {
    let subject = args.subject_file.as_ref().map(read_line).transpose()?;
    let outcome = match args.place.blob {
        true => blob::seal(&args.place, subject.as_deref()).await,
        false => value::seal(&args.place, subject.as_deref()).await,
    };
    finish(outcome)
}

/// Opens standard input, or a file, to standard output.
///
/// # Errors
///
/// What failed on this side.
pub async fn open(args: OpenArgs) -> Result<ExitCode> {
    let outcome = match args.place.blob {
        true => blob::open(&args).await,
        false => value::open(&args).await,
    };
    finish(outcome)
}

/// What the server said no to.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

#[expect(clippy::print_stderr, reason = "what was refused goes to the terminal; standard output is the value")]
fn finish(outcome: Result<()>) -> Result<ExitCode> {
    match outcome {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.is::<Refused>() => {
            eprintln!("chancery: {error}");
            Ok(ExitCode::from(REFUSED))
        }
        Err(error) => Err(error),
    }
}

impl Place {
    /// Table and column.
    fn names(&self) -> Result<(&str, &str)> {
        self.field.split_once('.').with_context(|| format!("`--field {}` is not TABLE.COLUMN", self.field))
    }

    fn post(&self, path: &str) -> Result<reqwest::RequestBuilder> {
        self.server.api()?.request(reqwest::Method::POST, path)
    }

    fn file(&self) -> Result<Option<File>> {
        let open = |path: &PathBuf| File::open(path).with_context(|| format!("cannot read {}", path.display()));
        self.input.as_ref().map(open).transpose()
    }
}

fn read_line(file: &PathBuf) -> Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// The answer if it is good; otherwise what the server says of it.
async fn good(response: reqwest::Response) -> Result<reqwest::Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let problem: serde_json::Value = serde_json::from_slice(&response.bytes().await?).unwrap_or_default();
    bail!(Refused(explain(status.as_u16(), &problem)))
}
