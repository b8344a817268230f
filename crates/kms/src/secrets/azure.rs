//! Azure Key Vault, its secrets.

use async_trait::async_trait;
use chancery_crypto::Secret;
use chancery_domain::keyring::ProviderError;
use reqwest::{Method, Url};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Manager, SecretManager, SecretName, select};
use crate::http::{self, Client, HttpSettings, TokenSource, Tokens};

const API_VERSION: &str = "7.4";

/// Which vault.
#[derive(Debug, Clone)]
pub struct AzureSecretsSettings {
    /// Such as `https://name.vault.azure.net`.
    pub vault: String,
    /// Timeout and authorities.
    pub http: HttpSettings,
}

/// Secrets of one Azure Key Vault; the newest version unless the name has one.
pub struct AzureSecrets {
    client: Client,
    tokens: Tokens,
    base: Url,
}

#[derive(Deserialize)]
struct Bundle {
    value: Zeroizing<String>,
}

impl AzureSecrets {
    /// Takes the settings. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Misconfigured`] says which setting cannot be.
    pub fn new(settings: &AzureSecretsSettings, tokens: Box<dyn TokenSource>) -> Result<Self, ProviderError> {
        let base = http::path(&http::address(&settings.vault)?, &["secrets"])?;
        Ok(Self { client: Client::new(&settings.http)?, tokens: Tokens::new(tokens), base })
    }
}

#[async_trait]
impl SecretManager for AzureSecrets {
    fn manager(&self) -> Manager {
        Manager::Azure
    }

    async fn read(&self, name: &SecretName) -> Result<Secret<String>, ProviderError> {
        let wrong = |why: String| ProviderError::Misconfigured(format!("Azure Key Vault {why} for {name}"));
        let parts: Vec<&str> = name.path.split('/').collect();
        if parts.len() > 2 {
            return Err(wrong("needs NAME[/VERSION]".to_owned()));
        }
        for part in &parts {
            http::name("the secret", part)?;
        }
        let mut url = http::path(&self.base, &parts)?;
        url.query_pairs_mut().append_pair("api-version", API_VERSION);
        let answer = self.tokens.send(&self.client, Method::GET, &url, None::<&()>).await?;
        if answer.status != 200 {
            let status = answer.status;
            return Err(answer.common_fault("Azure Key Vault").unwrap_or_else(|| wrong(format!("answered {status}"))));
        }
        let value = answer.json::<Bundle>()?.value;
        select(name, Secret::new(value.as_str().to_owned()))
    }
}
