//! From the described key providers to the domain's ports.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result, bail};
use chancery_domain::keyring::{KeyProvider, OwnProvider, ProviderError, resident::ResidentKeys};
use chancery_kms::Local;

use crate::config::{Config, Place, ProviderConfig};

/// The providers of a configuration.
#[derive(Clone, Default)]
pub struct Providers {
    /// Those that may wrap the root, by name.
    pub root: Vec<(String, Arc<dyn KeyProvider>)>,
    /// Those of tenants.
    pub own: Vec<OwnProvider>,
    /// Those in which keys may live.
    pub resident: Vec<Arc<dyn ResidentKeys>>,
    /// Those that could not be opened, by name, and why.
    pub failed: Vec<(String, String)>,
}

/// What to do about a key that is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// It must be there.
    Refuse,
    /// A local key file and the key in an HSM's token are made: for an empty store.
    Make,
}

/// An opened provider, by what it can do.
struct Opened {
    wraps: Arc<dyn KeyProvider>,
    resident: Option<Arc<dyn ResidentKeys>>,
}

impl Providers {
    /// Opens those that are enabled. Nothing outside is asked yet, except to make what is absent.
    ///
    /// One that cannot be opened is told in the log, as long as another one may wrap the root.
    ///
    /// # Errors
    ///
    /// With every reason, if none may wrap the root.
    pub async fn open(config: &Config, absent: Absent) -> Result<Self> {
        let mut all = Self::default();
        for described in config.key_providers.iter().filter(|described| described.enabled) {
            match open(described, absent).await {
                Ok(opened) => all.take(described, opened),
                Err(error) => all.failed.push((described.name.clone(), format!("{error:#}"))),
            }
        }
        if all.root.is_empty() {
            let reasons: Vec<String> = all.failed.iter().map(|(name, why)| format!("{name}: {why}")).collect();
            bail!("no key provider may wrap the root; {}", reasons.join("; "));
        }
        for (name, why) in &all.failed {
            tracing::error!(provider = name, "The key provider `{name}` cannot be opened: {why}");
        }
        Ok(all)
    }

    fn take(&mut self, described: &ProviderConfig, opened: Opened) {
        if described.wraps && described.tenants.is_empty() {
            self.root.push((described.name.clone(), opened.wraps));
        } else if described.wraps {
            let (name, tenants) = (described.name.clone(), described.tenants.clone());
            self.own.push(OwnProvider { name, tenants, provider: opened.wraps });
        }
        self.resident.extend(opened.resident.filter(|_| described.tenants.is_empty()));
    }

    /// The one of this name that may wrap the root.
    ///
    /// # Errors
    ///
    /// With those that there are.
    pub fn named(&self, name: &str) -> Result<Arc<dyn KeyProvider>> {
        if let Some((_, why)) = self.failed.iter().find(|(failed, _)| failed == name) {
            bail!("the key provider `{name}` cannot be opened: {why}");
        }
        let found = self.root.iter().find(|(known, _)| known == name).map(|(_, provider)| Arc::clone(provider));
        let names: Vec<&str> = self.root.iter().map(|(name, _)| name.as_str()).collect();
        found.with_context(|| format!("no key provider is called `{name}`; the configuration has {}", names.join(", ")))
    }

    /// Those that may wrap the root.
    pub fn of_root(&self) -> Vec<Arc<dyn KeyProvider>> {
        self.root.iter().map(|(_, provider)| Arc::clone(provider)).collect()
    }
}

async fn open(described: &ProviderConfig, absent: Absent) -> Result<Opened, ProviderError> {
    match &described.place {
        Place::Local { key_file } => {
            let local = local(key_file, absent)?;
            Ok(Opened { wraps: Arc::new(local), resident: None })
        }
        #[cfg(feature = "kms-pkcs11")]
        Place::Pkcs11 { module, token, key, pin_file } => {
            let settings = chancery_kms::pkcs11::Pkcs11Settings {
                module: module.clone(),
                token: token.clone(),
                key: key.clone(),
                pin_file: pin_file.clone(),
            };
            let worker = Arc::new(pkcs11::open(settings, described.timeout, absent).await?);
            Ok(Opened { wraps: Arc::<chancery_kms::pkcs11::Worker>::clone(&worker), resident: Some(worker) })
        }
        #[cfg(feature = "kms-aws")]
        Place::AwsKms { key, region, endpoint, credentials_file, deletion_days } => {
            let settings = chancery_kms::AwsKmsSettings {
                key: key.clone(),
                region: region.clone(),
                endpoint: endpoint.clone(),
                credentials: credentials_file.as_deref().map(aws_credentials).transpose()?,
                timeout: described.timeout,
                deletion_days: *deletion_days,
            };
            let aws = Arc::new(chancery_kms::AwsKms::open(settings).await?);
            Ok(Opened { wraps: Arc::<chancery_kms::AwsKms>::clone(&aws), resident: Some(aws) })
        }
        #[cfg(feature = "kms-google")]
        Place::GoogleKms { key, endpoint, credentials_file, ca_file } => {
            let http = http(described, ca_file.as_deref());
            let settings = chancery_kms::GoogleKmsSettings { key: key.clone(), endpoint: endpoint.clone(), http };
            let tokens = google_tokens(credentials_file.as_deref())?;
            Ok(Opened { wraps: Arc::new(chancery_kms::GoogleKms::new(&settings, tokens)?), resident: None })
        }
        #[cfg(feature = "kms-azure")]
        Place::AzureKeyVault { vault, key, version, aes, client_id, credentials_file, ca_file } => {
            use chancery_kms::AzureAlgorithm::{A256Gcm, RsaOaep256};
            let settings = chancery_kms::AzureKeyVaultSettings {
                vault: vault.clone(),
                key: key.clone(),
                version: version.clone(),
                algorithm: if *aes { A256Gcm } else { RsaOaep256 },
                http: http(described, ca_file.as_deref()),
            };
            let resource = if *aes { "https://managedhsm.azure.net" } else { KEY_VAULT };
            let tokens = azure_tokens(credentials_file.as_deref(), resource, client_id.as_deref())?;
            Ok(Opened { wraps: Arc::new(chancery_kms::AzureKeyVault::new(settings, tokens)?), resident: None })
        }
        #[cfg(feature = "kms-vault")]
        Place::Vault { address, mount, key, derived, namespace, credentials_file, ca_file } => {
            let settings = chancery_kms::VaultSettings {
                address: address.clone(),
                mount: mount.clone(),
                key: key.clone(),
                derived: *derived,
                namespace: namespace.clone(),
                token_file: chancery_kms::http::TokenFile(credentials_file.clone()),
                http: http(described, ca_file.as_deref()),
            };
            Ok(Opened { wraps: Arc::new(chancery_kms::Vault::new(settings)?), resident: None })
        }
        #[cfg(not(all(
            feature = "kms-pkcs11",
            feature = "kms-aws",
            feature = "kms-google",
            feature = "kms-azure",
            feature = "kms-vault"
        )))]
        _ => Err(ProviderError::Misconfigured("this binary was built without it".to_owned())),
    }
}

