//! Brings a store back whose root key file is lost: the recovery key opens the root, a new key file gets it.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use chancery_domain::keyring::{KeyProvider, RootError, root};
use chancery_kms::{Local, private_file};
use clap::Args;

use crate::{
    cli::ConfigArgs,
    commands::{load, root::recovery, say, tell},
    config::StoreConfig,
    telemetry,
    wiring::{self, Stores, providers::Providers},
};

/// What is done when the root is back.
pub(crate) const NEXT: &str = "Next            chancery doctor, then chancery serve";

/// `chancery recover`.
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// A file of mode 600 with the recovery key that `chancery init` printed
    #[arg(long, value_name = "FILE")]
    recovery_key_file: PathBuf,
    #[command(flatten, next_help_heading = "Configuration")]
    config: ConfigArgs,
}

/// Runs it.
///
/// # Errors
///
/// If a root key file is there, if the recovery key is not this store's, or with what is wrong.
pub async fn run(args: RecoverArgs) -> Result<ExitCode> {
    let recovery = recovery(&args.recovery_key_file)?;
    with(args.config, &recovery, "this recovery key belongs").await?;
    say(format_args!("Recovery key    stays valid: keep it, and remove {}", args.recovery_key_file.display()));
    say(NEXT);
    Ok(ExitCode::SUCCESS)
}

/// Makes a new root key file with what `from` gives. `these` begins the sentence that it is another store's.
pub(crate) async fn with(args: ConfigArgs, from: &dyn KeyProvider, these: &str) -> Result<()> {
    let (config, warnings) = load(&args.into())?;
    let _logging = telemetry::start(config.log_format, &config.log_level);
    tell(&warnings);
    let file = config.key_file.display();
    if config.key_file.symlink_metadata().is_ok() {
        bail!(
            "{file} exists and is not overwritten. If it is this store's, nothing is lost and `chancery serve` starts with it; if not, \
             move it away first"
        );
    }
    if let StoreConfig::Sqlite { path } = &config.store
        && !path.is_file()
    {
        bail!("{} does not exist; restore the store from its backup first", path.display());
    }
    let stores = Stores::open(&config).await?;
    private_file::create_folder(&config.data_dir)?;
    let (ports, settings, node) =
        (stores.ports(&Providers::default()), wiring::settings(&config), wiring::node_id(&config)?);
    let to = || Ok(Box::new(Local::create(&config.key_file)?) as Box<dyn KeyProvider>);
    let added = match root::recover(&ports, &settings, node, from, to).await {
        Ok(added) => added,
        Err(RootError::NoRecipient) => {
            bail!("{these} ({}) to another store; nothing was changed", from.label())
        }
        // The new file stays: if it is a recipient after all, nothing else opens the store.
        Err(error @ RootError::Unsure(_)) => {
            return Err(error).context(format!(
                "keep {file} and run `chancery doctor`; if it does not open the platform root, move it away and run this again"
            ));
        }
        Err(error) => {
            return Err(error).context("the store was not changed; a new key file, if there is one, opens nothing");
        }
    };
    say(format_args!("Root key        {file}  (new: back it up apart from the store)"));
    say(format_args!("                {}; added to the store as {}", added.label, added.id));
    Ok(())
}
