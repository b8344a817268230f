//! `chancery audit accept-pin-folder`.

use std::process::ExitCode;

use anyhow::Result;
use chancery_domain::audit::guard;
use clap::Args;
use serde_json::json;

use super::Opened;
use crate::{cli::ConfigArgs, commands::say, pins::PinFolder};

/// `chancery audit accept-pin-folder`.
#[derive(Debug, Args)]
pub(crate) struct AcceptPinFolderArgs {
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten, next_help_heading = "Configuration")]
    config: ConfigArgs,
}

/// Runs it.
///
/// # Errors
///
/// With what is wrong; what was not said to be done was not done.
pub(crate) async fn run(args: AcceptPinFolderArgs) -> Result<ExitCode> {
    let opened = Opened::unguarded(args.config.clone()).await?;
    let folder = PinFolder::open(&opened.config.audit)?;
    let new = !folder.is_marked();
    if new {
        // Told before it is done: whoever tries again after a crash tells it again.
        guard::accept_pins(&opened.instance).await?;
        folder.mark()?;
    }
    opened.stores.archives.close().await;
    let path = opened.config.audit.pin_folder.display();
    if args.json {
        say(json!({"accepted": new, "pin_folder": path.to_string()}));
    } else if new {
        say(format_args!(
            "Accepted        {path}; the platform's log says so. What was signed before is not known there"
        ));
        say("Next            chancery serve");
    } else {
        say(format_args!("Nothing         was changed; {path} was used before"));
    }
    Ok(ExitCode::SUCCESS)
}
