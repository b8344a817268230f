//! Checks a pack, or an archive, offline.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use chancery_domain::certificates::offline::{PackReport, is_archive, verify_archive, verify_pack};
use clap::Args;
use data_encoding::HEXLOWER;
use serde_json::json;

use crate::commands::{printable, say};

/// The exit code for files that cannot be read: nothing was checked.
const UNREADABLE: u8 = 40;

/// `chancery verify`. Exit codes: 0 verified; 10 verified, but a newer checkpoint was given; 20 witnesses
/// named by the trust file are missing; 30 failed; 40 unsupported or not readable.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The pack, or an archive of a month
    pack: PathBuf,
    /// The trust file of the server, from /.well-known/chancery-trust.json, kept since you first trusted it
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
    /// A newer checkpoint of the same log
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Runs it. Opens no connection.
#[expect(clippy::print_stderr, reason = "what went wrong goes to the terminal")]
pub fn run(args: &VerifyArgs) -> ExitCode {
    match check(args) {
        Ok(report) => show(&report, args.json),
        Err(error) => {
            eprintln!("chancery: {error:#}");
            ExitCode::from(UNREADABLE)
        }
    }
}

fn check(args: &VerifyArgs) -> Result<PackReport> {
    let read = |path: &PathBuf| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let checkpoint = args.checkpoint.as_ref().map(read).transpose()?;
    let file = read(&args.pack)?;
    let check = if is_archive(&file) { verify_archive } else { verify_pack };
    Ok(check(&file, &read(&args.trust)?, checkpoint.as_deref()))
}

/// Prints a report; gives the exit code that says the same.
pub(super) fn show(report: &PackReport, json: bool) -> ExitCode {
    say(format_args!("{}", if json { as_json(report) } else { as_text(report) }));
    ExitCode::from(report.verdict.exit_code())
}

fn as_text(report: &PackReport) -> String {
    let width = report.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for check in &report.checks {
        let mark = if check.ok { "✓" } else { "✗" };
        text.push_str(&format!("{mark} {:width$}  {}\n", check.name, printable(&check.detail)));
    }
    text.push_str(&format!("{}: {}", report.verdict, printable(&report.certificates.join(", "))));
    text.trim_end_matches([':', ' ']).to_owned()
}

fn as_json(report: &PackReport) -> String {
    let checks: Vec<_> = report
        .checks
        .iter()
        .map(|check| json!({ "name": check.name, "ok": check.ok, "detail": check.detail }))
        .collect();
    let verdict = report.verdict.as_str();
    let code = report.verdict.exit_code();
    let as_of = report.as_of.map(|head| {
        let root = HEXLOWER.encode(&head.root);
        json!({ "size": head.size, "root": root, "signed_at": head.signed_at.to_string() })
    });
    format!(
        "{:#}",
        json!({
            "verdict": verdict,
            "exit_code": code,
            "tenant_id": report.tenant,
            "as_of": as_of,
            "certificates": report.certificates,
            "checks": checks,
        })
    )
}

/// The exit code for a pack under a trust file: what the command would end with.
pub(crate) fn exit_code(pack: &[u8], trust: &[u8]) -> u8 {
    verify_pack(pack, trust, None).verdict.exit_code()
}
