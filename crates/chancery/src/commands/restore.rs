//! Brings a store back from a backup, into a place where there is none.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context as _, Result, bail, ensure};
use chancery_domain::{
    Clock as _, Instance, Timestamp,
    backups::{self, SealingKey, sealing_key},
    keyring::KeyProvider,
};
use chancery_kms::private_file;
use clap::Args;
use serde_json::json;

use crate::{
    backup::{
        file::{FilePart, Header, Reading},
        keys_beside,
        load::{Files, Loaded, load},
        tombstones::{self, Tombstones},
    },
    cli::ConfigArgs,
    clock::SystemClock,
    commands::{
        backup::{progress, prove},
        load as load_config,
        log_guard::accept_restore::accept_all,
        root, say, tell,
    },
    config::{Config, StoreConfig},
    pins::{PinFolder, is_new_node},
    telemetry,
    wiring::{
        self, Stores,
        providers::{Absent, Providers},
    },
};

/// `chancery restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The data file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The key bundle, if it is not FILE.keys; a newer one than the data does too
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// A list of destroyed keys, beside those found at the files and in the data folder; may be repeated
    #[arg(long, value_name = "FILE")]
    tombstones: Vec<PathBuf>,
    /// A file of mode 600 with the recovery key that `chancery init` printed, if the root key file is lost
    #[arg(long, value_name = "FILE")]
    recovery_key_file: Option<PathBuf>,
    /// audit.pin_folder names a new folder, which knows nothing of what was signed before: the old one is lost
    #[arg(long)]
    new_pin_folder: bool,
    /// Print what was restored as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten, next_help_heading = "Configuration")]
    config: ConfigArgs,
}

