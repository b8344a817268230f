//! The platform root, and the recipients that hold it.

use chancery_crypto::{Handle, Key256, MacKey, WrappingKey, derive_key, random::RandomError};

use super::{KeyProvider, ProviderError, RootRecipient, WrapLabel};
use crate::{
    Instance,
    access::RequestInfo,
    audit::{Change, Detail, Event, EventKind, stamp::Actor},
    ids::{NodeId, RecipientId, RequestId, TenantId},
    instance::{Failure, Ports, Settings},
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
    /// The store did not say whether it kept the new recipient.
    #[error("it is not known whether the new recipient was stored")]
    Unsure(#[source] Box<crate::instance::Failure>),
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

/// What the store knows of the newest root.
struct Known {
    recipients: Vec<RootRecipient>,
    version: u32,
}

impl Known {
    async fn read(ports: &Ports, settings: &Settings) -> Result<Self, RootError> {
        let recipients = ports.store.view(TenantId::PLATFORM).await?.root_recipients().await?;
        let newest = recipients.iter().max_by_key(|recipient| recipient.root_version);
        let newest = newest.ok_or(RootError::NotInitialised)?;
        if newest.environment != settings.environment.as_str() {
            return Err(RootError::WrongEnvironment(newest.environment.clone()));
        }
        let version = newest.root_version;
        Ok(Self { recipients, version })
    }

    /// The root from `provider`.
    async fn unwrap(&self, provider: &dyn KeyProvider, environment: &str) -> Result<(Key256, Handle), RootError> {
        let ours = |recipient: &&RootRecipient| recipient.root_version == self.version && wraps(provider, recipient);
        let recipient = self.recipients.iter().find(ours).ok_or(RootError::NoRecipient)?;
        let wrap = WrapLabel { environment, purpose: PURPOSE, version: self.version };
        let root = provider.unwrap(&recipient.wrapped, wrap).await.map_err(|error| failed(provider, error))?;
        Ok((root, recipient.root_handle))
    }
}

/// Whether `provider` is the one that wrapped for `recipient`.
fn wraps(provider: &dyn KeyProvider, recipient: &RootRecipient) -> bool {
    provider.kind() == recipient.provider && provider.label() == recipient.label
}

fn failed(provider: &dyn KeyProvider, error: ProviderError) -> RootError {
    RootError::Provider(format!("{} {}", provider.kind(), provider.label()), error)
}

/// Unwraps the root with the first provider that is a recipient of it.
pub(crate) async fn open(ports: &Ports, settings: &Settings) -> Result<PlatformRoot, RootError> {
    let known = Known::read(ports, settings).await?;
    let mut failure = RootError::NoRecipient;
    for provider in &ports.providers {
        match known.unwrap(&**provider, settings.environment.as_str()).await {
            Ok((root, handle)) => return Ok(PlatformRoot::new(&root, known.version, handle)),
            Err(RootError::NoRecipient) => {}
            Err(error) => failure = error,
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
        let drawn = Drawn { root: &root, version: 1, handle };
        recipients.push(recipient(&**provider, drawn, ports, settings, now).await?);
    }
    Ok((PlatformRoot::new(&root, 1, handle), recipients))
}

/// A root in the clear, for as long as it takes to wrap it.
#[derive(Clone, Copy)]
struct Drawn<'a> {
    root: &'a Key256,
    version: u32,
    handle: Handle,
}

async fn recipient(
    provider: &dyn KeyProvider,
    drawn: Drawn<'_>,
    ports: &Ports,
    settings: &Settings,
    now: Timestamp,
) -> Result<RootRecipient, RootError> {
    let environment = settings.environment.as_str();
    let wrap = WrapLabel { environment, purpose: PURPOSE, version: drawn.version };
    let wrapped = provider.wrap(drawn.root, wrap).await.map_err(|error| failed(provider, error))?;
    // Read back before it counts: a wrap that does not open is no recipient.
    let opened = provider.unwrap(&wrapped, wrap).await.map_err(|error| failed(provider, error))?;
    if opened.expose() != drawn.root.expose() {
        return Err(failed(provider, ProviderError::Refused));
    }
    Ok(RootRecipient {
        id: RecipientId::make(now, &*ports.random)?,
        root_version: drawn.version,
        root_handle: drawn.handle,
        provider: provider.kind(),
        label: provider.label(),
        environment: environment.to_owned(),
        wrapped,
        created_at: now,
        proven_at: now,
    })
}

/// Adds a recipient: opens the root with `from`, wraps it for the provider that `to` makes, and stores that
/// in one commit with its event. `to` is called only after the root was opened.
///
/// # Errors
///
/// [`RootError`]; the store is as before, except perhaps after [`RootError::Unsure`].
pub async fn recover<F>(
    ports: &Ports,
    settings: &Settings,
    node: NodeId,
    from: &dyn KeyProvider,
    to: F,
) -> Result<RootRecipient, RootError>
where
    F: FnOnce() -> Result<Box<dyn KeyProvider>, ProviderError> + Send,
{
    let known = Known::read(ports, settings).await?;
    let (root, handle) = known.unwrap(from, settings.environment.as_str()).await?;
    let made = to().map_err(|error| RootError::Provider("the new recipient".to_owned(), error))?;
    let now = ports.clock.now();
    let drawn = Drawn { root: &root, version: known.version, handle };
    let added = recipient(&*made, drawn, ports, settings, now).await?;

    let opened = PlatformRoot::new(&root, known.version, handle);
    let instance = Instance::assemble(ports.clone(), settings.clone(), node, opened)?;
    let request = RequestInfo {
        id: RequestId::make(now, &*ports.random)?,
        address: None,
        user_agent: None,
        route: "recover",
        method: "CLI",
    };
    let sure = |failure| RootError::Failed(Box::new(failure));
    let ring = instance.keyring(TenantId::PLATFORM).await.map_err(sure)?;
    let begun = Change::begin_with(&instance, Actor::System(&request), TenantId::PLATFORM, ring).await;
    let mut change = begun.map_err(sure)?;
    change.rows().insert_root_recipient(&added).await?;
    let event = Event::new(EventKind::RootRecipientAdded)
        .on("root_recipient", added.id)
        .with("provider", Detail::Code(added.provider.as_str()));
    match change.commit(event).await {
        Ok(()) => Ok(added),
        Err(failure @ Failure::Store(_)) => Err(RootError::Unsure(Box::new(failure))),
        Err(failure) => Err(sure(failure)),
    }
}

/// Proves that each configured provider still gives the root back, and notes it. Providers are asked outside
/// of any transaction: they may take long, and a store may have one writer.
///
/// # Errors
///
/// [`RootError`] of the first that does not; what the others proved is noted.
pub async fn prove(instance: &Instance) -> Result<u32, RootError> {
    let environment = instance.settings().environment.as_str();
    let recipients = instance.store().view(TenantId::PLATFORM).await?.root_recipients().await?;
    let (mut proven, mut failure) = (Vec::new(), None);
    for recipient in recipients {
        let Some(provider) = instance.providers().iter().find(|provider| wraps(&***provider, &recipient)) else {
            continue;
        };
        let wrap = WrapLabel { environment, purpose: PURPOSE, version: recipient.root_version };
        match provider.unwrap(&recipient.wrapped, wrap).await {
            Ok(_) => proven.push(recipient.id),
            Err(error) => failure = failure.or(Some(failed(&**provider, error))),
        }
    }
    if !proven.is_empty() {
        let mut tx = instance.store().begin(TenantId::PLATFORM).await?;
        for recipient in &proven {
            tx.prove_root_recipient(*recipient, instance.now()).await?;
        }
        tx.commit().await?;
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(u32::try_from(proven.len()).unwrap_or(u32::MAX)),
    }
}
