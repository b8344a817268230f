//! A key file on this machine.

use std::path::Path;

use async_trait::async_trait;
use chancery_crypto::{Key256, random::SystemRandom};
use chancery_domain::keyring::{KeyProvider, ProviderError, ProviderKind, WrapLabel};

use crate::{
    private_file::{self, PrivateFileError},
    wrapper::Wrapper,
};

/// 32 random bytes in a file that its owner alone can read.
///
/// Who reads this file and the store has everything, so it belongs on another disk than the
/// store's backups. Each environment has its own (KM-22).
pub struct Local(Wrapper);

impl Local {
    /// Reads the key of an existing file.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Misconfigured`], with the cure, unless it is a regular file of exactly
    /// 32 bytes that neither group nor others can read or write.
    pub fn open(path: &Path) -> Result<Self, ProviderError> {
        let bytes = private_file::read(path, 32).map_err(misconfigured)?;
        let key = Key256::from_slice(&bytes).ok_or_else(|| {
            ProviderError::Misconfigured(format!(
                "{} holds {} bytes and a key file has exactly 32; restore it from where you keep its copy",
                path.display(),
                bytes.len()
            ))
        })?;
        // A disk that lost the file's content gives zeros back.
        if key.expose().iter().all(|byte| *byte == 0) {
            return Err(ProviderError::Misconfigured(format!(
                "{} holds only zeros; restore it from where you keep its copy",
                path.display()
            )));
        }
        Ok(Self(Wrapper::new("local", key)))
    }

    /// Draws a new key into a new file of mode 600. It is there completely or not at all.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Misconfigured`] if the file exists or cannot be written,
    /// [`ProviderError::Unavailable`] without randomness.
    pub fn create(path: &Path) -> Result<Self, ProviderError> {
        let key = Key256::make(&SystemRandom).map_err(|error| ProviderError::Unavailable(Box::new(error)))?;
        private_file::create(path, key.expose()).map_err(misconfigured)?;
        Ok(Self(Wrapper::new("local", key)))
    }
}

fn misconfigured(error: PrivateFileError) -> ProviderError {
    ProviderError::Misconfigured(error.to_string())
}

#[async_trait]
impl KeyProvider for Local {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Local
    }

    fn label(&self) -> String {
        self.0.fingerprint()
    }

    async fn wrap(&self, key: &Key256, label: WrapLabel<'_>) -> Result<Vec<u8>, ProviderError> {
        self.0.wrap(key, label)
    }

    async fn unwrap(&self, wrapped: &[u8], label: WrapLabel<'_>) -> Result<Key256, ProviderError> {
        self.0.unwrap(wrapped, label)
    }
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Local({}, ..)", self.0.fingerprint())
    }
}
