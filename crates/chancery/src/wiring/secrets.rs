//! Secrets that a secret manager keeps, read when they are needed and kept nowhere (KM-15).

use anyhow::{Context as _, Result, bail};
use chancery_crypto::Secret;
use chancery_domain::keyring::ProviderError;
use chancery_kms::{private_file, secrets::SecretManager};

use crate::config::{Config, Place, PostgresAddress, SecretFrom, is_default_password};

/// The longest password that a file may hold.
const PASSWORD_MAX: usize = 4096;

/// The store's address with its password, wherever that is kept.
///
/// # Errors
///
/// If the password cannot be had: nobody tries without one. Also if it is a default one, outside development.
pub async fn store_url(config: &Config, address: &PostgresAddress) -> Result<Secret<String>> {
    let password = match (&address.password_from, &address.password_file) {
        (Some(from), _) => Some(store_password(config, address, from).await?),
        (None, Some(file)) => {
            let (content, _) = private_file::read_any_mode(file, PASSWORD_MAX)?;
            Some(without_line_end(std::str::from_utf8(&content)?))
        }
        (None, None) => None,
    };
    Ok(address.url_with(password.as_ref()))
}

/// The address by which the owner of the tables migrates them, if there is one: a file that its owner alone can read.
///
/// # Errors
///
/// If it cannot be read, or others can read it.
pub fn owner_url(address: &PostgresAddress) -> Result<Option<String>> {
    let Some(file) = &address.owner_url_file else { return Ok(None) };
    let content = private_file::read(file, PASSWORD_MAX).context("store.owner_url_file")?;
    Ok(Some(without_line_end(std::str::from_utf8(&content)?).expose().clone()))
}

async fn store_password(config: &Config, address: &PostgresAddress, from: &SecretFrom) -> Result<Secret<String>> {
    let read = async { open(from).await?.read(&from.name).await };
    let password = read.await.with_context(|| {
        let (secret, provider) = (&from.name, &from.provider.name);
        format!("store.password_from: the key provider `{provider}` does not give the secret {secret}")
    })?;
    let password = without_line_end(password.expose());
    if password.expose().is_empty() {
        bail!("store.password_from: the secret {} is empty", from.name);
    }
    if is_default_password(password.expose(), &address.user) {
        let said = "store.password_from: has a default or well-known password; give the database user one of 24 or more random characters";
        if !config.is_dev() {
            bail!(said);
        }
        tracing::warn!("{said}");
    }
    Ok(password)
}

