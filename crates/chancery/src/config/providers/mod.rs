//! Key providers: `[[key_providers]]` in the file, or `CHANCERY__KEY_PROVIDERS__0__KEY` in the environment.
//!
//! Without any there is one, the key file `kms.local.key_file`. With some, they are all there are.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use chancery_domain::keyring::ProviderKind;

use super::{entry::Entry, findings::Findings};

/// The list's name.
pub(super) const LIST: &str = "key_providers";

/// One key provider, as the operator described it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderConfig {
    /// Its name: for people, commands, and tenants that have their key under it.
    pub name: String,
    /// Whether it is used at all (KM-11).
    pub enabled: bool,
    /// Whether it may wrap the root, or a tenant's key (KM-11); otherwise keys only live in it.
    pub wraps: bool,
    /// Which tenants may have their key under it, by their short names. A provider with tenants never wraps the root.
    pub tenants: Vec<String>,
    /// How long a call may take.
    pub timeout: Duration,
    /// Where its key is.
    pub place: Place,
}

/// Where a provider's key is, and who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file of this machine.
    Local {
        /// Which.
        key_file: PathBuf,
    },
    /// A token of a PKCS#11 module.
    Pkcs11 {
        /// The shared library.
        module: PathBuf,
        /// The token's label.
        token: String,
        /// The key's label.
        key: String,
        /// The user's PIN.
        pin_file: PathBuf,
    },
    /// AWS KMS.
    AwsKms {
        /// The key's ARN.
        key: String,
        /// The region, if the key is no ARN.
        region: Option<String>,
        /// Replaces the region's address.
        endpoint: Option<String>,
        /// Replaces the usual chain of credentials.
        credentials_file: Option<PathBuf>,
        /// How long AWS waits before it destroys a key that lived there.
        deletion_days: u8,
    },
    /// Google Cloud KMS.
    GoogleKms {
        /// `projects/…/cryptoKeys/…`.
        key: String,
        /// Replaces Google's address.
        endpoint: Option<String>,
        /// A bearer token that somebody keeps fresh; the metadata server otherwise.
        credentials_file: Option<PathBuf>,
        /// The only authorities to trust.
        ca_file: Option<PathBuf>,
    },
    /// Azure Key Vault or Managed HSM.
    AzureKeyVault {
        /// The vault's address.
        vault: String,
        /// The key's name.
        key: String,
        /// The version that wraps.
        version: Option<String>,
        /// Whether it is an AES key of a Managed HSM.
        aes: bool,
        /// Which managed identity asks.
        client_id: Option<String>,
        /// A bearer token that somebody keeps fresh; the managed identity otherwise.
        credentials_file: Option<PathBuf>,
        /// The only authorities to trust.
        ca_file: Option<PathBuf>,
    },
    /// The transit engine of Vault or OpenBao.
    Vault {
        /// The server's address.
        address: String,
        /// Where transit is mounted.
        mount: String,
        /// The key's name.
        key: String,
        /// Whether the key was made with `derived=true`.
        derived: bool,
        /// `X-Vault-Namespace`.
        namespace: Option<String>,
        /// The token.
        credentials_file: PathBuf,
        /// The only authorities to trust.
        ca_file: Option<PathBuf>,
    },
}

impl Place {
    /// Its kind.
    pub const fn kind(&self) -> ProviderKind {
        match self {
            Self::Local { .. } => ProviderKind::Local,
            Self::Pkcs11 { .. } => ProviderKind::Pkcs11,
            Self::AwsKms { .. } => ProviderKind::AwsKms,
            Self::GoogleKms { .. } => ProviderKind::GoogleKms,
            Self::AzureKeyVault { .. } => ProviderKind::AzureKeyVault,
            Self::Vault { .. } => ProviderKind::Vault,
        }
    }
}

/// The provider that is there when none is described.
pub(super) fn default(key_file: PathBuf) -> ProviderConfig {
    ProviderConfig {
        name: "local".to_owned(),
        enabled: true,
        wraps: true,
        tenants: Vec::new(),
        timeout: TIMEOUT,
        place: Place::Local { key_file },
    }
}

const TIMEOUT: Duration = Duration::from_secs(5);

