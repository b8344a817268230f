//! A secret of ours that a secret manager keeps (KM-15): which one, and by which key provider's address and credentials.

use chancery_domain::keyring::ProviderKind;
use chancery_kms::secrets::{Manager, SecretName};

use super::{
    findings::Findings,
    providers::{Place, ProviderConfig},
    source::Settings,
};

const PROVIDER: &str = "store.password_from.provider";
const SECRET: &str = "store.password_from.secret";
const ENDPOINT: &str = "store.password_from.endpoint";
const EXAMPLE: &str = "write password_from = { provider = \"vault-main\", secret = \"secret/chancery/db#password\" }";

/// A secret of a secret manager. Names it, and holds nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFrom {
    /// Whose address and credentials are used.
    pub provider: ProviderConfig,
    /// Which secret.
    pub name: SecretName,
    /// Replaces the usual address of AWS Secrets Manager or Google Secret Manager.
    pub endpoint: Option<String>,
}

/// Where the password of the store is, if a secret manager keeps it.
pub(super) fn read(settings: &Settings, providers: &[ProviderConfig], findings: &mut Findings) -> Option<SecretFrom> {
    let text = |key| settings.find(key).map(|setting| setting.text.as_str());
    let (name, secret) = match (text(PROVIDER), text(SECRET)) {
        (Some(name), Some(secret)) => (name, secret),
        (None, None) if text(ENDPOINT).is_none() => return None,
        _ => {
            findings.fault("store.password_from", "needs both provider and secret", EXAMPLE);
            return None;
        }
    };
    let Some(provider) = providers.iter().find(|provider| provider.name == name) else {
        // One that is described with faults is left out; those are told already.
        if !is_described(settings, name) {
            let known = providers.iter().map(|provider| provider.name.as_str()).collect::<Vec<_>>().join(", ");
            let cure = format!("name one of [[key_providers]]: {known}");
            findings.fault(PROVIDER, format!("is `{name}`, and no key provider is called that"), cure);
        }
        return None;
    };
    let endpoint = text(ENDPOINT).map(str::to_owned);
    let before = findings.faults.len();
    let manager = check_provider(provider, endpoint.is_some(), findings)?;
    let Ok(name) = format!("{}:{secret}", manager.scheme()).parse::<SecretName>() else {
        findings.fault(SECRET, "is no name of a secret there", cure_of(manager));
        return None;
    };
    (findings.faults.len() == before).then(|| SecretFrom { provider: provider.clone(), name, endpoint })
}

/// The manager beside this provider, if there is one and it is the operator's own.
fn check_provider(provider: &ProviderConfig, has_endpoint: bool, findings: &mut Findings) -> Option<Manager> {
    let name = &provider.name;
    let kind = provider.place.kind();
    let manager = match kind {
        ProviderKind::Vault => Manager::Vault,
        ProviderKind::AwsKms => Manager::Aws,
        ProviderKind::GoogleKms => Manager::Google,
        ProviderKind::AzureKeyVault => Manager::Azure,
        ProviderKind::Local | ProviderKind::Pkcs11 | ProviderKind::Recovery | ProviderKind::Shamir => {
            let cure = "name a provider of kind vault, aws_kms, google_kms or azure_keyvault";
            findings.fault(PROVIDER, format!("is `{name}`, and {kind} keeps no secrets"), cure);
            return None;
        }
    };
    if !provider.enabled {
        findings.fault(PROVIDER, format!("is `{name}`, which is not enabled"), "enable it, or name another one");
    }
    if !provider.tenants.is_empty() {
        let cure = "name a provider without tenants: those of a tenant are not the server's to use";
        findings.fault(PROVIDER, format!("is `{name}`, which belongs to tenants"), cure);
    }
    if matches!(provider.place, Place::AzureKeyVault { aes: true, .. }) {
        let cure = "name a provider that is a Key Vault";
        findings.fault(PROVIDER, format!("is `{name}`, a Managed HSM, which keeps no secrets"), cure);
    }
    if has_endpoint && matches!(manager, Manager::Vault | Manager::Azure) {
        let cure = "remove it: the endpoint of the key provider is used";
        findings.fault(ENDPOINT, format!("is set, and `{name}` has its keys and secrets at one address"), cure);
    }
    Some(manager)
}

