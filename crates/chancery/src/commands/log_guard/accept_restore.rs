//! `chancery audit accept-restore`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use chancery_domain::{
    Instance, TenantId,
    audit::guard::{self, Gap},
};
use clap::Args;
use serde_json::{Value, json};

use super::{Opened, everybody};
use crate::{cli::ConfigArgs, commands::say, wiring::Stores};

/// `chancery audit accept-restore`.
#[derive(Debug, Args)]
pub(crate) struct AcceptRestoreArgs {
    /// Of this tenant's log, such as ten_01J9… or ten_platform
    #[arg(long, value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    tenant: Option<TenantId>,
    /// Of every log that is behind
    #[arg(long)]
    all: bool,
    /// Print what was accepted as JSON
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
pub(crate) async fn run(args: AcceptRestoreArgs) -> Result<ExitCode> {
    let opened = Opened::of(args.config.clone()).await?;
    // Either is there: `all` means that no tenant is named.
    let gaps = accept(&opened.instance, opened.tenants(args.tenant).await?).await?;
    opened.stores.archives.close().await;
    if args.json {
        say(json!({ "accepted": gaps.iter().map(shown).collect::<Vec<_>>() }));
        return Ok(ExitCode::SUCCESS);
    }
    for (tenant, gap) in &gaps {
        say(format_args!(
            "Goes on         {tenant}  from {} events; {} were signed before. Its log and the platform's say so",
            gap.head.size, gap.pinned.size
        ));
    }
    if gaps.is_empty() {
        say("Nothing         is behind what was signed; nothing was changed");
    } else {
        say("Next            on every other node with a pin folder of its own the same command, then chancery serve");
    }
    Ok(ExitCode::SUCCESS)
}

/// Of every log of this store: somebody who holds the root put it back, and said so by doing it.
///
/// # Errors
///
/// If a log is damaged besides, or an event cannot be written.
pub(crate) async fn accept_all(instance: &Instance, stores: &Stores) -> Result<Vec<(TenantId, Gap)>> {
    accept(instance, everybody(stores).await?).await
}

async fn accept(instance: &Instance, tenants: Vec<TenantId>) -> Result<Vec<(TenantId, Gap)>> {
    let mut gaps = Vec::new();
    for tenant in tenants {
        let gap = guard::accept_restore(instance, tenant).await;
        let gap = gap.with_context(|| format!("the log of {tenant} cannot go on"))?;
        gaps.extend(gap.map(|gap| (tenant, gap)));
    }
    Ok(gaps)
}

fn shown((tenant, gap): &(TenantId, Gap)) -> Value {
    json!({"tenant": tenant, "size": gap.head.size, "signed_before": gap.pinned.size})
}
