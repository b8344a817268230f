//! Secrets of the outside world, such as a database password, that a secret manager keeps: read when needed, never
//! written to disk and never a variable of the environment (KM-15).
//!
//! A [`SecretName`] says which one, in the words of its manager:
//!
//! | text | where |
//! | --- | --- |
//! | `vault:MOUNT/PATH#MEMBER` | Vault or OpenBao, key/value engine version 2 |
//! | `aws:NAME-OR-ARN[#MEMBER]` | AWS Secrets Manager |
//! | `google:projects/P/secrets/S[/versions/V][#MEMBER]` | Google Secret Manager |
//! | `azure:NAME[/VERSION][#MEMBER]` | Azure Key Vault |
//!
//! `MEMBER` takes one text of a JSON object.

use std::{fmt, str::FromStr};

use async_trait::async_trait;
use chancery_crypto::Secret;
use chancery_domain::keyring::ProviderError;

#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "azure")]
mod azure;
#[cfg(feature = "google")]
mod google;
#[cfg(feature = "vault")]
mod vault;

#[cfg(feature = "aws")]
pub use aws::{AwsSecrets, AwsSecretsSettings};
#[cfg(feature = "azure")]
pub use azure::{AzureSecrets, AzureSecretsSettings};
#[cfg(feature = "google")]
pub use google::{GoogleSecrets, GoogleSecretsSettings};
#[cfg(feature = "vault")]
pub use vault::{VaultSecrets, VaultSecretsSettings};

/// Which kind of manager keeps a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Manager {
    /// Vault or OpenBao.
    Vault,
    /// AWS Secrets Manager.
    Aws,
    /// Google Secret Manager.
    Google,
    /// Azure Key Vault.
    Azure,
}

impl Manager {
    const ALL: [Self; 4] = [Self::Vault, Self::Aws, Self::Google, Self::Azure];

    /// How names of its secrets begin.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::Aws => "aws",
            Self::Google => "google",
            Self::Azure => "azure",
        }
    }
}

/// Names one secret of one manager. It is no secret itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretName {
    /// Whose.
    pub manager: Manager,
    /// What its manager calls it.
    pub path: String,
    /// The member of a JSON object, if the secret is one.
    pub member: Option<String>,
}

/// A text that names no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no name of a secret: write vault:MOUNT/PATH#MEMBER, aws:NAME, google:projects/P/secrets/S or azure:NAME, and #MEMBER to take one text of a JSON object"
)]
pub struct ParseSecretNameError;

impl FromStr for SecretName {
    type Err = ParseSecretNameError;

    fn from_str(text: &str) -> Result<Self, ParseSecretNameError> {
        let (scheme, rest) = text.split_once(':').ok_or(ParseSecretNameError)?;
        let manager = Manager::ALL.into_iter().find(|manager| manager.scheme() == scheme);
        let manager = manager.ok_or(ParseSecretNameError)?;
        let (path, member) = match rest.split_once('#') {
            Some((path, member)) => (path, Some(member)),
            None => (rest, None),
        };
        let plain = |text: &str| !text.is_empty() && text.len() <= 2048 && text.bytes().all(|b| b.is_ascii_graphic());
        let whole = manager != Manager::Vault || member.is_some();
        if !plain(path) || !member.is_none_or(plain) || !whole {
            return Err(ParseSecretNameError);
        }
        Ok(Self { manager, path: path.to_owned(), member: member.map(str::to_owned) })
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.manager.scheme(), self.path)?;
        self.member.iter().try_for_each(|member| write!(f, "#{member}"))
    }
}

/// Reads secrets. Never writes one.
#[async_trait]
pub trait SecretManager: Send + Sync {
    /// Its kind.
    fn manager(&self) -> Manager;

    /// The secret as it is now.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] if trying later may help, [`ProviderError::Misconfigured`] with what to mend:
    /// there is no such secret, or it is not for us. Never [`ProviderError::Refused`].
    async fn read(&self, name: &SecretName) -> Result<Secret<String>, ProviderError>;
}

/// The member that was asked for, or the whole text.
#[cfg(any(feature = "aws", feature = "http"))]
fn select(name: &SecretName, text: Secret<String>) -> Result<Secret<String>, ProviderError> {
    let Some(member) = &name.member else { return Ok(text) };
    let wrong = |why: &str| ProviderError::Misconfigured(format!("the secret {name} {why}"));
    // The others may be anything: beside a password, managers keep the port as a number.
    let mut members: std::collections::BTreeMap<String, &serde_json::value::RawValue> =
        serde_json::from_str(text.expose()).map_err(|_| wrong("is no JSON object"))?;
    let found = members.remove(member).ok_or_else(|| wrong("has no such member"))?;
    let found: zeroize::Zeroizing<String> =
        serde_json::from_str(found.get()).map_err(|_| wrong("has no text as this member"))?;
    Ok(Secret::new(found.as_str().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_as_they_were_written() {
        for text in [
            "vault:secret/chancery/db#password",
            "aws:arn:aws:secretsmanager:eu-central-1:111122223333:secret:db-AbCdEf",
            "aws:chancery/db#password",
            "google:projects/p/secrets/db/versions/3",
            "azure:db-password",
        ] {
            assert_eq!(text.parse::<SecretName>().unwrap().to_string(), text);
        }
        for bad in ["", "vault:secret/db", "vault:#password", "aws:", "aws:a#", "env:PASSWORD", "aws:a b", "password"] {
            assert!(bad.parse::<SecretName>().is_err(), "{bad}");
        }
    }

    #[cfg(any(feature = "aws", feature = "http"))]
    #[test]
    fn a_member_of_an_object_is_taken() {
        let name = |text: &str| text.parse::<SecretName>().unwrap();
        let object = || Secret::new(r#"{"user":"u","password":"p"}"#.to_owned());
        assert_eq!(select(&name("aws:db#password"), object()).unwrap().expose(), "p");
        assert_eq!(select(&name("aws:db"), object()).unwrap().expose(), r#"{"user":"u","password":"p"}"#);
        let said = |name: &SecretName, text: &str| select(name, Secret::new(text.to_owned())).unwrap_err().to_string();
        assert_eq!(said(&name("aws:db#pin"), object().expose()), "the secret aws:db#pin has no such member");
        assert_eq!(said(&name("aws:db#pin"), "hunter2"), "the secret aws:db#pin is no JSON object");
        // As AWS keeps those of its databases.
        let odd = r#"{"password":"p","port":5432,"tls":true,"hosts":["a"],"none":null}"#;
        assert_eq!(select(&name("aws:db#password"), Secret::new(odd.to_owned())).unwrap().expose(), "p");
        assert_eq!(said(&name("aws:db#port"), odd), "the secret aws:db#port has no text as this member");
    }
}
