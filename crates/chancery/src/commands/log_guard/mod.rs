//! `chancery audit scrub`, `guard`, `accept-restore` and `accept-pin-folder`: the audit log as it is stored; `sample-logs`, whose result
//! it keeps.
//!
//! These commands work on the store itself, beside a running server or without one, and need the platform root.

pub(crate) mod accept_pin_folder;
pub(crate) mod accept_restore;
pub(crate) mod guard;
pub(crate) mod sample_logs;
pub(crate) mod scrub;

use std::sync::Arc;

use anyhow::Result;
use chancery_domain::{Instance, TenantId};

use crate::{
    cli::ConfigArgs,
    commands::root::store,
    config::Config,
    pins,
    wiring::{
        self, Stores,
        providers::{Absent, Providers},
    },
};

/// A store with its root, its pins and its witnesses.
struct Opened {
    config: Config,
    stores: Stores,
    instance: Arc<Instance>,
}

impl Opened {
    async fn of(args: ConfigArgs) -> Result<Self> {
        let opened = Self::unguarded(args).await?;
        wiring::guard(&opened.config, &opened.instance, pins::is_new_node(&opened.config)).await?;
        Ok(opened)
    }

    /// Without pins and witnesses.
    async fn unguarded(args: ConfigArgs) -> Result<Self> {
        let (config, stores) = store(args).await?;
        let providers = Providers::open(&config, Absent::Refuse).await?;
        let ports = stores.ports(&providers);
        let instance = Instance::open(ports, wiring::settings(&config), wiring::passing_node_id()?).await?;
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
