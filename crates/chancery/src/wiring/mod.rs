//! From a configuration to the domain's ports.

use std::{fs::File, io, path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use chancery_crypto::{Secret, random::SystemRandom};
use chancery_domain::{
    Instance, TenantId,
    audit::guard::{Witness, Witnesses},
    ids::NodeId,
    instance::{Ports, Settings},
    keyring::{KeyDestination, RootRecipient},
    legacy_tokens::LegacyKey,
    passkeys::PasskeyVerifier,
    store::{Directory, Store, TenantEntry},
    webhooks::DeviceCertificates,
};
use chancery_kms::{
    Folder, Local,
    private_file::{self, PrivateFileError},
};
use chancery_sql::archive::Archives;
use chancery_webauthn::{APPLE_ROOT, AppleDevices, BadVerifier, Makers};

use crate::{
    clock::SystemClock,
    config::{Config, StoreConfig, WitnessConfig},
    pins::PinFolder,
    witness::HttpWitness,
};

pub mod providers;
pub mod secrets;

use providers::Providers;

/// How many tenants are read at a time.
const PAGE: u32 = 500;

/// A store, by its two ports.
#[derive(Clone)]
pub struct Stores {
    /// What is remembered.
    pub store: Arc<dyn Store>,
    /// Finds the tenant of a credential.
    pub directory: Arc<dyn Directory>,
    /// All its rows, for backups; and its end.
    pub archives: Arc<dyn Archives>,
}

impl Stores {
    /// Opens the configured store and brings its tables up to date.
    ///
    /// # Errors
    ///
    /// If it cannot be reached or opened.
    pub async fn open(config: &Config) -> Result<Self> {
        Ok(match &config.store {
            StoreConfig::Sqlite { path } => {
                let store = chancery_sqlite::Sqlite::open(path)
                    .await
                    .with_context(|| format!("cannot open the store {}", path.display()))?;
                Self::of(Arc::new(store))
            }
            StoreConfig::Postgres(address) => {
                let mut options = chancery_postgres::Options::new(secrets::store_url(config, address).await?.expose());
                options.allow_superuser = config.is_dev();
                options.owner_url = secrets::owner_url(address)?;
                let store = chancery_postgres::Postgres::connect(options)
                    .await
                    .with_context(|| format!("cannot open the store {} on {}", address.database, address.host))?;
                for warning in store.warnings() {
                    tracing::warn!("{warning}");
                }
                Self::of(Arc::new(store))
            }
        })
    }

    /// Of one engine.
    pub fn of<S: Store + Directory + Archives + 'static>(whole: Arc<S>) -> Self {
        Self { store: Arc::<S>::clone(&whole), directory: Arc::<S>::clone(&whole), archives: whole }
    }

    /// Who can give the platform root; nobody in a store that was never initialised.
    ///
    /// # Errors
    ///
    /// If the store does not answer.
    pub async fn recipients(&self) -> Result<Vec<RootRecipient>> {
        let mut view = self.store.view(TenantId::PLATFORM).await.context("the store does not answer")?;
        view.root_recipients().await.context("the store does not give its root recipients")
    }

    /// All tenants.
    ///
    /// # Errors
    ///
    /// If the store does not answer.
    pub async fn tenants(&self) -> Result<Vec<TenantEntry>> {
        let mut tenants: Vec<TenantEntry> = Vec::new();
        loop {
            let after = tenants.last().map(|entry| entry.id);
            let page = self.directory.tenants(after, PAGE).await.context("the store does not list its tenants")?;
            let more = page.len() == PAGE as usize;
            tenants.extend(page);
            if !more {
                return Ok(tenants);
            }
        }
    }

    /// The domain's ports over this store.
    pub fn ports(&self, providers: &Providers) -> Ports {
        Ports {
            store: Arc::clone(&self.store),
            directory: Arc::clone(&self.directory),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            providers: providers.of_root(),
            own: providers.own.clone(),
            resident: providers.resident.clone(),
            tables: Arc::new(chancery_domain::datasets::tables::NoTables),
            documents: Arc::new(chancery_domain::identity_providers::NoDocuments),
        }
    }
}

