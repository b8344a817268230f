//! `chancery audit scrub`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use chancery_domain::{TenantId, audit::guard};
use clap::Args;
use serde_json::{Value, json};

use super::Opened;
use crate::{
    cli::ConfigArgs,
    commands::{backup::progress, say},
};

/// How many rows are looked at before the position is kept.
const STEP: u64 = 50_000;
/// Something is not what was written; as `chancery verify`.
const FAILED: u8 = 30;

/// `chancery audit scrub`. Exit code 0 if everything is what was written, 30 if not.
#[derive(Debug, Args)]
pub(crate) struct ScrubArgs {
    /// Only this tenant's log, such as ten_01J9… or ten_platform
    #[arg(long, value_name = "ID")]
    tenant: Option<TenantId>,
    /// Print what was found as JSON
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
pub(crate) async fn run(args: ScrubArgs) -> Result<ExitCode> {
    let opened = Opened::of(args.config.clone()).await?;
    let bar = progress(args.json, "looking");
    let (mut rows, mut logs, mut found) = (0, 0_u64, Vec::new());
    for tenant in opened.tenants(args.tenant).await? {
        bar.set_message(tenant.to_string());
        guard::begin_again(&opened.instance, tenant);
        loop {
            let step = guard::step(&opened.instance, tenant, STEP).await;
            let step = step.with_context(|| format!("could not look at the log of {tenant}"))?;
            rows += step.rows;
            found.extend(step.found.into_iter().map(|finding| (tenant, finding)));
            if step.ended {
                break;
            }
        }
        logs += 1;
    }
    if args.tenant.is_none() {
        found.extend(guard::look_for_logs(&opened.instance).await.context("could not look for logs that are gone")?);
    }
    opened.stores.archives.close().await;
    bar.finish_and_clear();
    let clean = found.is_empty();
    if args.json {
        let listed: Vec<Value> = found
            .iter()
            .map(|(tenant, finding)| json!({"tenant": tenant, "check": finding.check, "at": finding.at}))
            .collect();
        say(json!({"logs": logs, "rows": rows, "findings": listed}));
    } else {
        for (tenant, guard::Finding { check, at }) in &found {
            say(format_args!("NOT AS WRITTEN  {tenant}  {check} at {at}"));
        }
        let verdict = if clean { "all as written" } else { "see docs/guides/audit.md; keep a copy of the store" };
        say(format_args!("Looked at       {rows} entries and heads of {logs} log(s): {verdict}"));
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}
