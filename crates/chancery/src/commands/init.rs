//! Sets up a store: root key, recovery key, platform keys, the first platform administrator.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use chancery_crypto::Secret;
use chancery_domain::{
    initialise::{FirstAdmin, initialise},
    keyring::KeyProvider,
};
use chancery_kms::{Local, Recovery, private_file};
use clap::Args;
use ipnet::IpNet;

use crate::{
    cli::ConfigArgs,
    commands::{load, tell},
    config::Config,
    telemetry, wiring,
    wiring::Stores,
};

/// `chancery init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// From where the first administrator's key may be used; may be repeated
    #[arg(long, value_name = "CIDR", default_values = ["127.0.0.1/32", "::1/128"])]
    admin_cidr: Vec<IpNet>,
    /// How long the first administrator's key lives
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3650))]
    admin_expires_days: u32,
    /// Put the first administrator's key into this file (mode 600) instead of printing it
    #[arg(long, value_name = "FILE")]
    admin_key_file: Option<PathBuf>,
}

/// Runs it.
///
/// # Errors
///
/// If the store is initialised already, or with what is wrong.
pub async fn run(args: InitArgs) -> Result<ExitCode> {
    let (config, warnings) = load(&args.config.into())?;
    telemetry::start(config.log_format, &config.log_level);
    tell(&warnings);
    private_file::create_folder(&config.data_dir)?;
    let stores = Stores::open(&config).await?;
    if !stores.recipients().await?.is_empty() {
        bail!("this store is initialised already; nothing was changed");
    }
    if let Some(path) = args.admin_key_file.as_deref().filter(|path| path.symlink_metadata().is_ok()) {
        bail!("{} exists already and is not overwritten", path.display());
    }
    let local: Arc<dyn KeyProvider> = if config.key_file.symlink_metadata().is_ok() {
        wiring::local_provider(&config)?
    } else {
        Arc::new(Local::create(&config.key_file)?)
    };
    let (recovery, recovery_text) = Recovery::make()?;
    let recovery_label = recovery.label();
    let admin = FirstAdmin { allowed_cidrs: args.admin_cidr.clone(), expires_in_days: Some(args.admin_expires_days) };
    let ports = stores.ports(vec![local, Arc::new(recovery)]);
    // Printed or kept before the store's commit: no crash leaves a store whose secrets nobody has.
    let mut deliver = |key: &Secret<String>| -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        writeln!(io::stdout(), "Root key        {}  (back it up apart from the store)", config.key_file.display())?;
        writeln!(io::stdout(), "Recovery key    {}", recovery_text.expose())?;
        writeln!(
            io::stdout(),
            "                {recovery_label}; shown once. Keep it on paper or in a vault, apart from this machine:"
        )?;
        writeln!(io::stdout(), "                with a backup of the store it gives everything back.")?;
        match &args.admin_key_file {
            Some(path) => {
                private_file::create(path, format!("{}\n", key.expose()).as_bytes())?;
                writeln!(io::stdout(), "Platform admin  its API key is in {}", path.display())?;
            }
            None => {
                let note = "                shown once; only its digest is stored.";
                writeln!(io::stdout(), "Platform admin  {}\n{note}", key.expose())?;
            }
        }
        Ok(())
    };
    initialise(&ports, &wiring::settings(&config), wiring::node_id(&config)?, admin, &mut deliver)
        .await
        .inspect_err(|_| {
            if let Some(path) = &args.admin_key_file {
                // Its key was never stored.
                let _ = std::fs::remove_file(path);
            }
        })
        .context("nothing was set up; forget what was printed above")?;
    let cidrs: Vec<String> = args.admin_cidr.iter().map(ToString::to_string).collect();
    writeln!(
        io::stdout(),
        "                usable from {} for {} days (--admin-cidr, --admin-expires-days)",
        cidrs.join(", "),
        args.admin_expires_days
    )?;
    writeln!(io::stdout(), "Next            chancery doctor, then chancery serve")?;
    Ok(ExitCode::SUCCESS)
}

/// The first start in development: the admin's key lands in its file before anything is said to work.
pub(crate) async fn first_start(config: &Config, stores: &Stores, provider: &Arc<dyn KeyProvider>) -> Result<()> {
    let path = config.admin_key_file();
    if path.symlink_metadata().is_ok() {
        bail!("{} exists, but the store is empty; remove it if it belongs to a store that is gone", path.display());
    }
    let ports = stores.ports(vec![Arc::clone(provider)]);
    let mut deliver = |key: &Secret<String>| -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(private_file::create(&path, format!("{}\n", key.expose()).as_bytes())?)
    };
    let settings = wiring::settings(config);
    let made = initialise(&ports, &settings, wiring::node_id(config)?, FirstAdmin::default(), &mut deliver).await;
    if made.is_err() {
        // Its key was never stored.
        let _ = std::fs::remove_file(&path);
    }
    made.context("the first start did not succeed")
}