/// What the operator chose, in the domain's words.
pub fn settings(config: &Config) -> Settings {
    Settings {
        name: config.name.clone(),
        issuer: config.public_url.clone(),
        environment: config.environment,
        deployment: config.deployment,
        tenant_mismatch: config.mismatch,
        access_minutes: config.access_minutes,
        token_algorithm: config.token_algorithm,
        token_rotation_days: config.token_rotation_days,
        refresh_days: config.refresh_days,
        session_days: config.session_days,
        access_token_cookie: config.access_token_cookie,
        root_lease_seconds: config.root_lease_seconds,
        lease_memory_mib: config.lease_memory_mib,
        password_cost: config.password_cost,
        api_key_per_minute: config.api_key_per_minute,
        limits: config.limits.clone(),
        login_400: config.login_400,
        webhook_body_bytes: config.webhook_body_bytes,
        legacy: None,
    }
}

/// The key of an older system's tokens, if there is one and its time is not over.
///
/// # Errors
///
/// If its file cannot be read, or the secret is weak.
pub fn legacy(config: &Config) -> Result<Option<Arc<LegacyKey>>> {
    use chancery_domain::Clock as _;
    let Some(legacy) = &config.legacy else { return Ok(None) };
    let path = &legacy.secret_file;
    let bytes = private_file::read(path, 4_096)?;
    let text = std::str::from_utf8(&bytes).ok().with_context(|| format!("{} is no text", path.display()))?;
    let secret = Secret::new(text.trim_end_matches(['\r', '\n']).to_owned());
    let key = LegacyKey::new(&secret, legacy.tokens.clone(), legacy.starts, legacy.days)
        .with_context(|| format!("tokens.legacy.secret_file {} cannot be used", path.display()))?;
    if key.ends() <= SystemClock.now() {
        tracing::warn!("The key of older tokens ended at {}: remove tokens.legacy and its file", key.ends());
    }
    Ok(Some(Arc::new(key)))
}

/// Where copies of single keys may go.
///
/// # Errors
///
/// If the folder or its key file will not do: a destination that was configured must be there.
pub fn destinations(config: &Config) -> Result<Vec<Arc<dyn KeyDestination>>> {
    let Some(copies) = &config.copies else { return Ok(Vec::new()) };
    let provider = Arc::new(Local::open(&copies.key_file)?);
    let folder = Folder::open(&copies.name, &copies.folder, provider);
    let folder = folder.with_context(|| format!("copies.folder {} cannot be used", copies.folder.display()))?;
    Ok(vec![Arc::new(folder)])
}

/// Who verifies passkeys, if they are offered.
///
/// # Errors
///
/// If somebody asked for them and it cannot be done.
pub fn passkeys(config: &Config) -> Result<Option<Arc<dyn PasskeyVerifier>>> {
    let Some(passkeys) = &config.passkeys else { return Ok(None) };
    let makers = passkeys.makers.as_ref().map(|(roots, models)| Makers { roots, models });
    match chancery_webauthn::verifier(passkeys.party.clone(), makers.as_ref()) {
        Ok(verifier) => Ok(Some(verifier)),
        Err(BadVerifier::NotBuilt) if !passkeys.explicit => Ok(None),
        Err(error) => Err(error).context("passkeys cannot be offered"),
    }
}

/// Who reads the certificates of devices that send webhooks.
///
/// # Errors
///
/// If the file with other roots than Apple's cannot be used.
pub fn devices(config: &Config) -> Result<Arc<dyn DeviceCertificates>> {
    let Some(file) = &config.app_attest_roots_file else { return Ok(Arc::new(AppleDevices::new(APPLE_ROOT)?)) };
    let roots = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let devices = AppleDevices::new(&roots).with_context(|| format!("{} vouches for no device", file.display()))?;
    Ok(Arc::new(devices))
}

