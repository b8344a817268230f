//! The key that seals a backup's files: whoever holds the platform root has it, and nobody else.

use std::sync::Arc;

use chancery_crypto::{Handle, Key256, derive_key};

use crate::keyring::{KeyProvider, ProviderKind, RootError, RootRecipient, WrapLabel};

/// One way to the root, as a backup's header carries it: with the header and one of these keys a clean machine can begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// What wraps it.
    pub provider: ProviderKind,
    /// Which of that kind.
    pub label: String,
    /// Which version of the root.
    pub root_version: u32,
    /// Names the root inside wraps.
    pub root_handle: Handle,
    /// The root under that provider's key.
    pub wrapped: Vec<u8>,
}

impl From<&RootRecipient> for Holder {
    fn from(recipient: &RootRecipient) -> Self {
        Self {
            provider: recipient.provider,
            label: recipient.label.clone(),
            root_version: recipient.root_version,
            root_handle: recipient.root_handle,
            wrapped: recipient.wrapped.clone(),
        }
    }
}

/// Seals the files of backups.
pub struct SealingKey {
    /// The key.
    pub key: Key256,
    /// Names the root that it derives from.
    pub handle: Handle,
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealingKey({:?}, ..)", self.handle)
    }
}

/// The key of backups under the newest root that one of `holders` names, from the first provider that gives it.
///
/// # Errors
///
/// [`RootError::NoRecipient`] if none of the providers is among the holders, [`RootError::Provider`] if it does not answer.
pub async fn sealing_key(
    holders: &[Holder],
    providers: &[Arc<dyn KeyProvider>],
    environment: &str,
) -> Result<SealingKey, RootError> {
    key_for("chancery/backup/1", holders, providers, environment).await
}

/// As [`sealing_key`], the key of exports: events that leave for places that others keep. It opens no backup.
///
/// # Errors
///
/// As [`sealing_key`].
pub async fn export_key(
    holders: &[Holder],
    providers: &[Arc<dyn KeyProvider>],
    environment: &str,
) -> Result<SealingKey, RootError> {
    key_for("chancery/export/1", holders, providers, environment).await
}

async fn key_for(
    purpose: &'static str,
    holders: &[Holder],
    providers: &[Arc<dyn KeyProvider>],
    environment: &str,
) -> Result<SealingKey, RootError> {
    let newest = holders.iter().map(|holder| holder.root_version).max().unwrap_or_default();
    let mut failure = RootError::NoRecipient;
    for provider in providers {
        let (kind, label) = (provider.kind(), provider.label());
        let ours = |holder: &&Holder| {
            holder.root_version == newest && holder.provider == kind && kind.same_key(&holder.label, &label)
        };
        let Some(holder) = holders.iter().find(ours) else { continue };
        // The label of the root's own wraps.
        let wrap = WrapLabel { environment, purpose: "platform-root", version: newest };
        match provider.unwrap(&holder.wrapped, wrap).await {
            Ok(root) => {
                let key = derive_key(&root, purpose, &[]);
                return Ok(SealingKey { key, handle: holder.root_handle });
            }
            Err(error) => failure = RootError::Provider(format!("{kind} {label}"), error),
        }
    }
    Err(failure)
}