/// Editors and pipes end what they write with a line's end that nobody means.
fn without_line_end(text: &str) -> Secret<String> {
    Secret::new(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// The secret manager beside a key provider, with its address and credentials.
async fn open(from: &SecretFrom) -> Result<Box<dyn SecretManager>, ProviderError> {
    match &from.provider.place {
        #[cfg(feature = "kms-vault")]
        Place::Vault { address, namespace, credentials_file, ca_file, .. } => {
            let settings = chancery_kms::secrets::VaultSecretsSettings {
                address: address.clone(),
                namespace: namespace.clone(),
                token_file: chancery_kms::http::TokenFile(credentials_file.clone()),
                http: super::providers::http(&from.provider, ca_file.as_deref()),
            };
            Ok(Box::new(chancery_kms::secrets::VaultSecrets::new(settings)?))
        }
        #[cfg(feature = "kms-aws")]
        Place::AwsKms { key, region, credentials_file, .. } => {
            let region = region.as_deref().or_else(|| chancery_kms::region_of_arn(key));
            let missing = || ProviderError::Misconfigured("AWS needs a region, or an ARN as its key".to_owned());
            let settings = chancery_kms::secrets::AwsSecretsSettings {
                region: region.ok_or_else(missing)?.to_owned(),
                endpoint: from.endpoint.clone(),
                credentials: credentials_file.as_deref().map(super::providers::aws_credentials).transpose()?,
                timeout: from.provider.timeout,
            };
            Ok(Box::new(chancery_kms::secrets::AwsSecrets::open(settings).await?))
        }
        #[cfg(feature = "kms-google")]
        Place::GoogleKms { credentials_file, ca_file, .. } => {
            let settings = chancery_kms::secrets::GoogleSecretsSettings {
                endpoint: from.endpoint.clone(),
                http: super::providers::http(&from.provider, ca_file.as_deref()),
            };
            let tokens = super::providers::google_tokens(credentials_file.as_deref())?;
            Ok(Box::new(chancery_kms::secrets::GoogleSecrets::new(&settings, tokens)?))
        }
        #[cfg(feature = "kms-azure")]
        Place::AzureKeyVault { vault, client_id, credentials_file, ca_file, .. } => {
            use super::providers::{KEY_VAULT, azure_tokens, http};
            let settings = chancery_kms::secrets::AzureSecretsSettings {
                vault: vault.clone(),
                http: http(&from.provider, ca_file.as_deref()),
            };
            let tokens = azure_tokens(credentials_file.as_deref(), KEY_VAULT, client_id.as_deref())?;
            Ok(Box::new(chancery_kms::secrets::AzureSecrets::new(&settings, tokens)?))
        }
        // INVARIANT: refused when the configuration was read.
        _ => Err(ProviderError::Misconfigured("it keeps no secrets".to_owned())),
    }
}

/// Against servers that answer as documented; `chancery-kms` has them in detail. Here: whose address and credentials are used.
#[cfg(test)]
#[cfg(feature = "kms-full")]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

    use serde_json::json;
    use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::any};

    use super::*;
    use crate::config::ProviderConfig;

    async fn serve(respond: impl Fn(&Request) -> Option<serde_json::Value> + Send + Sync + 'static) -> MockServer {
        let server = MockServer::start().await;
        let answer = move |request: &Request| match respond(request) {
            Some(body) => ResponseTemplate::new(200).set_body_json(body),
            None => ResponseTemplate::new(403).set_body_json(json!({"errors": ["permission denied"]})),
        };
        Mock::given(any()).respond_with(answer).mount(&server).await;
        server
    }

    fn has(request: &Request, header: &str, text: &str) -> bool {
        request.headers.get(header).is_some_and(|value| value.to_str().unwrap().contains(text))
    }

    fn private(folder: &tempfile::TempDir, text: &str) -> PathBuf {
        let path = folder.path().join("credentials");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    async fn read(place: Place, name: &str, endpoint: Option<String>) -> Result<Secret<String>, ProviderError> {
        let provider = ProviderConfig {
            name: "p".to_owned(),
            enabled: true,
            wraps: false,
            tenants: Vec::new(),
            timeout: Duration::from_secs(5),
            place,
        };
        let from = SecretFrom { provider, name: name.parse().unwrap(), endpoint };
        open(&from).await?.read(&from.name).await
    }

    #[tokio::test]
    async fn vault_is_asked_at_its_address_in_its_namespace_with_its_token() {
        let server = serve(|request| {
            let whole = has(request, "x-vault-token", "hvs.T") && has(request, "x-vault-namespace", "clinics");
            let found = whole && request.url.path() == "/v1/secret/data/chancery/db";
            found.then(|| json!({"data": {"data": {"password": "from vault"}}}))
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let place = |namespace: &str| Place::Vault {
            address: server.uri(),
            mount: "transit".to_owned(),
            key: "k".to_owned(),
            derived: false,
            namespace: Some(namespace.to_owned()),
            credentials_file: private(&folder, "hvs.T\n"),
            ca_file: None,
        };
        let name = "vault:secret/chancery/db#password";
        assert_eq!(read(place("clinics"), name, None).await.unwrap().expose(), "from vault");
        assert!(read(place("others"), name, None).await.is_err());
    }

    #[tokio::test]
    async fn google_is_asked_at_the_endpoint_of_its_secrets_not_of_its_keys() {
        let server = serve(|request| {
            let found = request.url.path() == "/v1/projects/p/secrets/db/versions/latest:access";
            // "from google"
            (found && has(request, "authorization", "Bearer ya29.T"))
                .then(|| json!({"payload": {"data": "ZnJvbSBnb29nbGU="}}))
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let place = Place::GoogleKms {
            key: "projects/p/locations/l/keyRings/r/cryptoKeys/k".to_owned(),
            endpoint: Some("http://127.0.0.1:9".to_owned()),
            credentials_file: Some(private(&folder, "ya29.T")),
            ca_file: None,
        };
        let secret = read(place, "google:projects/p/secrets/db", Some(server.uri())).await;
        assert_eq!(secret.unwrap().expose(), "from google");
    }

    #[tokio::test]
    async fn azure_is_asked_at_its_vault() {
        let server = serve(|request| {
            let found = request.url.path() == "/secrets/db" && has(request, "authorization", "Bearer eyJ.T");
            found.then(|| json!({"value": "from azure"}))
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let place = Place::AzureKeyVault {
            vault: server.uri(),
            key: "k".to_owned(),
            version: None,
            aes: false,
            client_id: None,
            credentials_file: Some(private(&folder, "eyJ.T")),
            ca_file: None,
        };
        assert_eq!(read(place, "azure:db", None).await.unwrap().expose(), "from azure");
    }

    #[tokio::test]
    async fn aws_is_asked_in_the_region_of_the_key_with_its_credentials() {
        let server = serve(|request| {
            let signed = has(request, "authorization", "AKIATEST/")
                && has(request, "authorization", "/eu-central-1/secretsmanager/aws4_request");
            (signed && has(request, "x-amz-target", "secretsmanager.GetSecretValue"))
                .then(|| json!({"Name": "db", "SecretString": "from aws"}))
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let place = |key: &str| Place::AwsKms {
            key: key.to_owned(),
            region: None,
            endpoint: Some("http://127.0.0.1:9".to_owned()),
            credentials_file: Some(private(&folder, "aws_access_key_id = AKIATEST\naws_secret_access_key = s\n")),
            deletion_days: 30,
        };
        let here = place("arn:aws:kms:eu-central-1:111122223333:key/k");
        assert_eq!(read(here, "aws:db", Some(server.uri())).await.unwrap().expose(), "from aws");
        let nowhere = read(place("alias/k"), "aws:db", Some(server.uri())).await.unwrap_err();
        assert!(nowhere.to_string().contains("region"), "{nowhere}");
    }

    #[tokio::test]
    async fn what_keeps_keys_only_gives_no_secret() {
        let local = read(Place::Local { key_file: "/k".into() }, "azure:db", None).await;
        assert!(matches!(local, Err(ProviderError::Misconfigured(_))), "{local:?}");
    }
}
