//! Azure Key Vault and Managed HSM over REST.

use async_trait::async_trait;
use chancery_crypto::Key256;
use chancery_domain::keyring::{ProviderError, ProviderKind, WrapLabel};
use data_encoding::BASE64URL_NOPAD;
use reqwest::{Method, Url};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    envelope::{Encrypts, associated_data, key_provider, unavailable},
    http::{self, Client, HttpSettings, TokenSource, Tokens},
};

const API_VERSION: &str = "7.4";

/// How the key encrypts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AzureAlgorithm {
    /// `wrapkey` with RSA-OAEP-256, for RSA keys of Key Vault. Azure does not see the label; our own wrap binds it.
    RsaOaep256,
    /// `encrypt` with A256GCM, for AES keys of Managed HSM. The label is additional authenticated data.
    A256Gcm,
}

/// Where the key is.
#[derive(Debug, Clone)]
pub struct AzureKeyVaultSettings {
    /// Such as `https://name.vault.azure.net` or `https://name.managedhsm.azure.net`.
    pub vault: String,
    /// The key's name.
    pub key: String,
    /// The version that wraps; the newest when not set, which needs the permission `get`. Wraps of older versions unwrap either way.
    pub version: Option<String>,
    /// How the key encrypts.
    pub algorithm: AzureAlgorithm,
    /// Timeout and authorities.
    pub http: HttpSettings,
}

/// A key of Azure Key Vault or Managed HSM.
pub struct AzureKeyVault {
    client: Client,
    tokens: Tokens,
    settings: AzureKeyVaultSettings,
    base: Url,
}

#[derive(Serialize, Default)]
struct Question {
    alg: &'static str,
    value: Zeroizing<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aad: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
}

#[derive(Deserialize)]
struct Outcome {
    kid: String,
    value: Zeroizing<String>,
    #[serde(default)]
    iv: String,
    #[serde(default)]
    tag: String,
}

#[derive(Deserialize)]
struct Bundle {
    key: Named,
}

