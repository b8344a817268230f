//! What may fail beneath every use case, and how it becomes a use case's own error.

use chancery_crypto::random::RandomError;

use crate::{identity_providers::FetchError, keyring::KeyringError, store::StoreError};

/// What may fail beneath every use case, whatever it does.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The store did not do it.
    #[error("the store did not do it")]
    Store(#[source] StoreError),
    /// The event could not be made durable, so nothing was done and nothing is released.
    #[error("the audit log cannot take an event")]
    Audit(#[source] StoreError),
    /// A key is missing, stopped or damaged.
    #[error("a key could not be used")]
    Keyring(#[from] KeyringError),
    /// The system gives no randomness.
    #[error("no randomness")]
    Random(#[from] RandomError),
    /// An identity provider's keys could not be had.
    #[error("the issuer's keys could not be had")]
    Issuer(#[source] FetchError),
    /// What nodes share does not answer, and nothing may go on without it.
    #[error("what nodes share does not answer")]
    Shared(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What nodes share does not answer, and the limits of these names let nobody through without it.
    #[error("what nodes share does not answer, and these limits let nobody through without it: {}", .0.join(", "))]
    Uncounted(Vec<String>, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// Something that cannot happen did; says where.
    #[error("internal: {0}")]
    Internal(&'static str),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A use case's error, of which something beneath may be the reason.
pub(crate) trait Fails {
    /// What failed beneath, if that is why.
    fn failure(&self) -> Option<&Failure>;
}

/// Lets `?` carry what a [`Failure`] is made of into a use case's own error.
macro_rules! fails {
    ($($error:ty),+ $(,)?) => {$(
        impl $crate::instance::Fails for $error {
            fn failure(&self) -> Option<&$crate::instance::Failure> {
                match self {
                    Self::Failed(failure) => Some(failure),
                    _ => None,
                }
            }
        }
        impl From<$crate::instance::Failure> for $error {
            fn from(failure: $crate::instance::Failure) -> Self { Self::Failed(failure) }
        }
        impl From<$crate::store::StoreError> for $error {
            fn from(error: $crate::store::StoreError) -> Self { Self::Failed(error.into()) }
        }
        impl From<$crate::keyring::KeyringError> for $error {
            fn from(error: $crate::keyring::KeyringError) -> Self { Self::Failed(error.into()) }
        }
        impl From<chancery_crypto::random::RandomError> for $error {
            fn from(error: chancery_crypto::random::RandomError) -> Self { Self::Failed(error.into()) }
        }
    )+};
}
pub(crate) use fails;