fn local(path: &Path, absent: Absent) -> Result<Local, ProviderError> {
    if absent == Absent::Make && path.symlink_metadata().is_err() { Local::create(path) } else { Local::open(path) }
}

#[cfg(any(feature = "kms-google", feature = "kms-azure", feature = "kms-vault"))]
pub(super) fn http(described: &ProviderConfig, ca_file: Option<&Path>) -> chancery_kms::http::HttpSettings {
    chancery_kms::http::HttpSettings { timeout: described.timeout, ca_file: ca_file.map(Path::to_owned) }
}

/// What Azure's tokens for a Key Vault are for.
#[cfg(feature = "kms-azure")]
pub(super) const KEY_VAULT: &str = "https://vault.azure.net";

#[cfg(feature = "kms-google")]
pub(super) fn google_tokens(file: Option<&Path>) -> Result<Box<dyn chancery_kms::http::TokenSource>, ProviderError> {
    Ok(match file {
        Some(file) => Box::new(chancery_kms::http::TokenFile(file.to_owned())),
        None => Box::new(chancery_kms::http::MetadataServer::google(None)?),
    })
}

#[cfg(feature = "kms-azure")]
pub(super) fn azure_tokens(
    file: Option<&Path>,
    resource: &str,
    client_id: Option<&str>,
) -> Result<Box<dyn chancery_kms::http::TokenSource>, ProviderError> {
    Ok(match file {
        Some(file) => Box::new(chancery_kms::http::TokenFile(file.to_owned())),
        None => Box::new(chancery_kms::http::MetadataServer::azure(None, resource, client_id)?),
    })
}

#[cfg(feature = "kms-pkcs11")]
mod pkcs11 {
    use std::time::Duration;

    use chancery_domain::keyring::ProviderError;
    use chancery_kms::pkcs11::{Pkcs11Settings, Worker, WorkerCommand};

    use super::Absent;

    pub(super) async fn open(
        settings: Pkcs11Settings,
        deadline: Duration,
        absent: Absent,
    ) -> Result<Worker, ProviderError> {
        let program = std::env::current_exe().map_err(|error| ProviderError::Unavailable(error.into()))?;
        let command = WorkerCommand { program, arguments: vec!["pkcs11-worker".into()], environment: Vec::new() };
        if absent == Absent::Make {
            // Refused if the token has a key of that label: then it is to be used. Any other fault shows at the first wrap.
            match Worker::create(settings.clone(), command.clone(), deadline).await {
                Ok(worker) => return Ok(worker),
                Err(ProviderError::Misconfigured(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Worker::new(settings, command, deadline))
    }
}

/// Credentials as AWS's own tools keep them: `aws_access_key_id = …`, `aws_secret_access_key = …`, `aws_session_token = …`.
#[cfg(feature = "kms-aws")]
pub(crate) fn aws_credentials(path: &Path) -> Result<chancery_kms::AwsCredentials, ProviderError> {
    use chancery_crypto::Secret;
    let wrong = |why: String| ProviderError::Misconfigured(why);
    let bytes = chancery_kms::private_file::read(path, 16 * 1024).map_err(|error| wrong(error.to_string()))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong(format!("{} is no text", path.display())))?;
    let find = |name: &str| {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        lines.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned()).next()
    };
    let missing = |name: &str| wrong(format!("{} has no {name}", path.display()));
    Ok(chancery_kms::AwsCredentials {
        access_key_id: find("aws_access_key_id").ok_or_else(|| missing("aws_access_key_id"))?,
        secret_access_key: find("aws_secret_access_key")
            .map(Secret::new)
            .ok_or_else(|| missing("aws_secret_access_key"))?,
        session_token: find("aws_session_token").map(Secret::new),
    })
}
