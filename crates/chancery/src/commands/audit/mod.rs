//! The audit log as it is stored: looks at all of it again, shows how it is guarded, lets it go on after its store was put back.
//!
//! These commands work on the store itself, beside a running server or without one, and need the platform root.

mod accept_restore;
mod guard;
mod scrub;

pub(crate) use accept_restore::accept_all;

use std::{process::ExitCode, sync::Arc};

use anyhow::Result;
use chancery_domain::{Instance, TenantId};
use clap::{Args, Subcommand};

use crate::{
    cli::ConfigArgs,
    commands::root::store,
    config::Config,
    wiring::{
        self, Stores,
        providers::{Absent, Providers},
    },
};

/// `chancery audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Hash everything that is stored again, in one go: entries, tiles, every head ever signed
    Scrub(scrub::ScrubArgs),
    /// How each log is guarded: its keys, what was signed, pinned, looked at again and witnessed
    Guard(guard::GuardArgs),
    /// Let a log go on that is behind what was signed of it, because its store was put back to an earlier state
    AcceptRestore(accept_restore::AcceptRestoreArgs),
}

/// Runs it.
///
/// # Errors
///
/// With what is wrong; what was not said to be done was not done.
pub async fn run(args: AuditArgs) -> Result<ExitCode> {
    match args.command {
        AuditCommand::Scrub(args) => scrub::run(args).await,
        AuditCommand::Guard(args) => guard::run(args).await,
        AuditCommand::AcceptRestore(args) => accept_restore::run(args).await,
    }
}

/// A store with its root, its pins and its witnesses.
struct Opened {
    config: Config,
    stores: Stores,
    instance: Arc<Instance>,
}

impl Opened {
    async fn of(args: ConfigArgs) -> Result<Self> {
        let (config, stores) = store(args).await?;
        let providers = Providers::open(&config, Absent::Refuse).await?;
        let ports = stores.ports(&providers);
        let instance = Instance::open(ports, wiring::settings(&config), wiring::passing_node_id()?).await?;
        wiring::guard(&config, &instance)?;
        Ok(Self { config, stores, instance })
    }

    /// The one that was named, or all, the platform first.
    async fn tenants(&self, named: Option<TenantId>) -> Result<Vec<TenantId>> {
        match named {
            Some(tenant) => Ok(vec![tenant]),
            None => everybody(&self.stores).await,
        }
    }
}

/// Every tenant, the platform first.
async fn everybody(stores: &Stores) -> Result<Vec<TenantId>> {
    let others = stores.tenants().await?.into_iter().map(|entry| entry.id).filter(|id| !id.is_platform());
    Ok(std::iter::once(TenantId::PLATFORM).chain(others).collect())
}
