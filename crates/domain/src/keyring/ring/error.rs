//! Why a keyring did not do it.

use chancery_crypto::{ParseError, SealError, random::RandomError};

use crate::keyring::{KeyState, Managed, ProviderError};

/// Why a keyring did not do it.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The tenant has no key for this use that may seal or sign.
    #[error("no active `{0}` key")]
    NoActiveKey(Managed),
    /// A stored key does not unwrap: another root, another tenant, or damage.
    #[error("a stored key does not unwrap")]
    Unwrap,
    /// The tenant's own provider did not give it.
    #[error("the key provider `{0}` of key_providers did not do what was asked of it")]
    Provider(String, #[source] ProviderError),
    /// The lease of the platform root is over, and no provider gives it again.
    #[error("no key provider gives the platform root")]
    NoRoot,
    /// It is under a version of the platform root that this process does not hold.
    #[error("the key is under version {0} of the platform root, which is not here")]
    Root(u32),
    /// The key's version is suspended, revoked or destroyed.
    #[error("the key version is `{0}`")]
    Stopped(KeyState),
    /// The keys changed while they were in use; what was made with them is not given out.
    #[error("the keys changed meanwhile")]
    Stale,
    /// The person's key was destroyed.
    #[error("the key of the person was destroyed")]
    Erased,
    /// A receipt names another tenant or table, or fewer values.
    #[error("the audit receipt does not cover this")]
    ReceiptTooSmall,
    /// No key of this tenant has that handle, or the value belongs elsewhere: column, row or tenant.
    #[error("the value was sealed with another key or for another place")]
    WrongContext,
    /// Bytes of the value were changed.
    #[error("the value was changed after sealing")]
    Tampered,
    /// Not a sealed value at all.
    #[error("not a sealed value")]
    Malformed(#[from] ParseError),
    /// The value cannot be sealed.
    #[error("the value cannot be sealed")]
    Seal(#[from] SealError),
    /// The system gives no randomness.
    #[error("no randomness")]
    Random(#[from] RandomError),
}
