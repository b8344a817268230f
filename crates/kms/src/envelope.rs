//! What every provider outside this process shares: the provider encrypts a fresh 32-byte key, and that key wraps ours.
//!
//! So each wrap commits to its key (design §5) and is bound to its label by our own derivation, also where a provider has no
//! associated data or silently ignores it; and the platform root itself is never in a request.
//!
//! ```text
//! 0  1  magic 0xF9      4  2  length n of the provider's part, big-endian
//! 1  1  profile 0x32    6  n  the provider's part
//! 2  1  suite 0x01      6+n   a wrap of profile 0x31 under the fresh key; its handle is
//! 3  1  zero                  the first 8 bytes of SHA-256 of the provider's part
//! ```

use async_trait::async_trait;
#[cfg(any(feature = "http", feature = "pkcs11"))]
use chancery_crypto::lv;
use chancery_crypto::{Handle, Key256, MAGIC, SUITE, SystemRandom, WrapContext, WrappingKey, parent_of, sha256};
use chancery_domain::keyring::{ProviderError, ProviderKind, WrapLabel};

const PROFILE: u8 = 0x32;
/// No provider's ciphertext of 32 bytes is longer; AWS KMS allows itself 6144.
const PART_MAX: usize = 8192;

/// A provider's own encryption of 32 bytes.
#[async_trait]
pub(crate) trait Encrypts: Send + Sync {
    /// Encrypts a fresh key, bound to the label as far as the provider can.
    async fn encrypt(&self, key: &Key256, label: WrapLabel<'_>) -> Result<Vec<u8>, ProviderError>;

    /// Decrypts what [`Self::encrypt`] gave.
    async fn decrypt(&self, part: &[u8], label: WrapLabel<'_>) -> Result<Key256, ProviderError>;
}

pub(crate) async fn wrap(
    provider: &impl Encrypts,
    kind: ProviderKind,
    key: &Key256,
    label: WrapLabel<'_>,
) -> Result<Vec<u8>, ProviderError> {
    let fresh = Key256::make(&SystemRandom).map_err(unavailable)?;
    let part = provider.encrypt(&fresh, label).await?;
    let length = u16::try_from(part.len()).ok().filter(|_| part.len() <= PART_MAX);
    let length = length.ok_or_else(|| unavailable("the key provider's answer is too long"))?;
    let inner = WrappingKey::new(&fresh, handle(&part))
        .wrap(&context(kind, &label), key.expose(), &SystemRandom)
        .map_err(unavailable)?;
    Ok([&[MAGIC, PROFILE, SUITE, 0], length.to_be_bytes().as_slice(), &part, &inner].concat())
}

pub(crate) async fn unwrap(
    provider: &impl Encrypts,
    kind: ProviderKind,
    wrapped: &[u8],
    label: WrapLabel<'_>,
) -> Result<Key256, ProviderError> {
    let (part, inner) = split(wrapped).ok_or(ProviderError::Refused)?;
    // A part that was changed is not sent: the provider would answer with errors that mean other things elsewhere.
    if parent_of(inner) != Ok(handle(part)) {
        return Err(ProviderError::Refused);
    }
    let fresh = provider.decrypt(part, label).await?;
    let material = WrappingKey::new(&fresh, handle(part))
        .unwrap(&context(kind, &label), inner)
        .map_err(|_| ProviderError::Refused)?;
    Key256::from_slice(material.expose()).ok_or(ProviderError::Refused)
}

/// The label as associated data: framed, so that no word can move from one part to the next.
#[cfg(any(feature = "http", feature = "pkcs11"))]
pub(crate) fn associated_data(label: &WrapLabel<'_>) -> Vec<u8> {
    let mut out = b"chancery/kms/label/1".to_vec();
    lv(&mut out, label.environment.as_bytes());
    lv(&mut out, label.purpose.as_bytes());
    lv(&mut out, &label.version.to_be_bytes());
    out
}

pub(crate) fn unavailable(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ProviderError {
    ProviderError::Unavailable(why.into())
}

fn split(wrapped: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = wrapped.split_first_chunk::<6>()?;
    let [MAGIC, PROFILE, SUITE, 0, high, low] = *head else { return None };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > PART_MAX {
        return None;
    }
    rest.split_at_checked(length)
}

fn handle(part: &[u8]) -> Handle {
    let [a, b, c, d, e, f, g, h, ..] = sha256(part);
    Handle([a, b, c, d, e, f, g, h])
}

fn context<'a>(kind: ProviderKind, label: &WrapLabel<'a>) -> WrapContext<'a> {
    WrapContext {
        parent: kind.as_str().as_bytes(),
        child: label.environment.as_bytes(),
        purpose: label.purpose.as_bytes(),
        version: label.version,
    }
}

/// Implements the port for a provider that [`Encrypts`].
macro_rules! key_provider {
    ($provider:ty, $kind:expr) => {
        #[async_trait::async_trait]
        impl chancery_domain::keyring::KeyProvider for $provider {
            fn kind(&self) -> chancery_domain::keyring::ProviderKind {
                $kind
            }

            fn label(&self) -> String {
                self.name()
            }

            async fn wrap(
                &self,
                key: &chancery_crypto::Key256,
                label: chancery_domain::keyring::WrapLabel<'_>,
            ) -> Result<Vec<u8>, chancery_domain::keyring::ProviderError> {
                crate::envelope::wrap(self, $kind, key, label).await
            }

            async fn unwrap(
                &self,
                wrapped: &[u8],
                label: chancery_domain::keyring::WrapLabel<'_>,
            ) -> Result<chancery_crypto::Key256, chancery_domain::keyring::ProviderError> {
                crate::envelope::unwrap(self, $kind, wrapped, label).await
            }
        }
    };
}
pub(crate) use key_provider;

#[cfg(test)]
mod tests {
    use super::*;

    /// A provider that ignores labels and associated data altogether.
    struct Forgetful;

    #[async_trait]
    impl Encrypts for Forgetful {
        async fn encrypt(&self, key: &Key256, _: WrapLabel<'_>) -> Result<Vec<u8>, ProviderError> {
            Ok(key.expose().iter().map(|byte| byte ^ 0x55).collect())
        }

        async fn decrypt(&self, part: &[u8], _: WrapLabel<'_>) -> Result<Key256, ProviderError> {
            let bytes: Vec<u8> = part.iter().map(|byte| byte ^ 0x55).collect();
            Key256::from_slice(&bytes).ok_or(ProviderError::Refused)
        }
    }

    impl Forgetful {
        fn name(&self) -> String {
            "forgetful".to_owned()
        }
    }

    key_provider!(Forgetful, ProviderKind::Vault);

    async fn open() -> Option<((), Forgetful)> {
        Some(((), Forgetful))
    }

    async fn reopen(_: &()) -> Forgetful {
        Forgetful
    }

    // The label is bound although the provider does not bind it.
    chancery_testkit::key_provider_conformance!(open, reopen);
}