/// Runs it.
///
/// # Errors
///
/// If the target is not empty, or the files are not whole, of another root, or out of their time. The target is as before then.
pub async fn run(args: RestoreArgs) -> Result<ExitCode> {
    let (config, warnings) = load_config(&args.config.clone().into())?;
    let _logging = telemetry::start(config.log_format, &config.log_level);
    tell(&warnings);
    if let StoreConfig::Sqlite { path } = &config.store
        && path.symlink_metadata().is_ok()
    {
        bail!("{} exists and is not overwritten; restore into an empty place", path.display());
    }
    let keys = args.keys.clone().unwrap_or_else(|| keys_beside(&args.file));
    // Before anything is made or anybody is asked for the root.
    check_files(&args, &keys)?;
    private_file::create_folder(&config.data_dir)?;
    let pins = PinFolder::open(&config.audit)?;
    if !args.new_pin_folder {
        let admitted = pins.admit(&config.audit, true, is_new_node(&config));
        admitted.context("nothing was restored; if the old folder of pins is lost, say --new-pin-folder")?;
    }
    pins.mark()?;
    let providers = match &args.recovery_key_file {
        Some(path) => {
            let recovery: Arc<dyn KeyProvider> = Arc::new(root::recovery(path)?);
            Providers { root: vec![("recovery".to_owned(), recovery)], ..Providers::default() }
        }
        None => Providers::open(&config, Absent::Refuse)
            .await
            .context("a holder of the root opens the backup; if the root key file is lost, give --recovery-key-file")?,
    };
    let (data_header, data_key) = unlock(&args.file, FilePart::Data, &config, &providers).await?;
    let (_, keys_key) = unlock(&keys, FilePart::Keys, &config, &providers).await?;
    let mut dead = Tombstones::default();
    for path in tombstones::found(&args.file, &keys, &config.data_dir, &args.tombstones) {
        let (_, key) = unlock(&path, FilePart::Tombstones, &config, &providers).await?;
        dead.read(&path, &key)?;
    }
    let bar = progress(args.json, "restoring");
    let told = |what: &str| bar.set_message(what.to_owned());
    let files = Files { data: &args.file, keys: &keys, data_key: &data_key, keys_key: &keys_key };
    let (loaded, proven, stores) = restore(&config, &files, &dead, &providers, &told).await?;

    let id = data_header.backup.parse().context("the header names no backup")?;
    let made_at: Timestamp = data_header.made_at.parse()?;
    let ports = stores.ports(&providers);
    let instance = Instance::open(ports, wiring::settings(&config), wiring::passing_node_id()?).await?;
    backups::note_restored(&instance, id, made_at, loaded.kept_destroyed).await?;
    // Who restores holds the root and says so by restoring: logs of which this machine signed more go on, and say it.
    instance.guard().pin_at(Arc::new(pins));
    let gaps = accept_all(&instance, &stores)
        .await
        .context("the store is restored; run `chancery audit accept-restore --all`")?;
    let behind = gaps.iter().filter(|(_, gap)| gap.pinned.is_some()).count();
    let renamed = gaps.iter().filter(|(_, gap)| gap.name.is_some()).count();
    drop(instance);
    stores.archives.close().await;
    bar.finish_and_clear();
    if args.json {
        say(json!({
            "backup": data_header.backup, "made_at": data_header.made_at, "rows": loaded.rows,
            "kept_destroyed": loaded.kept_destroyed, "skipped": loaded.skipped, "events": proven.events,
            "key_versions": proven.keys, "tombstones": dead.len(), "logs_behind": behind, "logs_renamed": renamed,
        }));
    } else {
        say(format_args!("Restored        {} of {}: {} rows", data_header.backup, data_header.made_at, loaded.rows));
        say(format_args!("Destroyed keys  {} known, {} kept from coming back", dead.len(), loaded.kept_destroyed));
        say(format_args!(
            "Proven          {} events give their logs' roots, {} key versions unwrap",
            proven.events, proven.keys
        ));
        if behind > 0 {
            say(format_args!(
                "Logs behind     {behind} of what was signed here; each says so, and the platform's log too"
            ));
        }
        if renamed > 0 {
            say(format_args!(
                "Logs renamed    {renamed} may have been signed further; their heads bear a new name: tell witnesses and auditors"
            ));
        }
        let next = if config.key_file.is_file() {
            "chancery doctor, then chancery serve"
        } else {
            "chancery recover --recovery-key-file FILE, which makes a new root key file"
        };
        say(format_args!("Next            {next}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether what was named is there, and what to do if not.
fn check_files(args: &RestoreArgs, keys: &Path) -> Result<()> {
    let named = |path: &Path, what: &str, cure: &str| {
        ensure!(path.exists(), "there is no {what} at {}; {cure}", path.display());
        ensure!(!path.is_dir(), "{} is a folder; name the {what} in it", path.display());
        Ok(())
    };
    named(&args.file, "data file", "name the FILE that `chancery backup --out` wrote")?;
    let cure = match args.keys {
        Some(_) => "correct --keys",
        None => "the key bundle is kept apart from the data: name it with --keys",
    };
    named(keys, "key bundle", cure)?;
    args.tombstones.iter().try_for_each(|path| named(path, "list of destroyed keys", "correct --tombstones"))
}

/// A file's header and the key that seals it.
async fn unlock(path: &Path, part: FilePart, config: &Config, providers: &Providers) -> Result<(Header, SealingKey)> {
    let header = Reading::open(path, part)?.header;
    ensure!(
        header.environment == config.environment.as_str(),
        "{} is of the environment `{}`; keys of one environment do not open in another",
        path.display(),
        header.environment
    );
    let ours = chancery_sqlite::schema_version();
    ensure!(
        part == FilePart::Tombstones || header.schema == ours,
        "{} has schema {} and this Chancery {ours}; restore with the program that made it, then start the newer one",
        path.display(),
        header.schema
    );
    if let Some(until) = &header.expires_at {
        let until: Timestamp = until.parse()?;
        ensure!(
            SystemClock.now() < until,
            "{} had to be destroyed by {until}: people's keys that were erased since may be in it. Take a newer bundle with --keys",
            path.display()
        );
    }
    let key = sealing_key(&header.holders()?, &providers.of_root(), config.environment.as_str()).await;
    let key = key.with_context(|| format!("{} does not open with this root key or recovery key", path.display()))?;
    Ok((header, key))
}

/// Restores into a scratch store, proves that, and only then touches the target.
async fn restore(
    config: &Config,
    files: &Files<'_>,
    dead: &Tombstones,
    providers: &Providers,
    told: &dyn Fn(&str),
) -> Result<(Loaded, backups::Proven, Stores)> {
    // Beside the target, so that the finished file can simply be given its name.
    let place = match &config.store {
        StoreConfig::Sqlite { path } => path.parent().filter(|folder| !folder.as_os_str().is_empty()),
        StoreConfig::Postgres(_) => None,
    };
    let place = place.unwrap_or(&config.data_dir);
    private_file::create_folder(place)?;
    let scratch = tempfile::Builder::new().prefix(".restoring-").tempdir_in(place)?;
    let draft = scratch.path().join("chancery.db");
    let stores = Stores::of(Arc::new(chancery_sqlite::Sqlite::open(&draft).await?));
    let loaded = load(files, dead, &*stores.archives, told).await?;
    let proven = prove(config, &stores, providers, told).await?;
    stores.archives.close().await;
    drop(stores);
    match &config.store {
        StoreConfig::Sqlite { path } => {
            // It was not there a moment ago; somebody who was quicker is not overwritten.
            std::fs::hard_link(&draft, path).with_context(|| format!("cannot put the store at {}", path.display()))?;
            std::fs::remove_file(&draft)?;
            Ok((loaded, proven, Stores::open(config).await?))
        }
        StoreConfig::Postgres(_) => {
            let target = Stores::open(config).await?;
            let loaded = load(files, dead, &*target.archives, told).await?;
            let again = prove(config, &target, providers, told).await;
            let again = again.context("the restored database does not prove; empty it before you try again")?;
            ensure!(again == proven, "the restored database differs from the scratch store; do not use it");
            Ok((loaded, proven, target))
        }
    }
}
