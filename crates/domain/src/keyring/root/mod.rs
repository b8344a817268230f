//! The platform root, and the recipients that hold it.

use chancery_crypto::{Handle, Key256, random::RandomError};

use super::{KeyProvider, ProviderError, RootRecipient, WrapLabel};
use crate::{
    Instance,
    access::RequestInfo,
    audit::{Change, Event},
    ids::{RecipientId, RequestId, TenantId},
    instance::{Failure, Ports, Settings},
    store::StoreError,
    time::Timestamp,
};

mod platform;
mod prove;
mod recipients;
mod recover;
pub mod rotate;
mod rows;

pub(crate) use platform::Drawn;
pub use platform::PlatformRoot;
pub use prove::{Proof, prove};
pub use recipients::{add, live, remove, replace};
pub use recover::recover;
pub use rotate::{RotateError, Rotation};
pub use rows::{RootRows, RootSecret, RootState, RootVersion, RootWrites};

/// What a root's wrap is bound to, besides its environment and version.
const PURPOSE: &str = "platform-root";

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
    #[error("this store belongs to the environment `{0}`: set environment = \"{0}\", or --dev for development")]
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
    /// There is no such recipient of the newest version.
    #[error("no recipient `{0}` of the newest root")]
    UnknownRecipient(RecipientId),
    /// The provider holds the newest version already.
    #[error("`{0}` is a recipient already")]
    AlreadyRecipient(String),
    /// Too few proven recipients would remain: the loss of one more would be the loss of everything.
    #[error("{remaining} proven recipient(s) would remain and {needed} are needed")]
    TooFew {
        /// How many would remain.
        remaining: usize,
        /// How many must.
        needed: usize,
    },
    /// Nobody but people would hold it: no server could start, and none could be proven each day.
    #[error("no proven recipient would remain that gives the root without people; add another key provider first")]
    NeedsPeople,
    /// What the store keeps of the root is not what was written.
    #[error("what the store keeps of the platform root is damaged")]
    Damaged,
    /// The store did not say whether it kept the new recipient.
    #[error("it is not known whether the new recipient was stored")]
    Unsure(#[source] Box<crate::instance::Failure>),
}

/// What the store knows of the root.
pub(crate) struct Known {
    recipients: Vec<RootRecipient>,
    secrets: Vec<RootSecret>,
    /// The newest version.
    version: u32,
}

impl Known {
    pub(crate) async fn read(ports: &Ports, settings: &Settings) -> Result<Self, RootError> {
        let mut view = ports.store.view(TenantId::PLATFORM).await?;
        let (recipients, secrets) = (view.root_recipients().await?, view.root_secrets().await?);
        let newest = recipients.iter().max_by_key(|recipient| recipient.root_version);
        let newest = newest.ok_or(RootError::NotInitialised)?;
        if newest.environment != settings.environment.as_str() {
            return Err(RootError::WrongEnvironment(newest.environment.clone()));
        }
        let version = newest.root_version;
        Ok(Self { recipients, secrets, version })
    }

    /// The versions that recipients hold, oldest first.
    fn versions(&self) -> Vec<u32> {
        let mut versions: Vec<u32> = self.recipients.iter().map(|recipient| recipient.root_version).collect();
        versions.sort_unstable();
        versions.dedup();
        versions
    }

    /// A version of the root from `provider`.
    async fn unwrap(&self, provider: &dyn KeyProvider, version: u32, environment: &str) -> Result<Drawn, RootError> {
        let ours = |recipient: &&RootRecipient| recipient.root_version == version && wraps(provider, recipient);
        let recipient = self.recipients.iter().find(ours).ok_or(RootError::NoRecipient)?;
        let wrap = WrapLabel { environment, purpose: PURPOSE, version };
        let root = provider.unwrap(&recipient.wrapped, wrap).await.map_err(|error| failed(provider, error))?;
        Ok(Drawn { root, version, handle: recipient.root_handle })
    }