/// Whether an entry has this name, with faults perhaps.
fn is_described(settings: &Settings, name: &str) -> bool {
    let text = |table: &toml::Table, key: &str| table.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    let named = |table: &toml::Table| text(table, "name").or_else(|| text(table, "provider"));
    settings.tables(super::providers::LIST).values().any(|(table, _)| named(table).as_deref() == Some(name))
}

const fn cure_of(manager: Manager) -> &'static str {
    match manager {
        Manager::Vault => "write MOUNT/PATH#MEMBER, such as secret/chancery/db#password",
        Manager::Aws => "write the secret's name or ARN, and #MEMBER to take one text of a JSON object",
        Manager::Google => "write projects/P/secrets/S[/versions/V], and #MEMBER to take one text of a JSON object",
        Manager::Azure => "write NAME[/VERSION], and #MEMBER to take one text of a JSON object",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn vault(name: &str) -> ProviderConfig {
        ProviderConfig {
            name: name.to_owned(),
            enabled: true,
            wraps: true,
            tenants: Vec::new(),
            timeout: Duration::from_secs(5),
            place: Place::Vault {
                address: "https://vault.example:8200".to_owned(),
                mount: "transit".to_owned(),
                key: "k".to_owned(),
                derived: false,
                namespace: None,
                credentials_file: "/token".into(),
                ca_file: None,
            },
        }
    }

    fn azure(name: &str, aes: bool) -> ProviderConfig {
        let place = Place::AzureKeyVault {
            vault: "https://clinic.vault.azure.net".to_owned(),
            key: "k".to_owned(),
            version: None,
            aes,
            client_id: None,
            credentials_file: None,
            ca_file: None,
        };
        ProviderConfig { place, ..vault(name) }
    }

    fn of(values: &[(&str, &str)]) -> (Option<SecretFrom>, Vec<String>) {
        let mut settings = Settings::default();
        for (key, value) in values {
            assert!(settings.set(&format!("store.password_from.{key}"), *value, "test"));
        }
        let providers = [
            vault("v"),
            ProviderConfig { enabled: false, ..vault("off") },
            ProviderConfig { tenants: vec!["clinic-a".to_owned()], ..vault("theirs") },
            ProviderConfig { place: Place::Local { key_file: "/k".into() }, ..vault("file") },
            azure("az", false),
            azure("hsm", true),
        ];
        let mut findings = Findings::default();
        let read = read(&settings, &providers, &mut findings);
        (read, findings.faults.iter().map(|fault| format!("{} {}", fault.subject, fault.problem)).collect())
    }

    #[test]
    fn a_secret_is_named_in_the_words_of_its_manager() {
        for (provider, secret, expected) in
            [("v", "secret/chancery/db#password", "vault:secret/chancery/db#password"), ("az", "db", "azure:db")]
        {
            let (read, faults) = of(&[("provider", provider), ("secret", secret)]);
            assert_eq!(faults, Vec::<String>::new());
            assert_eq!(read.unwrap().name.to_string(), expected);
        }
        assert_eq!(of(&[]), (None, Vec::new()));
    }

    #[test]
    fn what_cannot_be_is_a_fault_and_names_nothing() {
        let good = "secret/db#password";
        for (values, expected) in [
            (vec![("provider", "v")], "needs both provider and secret"),
            (vec![("secret", good)], "needs both provider and secret"),
            (vec![("endpoint", "https://x")], "needs both provider and secret"),
            (vec![("provider", "w"), ("secret", good)], "no key provider is called that"),
            (vec![("provider", "file"), ("secret", good)], "local keeps no secrets"),
            (vec![("provider", "off"), ("secret", good)], "which is not enabled"),
            (vec![("provider", "theirs"), ("secret", good)], "which belongs to tenants"),
            (vec![("provider", "hsm"), ("secret", "db")], "a Managed HSM"),
            (vec![("provider", "v"), ("secret", "secret/db")], "is no name of a secret"),
            (vec![("provider", "v"), ("secret", good), ("endpoint", "https://x")], "at one address"),
        ] {
            let (read, faults) = of(&values);
            assert_eq!((read, faults.len()), (None, 1), "{values:?} {faults:?}");
            assert!(faults[0].contains(expected), "{faults:?}");
        }
    }
}
