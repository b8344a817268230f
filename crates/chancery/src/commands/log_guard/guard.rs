//! `chancery audit guard`.

use std::{collections::BTreeSet, process::ExitCode};

use anyhow::Result;
use chancery_domain::{TenantId, audit::guard::log_keys};
use clap::Args;
use serde_json::{Value, json};

use super::Opened;
use crate::{cli::ConfigArgs, commands::say, pins::PinFolder};

/// `chancery audit guard`.
#[derive(Debug, Args)]
pub(crate) struct GuardArgs {
    /// Only this tenant's log, such as ten_01J9… or ten_platform
    #[arg(long, value_name = "ID")]
    tenant: Option<TenantId>,
    /// Print it as JSON
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
pub(crate) async fn run(args: GuardArgs) -> Result<ExitCode> {
    let opened = Opened::of(args.config.clone()).await?;
    let mut logs = Vec::new();
    for tenant in opened.tenants(args.tenant).await? {
        logs.push(of(&opened, tenant).await?);
    }
    let gone = match args.tenant {
        Some(_) => Vec::new(),
        None => missing(&opened).await?,
    };
    opened.stores.archives.close().await;
    if args.json {
        say(json!({ "logs": logs, "missing": gone }));
        return Ok(ExitCode::SUCCESS);
    }
    for log in &logs {
        let text = |name: &str| match &log[name] {
            Value::Null => "never".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        say(format_args!("{}", text("tenant")));
        for key in log["keys"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            say(format_args!("  key           {key}"));
        }
        say(format_args!("  size          {}, signed {}, pinned {}", text("size"), text("signed"), text("pinned")));
        say(format_args!("  looked at     {}, findings {}", text("scrubbed_at"), text("findings")));
        if log["witnessed"].is_u64() {
            say(format_args!("  witnessed     {} events by a quorum", text("witnessed")));
        }
    }
    for tenant in &gone {
        say(format_args!(
            "{tenant}\n  MISSING       its log was signed and is not in the store; see docs/guides/audit.md"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Whose logs were signed and are not in the store. This only looks.
async fn missing(opened: &Opened) -> Result<Vec<TenantId>> {
    let pinned = PinFolder::open(&opened.config.audit)?.tenants()?;
    let there: BTreeSet<TenantId> = opened.tenants(None).await?.into_iter().collect();
    Ok(pinned.into_iter().filter(|tenant| !there.contains(tenant)).collect())
}

async fn of(opened: &Opened, tenant: TenantId) -> Result<Value> {
    let keys: Vec<String> = log_keys(&opened.instance, tenant).await?.iter().map(|key| key.to_text()).collect();
    let mut view = opened.stores.store.fresh_view(tenant).await?;
    let head = view.log_head().await?;
    let signed = view.checkpoint().await?;
    let scrub = view.scrub().await?.and_then(|scrub| scrub.ended);
    let witnessed = match tenant.is_platform() && !opened.config.audit.witnesses.is_empty() {
        true => view.newest_cosigned(head.size, opened.config.audit.witness_quorum).await?,
        false => None,
    };
    let pinned = opened.instance.guard().pinned(tenant).await?;
    Ok(json!({
        "tenant": tenant,
        "keys": keys,
        "size": head.size,
        "signed": signed.map(|signed| signed.size),
        "pinned": pinned.map(|pin| pin.head().size),
        "scrubbed_at": scrub.map(|(ended, _)| ended.to_string()),
        "findings": scrub.map(|(_, findings)| findings),
        "witnessed": witnessed,
    }))
}
