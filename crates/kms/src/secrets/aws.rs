//! AWS Secrets Manager.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_secretsmanager::{
    Client,
    config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig},
    error::{ProvideErrorMetadata as _, SdkError},
};
use chancery_crypto::Secret;
use chancery_domain::keyring::ProviderError;

use super::{Manager, SecretManager, SecretName, select};
use crate::{
    AwsCredentials,
    aws::{credentials_of, is_safe},
    envelope::unavailable,
};

/// How AWS Secrets Manager is reached.
#[derive(Debug)]
pub struct AwsSecretsSettings {
    /// The region.
    pub region: String,
    /// Replaces the region's own address.
    pub endpoint: Option<String>,
    /// The credentials; without them the usual chain is asked.
    pub credentials: Option<AwsCredentials>,
    /// For a whole call with its second attempt.
    pub timeout: Duration,
}

/// Secrets in AWS Secrets Manager, their current version.
pub struct AwsSecrets(Client);

impl AwsSecrets {
    /// Takes the settings. Nothing is asked of AWS yet.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Misconfigured`] if the endpoint is neither HTTPS nor this machine.
    pub async fn open(settings: AwsSecretsSettings) -> Result<Self, ProviderError> {
        if settings.endpoint.as_deref().is_some_and(|endpoint| !is_safe(endpoint)) {
            let why = "the endpoint of AWS Secrets Manager must begin with https:// or be on this machine";
            return Err(ProviderError::Misconfigured(why.to_owned()));
        }
        let region = Region::new(settings.region);
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(settings.timeout)
            .operation_timeout(settings.timeout)
            .operation_attempt_timeout(settings.timeout)
            .build();
        let mut config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(credentials_of(settings.credentials, &region).await)
            .region(region)
            .timeout_config(timeouts)
            .retry_config(
                RetryConfig::standard().with_max_attempts(2).with_initial_backoff(Duration::from_millis(100)),
            );
        if let Some(endpoint) = settings.endpoint {
            config = config.endpoint_url(endpoint);
        }
        Ok(Self(Client::from_conf(config.build())))
    }
}

#[async_trait]
impl SecretManager for AwsSecrets {
    fn manager(&self) -> Manager {
        Manager::Aws
    }

    async fn read(&self, name: &SecretName) -> Result<Secret<String>, ProviderError> {
        let wrong = |why: &str| ProviderError::Misconfigured(format!("AWS Secrets Manager says {why} of {name}"));
        let answer = self.0.get_secret_value().secret_id(&name.path).send().await;
        let answer = answer.map_err(|error| match &error {
            SdkError::ServiceError(service) if service.raw().status().as_u16() < 500 => match service.err().code() {
                Some("ThrottlingException" | "ExpiredTokenException") => unavailable("AWS Secrets Manager is busy"),
                code => wrong(code.unwrap_or("no code")),
            },
            // The error would print the answer's body, and with it the secret.
            _ => unavailable("AWS Secrets Manager was not reached, or answered late or badly"),
        })?;
        let text = answer.secret_string.ok_or_else(|| wrong("nothing in text"))?;
        select(name, Secret::new(text))
    }
}
