//! Google Cloud KMS over REST.

use async_trait::async_trait;
use chancery_crypto::Key256;
use chancery_domain::keyring::{ProviderError, ProviderKind, WrapLabel};
use data_encoding::BASE64;
use reqwest::{Method, Url};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::{
    envelope::{Encrypts, associated_data, key_provider, unavailable},
    http::{self, Client, HttpSettings, TokenSource, Tokens},
};

/// Where the key is.
#[derive(Debug, Clone)]
pub struct GoogleKmsSettings {
    /// `projects/P/locations/L/keyRings/R/cryptoKeys/K`, a symmetric key.
    pub key: String,
    /// Replaces `https://cloudkms.googleapis.com`.
    pub endpoint: Option<String>,
    /// Timeout and authorities.
    pub http: HttpSettings,
}

/// A symmetric key of Google Cloud KMS. The label is additional authenticated data, and each part of each call has a CRC-32C.
pub struct GoogleKms {
    client: Client,
    tokens: Tokens,
    key: String,
    base: Url,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext_crc32c: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext_crc32c: Option<String>,
    additional_authenticated_data: String,
    additional_authenticated_data_crc32c: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Encrypted {
    name: String,
    ciphertext: String,
    ciphertext_crc32c: String,
    #[serde(default)]
    verified_plaintext_crc32c: bool,
    #[serde(default)]
    verified_additional_authenticated_data_crc32c: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Decrypted {
    plaintext: Zeroizing<String>,
    plaintext_crc32c: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Fault {
    error: Status,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    status: String,
    message: String,
}

impl GoogleKms {
    /// Takes the settings. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Misconfigured`] says which setting cannot be.
    pub fn new(settings: &GoogleKmsSettings, tokens: Box<dyn TokenSource>) -> Result<Self, ProviderError> {
        let parts: Vec<&str> = settings.key.split('/').collect();
        let ["projects", project, "locations", location, "keyRings", ring, "cryptoKeys", key] = *parts else {
            return Err(ProviderError::Misconfigured(format!(
                "`{}` is not of the form projects/P/locations/L/keyRings/R/cryptoKeys/K",
                settings.key
            )));
        };
        // Projects of a domain are called `example.com:project`.
        http::name("the project", &project.replace(':', "."))?;
        for (what, name) in [("the location", location), ("the key ring", ring), ("the key", key)] {
            http::name(what, name)?;
        }
        let endpoint = settings.endpoint.as_deref().unwrap_or("https://cloudkms.googleapis.com");
        let base = http::path(&http::address(endpoint)?, &["v1"])?;
        let client = Client::new(&settings.http)?;
        Ok(Self { client, tokens: Tokens::new(tokens), key: settings.key.clone(), base })
    }

    fn name(&self) -> String {
        self.key.clone()
    }

    async fn ask<T: DeserializeOwned>(&self, verb: &str, question: &Question) -> Result<T, ProviderError> {
        let last = format!("{}:{verb}", self.key);
        let url = http::path(&self.base, &last.split('/').collect::<Vec<_>>())?;
        let answer = self.tokens.send(&self.client, Method::POST, &url, Some(question)).await?;
        if let Some(fault) = answer.common_fault("Google Cloud KMS") {
            return Err(fault);
        }
        if answer.status == 200 {
            return answer.json();
        }
        let Status { status, message } = answer.fault::<Fault>().error;
        // A disabled or destroyed version is 400 FAILED_PRECONDITION; bytes that do not open are 400 INVALID_ARGUMENT.
        if verb == "decrypt" && answer.status == 400 && status != "FAILED_PRECONDITION" {
            return Err(ProviderError::Refused);
        }
        Err(ProviderError::Misconfigured(format!(
            "Google Cloud KMS answered {} {status} for {verb} with {}: {message}",
            answer.status, self.key
        )))
    }

    fn question(label: &WrapLabel<'_>) -> Question {
        let bound = associated_data(label);
        Question {
            plaintext: None,
            plaintext_crc32c: None,
            ciphertext: None,
            ciphertext_crc32c: None,
            additional_authenticated_data: BASE64.encode(&bound),
            additional_authenticated_data_crc32c: crc32c(&bound).to_string(),
        }
    }
}

#[async_trait]
impl Encrypts for GoogleKms {
    async fn encrypt(&self, key: &Key256, label: WrapLabel<'_>) -> Result<Vec<u8>, ProviderError> {
        let question = Question {
            plaintext: Some(Zeroizing::new(BASE64.encode(key.expose()))),
            plaintext_crc32c: Some(crc32c(key.expose()).to_string()),
            ..Self::question(&label)
        };
        let answer: Encrypted = self.ask("encrypt", &question).await?;
        let ciphertext = BASE64.decode(answer.ciphertext.as_bytes()).map_err(unavailable)?;
        let whole = answer.verified_plaintext_crc32c
            && answer.verified_additional_authenticated_data_crc32c
            && answer.ciphertext_crc32c == crc32c(&ciphertext).to_string()
            && answer.name.strip_prefix(&self.key).is_some_and(|rest| rest.starts_with("/cryptoKeyVersions/"));
        whole.then_some(ciphertext).ok_or_else(damaged)
    }

    async fn decrypt(&self, part: &[u8], label: WrapLabel<'_>) -> Result<Key256, ProviderError> {
        let question = Question {
            ciphertext: Some(BASE64.encode(part)),
            ciphertext_crc32c: Some(crc32c(part).to_string()),
            ..Self::question(&label)
        };
        let answer: Decrypted = self.ask("decrypt", &question).await?;
        let bytes = BASE64.decode(answer.plaintext.as_bytes()).map(Zeroizing::new).map_err(unavailable)?;
        if answer.plaintext_crc32c != crc32c(&bytes).to_string() {
            return Err(damaged());
        }
        Key256::from_slice(&bytes).ok_or(ProviderError::Refused)
    }
}

key_provider!(GoogleKms, ProviderKind::GoogleKms);

fn damaged() -> ProviderError {
    unavailable("what Google Cloud KMS received or sent was damaged on the way")
}

/// CRC-32C (Castagnoli). The inputs are short, so a bit at a time is quick enough.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
        }
    }
    !crc
}

impl std::fmt::Debug for GoogleKms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GoogleKms({})", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_has_its_check_value() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(b""), 0);
    }
}
