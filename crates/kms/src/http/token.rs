//! Where the bearer token of a cloud provider comes from.

use std::{path::PathBuf, time::Duration};

use async_trait::async_trait;
use chancery_crypto::Secret;
use chancery_domain::keyring::ProviderError;

use crate::private_file;

/// Longer than any token of the three clouds.
const TOKEN_MAX: usize = 16 * 1024;

/// A bearer token, and for how long it is good; `None` asks again for every call.
pub struct Token {
    /// Its text.
    pub text: Secret<String>,
    /// How long from now.
    pub lasts: Option<Duration>,
}

/// Where bearer tokens come from.
#[async_trait]
pub trait TokenSource: Send + Sync {
    /// A token that is good now.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] says whether trying later may help.
    async fn token(&self) -> Result<Token, ProviderError>;
}

/// A file of mode 600 that somebody else keeps fresh. It is read for every call.
#[derive(Debug, Clone)]
pub struct TokenFile(pub PathBuf);

impl TokenFile {
    pub(crate) fn read(&self) -> Result<Secret<String>, ProviderError> {
        let wrong = |why: String| ProviderError::Misconfigured(why);
        let bytes = private_file::read(&self.0, TOKEN_MAX).map_err(|error| wrong(error.to_string()))?;
        let text = std::str::from_utf8(&bytes).map(str::trim).unwrap_or_default();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong(format!("{} holds no token", self.0.display())));
        }
        Ok(Secret::new(text.to_owned()))
    }
}

#[async_trait]
impl TokenSource for TokenFile {
    async fn token(&self) -> Result<Token, ProviderError> {
        Ok(Token { text: self.read()?, lasts: None })
    }
}
