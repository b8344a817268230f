//! `chancery audit …`.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::log_guard::{accept_restore, guard, scrub};

/// `chancery audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// On the store itself: hash everything that is stored again, in one go: entries, tiles, every head ever signed
    Scrub(scrub::ScrubArgs),
    /// On the store itself: how each log is guarded: its keys, what was signed, pinned, looked at again and witnessed
    Guard(guard::GuardArgs),
    /// On the store itself: let a log go on that is behind what was signed of it, because its store was put back
    AcceptRestore(accept_restore::AcceptRestoreArgs),
}

/// Runs it.
///
/// # Errors
///
/// With what is wrong; what was not said to be done was not done.
pub async fn run(args: AuditArgs) -> Result<ExitCode> {
    match args.verb {
        Verb::Scrub(args) => scrub::run(args).await,
        Verb::Guard(args) => guard::run(args).await,
        Verb::AcceptRestore(args) => accept_restore::run(args).await,
    }
}
