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
    let mut tenants = opened.tenants(args.tenant).await?;
    if args.all {
        tenants.extend(gone(&opened.instance).await?);
    }
    let gaps = accept(&opened.instance, tenants, false).await?;
    opened.stores.archives.close().await;
    if args.json {
        say(json!({ "accepted": gaps.iter().map(shown).collect::<Vec<_>>() }));
        return Ok(ExitCode::SUCCESS);
    }
    for (tenant, gap) in &gaps {
        say(describe(*tenant, gap));
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
    let mut tenants = everybody(stores).await?;
    tenants.extend(gone(instance).await?);
    accept(instance, tenants, true).await
}

/// Whose logs were signed and are not there.
async fn gone(instance: &Instance) -> Result<Vec<TenantId>> {
    let missing = guard::look_for_logs(instance).await.context("could not look for logs that are gone")?;
    Ok(missing.into_iter().map(|(tenant, _)| tenant).collect())
}

async fn accept(instance: &Instance, tenants: Vec<TenantId>, restored: bool) -> Result<Vec<(TenantId, Gap)>> {
    let mut gaps = Vec::new();
    for tenant in tenants {
        let gap = guard::accept_restore(instance, tenant, restored).await;
        let gap = gap.with_context(|| format!("the log of {tenant} cannot go on"))?;
        gaps.extend(gap.map(|gap| (tenant, gap)));
    }
    Ok(gaps)
}

/// What is to be said of one log.
fn describe(tenant: TenantId, gap: &Gap) -> String {
    let before = gap.pinned.as_ref().map_or(0, |pinned| pinned.size);
    if gap.head.size == 0 {
        return format!("Gone            {tenant}  {before} events were signed; the platform's log says so");
    }
    let name = gap.name.as_ref().map(|name| format!("; its heads are named {name} from now on")).unwrap_or_default();
    format!(
        "Goes on         {tenant}  from {} events; {before} were signed before. Its log and the platform's say so{name}",
        gap.head.size
    )
}

fn shown((tenant, gap): &(TenantId, Gap)) -> Value {
    let before = gap.pinned.as_ref().map(|pinned| pinned.size);
    json!({"tenant": tenant, "size": gap.head.size, "signed_before": before, "name": gap.name})
}
