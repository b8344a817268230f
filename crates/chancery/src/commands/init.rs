//! Sets up a store: root key, recovery key, platform keys, the first platform administrator.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use chancery_crypto::Secret;
use chancery_domain::{
    initialise::{FirstAdmin, initialise},
    instance::Failure,
    keyring::{KeyProvider as _, RootError},
};
use chancery_kms::{Recovery, private_file};
use clap::Args;
use ipnet::IpNet;

use crate::{
    cli::ConfigArgs,
    commands::{load, tell},
    config::Config,
    pins::PinFolder,
    telemetry, wiring,
    wiring::{
        Stores,
        providers::{Absent, Providers},
    },
};

/// `chancery init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// From where the first administrator's key may be used; may be repeated
    #[arg(long, value_name = "CIDR", default_values = ["127.0.0.1/32", "::1/128"])]
    admin_cidr: Vec<IpNet>,
    /// How long the first administrator's key lives
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3650))]
    admin_expires_days: u32,
    /// Put the first administrator's key into this file (mode 600) instead of printing it
    #[arg(long, value_name = "FILE")]
    admin_key_file: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Configuration")]
    config: ConfigArgs,
}

/// Runs it.
///
/// # Errors
///
/// If the store is initialised already, or with what is wrong.
pub async fn run(args: InitArgs) -> Result<ExitCode> {
    let (config, warnings) = load(&args.config.into())?;
    let _logging = telemetry::start(config.log_format, &config.log_level);
    tell(&warnings);
    private_file::create_folder(&config.data_dir)?;
    let stores = Stores::open(&config).await?;
    if !stores.recipients().await?.is_empty() {
        bail!("this store is initialised already; nothing was changed");
    }
    if let Some(path) = args.admin_key_file.as_deref().filter(|path| path.symlink_metadata().is_ok()) {
        bail!("{} exists already and is not overwritten", path.display());
    }
    let providers = Providers::open(&config, Absent::Make).await?;
    if let Some((name, why)) = providers.failed.first() {
        bail!("the key provider `{name}` cannot be opened: {why}");
    }
    let (recovery, recovery_text) = Recovery::make()?;
    let recovery_label = recovery.label();
    let admin = FirstAdmin { allowed_cidrs: args.admin_cidr.clone(), expires_in_days: Some(args.admin_expires_days) };
    let mut ports = stores.ports(&providers);
    ports.providers.push(Arc::new(recovery));
    let holders: Vec<String> = providers.root.iter().map(|(name, one)| format!("{name} ({})", one.label())).collect();
    // Printed or kept before the store's commit: no crash leaves a store whose secrets nobody has.
    let mut kept = false;
    let mut deliver = |key: &Secret<String>| -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        if config.key_file.is_file() {
            writeln!(io::stdout(), "Root key        {}  (back it up apart from the store)", config.key_file.display())?;
        }
        for holder in &holders {
            writeln!(io::stdout(), "Root held by    {holder}")?;
        }
        writeln!(io::stdout(), "Recovery key    {}", recovery_text.expose())?;
        writeln!(
            io::stdout(),
            "                {recovery_label}; shown once. Keep it on paper or in a vault, apart from this machine:"
        )?;
        writeln!(io::stdout(), "                with a backup of the store it gives everything back.")?;
        match &args.admin_key_file {
            Some(path) => {
                private_file::create(path, format!("{}\n", key.expose()).as_bytes())?;
                kept = true;
                writeln!(io::stdout(), "Platform admin  its API key is in {}", path.display())?;
            }
            None => {
                let note = "                shown once; only its digest is stored.";
                writeln!(io::stdout(), "Platform admin  {}\n{note}", key.expose())?;
            }
        }
        Ok(())
    };
    let node = wiring::node_id(&config)?;
    let pins = PinFolder::open(&config.audit)?;
    let made = initialise(&ports, &wiring::settings(&config), node, admin, &mut deliver).await;
    after(made, args.admin_key_file.as_deref().filter(|_| kept))?;
    pins.forget_all()?;
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
pub(crate) async fn first_start(config: &Config, stores: &Stores, providers: &Providers) -> Result<()> {
    let path = config.admin_key_file();
    if path.symlink_metadata().is_ok() {
        bail!("{} exists, but the store is empty; remove it if it belongs to a store that is gone", path.display());
    }
    let ports = stores.ports(providers);
    let mut kept = false;
    let mut deliver = |key: &Secret<String>| -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        private_file::create(&path, format!("{}\n", key.expose()).as_bytes())?;
        kept = true;
        Ok(())
    };
    let settings = wiring::settings(config);
    let pins = PinFolder::open(&config.audit)?;
    let made = initialise(&ports, &settings, wiring::node_id(config)?, FirstAdmin::default(), &mut deliver).await;
    after(made, Some(path.as_path()).filter(|_| kept))?;
    // Those of a store that was here before, if there was one.
    pins.forget_all()
}

/// What to tell of the first start, and what to do with the admin's key that was put into `file` for it.
fn after(made: Result<(), RootError>, file: Option<&Path>) -> Result<()> {
    let Err(error) = made else { return Ok(()) };
    if is_unsure(&error) {
        return Err(error).context(
            "it is not known whether the store was set up. Keep everything that was printed or put into files, \
             see with `chancery doctor`, and only if the store is empty remove it and begin again",
        );
    }
    if let Some(file) = file {
        // Its key was never stored, and the file is of this run.
        let _ = std::fs::remove_file(file);
    }
    Err(error).context("nothing was set up; forget what was printed above, if anything was")
}

/// Whether the commit may have happened all the same: the store failed to answer, not to be asked.
fn is_unsure(error: &RootError) -> bool {
    matches!(error, RootError::Failed(failure) if matches!(**failure, Failure::Store(_)))
}

#[cfg(test)]
mod tests {
    use chancery_domain::store::StoreError;

    use super::*;

    #[test]
    fn the_admins_key_stays_unless_the_store_is_certainly_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("admin");
        let lost = || StoreError::Unavailable("the answer to COMMIT was lost".into());
        for (error, stays) in [
            (RootError::Failed(Box::new(Failure::Store(lost()))), true),
            (RootError::Failed(Box::new(Failure::Audit(lost()))), false),
            (RootError::Undelivered("no room".into()), false),
        ] {
            private_file::create(&file, b"key").unwrap();
            let text = format!("{:#}", after(Err(error), Some(&file)).unwrap_err());
            assert_eq!(file.exists(), stays, "{text}");
            assert_eq!(text.contains("Keep everything"), stays, "{text}");
            let _ = std::fs::remove_file(&file);
        }
        after(Ok(()), Some(&file)).unwrap();
    }
}