    /// A version of the root from the first provider that gives it.
    async fn first_that_gives(&self, ports: &Ports, version: u32, environment: &str) -> Result<Drawn, RootError> {
        let mut failure = RootError::NoRecipient;
        for provider in &ports.providers {
            match self.unwrap(&**provider, version, environment).await {
                Ok(drawn) => return Ok(drawn),
                Err(RootError::NoRecipient) => {}
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Every version that the providers give, the newest among them.
    async fn all(&self, ports: &Ports, environment: &str) -> Result<Vec<Drawn>, RootError> {
        let mut drawn = Vec::new();
        for version in self.versions() {
            match self.first_that_gives(ports, version, environment).await {
                Ok(one) => drawn.push(one),
                Err(error) if version == self.version => return Err(error),
                // A rotation is not done yet. Tenants that are still under this version wait until a provider gives it.
                Err(error) => {
                    tracing::warn!(version, %error, "No provider gives version {version} of the platform root")
                }
            }
        }
        Ok(drawn)
    }
}

/// Whether `provider` is the one that wrapped for `recipient`.
fn wraps(provider: &dyn KeyProvider, recipient: &RootRecipient) -> bool {
    provider.kind() == recipient.provider && recipient.provider.same_key(&provider.label(), &recipient.label)
}

fn failed(provider: &dyn KeyProvider, error: ProviderError) -> RootError {
    RootError::Provider(format!("{} {}", provider.kind(), provider.label()), error)
}

/// Unwraps the root, each version with the first provider that gives it.
pub(crate) async fn open(ports: &Ports, settings: &Settings) -> Result<PlatformRoot, RootError> {
    let known = Known::read(ports, settings).await?;
    let drawn = known.all(ports, settings.environment.as_str()).await?;
    PlatformRoot::new(drawn, &known.secrets)
}

/// Draws the first root and wraps it for each provider.
pub(crate) async fn make(
    ports: &Ports,
    settings: &Settings,
    now: Timestamp,
) -> Result<(PlatformRoot, Vec<RootRecipient>), RootError> {
    let drawn = Drawn { root: Key256::make(&*ports.random)?, version: 1, handle: Handle::make(&*ports.random)? };
    let mut recipients = Vec::new();
    for provider in &ports.providers {
        recipients.push(recipient(&**provider, &drawn, ports, settings, now).await?);
    }
    Ok((PlatformRoot::new(vec![drawn], &[])?, recipients))
}

/// The first version, as it is remembered.
pub(crate) const fn first_version(now: Timestamp) -> RootVersion {
    RootVersion { version: 1, state: RootState::Active, created_at: now, superseded_at: None, retired_at: None }
}

/// Wraps a root for a provider and reads it back.
async fn recipient(
    provider: &dyn KeyProvider,
    drawn: &Drawn,
    ports: &Ports,
    settings: &Settings,
    now: Timestamp,
) -> Result<RootRecipient, RootError> {
    let environment = settings.environment.as_str();
    let wrap = WrapLabel { environment, purpose: PURPOSE, version: drawn.version };
    let wrapped = provider.wrap(&drawn.root, wrap).await.map_err(|error| failed(provider, error))?;
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
        failed_at: None,
    })
}

/// How many proven recipients an installation keeps: in production the loss of any one must not lose the root.
pub const fn needed(settings: &Settings) -> usize {
    if settings.is_dev() { 1 } else { 2 }
}

/// A request of the operator at this machine.
fn request(instance: &Instance, route: &'static str) -> Result<RequestInfo, RootError> {
    let id = RequestId::make(instance.now(), instance.random())?;
    Ok(RequestInfo { id, address: None, user_agent: None, key: None, route, method: "CLI" })
}

/// One commit with all of these events, of which there is one at least.
async fn commit_all(mut change: Change<'_>, mut events: Vec<Event>) -> Result<(), Failure> {
    let last = events.pop().ok_or(Failure::Internal("a change without an event"))?;
    for event in events {
        change.record(event).await?;
    }
    change.commit(last).await
}

fn sure(failure: Failure) -> RootError {
    RootError::Failed(Box::new(failure))
}

/// After a commit: whether it may have happened all the same.
fn unsure(failure: Failure) -> RootError {
    match failure {
        Failure::Store(_) => RootError::Unsure(Box::new(failure)),
        failure => sure(failure),
    }
}
