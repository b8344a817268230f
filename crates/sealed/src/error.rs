//! Why something was not sealed, opened or found. No message repeats a value.

use std::path::PathBuf;

use chancery_crypto::{ParseError, RandomError, legacy::LegacyError};
use chancery_domain::{
    fields::value::WrongType,
    keyring::{KeyState, KeyringError, ProviderError},
};
use chancery_kms::private_file::PrivateFileError;

/// What an application's own trail, or another part of the application, said.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no sealer. Nothing is sealed or opened without one: there is no mode that writes in the clear (FE-09).
#[derive(Debug, thiserror::Error)]
pub enum SealerError {
    /// No path was given.
    #[error("DB_ENCRYPTION_KEY_PATH is not set; it names the key file")]
    NoPath,
    /// The key provider does not wrap or unwrap: a missing key file, one that others can read, the wrong one.
    #[error("the key that wraps `{}` is not to be had", ring.display())]
    Provider {
        /// The ring it wraps.
        ring: PathBuf,
        /// What the provider said; it names the cure.
        source: ProviderError,
    },
    /// The ring is missing, exists already, or others can read it.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// The ring is not one, or was changed by something else than this library.
    #[error("`{}` is damaged ({what}); restore it from its backup", ring.display())]
    Damaged {
        /// Which.
        ring: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The system gives no randomness.
    #[error("no randomness")]
    Random(#[from] RandomError),
    /// A legacy key is not 32 bytes in base64url.
    #[error("not a Fernet key: it is 32 bytes in base64url")]
    LegacyKey,
}

/// Why a value was not sealed, or no term derived. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Longer than the column says.
    #[error("the value is longer than {max}")]
    TooLong {
        /// How long it may be.
        max: usize,
    },
    /// The column is bound to rows, and the row is empty or longer than 255 bytes.
    #[error("the column needs a row id of 1 to 255 bytes")]
    Row,
    /// It is a sealed value already.
    #[error("the value is sealed already")]
    AlreadySealed,
    /// The pointers of a document are no list of JSON pointers apart from each other.
    #[error(transparent)]
    Pointers(#[from] crate::json::PointerError),
    /// The keys do not do it.
    #[error(transparent)]
    Keys(KeyringError),
}

impl From<KeyringError> for SealError {
    fn from(error: KeyringError) -> Self {
        match error {
            KeyringError::Seal(chancery_crypto::SealError::AlreadySealed) => Self::AlreadySealed,
            KeyringError::Seal(chancery_crypto::SealError::TooLong) => {
                Self::TooLong { max: chancery_crypto::PLAINTEXT_MAX }
            }
            other => Self::Keys(other),
        }
    }
}

/// A value that is neither sealed nor a legacy token: in the clear, most likely. Does not repeat it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a sealed value{}", at.as_ref().map(|at| format!(" at `{at}`")).unwrap_or_default())]
pub struct NotSealed {
    /// Where in a document.
    pub at: Option<String>,
    /// What is wrong with its shape.
    #[source]
    pub source: ParseError,
}

impl From<ParseError> for NotSealed {
    fn from(source: ParseError) -> Self {
        Self { at: None, source }
    }
}

/// Why a value did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The column is bound to rows, and the row is empty or longer than 255 bytes.
    #[error("the column needs a row id of 1 to 255 bytes")]
    Row,
    /// In the clear, or of no known shape.
    #[error(transparent)]
    NotSealed(#[from] NotSealed),
    /// Sealed with a key of another ring, or for another table, column, row, tenant or type.
    #[error("the value was sealed with another key or for another place")]
    WrongPlace,
    /// Bytes were changed after sealing.
    #[error("the value was changed after sealing")]
    Changed,
    /// Its key version is stopped.
    #[error("the key version is `{0}`")]
    Stopped(KeyState),
    /// It opened to something that is not of the column's type.
    #[error(transparent)]
    WrongType(#[from] WrongType),
    /// A legacy token that no legacy key opens, or that was changed.
    #[error("a legacy value did not open")]
    Legacy(#[source] LegacyError),
    /// A receipt names another tenant or table, or fewer values.
    #[error("the audit receipt does not cover this")]
    Receipt,
    /// The application's trail did not take the reading, so nothing was opened.
    #[error("the reading could not be recorded")]
    Trail(#[source] BoxError),
    /// The pointers of a document are no list of JSON pointers apart from each other.
    #[error(transparent)]
    Pointers(#[from] crate::json::PointerError),
    /// The keys do not do it.
    #[error(transparent)]
    Keys(KeyringError),
}

impl From<KeyringError> for OpenError {
    fn from(error: KeyringError) -> Self {
        match error {
            KeyringError::WrongContext => Self::WrongPlace,
            KeyringError::Tampered => Self::Changed,
            KeyringError::Stopped(state) => Self::Stopped(state),
            KeyringError::ReceiptTooSmall => Self::Receipt,
            other => Self::Keys(other),
        }
    }
}

/// Why a value was not moved to the newest key. The old one is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// It does not open.
    #[error("the value to renew does not open")]
    Open(#[from] OpenError),
    /// It was not sealed again.
    #[error("the value was not sealed again")]
    Seal(#[from] SealError),
}
