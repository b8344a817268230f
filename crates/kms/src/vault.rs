//! Vault or OpenBao: the transit engine over its HTTP API.

use async_trait::async_trait;
use chancery_crypto::Key256;
use chancery_domain::keyring::{ProviderError, ProviderKind, WrapLabel};
use data_encoding::BASE64;
use reqwest::{Method, Url};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    envelope::{Encrypts, associated_data, key_provider, unavailable},
    http::{self, Answer, Client, HttpSettings, TokenFile},
};

/// Where the key is and who asks.
#[derive(Debug, Clone)]
pub struct VaultSettings {
    /// Such as `https://vault.example:8200`.
    pub address: String,
    /// Where the transit engine is mounted; usually `transit`.
    pub mount: String,
    /// The key: `aes256-gcm96` or another AEAD.
    pub key: String,
    /// Whether the key was made with `derived=true`; the label is then its context too.
    pub derived: bool,
    /// Of Vault Enterprise and OpenBao.
    pub namespace: Option<String>,
    /// A file of mode 600 with the token. It is read for every call, so an agent may renew it.
    pub token_file: TokenFile,
    /// Timeout and authorities.
    pub http: HttpSettings,
}

/// A key of Vault's or OpenBao's transit engine. The label is associated data.
pub struct Vault {
    client: Client,
    settings: VaultSettings,
    base: Url,
}

#[derive(Serialize)]
struct Question {
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext: Option<String>,
    associated_data: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<String>,
}

#[derive(Deserialize)]
struct Reply<T> {
    data: T,
}

#[derive(Deserialize)]
struct Encrypted {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Decrypted {
    plaintext: Zeroizing<String>,
}

#[derive(Deserialize, Default)]
struct Fault {
    errors: Vec<String>,
}

impl Vault {
    /// Takes the settings. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Misconfigured`] says which setting cannot be.
    pub fn new(settings: VaultSettings) -> Result<Self, ProviderError> {
        http::name("the key", &settings.key)?;
        for part in settings.mount.split('/') {
            http::name("the mount", part)?;
        }
        let base = http::address(&settings.address)?;
        let mount = std::iter::once("v1").chain(settings.mount.split('/'));
        let base = http::path(&base, &mount.collect::<Vec<_>>())?;
        Ok(Self { client: Client::new(&settings.http)?, base, settings })
    }

    fn name(&self) -> String {
        let VaultSettings { address, mount, key, namespace, .. } = &self.settings;
        let namespace = namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
        format!("{}/{namespace}{mount}/{key}", address.trim_end_matches('/'))
    }

    async fn ask(&self, verb: &str, question: &Question) -> Result<Answer, ProviderError> {
        let token = self.settings.token_file.read()?;
        let mut headers = vec![("x-vault-token", token.expose().as_str()), ("x-vault-request", "true")];
        if let Some(namespace) = &self.settings.namespace {
            headers.push(("x-vault-namespace", namespace));
        }
        let url = http::path(&self.base, &[verb, &self.settings.key])?;
        let answer = self.client.send(Method::POST, url, &headers, Some(question)).await?;
        match answer.common_fault("Vault") {
            Some(fault) => Err(fault),
            None => Ok(answer),
        }
    }

    fn question(&self, label: &WrapLabel<'_>) -> Question {
        let bound = BASE64.encode(&associated_data(label));
        let context = self.settings.derived.then(|| bound.clone());
        Question { plaintext: None, ciphertext: None, associated_data: bound, context }
    }

    /// What a status in the four hundreds means, beyond [`Answer::common_fault`].
    fn fault(&self, answer: &Answer) -> ProviderError {
        let text = answer.fault::<Fault>().errors.join("; ");
        ProviderError::Misconfigured(match answer.status {
            403 => format!(
                "Vault refuses the token of {}: {text}; it needs `update` on {{encrypt,decrypt}} of {}",
                self.settings.token_file.0.display(),
                self.name()
            ),
            status => format!("Vault answered {status} for {}: {text}", self.name()),
        })
    }
}

/// The two 400s of `decrypt` that are about the key; every other is about the ciphertext
/// (OpenBao, `builtin/logical/transit/path_decrypt.go`).
fn is_about_the_key(answer: &Answer) -> bool {
    let about = ["encryption key not found", "non-AEAD", "permission denied"];
    answer.fault::<Fault>().errors.iter().any(|error| about.iter().any(|text| error.contains(text)))
}

#[async_trait]
impl Encrypts for Vault {
    async fn encrypt(&self, key: &Key256, label: WrapLabel<'_>) -> Result<Vec<u8>, ProviderError> {
        let plaintext = Some(Zeroizing::new(BASE64.encode(key.expose())));
        let answer = self.ask("encrypt", &Question { plaintext, ..self.question(&label) }).await?;
        if answer.status != 200 {
            return Err(self.fault(&answer));
        }
        Ok(answer.json::<Reply<Encrypted>>()?.data.ciphertext.into_bytes())
    }

    async fn decrypt(&self, part: &[u8], label: WrapLabel<'_>) -> Result<Key256, ProviderError> {
        let ciphertext = Some(String::from_utf8(part.to_vec()).map_err(|_| ProviderError::Refused)?);
        let answer = self.ask("decrypt", &Question { ciphertext, ..self.question(&label) }).await?;
        match answer.status {
            200 => {}
            400 if !is_about_the_key(&answer) => return Err(ProviderError::Refused),
            _ => return Err(self.fault(&answer)),
        }
        let plaintext = answer.json::<Reply<Decrypted>>()?.data.plaintext;
        let bytes = BASE64.decode(plaintext.as_bytes()).map(Zeroizing::new).map_err(unavailable)?;
        Key256::from_slice(&bytes).ok_or(ProviderError::Refused)
    }
}

key_provider!(Vault, ProviderKind::Vault);

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({})", self.name())
    }
}
