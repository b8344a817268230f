//! The port to what wraps the platform root.

use async_trait::async_trait;
use chancery_crypto::Key256;

codes! {
    /// Which kind of provider.
    pub enum ProviderKind {
        /// A key file on this machine.
        Local = "local",
        /// A recovery key, printed once.
        Recovery = "recovery",
        /// A key in the hands of several people.
        Shamir = "shamir",
        /// An HSM by PKCS#11.
        Pkcs11 = "pkcs11",
        /// AWS KMS.
        AwsKms = "aws_kms",
        /// Google Cloud KMS.
        GoogleKms = "google_kms",
        /// Azure Key Vault.
        AzureKeyVault = "azure_keyvault",
        /// Vault or OpenBao transit.
        Vault = "vault",
    }
}

impl ProviderKind {
    /// Whether it gives a key only when people bring something along: a server cannot ask it by itself.
    pub const fn needs_people(self) -> bool {
        matches!(self, Self::Recovery | Self::Shamir)
    }

    /// Whether two labels of this kind name the same key. Of shares the fingerprint does; what follows it, in brackets, tells
    /// people how many it takes.
    pub fn same_key(self, one: &str, other: &str) -> bool {
        fn fingerprint(label: &str) -> &str {
            label.split_once(" (").map_or(label, |(before, _)| before)
        }
        one == other || (self == Self::Shamir && fingerprint(one) == fingerprint(other))
    }
}

/// Why a provider did not wrap or unwrap.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// It did not answer. Trying later may help.
    #[error("the key provider is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another key or another label wrapped it, or it was changed.
    #[error("the key provider does not open this wrap")]
    Refused,
    /// The provider's own key cannot be used as it is.
    #[error("{0}")]
    Misconfigured(String),
}

/// What a wrap is for. The provider binds it; with another label the wrap does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrapLabel<'a> {
    /// The environment: a wrap of one does not open in another (KM-22).
    pub environment: &'a str,
    /// What is wrapped, such as `platform-root`.
    pub purpose: &'a str,
    /// Its version.
    pub version: u32,
}

/// Wraps and unwraps 32-byte keys with a key that it keeps.
///
/// Contract, proven by `chancery_testkit::key_provider_conformance!`: what it wrapped it unwraps,
/// also after being opened again; two wraps of one key differ; a wrap with any byte changed, or
/// under another label, is [`ProviderError::Refused`].
#[async_trait]
pub trait KeyProvider: Send + Sync {
    /// Its kind.
    fn kind(&self) -> ProviderKind;

    /// Which key it keeps, without giving it away: a fingerprint or a name.
    fn label(&self) -> String;

    /// Wraps `key`.
    async fn wrap(&self, key: &Key256, label: WrapLabel<'_>) -> Result<Vec<u8>, ProviderError>;

    /// Unwraps what [`Self::wrap`] gave.
    async fn unwrap(&self, wrapped: &[u8], label: WrapLabel<'_>) -> Result<Key256, ProviderError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_known_by_their_fingerprint_whatever_is_said_beside_it() {
        assert!(ProviderKind::Shamir.same_key("ab12 (2 shares)", "ab12 (any 2 of its shares)"));
        assert!(!ProviderKind::Shamir.same_key("ab12 (2 shares)", "ab13 (2 shares)"));
        assert!(!ProviderKind::Local.same_key("ab12 (x)", "ab12 (y)"));
    }
}
