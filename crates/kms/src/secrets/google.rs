//! Google Secret Manager.

use async_trait::async_trait;
use chancery_crypto::Secret;
use chancery_domain::keyring::ProviderError;
use data_encoding::BASE64;
use reqwest::{Method, Url};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Manager, SecretManager, SecretName, select};
use crate::{
    envelope::unavailable,
    http::{self, Client, HttpSettings, TokenSource, Tokens},
};

/// How Google Secret Manager is reached.
#[derive(Debug, Clone, Default)]
pub struct GoogleSecretsSettings {
    /// Replaces `https://secretmanager.googleapis.com`.
    pub endpoint: Option<String>,
    /// Timeout and authorities.
    pub http: HttpSettings,
}

/// Secrets in Google Secret Manager; the newest version unless the name has one.
pub struct GoogleSecrets {
    client: Client,
    tokens: Tokens,
    base: Url,
}

#[derive(Deserialize)]
struct Reply {
    payload: Payload,
}

#[derive(Deserialize)]
struct Payload {
    data: Zeroizing<String>,
}

impl GoogleSecrets {
    /// Takes the settings. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Misconfigured`] says which setting cannot be.
    pub fn new(settings: &GoogleSecretsSettings, tokens: Box<dyn TokenSource>) -> Result<Self, ProviderError> {
        let endpoint = settings.endpoint.as_deref().unwrap_or("https://secretmanager.googleapis.com");
        let base = http::path(&http::address(endpoint)?, &["v1"])?;
        Ok(Self { client: Client::new(&settings.http)?, tokens: Tokens::new(tokens), base })
    }
}

#[async_trait]
impl SecretManager for GoogleSecrets {
    fn manager(&self) -> Manager {
        Manager::Google
    }

    async fn read(&self, name: &SecretName) -> Result<Secret<String>, ProviderError> {
        let wrong = |why: String| ProviderError::Misconfigured(format!("Google Secret Manager {why} for {name}"));
        let parts: Vec<&str> = name.path.split('/').collect();
        let (project, secret, version) = match *parts {
            ["projects", project, "secrets", secret] => (project, secret, "latest"),
            ["projects", project, "secrets", secret, "versions", version] => (project, secret, version),
            _ => return Err(wrong("needs projects/P/secrets/S[/versions/V]".to_owned())),
        };
        // Projects of a domain are called `example.com:project`.
        http::name("the project", &project.replace(':', "."))?;
        http::name("the secret", secret)?;
        http::name("the version", version)?;
        let last = format!("{version}:access");
        let url = http::path(&self.base, &["projects", project, "secrets", secret, "versions", &last])?;
        let answer = self.tokens.send(&self.client, Method::GET, &url, None::<&()>).await?;
        if answer.status != 200 {
            let status = answer.status;
            let fault = answer.common_fault("Google Secret Manager");
            return Err(fault.unwrap_or_else(|| wrong(format!("answered {status}"))));
        }
        let data = answer.json::<Reply>()?.payload.data;
        let bytes = BASE64.decode(data.as_bytes()).map(Zeroizing::new).map_err(unavailable)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong("has no text".to_owned()))?;
        select(name, Secret::new(text.to_owned()))
    }
}
