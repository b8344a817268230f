//! What [`Local`](crate::Local) and [`Recovery`](crate::Recovery) share: wrapping under 32 bytes that we hold ourselves.

use chancery_crypto::{Handle, Key256, SystemRandom, WrapContext, WrappingKey, derive_key};
use chancery_domain::keyring::{ProviderError, WrapLabel};

/// Wraps under keys derived from one provider key; each environment has its own.
pub(crate) struct Wrapper {
    kind: &'static str,
    key: Key256,
    fingerprint: Handle,
}

impl Wrapper {
    /// `kind` separates keys of providers that happen to hold the same bytes.
    pub(crate) fn new(kind: &'static str, key: Key256) -> Self {
        let digest = derive_key(&key, "chancery/kms/fingerprint/1", &[kind.as_bytes()]);
        let [a, b, c, d, e, f, g, h, ..] = *digest.expose();
        Self { kind, key, fingerprint: Handle([a, b, c, d, e, f, g, h]) }
    }

    /// 16 hex digits that name the key without giving it away.
    pub(crate) fn fingerprint(&self) -> String {
        self.fingerprint.to_hex()
    }

    pub(crate) fn wrap(&self, key: &Key256, label: WrapLabel<'_>) -> Result<Vec<u8>, ProviderError> {
        self.of(label.environment)
            .wrap(&context(self.kind, &label), key.expose(), &SystemRandom)
            .map_err(|error| ProviderError::Unavailable(Box::new(error)))
    }

    pub(crate) fn unwrap(&self, wrapped: &[u8], label: WrapLabel<'_>) -> Result<Key256, ProviderError> {
        // Why it did not open is not told: another key, another label and a changed byte look the same.
        let material = self
            .of(label.environment)
            .unwrap(&context(self.kind, &label), wrapped)
            .map_err(|_| ProviderError::Refused)?;
        Key256::from_slice(material.expose()).ok_or(ProviderError::Refused)
    }

    fn of(&self, environment: &str) -> WrappingKey {
        let parts: [&[u8]; 2] = [self.kind.as_bytes(), environment.as_bytes()];
        WrappingKey::new(&derive_key(&self.key, "chancery/kms/wrapping/1", &parts), self.fingerprint)
    }
}

fn context<'a>(kind: &'a str, label: &WrapLabel<'a>) -> WrapContext<'a> {
    WrapContext {
        parent: kind.as_bytes(),
        child: label.environment.as_bytes(),
        purpose: label.purpose.as_bytes(),
        version: label.version,
    }
}
