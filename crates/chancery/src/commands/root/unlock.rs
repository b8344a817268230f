//! Opens the store's root for a command: with the configured providers, a recovery key, or shares.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use chancery_domain::{Instance, keyring::KeyProvider};
use chancery_kms::{Recovery, Shares, private_file};
use clap::Args;

use crate::{
    cli::ConfigArgs,
    commands::{load, tell},
    config::{Config, StoreConfig},
    telemetry,
    wiring::{
        self, Stores,
        providers::{Absent, Providers},
    },
};

/// What people bring along, besides the configured providers.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Brought {
    /// A file of mode 600 with a recovery key
    #[arg(long, value_name = "FILE")]
    recovery_key_file: Option<PathBuf>,
    /// A file of mode 600 with a share; once for each share
    #[arg(long, value_name = "FILE")]
    share_file: Vec<PathBuf>,
}

impl Brought {
    /// As providers.
    pub(super) fn providers(&self) -> Result<Vec<Arc<dyn KeyProvider>>> {
        let mut brought: Vec<Arc<dyn KeyProvider>> = Vec::new();
        if let Some(path) = &self.recovery_key_file {
            brought.push(Arc::new(recovery(path)?));
        }
        if !self.share_file.is_empty() {
            brought.push(Arc::new(shares(&self.share_file)?));
        }
        Ok(brought)
    }
}

/// A recovery key from its file.
pub(crate) fn recovery(path: &Path) -> Result<Recovery> {
    let text = text(path)?;
    Recovery::parse(text.expose()).with_context(|| format!("{} holds no recovery key", path.display()))
}

/// The key that these shares give.
pub(super) fn shares(paths: &[PathBuf]) -> Result<Shares> {
    let texts = paths.iter().map(|path| text(path)).collect::<Result<Vec<_>>>()?;
    let texts: Vec<&str> = texts.iter().map(|text| text.expose().as_str()).collect();
    Shares::combine(&texts).context("these shares give no key")
}

fn text(path: &Path) -> Result<chancery_crypto::Secret<String>> {
    let bytes = private_file::read(path, 1024)?;
    let text = std::str::from_utf8(&bytes).ok().with_context(|| format!("{} is no text", path.display()))?;
    Ok(chancery_crypto::Secret::new(text.trim().to_owned()))
}

/// The store and its root, opened.
pub(super) struct Opened {
    pub(super) providers: Providers,
    pub(super) stores: Stores,
    pub(super) instance: Arc<Instance>,
}

/// The configuration and the store, which must be there: looking makes none.
pub(crate) async fn store(args: ConfigArgs) -> Result<(Config, Stores)> {
    let (config, warnings) = load(&args.into())?;
    let _logging = telemetry::start(config.log_format, &config.log_level);
    tell(&warnings);
    if let StoreConfig::Sqlite { path } = &config.store
        && !path.is_file()
    {
        bail!("{} does not exist; correct --data or --store", path.display());
    }
    let stores = Stores::open(&config).await?;
    Ok((config, stores))
}

/// Everything that a command on the root needs.
pub(super) async fn open(args: ConfigArgs, brought: &Brought, absent: Absent) -> Result<Opened> {
    let (config, stores) = store(args).await?;
    let providers = match Providers::open(&config, absent).await {
        // What people bring is enough to open the root.
        Err(_) if brought.recovery_key_file.is_some() || !brought.share_file.is_empty() => Providers::default(),
        opened => opened?,
    };
    let mut ports = stores.ports(&providers);
    ports.providers.extend(brought.providers()?);
    let instance = Instance::open(ports, wiring::settings(&config), wiring::passing_node_id()?).await?;
    Ok(Opened { providers, stores, instance })
}