/// Reads all entries; what has faults is left out.
pub(super) fn read(
    tables: &BTreeMap<usize, (toml::Table, String)>,
    key_file: &Path,
    findings: &mut Findings,
) -> Vec<ProviderConfig> {
    let mut providers: Vec<ProviderConfig> = Vec::new();
    for (number, (table, origin)) in tables {
        let before = findings.faults.len();
        let mut entry = Entry::new(LIST, *number, origin, table, findings);
        let read = entry_of(&mut entry, key_file);
        if read.is_some() {
            entry.refuse_unknown("provider");
        }
        if let Some(read) = read {
            if providers.iter().any(|other| other.name == read.name) {
                let problem = format!("is `{}`, which another provider is called too", read.name);
                entry.fault("name", problem, "give each provider a name of its own");
            }
            if findings.faults.len() == before {
                providers.push(read);
            }
        }
    }
    providers
}

fn entry_of(entry: &mut Entry<'_>, key_file: &Path) -> Option<ProviderConfig> {
    let kind = entry.text("provider").unwrap_or_else(|| ProviderKind::Pkcs11.as_str().to_owned());
    let endpoint = entry.text("endpoint");
    let credentials_file = entry.path("credentials_file");
    let place = match kind.parse() {
        Ok(ProviderKind::Local) => {
            Place::Local { key_file: entry.path("key_file").unwrap_or_else(|| key_file.to_owned()) }
        }
        Ok(ProviderKind::Pkcs11) => Place::Pkcs11 {
            module: entry.needed("module", "/usr/lib/softhsm/libsofthsm2.so").into(),
            token: entry.needed("token", "chancery"),
            key: entry.text("key").unwrap_or_else(|| "chancery-root".to_owned()),
            pin_file: entry.needed("credentials_file", "/etc/chancery/hsm-pin").into(),
        },
        Ok(ProviderKind::AwsKms) => Place::AwsKms {
            key: entry.needed("key", "arn:aws:kms:eu-central-1:111122223333:key/…"),
            region: entry.text("region"),
            endpoint,
            credentials_file,
            deletion_days: entry.number("deletion_days", 30, 7, 30),
        },
        Ok(ProviderKind::GoogleKms) => Place::GoogleKms {
            key: entry.needed("key", "projects/P/locations/L/keyRings/R/cryptoKeys/K"),
            endpoint,
            credentials_file,
            ca_file: entry.path("ca_file"),
        },
        Ok(ProviderKind::AzureKeyVault) => Place::AzureKeyVault {
            vault: entry.needed("endpoint", "https://name.vault.azure.net"),
            key: entry.needed("key", "chancery-root"),
            version: entry.text("version"),
            aes: azure_algorithm(entry),
            client_id: entry.text("client_id"),
            credentials_file,
            ca_file: entry.path("ca_file"),
        },
        Ok(ProviderKind::Vault) => Place::Vault {
            address: entry.needed("endpoint", "https://vault.example:8200"),
            mount: entry.text("mount").unwrap_or_else(|| "transit".to_owned()),
            key: entry.needed("key", "chancery-root"),
            derived: entry.flag("derived", false),
            namespace: entry.text("namespace"),
            credentials_file: entry.needed("credentials_file", "/etc/chancery/vault-token").into(),
            ca_file: entry.path("ca_file"),
        },
        Ok(ProviderKind::Recovery | ProviderKind::Shamir) | Err(_) => {
            let cure = "write one of: local, pkcs11, aws_kms, google_kms, azure_keyvault, vault";
            entry.fault("provider", "is no key provider that can be configured", cure);
            return None;
        }
    };
    let kind = place.kind();
    check_feature(entry, kind, feature_of(kind));
    if entry.flag("auto_backup_to_hsm", false) {
        let cure = "leave it false and back keys up with POST /v1/keys/{id}/backup or escrow";
        entry.fault("auto_backup_to_hsm", "is not done by itself", cure);
    }
    let name = entry.text("name").unwrap_or_else(|| kind.as_str().to_owned());
    let wraps = entry.flag("key_wrapping_enabled", true);
    let tenants = entry.words("tenants");
    if !wraps && !tenants.is_empty() {
        entry.fault("tenants", "are named though it wraps no key", "set key_wrapping_enabled = true");
    }
    Some(ProviderConfig {
        name,
        enabled: entry.flag("enabled", true),
        wraps,
        tenants,
        timeout: Duration::from_secs(u64::from(entry.number("timeout_seconds", 5_u8, 1, 60))),
        place,
    })
}

fn azure_algorithm(entry: &mut Entry<'_>) -> bool {
    match entry.text("algorithm").as_deref() {
        None | Some("RSA-OAEP-256") => false,
        Some("A256GCM") => true,
        Some(_) => {
            entry.fault("algorithm", "is not known", "write RSA-OAEP-256, or A256GCM for an AES key of a Managed HSM");
            false
        }
    }
}

