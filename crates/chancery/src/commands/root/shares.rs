//! `chancery root split|combine`: a key in the hands of n people, any k of whom bring a lost root back.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use chancery_domain::keyring::root;
use chancery_kms::{Shares, private_file};
use clap::Args;

use super::unlock::{self, Brought};
use crate::{
    cli::ConfigArgs,
    commands::{recover, say},
    wiring::providers::Absent,
};

/// `chancery root split`.
#[derive(Debug, Args)]
pub(super) struct SplitArgs {
    /// How many shares recover the root
    #[arg(short = 'k', long, value_parser = clap::value_parser!(u8).range(2..))]
    threshold: u8,
    /// How many shares there are
    #[arg(short = 'n', long, value_parser = clap::value_parser!(u8).range(2..))]
    shares: u8,
    /// Put each share into a file of its own (mode 600) in this folder instead of printing it
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    brought: Brought,
    #[command(flatten, next_help_heading = "Configuration")]
    config: ConfigArgs,
}

/// `chancery root combine`.
#[derive(Debug, Args)]
pub(super) struct CombineArgs {
    /// A file of mode 600 with a share; once for each share
    #[arg(long, value_name = "FILE", required = true)]
    share_file: Vec<PathBuf>,
    #[command(flatten, next_help_heading = "Configuration")]
    config: ConfigArgs,
}

pub(super) async fn split(args: SplitArgs) -> Result<ExitCode> {
    let opened = unlock::open(args.config, &args.brought, Absent::Refuse).await?;
    let (provider, texts) = Shares::make(args.threshold, args.shares)?;
    let files: Vec<PathBuf> = match &args.out {
        Some(folder) => {
            private_file::create_folder(folder)?;
            (1..=texts.len()).map(|number| folder.join(format!("share-{number}.txt"))).collect()
        }
        None => Vec::new(),
    };
    if let Some(there) = files.iter().find(|file| file.symlink_metadata().is_ok()) {
        bail!("{} exists already and is not overwritten", there.display());
    }
    // Kept before the store's commit: no crash leaves a recipient whose shares nobody has.
    for (file, text) in files.iter().zip(&texts) {
        private_file::create(file, format!("{}\n", text.expose()).as_bytes())?;
    }
    let added = match root::add(&opened.instance, &provider).await {
        Ok(added) => added,
        Err(error) => {
            for file in files.iter().filter(|_| !matches!(error, root::RootError::Unsure(_))) {
                let _ = std::fs::remove_file(file);
            }
            return Err(error).context("the root was not wrapped for the shares");
        }
    };
    say(format_args!("Added           {}  {} {}", added.id, added.provider, added.label));
    if files.is_empty() {
        for (number, text) in (1..).zip(&texts) {
            say(format_args!("Share {number:<9} {}", text.expose()));
        }
        say("                shown once: give each to another person, on paper or in a vault of their own");
    }
    for file in &files {
        say(format_args!("Share           {}", file.display()));
    }
    say(format_args!(
        "                any {} of {} recover the root with a copy of the store",
        args.threshold, args.shares
    ));
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn combine(args: CombineArgs) -> Result<ExitCode> {
    let provider = unlock::shares(&args.share_file)?;
    recover::with(args.config, &provider, "these shares belong").await?;
    say("Shares          stay valid: each goes back to who keeps it. Remove from this machine:");
    for file in &args.share_file {
        say(format_args!("                {}", file.display()));
    }
    say(recover::NEXT);
    Ok(ExitCode::SUCCESS)
}
