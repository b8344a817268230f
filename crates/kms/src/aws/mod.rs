//! AWS KMS.

use std::time::Duration;

use async_trait::async_trait;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_sdk_kms::{
    Client,
    config::{
        BehaviorVersion, Credentials, Region, SharedCredentialsProvider, retry::RetryConfig, timeout::TimeoutConfig,
    },
    operation::{decrypt::builders::DecryptFluentBuilder, encrypt::builders::EncryptFluentBuilder},
    primitives::Blob,
    types::EncryptionAlgorithmSpec,
};
use chancery_crypto::{Key256, Secret};
use chancery_domain::keyring::{ProviderError, ProviderKind, WrapLabel};
use zeroize::Zeroizing;

use crate::envelope::{Encrypts, key_provider, unavailable};

mod faults;
mod limit;
mod resident;

use faults::{Deed, provider_error};

/// Where the key is and who asks.
#[derive(Debug)]
pub struct AwsKmsSettings {
    /// Id, ARN or alias of a symmetric key; the ARN is best, since an alias can be pointed elsewhere.
    pub key: String,
    /// The region; may be left out when `key` is an ARN.
    pub region: Option<String>,
    /// Replaces the region's own address.
    pub endpoint: Option<String>,
    /// The credentials; without them the usual chain is asked: environment, profile, web identity, container, instance.
    pub credentials: Option<AwsCredentials>,
    /// For a whole call with its second attempt. Five seconds unless there is a reason.
    pub timeout: Duration,
    /// How many days AWS waits before it destroys a resident key: 7 to 30.
    pub deletion_days: u8,
}

/// Credentials that do not come from the chain.
#[derive(Debug)]
pub struct AwsCredentials {
    /// `AKIA…` or `ASIA…`.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: Secret<String>,
    /// For temporary credentials.
    pub session_token: Option<Secret<String>>,
}

/// A symmetric key of AWS KMS. The label is the encryption context, so key policies can name it and CloudTrail shows it.
pub struct AwsKms {
    client: Client,
    key: String,
    deletion_days: u8,
}

impl AwsKms {
    /// Takes the settings. Nothing is asked of AWS KMS yet.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Misconfigured`] says which setting cannot be.
    pub async fn open(settings: AwsKmsSettings) -> Result<Self, ProviderError> {
        let wrong = |why: &str| ProviderError::Misconfigured(format!("AWS KMS key `{}`: {why}", settings.key));
        if settings.key.is_empty() || !settings.key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong("set the ARN of a symmetric key"));
        }
        if !(7..=30).contains(&settings.deletion_days) {
            return Err(wrong("the waiting time before deletion is 7 to 30 days"));
        }
        let region = settings.region.as_deref().or_else(|| region_of_arn(&settings.key));
        let region = Region::new(region.ok_or_else(|| wrong("set its ARN or the region"))?.to_owned());
        let endpoint = settings.endpoint.as_deref();
        if endpoint.is_some_and(|endpoint| !is_safe(endpoint)) {
            return Err(wrong("the endpoint must begin with https:// or be on this machine"));
        }
        let credentials = credentials_of(settings.credentials, &region).await;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(settings.timeout)
            .operation_timeout(settings.timeout)
            .operation_attempt_timeout(settings.timeout)
            .build();
        let mut config = aws_sdk_kms::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(region)
            .credentials_provider(credentials)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(2).with_initial_backoff(Duration::from_millis(100)))
            .interceptor(limit::Limit);
        if let Some(endpoint) = endpoint {
            config = config.endpoint_url(endpoint);
        }
        Ok(Self { client: Client::from_conf(config.build()), key: settings.key, deletion_days: settings.deletion_days })
    }

    fn name(&self) -> String {
        self.key.clone()
    }
}