#[derive(Deserialize)]
struct Named {
    kid: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Fault {
    error: Code,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Code {
    code: String,
    message: String,
}

impl AzureKeyVault {
    /// Takes the settings. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Misconfigured`] says which setting cannot be.
    pub fn new(settings: AzureKeyVaultSettings, tokens: Box<dyn TokenSource>) -> Result<Self, ProviderError> {
        http::name("the key", &settings.key)?;
        if let Some(version) = &settings.version {
            http::name("the version", version)?;
        }
        let base = http::path(&http::address(&settings.vault)?, &["keys", &settings.key])?;
        Ok(Self { client: Client::new(&settings.http)?, tokens: Tokens::new(tokens), base, settings })
    }

    fn name(&self) -> String {
        self.base.to_string()
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        segments: &[&str],
        question: Option<&Question>,
    ) -> Result<T, ProviderError> {
        let mut url = http::path(&self.base, segments)?;
        url.query_pairs_mut().append_pair("api-version", API_VERSION);
        let answer = self.tokens.send(&self.client, method, &url, question).await?;
        if let Some(fault) = answer.common_fault("Azure Key Vault") {
            return Err(fault);
        }
        if answer.status == 200 {
            return answer.json();
        }
        let opens = segments.iter().any(|segment| ["unwrapkey", "decrypt"].contains(segment));
        if opens && answer.status == 400 {
            return Err(ProviderError::Refused);
        }
        let Code { code, message } = answer.fault::<Fault>().error;
        Err(ProviderError::Misconfigured(format!(
            "Azure Key Vault answered {} {code} for {}: {message}",
            answer.status, self.base
        )))
    }

    async fn version(&self) -> Result<String, ProviderError> {
        match &self.settings.version {
            Some(version) => Ok(version.clone()),
            None => version_of(&self.ask::<Bundle>(Method::GET, &[], None).await?.key.kid),
        }
    }
}

/// The last segment of `https://name.vault.azure.net/keys/NAME/VERSION`.
fn version_of(kid: &str) -> Result<String, ProviderError> {
    let version = kid.rsplit('/').next().unwrap_or_default();
    http::name("the version", version).map_err(|_| unavailable("Azure Key Vault named no version of the key"))?;
    Ok(version.to_owned())
}

fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
    BASE64URL_NOPAD.decode(text.trim_end_matches('=').as_bytes()).map(Zeroizing::new).map_err(unavailable)
}

fn encode(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(BASE64URL_NOPAD.encode(bytes))
}

/// `[length of the version] version ciphertext` and, with A256GCM, `iv[12] tag[16]` before the ciphertext.
fn join(answer: &Outcome, algorithm: AzureAlgorithm) -> Result<Vec<u8>, ProviderError> {
    let version = version_of(&answer.kid)?;
    let mut part = vec![u8::try_from(version.len()).map_err(unavailable)?];
    part.extend_from_slice(version.as_bytes());
    if algorithm == AzureAlgorithm::A256Gcm {
        let (iv, tag) = (decode(&answer.iv)?, decode(&answer.tag)?);
        if (iv.len(), tag.len()) != (12, 16) {
            return Err(unavailable("Azure Key Vault's answer has another IV or tag than A256GCM"));
        }
        part.extend_from_slice(&iv);
        part.extend_from_slice(&tag);
    }
    part.extend_from_slice(&decode(&answer.value)?);
    Ok(part)
}

fn split(part: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = part.split_first()?;
    let (version, rest) = rest.split_at_checked(usize::from(*length))?;
    let version = std::str::from_utf8(version).ok().filter(|version| http::name("", version).is_ok())?;
    Some((version, rest))
}

#[async_trait]
impl Encrypts for AzureKeyVault {
    async fn encrypt(&self, key: &Key256, label: WrapLabel<'_>) -> Result<Vec<u8>, ProviderError> {
        let version = self.version().await?;
        let value = encode(key.expose());
        let (verb, question) = match self.settings.algorithm {
            AzureAlgorithm::RsaOaep256 => ("wrapkey", Question { alg: "RSA-OAEP-256", value, ..Question::default() }),
            AzureAlgorithm::A256Gcm => {
                let aad = Some(BASE64URL_NOPAD.encode(&associated_data(&label)));
                ("encrypt", Question { alg: "A256GCM", value, aad, ..Question::default() })
            }
        };
        let answer: Outcome = self.ask(Method::POST, &[&version, verb], Some(&question)).await?;
        join(&answer, self.settings.algorithm)
    }

    async fn decrypt(&self, part: &[u8], label: WrapLabel<'_>) -> Result<Key256, ProviderError> {
        let (version, rest) = split(part).ok_or(ProviderError::Refused)?;
        let (verb, question) = match self.settings.algorithm {
            AzureAlgorithm::RsaOaep256 => {
                ("unwrapkey", Question { alg: "RSA-OAEP-256", value: encode(rest), ..Question::default() })
            }
            AzureAlgorithm::A256Gcm => {
                let (iv, rest) = rest.split_at_checked(12).ok_or(ProviderError::Refused)?;
                let (tag, ciphertext) = rest.split_at_checked(16).ok_or(ProviderError::Refused)?;
                let text = |bytes: &[u8]| Some(BASE64URL_NOPAD.encode(bytes));
                let aad = text(&associated_data(&label));
                let value = encode(ciphertext);
                ("decrypt", Question { alg: "A256GCM", value, aad, iv: text(iv), tag: text(tag) })
            }
        };
        let answer: Outcome = self.ask(Method::POST, &[version, verb], Some(&question)).await?;
        Key256::from_slice(&decode(&answer.value)?).ok_or(ProviderError::Refused)
    }
}

key_provider!(AzureKeyVault, ProviderKind::AzureKeyVault);

impl std::fmt::Debug for AzureKeyVault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AzureKeyVault({})", self.base)
    }
}
