//! Backs a store up while it is in use, and believes the files only after reading them back.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use chancery_crypto::random::SystemRandom;
use chancery_domain::{
    Clock as _, Instance, TenantId,
    backups::{self, Backup, Holder, SealingKey, sealing_key},
    ids::BackupId,
};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::{
    backup::{
        keys_beside,
        load::{Files, load},
        save::{Saved, save},
        tombstones::Tombstones,
        tombstones_beside,
    },
    cli::ConfigArgs,
    clock::SystemClock,
    commands::{load as load_config, say, tell},
    config::Config,
    telemetry,
    wiring::{
        self, Stores,
        providers::{Absent, Providers},
    },
};

/// `chancery backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The data file; the key bundle is FILE.keys, the list of destroyed keys FILE.tombstones
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write only the list of destroyed keys, to FILE; cheap, so do it often
    #[arg(long)]
    tombstones_only: bool,
    /// Print what was written as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten, next_help_heading = "Configuration")]
    config: ConfigArgs,
}

/// Runs it.
///
/// # Errors
///
/// If the store does not answer, a file cannot be written, or what was written does not read back.
pub async fn run(args: BackupArgs) -> Result<ExitCode> {
    let (config, warnings) = load_config(&args.config.into())?;
    let _logging = telemetry::start(config.log_format, &config.log_level);
    tell(&warnings);
    let stores = Stores::open(&config).await?;
    let holders: Vec<Holder> = stores.recipients().await?.iter().map(Holder::from).collect();
    if holders.is_empty() {
        bail!("this store is not initialised; there is nothing to back up");
    }
    let providers = Providers::open(&config, Absent::Refuse).await?;
    let environment = config.environment.as_str();
    let key = sealing_key(&holders, &providers.of_root(), environment).await?;
    let id = BackupId::make(SystemClock.now(), &SystemRandom)?;
    if args.tombstones_only {
        let count = list(&stores, &args.out, id, environment, &holders, &key).await?;
        match args.json {
            true => say(json!({"tombstones": args.out, "destroyed_keys": count})),
            false => say(format_args!("Destroyed keys  {count} in {}", args.out.display())),
        }
        return Ok(ExitCode::SUCCESS);
    }
    let bar = progress(args.json, "backing up");
    let told = |table: &str| bar.set_message(table.to_owned());
    let mut archive = stores.archives.reading().await?;
    let saved = save(&mut *archive, &args.out, (id, environment), (&holders, &key), &told).await?;
    drop(archive);
    bar.set_prefix("reading back");
    let proven = match read_back(&config, &args.out, &key, &providers, &told).await {
        Ok(proven) => proven,
        Err(error) => {
            for path in [args.out.clone(), keys_beside(&args.out), tombstones_beside(&args.out)] {
                let _ = std::fs::remove_file(path);
            }
            return Err(error).context("what was written does not read back; it was removed");
        }
    };
    let ports = stores.ports(&providers);
    let instance = Instance::open(ports, wiring::settings(&config), wiring::passing_node_id()?).await?;
    let Saved { id, made_at, keys_expire_at, header_sha256, rows, tenants } = saved;
    backups::note_made(&instance, &Backup { id, made_at, header_sha256, keys_expire_at }, rows).await?;
    stores.archives.close().await;
    bar.finish_and_clear();
    let files = [args.out.clone(), keys_beside(&args.out), tombstones_beside(&args.out)];
    if args.json {
        say(json!({
            "backup": id.to_string(), "data": files[0], "keys": files[1], "tombstones": files[2], "tenants": tenants,
            "rows": rows, "events": proven.events, "key_versions": proven.keys, "keys_expire_at": keys_expire_at.to_string(),
        }));
    } else {
        say(format_args!("Data            {}  ({rows} rows of {tenants} tenants)", files[0].display()));
        say(format_args!("Key bundle      {}  keep it apart; destroy it by {keys_expire_at}", files[1].display()));
        say(format_args!("Destroyed keys  {}  keep the newest one beside every bundle", files[2].display()));
        say(format_args!(
            "Read back       {} events give their logs' roots, {} key versions unwrap",
            proven.events, proven.keys
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the list of destroyed keys.
pub(crate) async fn list(
    stores: &Stores,
    path: &Path,
    id: BackupId,
    environment: &str,
    holders: &[Holder],
    key: &SealingKey,
) -> Result<usize> {
    let mut archive = stores.archives.reading().await?;
    let tenants = archive.tenants().await?;
    let tombstones = Tombstones::of(&mut *archive, &tenants).await?;
    tombstones.write(path, id, SystemClock.now(), environment, holders, key)?;
    Ok(tombstones.len())
}

/// Puts the files into a scratch store beside them and proves that.
async fn read_back(
    config: &Config,
    data: &Path,
    key: &SealingKey,
    providers: &Providers,
    told: &dyn Fn(&str),
) -> Result<backups::Proven> {
    let folder = data.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let scratch = tempfile::Builder::new().prefix(".chancery-scratch-").tempdir_in(folder)?;
    let store = chancery_sqlite::Sqlite::open(scratch.path().join("scratch.db")).await?;
    let stores = Stores::of(Arc::new(store));
    let keys = keys_beside(data);
    let files = Files { data, keys: &keys, data_key: key, keys_key: key };
    load(&files, &Tombstones::default(), &*stores.archives, told).await?;
    let proven = prove(config, &stores, providers, told).await;
    stores.archives.close().await;
    proven
}

/// Proves every tenant of a store: each log gives its root, each key unwraps.
pub(crate) async fn prove(
    config: &Config,
    stores: &Stores,
    providers: &Providers,
    told: &dyn Fn(&str),
) -> Result<backups::Proven> {
    let ports = stores.ports(providers);
    let instance = Instance::open(ports, wiring::settings(config), wiring::passing_node_id()?).await?;
    let mut all = backups::Proven::default();
    let mut tenants: Vec<TenantId> = stores.tenants().await?.into_iter().map(|entry| entry.id).collect();
    if !tenants.contains(&TenantId::PLATFORM) {
        tenants.push(TenantId::PLATFORM);
    }
    for tenant in tenants {
        told("proving");
        let proven = backups::prove(&instance, tenant).await?;
        all.events += proven.events;
        all.keys += proven.keys;
    }
    Ok(all)
}

/// A moving sign on a terminal; nothing for machines.
pub(crate) fn progress(json: bool, what: &'static str) -> ProgressBar {
    let bar = if json { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}: {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.set_prefix(what);
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    bar
}
