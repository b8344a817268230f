//! Who holds the platform root: lists, adds, replaces, removes, proves; shares for people; rotation.
//!
//! These commands work on the store itself, as `recover` does: beside a running server or without one. What they change is
//! in one commit with its event; servers follow by themselves.

mod recipients;
mod rotate;
mod shares;
mod unlock;

pub(crate) use unlock::{recovery, store};

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

/// `chancery root`.
#[derive(Debug, Args)]
pub struct RootArgs {
    #[command(subcommand)]
    command: RootCommand,
}

#[derive(Debug, Subcommand)]
enum RootCommand {
    /// Who holds the root, and when each was last proven
    List(recipients::ListArgs),
    /// Wrap the root for a further key provider of the configuration, or for a new recovery key
    Add(recipients::AddArgs),
    /// Wrap the root for another provider and take a recipient away, in one step
    Replace(recipients::ReplaceArgs),
    /// Take a recipient away; the last proven ones stay
    Remove(recipients::RemoveArgs),
    /// Ask each recipient at hand for the root, without showing it
    Prove(recipients::ProveArgs),
    /// Wrap the root for a key in n shares, any k of which recover it
    Split(shares::SplitArgs),
    /// Make a new root key file from k shares, after the old one was lost
    Combine(shares::CombineArgs),
    /// Give the root a new version and move every tenant key under it; begun again where it was interrupted
    Rotate(rotate::RotateArgs),
}

/// Runs it.
///
/// # Errors
///
/// With what is wrong; what was not said to be done was not done.
pub async fn run(args: RootArgs) -> Result<ExitCode> {
    match args.command {
        RootCommand::List(args) => recipients::list(args).await,
        RootCommand::Add(args) => recipients::add(args).await,
        RootCommand::Replace(args) => recipients::replace(args).await,
        RootCommand::Remove(args) => recipients::remove(args).await,
        RootCommand::Prove(args) => recipients::prove(args).await,
        RootCommand::Split(args) => shares::split(args).await,
        RootCommand::Combine(args) => shares::combine(args).await,
        RootCommand::Rotate(args) => rotate::rotate(args).await,
    }
}