/// These credentials, or those that the usual chain finds.
pub(crate) async fn credentials_of(given: Option<AwsCredentials>, region: &Region) -> SharedCredentialsProvider {
    match given {
        Some(AwsCredentials { access_key_id, secret_access_key, session_token }) => {
            let token = session_token.as_ref().map(|token| token.expose().clone());
            let secret = secret_access_key.expose().clone();
            SharedCredentialsProvider::new(Credentials::new(access_key_id, secret, token, None, "chancery"))
        }
        None => {
            let chain = DefaultCredentialsChain::builder().region(region.clone()).build().await;
            SharedCredentialsProvider::new(chain)
        }
    }
}

/// The region in `arn:aws:kms:REGION:ACCOUNT:key/ID`.
pub fn region_of_arn(key: &str) -> Option<&str> {
    let mut parts = key.split(':');
    (parts.next() == Some("arn") && parts.nth(1) == Some("kms")).then(|| parts.next()).flatten()
}

pub(crate) fn is_safe(endpoint: &str) -> bool {
    let here = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
    let is_here = |prefix: &&str| {
        endpoint.strip_prefix(*prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
    };
    !endpoint.contains('@') && (endpoint.starts_with("https://") || here.iter().any(is_here))
}

/// Both calls take the context in the same words.
macro_rules! in_context {
    ($name:ident, $builder:ty) => {
        fn $name(call: $builder, label: &WrapLabel<'_>) -> $builder {
            call.encryption_context("chancery:environment", label.environment)
                .encryption_context("chancery:purpose", label.purpose)
                .encryption_context("chancery:version", label.version.to_string())
                .encryption_algorithm(EncryptionAlgorithmSpec::SymmetricDefault)
        }
    };
}
in_context!(encrypt_in_context, EncryptFluentBuilder);
in_context!(decrypt_in_context, DecryptFluentBuilder);

#[async_trait]
impl Encrypts for AwsKms {
    async fn encrypt(&self, key: &Key256, label: WrapLabel<'_>) -> Result<Vec<u8>, ProviderError> {
        let call = self.client.encrypt().key_id(&self.key).plaintext(Blob::new(key.expose().as_slice()));
        let answer = encrypt_in_context(call, &label).send().await;
        let answer = answer.map_err(|error| provider_error(&error, Deed::Encrypt, &self.key))?;
        answer.ciphertext_blob.map(Blob::into_inner).ok_or_else(|| unavailable("AWS KMS gave no ciphertext"))
    }

    async fn decrypt(&self, part: &[u8], label: WrapLabel<'_>) -> Result<Key256, ProviderError> {
        // The key is named, so that a ciphertext of another key that we may use does not open.
        let call = self.client.decrypt().key_id(&self.key).ciphertext_blob(Blob::new(part));
        let answer = decrypt_in_context(call, &label).send().await;
        let answer = answer.map_err(|error| provider_error(&error, Deed::Decrypt, &self.key))?;
        let bytes = answer.plaintext.map(|blob| Zeroizing::new(blob.into_inner()));
        let bytes = bytes.ok_or_else(|| unavailable("AWS KMS gave no plaintext"))?;
        Key256::from_slice(&bytes).ok_or(ProviderError::Refused)
    }
}

key_provider!(AwsKms, ProviderKind::AwsKms);

impl std::fmt::Debug for AwsKms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AwsKms({})", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_names_its_region() {
        assert_eq!(region_of_arn("arn:aws:kms:eu-central-1:111122223333:key/1234"), Some("eu-central-1"));
        assert_eq!(region_of_arn("arn:aws-us-gov:kms:us-gov-west-1:111122223333:alias/a"), Some("us-gov-west-1"));
        assert_eq!(region_of_arn("alias/a"), None);
        assert_eq!(region_of_arn("arn:aws:s3:x:y"), None);
    }

    #[test]
    fn keys_travel_encrypted_or_stay_on_this_machine() {
        assert!(is_safe("https://kms.eu-central-1.amazonaws.com") && is_safe("http://127.0.0.1:5000"));
        for bad in ["http://kms.example", "http://127.0.0.1.example", "http://127.0.0.1@evil.example", "ftp://x"] {
            assert!(!is_safe(bad), "{bad}");
        }
    }
}
