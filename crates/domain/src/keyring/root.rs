//! The platform root, and the recipients that hold it.

use chancery_crypto::{Handle, Key256, MacKey, WrappingKey, derive_key, random::RandomError};

use super::{KeyProvider, ProviderError, RootRecipient, WrapLabel};
use crate::{
    ids::{RecipientId, TenantId},
    instance::{Ports, Settings},
    store::StoreError,
    time::Timestamp,
};

/// What a root's wrap is bound to, besides its environment and version.
const PURPOSE: &str = "platform-root";

/// Wraps tenant keys, and gives the platform its own derived keys. Never encrypts data.
pub struct PlatformRoot {
    version: u32,
    handle: Handle,
    pub(crate) wrapping: WrappingKey,
    pepper: MacKey,
    idempotency: MacKey,
}

/// Why the platform root could not be had.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The store has no root yet.
    #[error("this store is not initialised; run `chancery init`")]
    NotInitialised,
    /// The store has one already.
    #[error("this store is initialised already")]
    AlreadyInitialised,
    /// The store was made in another environment.
    #[error("this store belongs to the environment `{0}`")]
    WrongEnvironment(String),
    /// None of the configured providers is one of the store's recipients.
    #[error("none of the configured key providers is a recipient of this store's root")]
    NoRecipient,
    /// A provider did not give it.
    #[error("the key provider `{0}` did not give the platform root")]
    Provider(String, #[source] ProviderError),
    /// The store did not answer.
    #[error("the store did not give the root recipients")]
    Store(#[from] StoreError),
    /// The system gives no randomness.
    #[error("no randomness")]
    Random(#[from] RandomError),
    /// The first admin's key did not reach the operator.
    #[error("the first admin's API key could not be handed over")]
    Undelivered(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The first keys could not be made.
    #[error("the first keys could not be made")]
    Failed(#[source] Box<crate::instance::Failure>),
}

impl PlatformRoot {
    pub(super) fn new(root: &Key256, version: u32, handle: Handle) -> Self {
        Self {
            version,
            handle,
            wrapping: WrappingKey::new(root, handle),
            pepper: MacKey::from(&derive_key(root, "chancery/pepper/1", &[b"api-key"])),
            idempotency: MacKey::from(&derive_key(root, "chancery/idempotency/1", &[])),
        }
    }

    /// Its version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Names it inside wraps.
    pub fn handle(&self) -> Handle {
        self.handle
    }

    /// Digests the secrets of API keys.
    pub fn pepper(&self) -> &MacKey {
        &self.pepper
    }

    /// Digests requests that carry an `Idempotency-Key`.
    pub fn idempotency(&self) -> &MacKey {
        &self.idempotency
    }
}

/// Unwraps the root with the first provider that is a recipient of it.
pub(crate) async fn open(ports: &Ports, settings: &Settings) -> Result<PlatformRoot, RootError> {
    let mut view = ports.store.view(TenantId::PLATFORM).await?;
    let recipients = view.root_recipients().await?;
    drop(view);
    let newest = recipients.iter().max_by_key(|recipient| recipient.root_version).ok_or(RootError::NotInitialised)?;
    let environment = settings.environment.as_str();
    if newest.environment != environment {
        return Err(RootError::WrongEnvironment(newest.environment.clone()));
    }
    let version = newest.root_version;
    let mut failure = RootError::NoRecipient;
    for provider in &ports.providers {
        let (kind, label) = (provider.kind(), provider.label());
        let ours = |r: &&RootRecipient| r.root_version == version && r.provider == kind && r.label == label;
        let Some(recipient) = recipients.iter().find(ours) else { continue };
        let wrap = WrapLabel { environment, purpose: PURPOSE, version };
        match provider.unwrap(&recipient.wrapped, wrap).await {
            Ok(root) => return Ok(PlatformRoot::new(&root, version, recipient.root_handle)),
            Err(error) => failure = RootError::Provider(format!("{kind} {label}"), error),
        }
    }
    Err(failure)
}

/// Draws a root and wraps it for each provider.
pub(crate) async fn make(
    ports: &Ports,
    settings: &Settings,
    now: Timestamp,
) -> Result<(PlatformRoot, Vec<RootRecipient>), RootError> {
    let root = Key256::make(&*ports.random)?;
    let handle = Handle::make(&*ports.random)?;
    let mut recipients = Vec::new();
    for provider in &ports.providers {
        recipients.push(recipient(&**provider, &root, handle, ports, settings, now).await?);
    }
    Ok((PlatformRoot::new(&root, 1, handle), recipients))
}

async fn recipient(
    provider: &dyn KeyProvider,
    root: &Key256,
    root_handle: Handle,
    ports: &Ports,
    settings: &Settings,
    now: Timestamp,
) -> Result<RootRecipient, RootError> {
    let environment = settings.environment.as_str();
    let wrap = WrapLabel { environment, purpose: PURPOSE, version: 1 };
    let failed = |error| RootError::Provider(format!("{} {}", provider.kind(), provider.label()), error);
    let wrapped = provider.wrap(root, wrap).await.map_err(failed)?;
    // Read back before it counts: a wrap that does not open is no recipient.
    let opened = provider.unwrap(&wrapped, wrap).await.map_err(failed)?;
    if opened.expose() != root.expose() {
        return Err(failed(ProviderError::Refused));
    }
    Ok(RootRecipient {
        id: RecipientId::make(now, &*ports.random)?,
        root_version: 1,
        root_handle,
        provider: provider.kind(),
        label: provider.label(),
        environment: environment.to_owned(),
        wrapped,
        created_at: now,
        proven_at: now,
    })
}

/// Proves that each configured provider still gives the root back, and notes it.
///
/// # Errors
///
/// [`RootError`] of the first that does not.
pub async fn prove(instance: &crate::Instance) -> Result<u32, RootError> {
    let environment = instance.settings().environment.as_str();
    let mut proven = 0;
    let mut tx = instance.store().begin(TenantId::PLATFORM).await?;
    for recipient in tx.root_recipients().await? {
        let ours =
            |p: &&std::sync::Arc<dyn KeyProvider>| p.kind() == recipient.provider && p.label() == recipient.label;
        let Some(provider) = instance.providers().iter().find(ours) else { continue };
        let wrap = WrapLabel { environment, purpose: PURPOSE, version: recipient.root_version };
        provider
            .unwrap(&recipient.wrapped, wrap)
            .await
            .map_err(|error| RootError::Provider(format!("{} {}", recipient.provider, recipient.label), error))?;
        tx.prove_root_recipient(recipient.id, instance.now()).await?;
        proven += 1;
    }
    tx.commit().await?;
    Ok(proven)
}
