//! Vault or OpenBao: the key/value engine, version 2.

use async_trait::async_trait;
use chancery_crypto::Secret;
use chancery_domain::keyring::ProviderError;
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Manager, SecretManager, SecretName, select};
use crate::http::{self, Client, HttpSettings, TokenFile};

/// Where Vault is and who asks.
#[derive(Debug, Clone)]
pub struct VaultSecretsSettings {
    /// Such as `https://vault.example:8200`.
    pub address: String,
    /// Of Vault Enterprise and OpenBao.
    pub namespace: Option<String>,
    /// A file of mode 600 with the token. It is read for every call, so an agent may renew it.
    pub token_file: TokenFile,
    /// Timeout and authorities.
    pub http: HttpSettings,
}

/// Secrets in Vault's or OpenBao's key/value engine.
pub struct VaultSecrets {
    client: Client,
    base: Url,
    settings: VaultSecretsSettings,
}

#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(borrow)]
    data: Version<'a>,
}

#[derive(Deserialize)]
struct Version<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

impl VaultSecrets {
    /// Takes the settings. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Misconfigured`] says which setting cannot be.
    pub fn new(settings: VaultSecretsSettings) -> Result<Self, ProviderError> {
        let base = http::path(&http::address(&settings.address)?, &["v1"])?;
        Ok(Self { client: Client::new(&settings.http)?, base, settings })
    }
}

#[async_trait]
impl SecretManager for VaultSecrets {
    fn manager(&self) -> Manager {
        Manager::Vault
    }

    async fn read(&self, name: &SecretName) -> Result<Secret<String>, ProviderError> {
        let wrong = |why: String| ProviderError::Misconfigured(format!("Vault {why} for the secret {name}"));
        let (mount, path) = name.path.split_once('/').ok_or_else(|| wrong("needs MOUNT/PATH".to_owned()))?;
        let segments: Vec<&str> = [mount, "data"].into_iter().chain(path.split('/')).collect();
        for segment in &segments {
            http::name("a part of the secret's path", segment)?;
        }
        let token = self.settings.token_file.read()?;
        let mut headers = vec![("x-vault-token", token.expose().as_str()), ("x-vault-request", "true")];
        if let Some(namespace) = &self.settings.namespace {
            headers.push(("x-vault-namespace", namespace));
        }
        let url = http::path(&self.base, &segments)?;
        let answer = self.client.send(Method::GET, url, &headers, None::<&()>).await?;
        match answer.status {
            200 => {}
            403 => {
                let token = self.settings.token_file.0.display();
                return Err(wrong(format!("refuses the token of {token}; it needs `read` on {mount}/data/{path}")));
            }
            404 => return Err(wrong("has nothing".to_owned())),
            status => return Err(answer.common_fault("Vault").unwrap_or_else(|| wrong(format!("answered {status}")))),
        }
        let whole = answer.text()?;
        let reply: Reply<'_> =
            serde_json::from_str(whole.expose()).map_err(|_| wrong("answers otherwise than documented".to_owned()))?;
        select(name, Secret::new(reply.data.data.get().to_owned()))
    }
}