/// Says where the last signed heads are kept, and who witnesses. `new_node`: this node was never here before.
///
/// # Errors
///
/// If the folder is not there or not the one that was used before, or a witness cannot be asked.
pub async fn guard(config: &Config, instance: &Instance, new_node: bool) -> Result<()> {
    let guard = instance.guard();
    let pins = PinFolder::open(&config.audit)?;
    pins.admit(&config.audit, was_signed(instance.store()).await?, new_node)?;
    guard.pin_at(Arc::new(pins));
    let named = &config.audit.witnesses;
    if named.is_empty() {
        return Ok(());
    }
    let witness = |one: &WitnessConfig| -> Result<Witness> {
        Ok(Witness { key: one.key.clone(), port: Arc::new(HttpWitness::new(&one.url)?) })
    };
    let witnesses = Witnesses {
        list: named.iter().map(witness).collect::<Result<_>>()?,
        quorum: config.audit.witness_quorum,
        strict: config.audit.witness_strict,
        max_age_seconds: config.audit.witness_max_age_seconds,
    };
    guard.witnessed_by(witnesses, instance.now());
    Ok(())
}

/// Whether the platform's log has something that may have been signed.
///
/// # Errors
///
/// If the store does not answer.
pub async fn was_signed(store: &dyn Store) -> Result<bool> {
    let mut view = store.view(TenantId::PLATFORM).await.context("the store does not answer")?;
    let logged = view.log_head().await.context("the store does not give the head of the platform's log")?.size > 0;
    Ok(logged || view.checkpoint().await.context("the store does not give the platform's signed head")?.is_some())
}

/// An id for a process that looks and writes nothing, so that none is kept.
///
/// # Errors
///
/// If the system gives no randomness.
pub fn passing_node_id() -> Result<NodeId> {
    use chancery_domain::Clock as _;
    Ok(NodeId::make(SystemClock.now(), &SystemRandom)?)
}

/// This node's id, kept in the data folder so that its counters go on after a restart.
///
/// # Errors
///
/// If it can be neither read nor kept.
pub fn node_id(config: &Config) -> Result<NodeId> {
    use chancery_domain::Clock as _;
    let path = config.data_dir.join("node-id");
    match private_file::read_any_mode(&path, 64) {
        Ok((content, _)) => {
            let text = std::str::from_utf8(&content)?.trim();
            text.parse().with_context(|| format!("{} holds no node id; remove it to get another one", path.display()))
        }
        Err(PrivateFileError::Missing(_)) => {
            let id = NodeId::make(SystemClock.now(), &SystemRandom)?;
            private_file::create(&path, format!("{id}\n").as_bytes())?;
            Ok(id)
        }
        Err(error) => Err(error.into()),
    }
}

/// The id of a node that serves, and what holds it: as long as it is kept, no other process of the same folder has this id. Such a one is a
/// node of its own; as an earlier start of this node it would take what this one has open for left behind, and close it.
///
/// # Errors
///
/// As [`node_id`].
pub fn held_node_id(config: &Config) -> Result<(NodeId, Option<File>)> {
    let id = node_id(config)?;
    let path = config.data_dir.join("node-id");
    match held(&path) {
        Ok(held) => Ok((id, Some(held))),
        Err(error) => {
            let (path, own) = (path.display(), passing_node_id()?);
            tracing::warn!(
                code = "node_id_held",
                "`{path}` is another process's, or cannot be locked ({error}); this one is `{own}` until it ends. Give each server a folder of \
                 its own (`data_dir`)"
            );
            Ok((own, None))
        }
    }
}

/// The file, locked until it is dropped.
fn held(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    file.try_lock()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use chancery_domain::{instance::Environment, limits::LimitSettings};

    use super::*;
    use crate::config::Flags;

    #[test]
    fn an_application_that_says_nothing_has_what_the_server_has() {
        for (dev, environment, per_minute) in
            [(true, Environment::Development, 0), (false, Environment::Production, 600)]
        {
            let server = settings(&Config::examine(&Flags { dev, ..Flags::default() }, &[]).0);
            let own = Settings::new(server.name.clone(), server.issuer.clone(), environment);
            assert_eq!(server.api_key_per_minute, per_minute, "a key without a limit of its own");
            if dev {
                assert_eq!(format!("{:?}", own.limits), format!("{:?}", server.limits));
            }
            // In production the server counts all requests of an address besides.
            let shown = |settings| format!("{:?}", Settings { limits: LimitSettings::default(), ..settings });
            assert_eq!(shown(own), shown(server));
        }
    }

    #[test]
    fn one_process_at_a_time_has_the_id_of_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node-id");
        std::fs::write(&path, "x").unwrap();
        let first = held(&path).unwrap();
        assert_eq!(held(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(first);
        held(&path).unwrap();
    }
}