/// A cargo feature, and whether this binary has it.
type Feature = (&'static str, bool);

/// The one that a kind needs.
const fn feature_of(kind: ProviderKind) -> Option<Feature> {
    Some(match kind {
        ProviderKind::Pkcs11 => ("kms-pkcs11", cfg!(feature = "kms-pkcs11")),
        ProviderKind::AwsKms => ("kms-aws", cfg!(feature = "kms-aws")),
        ProviderKind::GoogleKms => ("kms-google", cfg!(feature = "kms-google")),
        ProviderKind::AzureKeyVault => ("kms-azure", cfg!(feature = "kms-azure")),
        ProviderKind::Vault => ("kms-vault", cfg!(feature = "kms-vault")),
        ProviderKind::Local | ProviderKind::Recovery | ProviderKind::Shamir => return None,
    })
}

fn check_feature(entry: &mut Entry<'_>, kind: ProviderKind, feature: Option<Feature>) {
    if let Some((feature, false)) = feature {
        let cure = format!("use a binary that was built with it: cargo build --release --features {feature}");
        entry.fault("provider", format!("is {kind}, which this binary was built without"), cure);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str) -> (Vec<ProviderConfig>, Findings) {
        let table: toml::Table = text.parse().unwrap();
        let entries = table["key_providers"].as_array().unwrap().iter().enumerate();
        let tables =
            entries.map(|(at, entry)| (at, (entry.as_table().unwrap().clone(), "c.toml".to_owned()))).collect();
        let mut findings = Findings::default();
        (read(&tables, Path::new("/data/root.key"), &mut findings), findings)
    }

    #[test]
    fn an_entry_has_the_defaults_of_an_hsm() {
        let (providers, findings) = read_all("[[key_providers]]\nprovider = \"local\"\n");
        assert!(findings.faults.is_empty(), "{findings:?}");
        let one = &providers[0];
        assert_eq!((one.name.as_str(), one.enabled, one.wraps, one.timeout), ("local", true, true, TIMEOUT));
        assert_eq!(one.place, Place::Local { key_file: "/data/root.key".into() });
    }

    #[test]
    fn what_the_binary_lacks_is_refused_with_the_feature_that_has_it() {
        let (table, mut findings) = (toml::Table::new(), Findings::default());
        let mut entry = Entry::new(LIST, 0, "c.toml", &table, &mut findings);
        for (has, faults) in [(true, 0), (false, 1)] {
            check_feature(&mut entry, ProviderKind::AwsKms, Some(("kms-aws", has)));
            assert_eq!(entry.findings.faults.len(), faults);
        }
        let fault = &findings.faults[0];
        assert!(fault.problem.contains("aws_kms, which this binary was built without"), "{fault:?}");
        assert!(fault.cure.contains("--features kms-aws"), "{fault:?}");
    }

    /// The same by a whole entry, in the binaries that lack it: the one of default features.
    #[cfg(not(feature = "kms-aws"))]
    #[test]
    fn without_its_feature_aws_is_no_provider() {
        let (providers, findings) = read_all("[[key_providers]]\nprovider = \"aws_kms\"\nkey = \"k\"\nregion = \"r\"");
        assert_eq!((providers.len(), findings.faults.len()), (0, 1), "{findings:?}");
        assert!(findings.faults[0].cure.contains("--features kms-aws"), "{findings:?}");
    }

    #[test]
    fn all_faults_are_told_together_with_their_cure() {
        let (providers, findings) = read_all(
            "[[key_providers]]\nmodule = 7\ntoken = \"t\"\ncredentials = \"1234\"\ncolour = \"red\"\n\
             [[key_providers]]\nprovider = \"azure\"\n\
             [[key_providers]]\nprovider = \"local\"\nauto_backup_to_hsm = true\n\
             [[key_providers]]\nprovider = \"local\"\nname = \"a\"\n[[key_providers]]\nprovider = \"local\"\nname = \"a\"",
        );
        assert_eq!(providers.len(), 1, "{providers:?}");
        let subjects: Vec<&str> = findings.faults.iter().filter_map(|fault| fault.subject.split(' ').next()).collect();
        for expected in [
            "key_providers[0].module",
            "key_providers[0].credentials_file",
            "key_providers[0].credentials",
            "key_providers[0].colour",
            "key_providers[1].provider",
            "key_providers[2].auto_backup_to_hsm",
            "key_providers[4].name",
        ] {
            assert!(subjects.contains(&expected), "{expected}: {subjects:?}");
        }
        assert!(findings.faults.iter().all(|fault| !fault.cure.is_empty()));
        assert!(!format!("{findings:?}").contains("1234"));
    }
}
