//! A certificate key that lives in a provider and never leaves it.
//!
//! In its row lies, under the tenant key like the material of any other, where it is and what its public half is: whoever can write rows
//! cannot put another key in its place.

use std::time::Duration;

use chancery_crypto::{
    Curve, Jwk, PublicKey, Secret, SignatureAlgorithm,
    dsse::{self, Envelope},
    sha256,
};
use serde_json::{Value, json};

use super::{
    Key, KeyError, KeyPurpose, KeyType, KeyringError, Managed, ProviderError, ProviderKind, ResidentId, StoredMaterial,
    create::Drawn,
    resident::{ResidentError, Signing},
    resides::{self, in_provider_words, provider},
    ring::{Material, RingVersion},
};
use crate::Instance;

/// What no key's own bytes begin with: keys are 32 random bytes or DER.
const MARK: &[u8] = b"chancery/resident/1\n";
/// The longest that a provider may take to sign: rows are held meanwhile.
const SIGN_WITHIN: Duration = Duration::from_secs(5);

/// Where a certificate key lives, and its public half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) provider: ProviderKind,
    pub(crate) id: ResidentId,
    pub(crate) public: Jwk,
}

impl Reference {
    /// Makes a key in a provider, for certificates alone. If the store does not keep it afterwards, it stays there, by the name of `key`.
    pub(super) async fn make(
        instance: &Instance,
        key: &Key,
        key_type: KeyType,
        provider: ProviderKind,
    ) -> Result<Self, KeyError> {
        let there = Key { key_type, provider: Some(provider), purpose: KeyPurpose::Signing, ..key.clone() };
        match resides::make(instance, &there).await? {
            Drawn::There { material: StoredMaterial::Resident { provider, id }, public } => {
                Ok(Self { provider, id, public: public.jwk() })
            }
            Drawn::There { .. } | Drawn::Here(_) => Err(KeyringError::Unwrap.into()),
        }
    }

    /// What is wrapped in the place of a key.
    pub(super) fn to_material(&self) -> Secret<Vec<u8>> {
        let said = json!({ "id": self.id.as_str(), "jwk": self.public, "provider": self.provider.as_str() });
        Secret::new([MARK, said.to_string().as_bytes()].concat())
    }

    /// Reads what was wrapped; `None` if that is a key itself.
    pub(super) fn read(bytes: &[u8]) -> Option<Result<Self, KeyringError>> {
        let said: Option<Value> = serde_json::from_slice(bytes.strip_prefix(MARK)?).ok();
        let read = said.and_then(|said| {
            let text = |name: &str| said.get(name).and_then(Value::as_str);
            let public = serde_json::from_value(said.get("jwk")?.clone()).ok()?;
            Some(Self { provider: text("provider")?.parse().ok()?, id: text("id")?.parse().ok()?, public })
        });
        Some(read.ok_or(KeyringError::Unwrap))
    }

    /// Signs there, in the way of the key's type.
    async fn sign(&self, instance: &Instance, message: &[u8]) -> Result<Vec<u8>, KeyringError> {
        let (signing, checked) = match &self.public {
            Jwk::Rsa { .. } => (Signing::Ps256, SignatureAlgorithm::Ps256),
            Jwk::Ec { crv: Curve::P256, .. } => (Signing::Es256, SignatureAlgorithm::Es256),
            Jwk::Ec { .. } | Jwk::Okp { .. } => return Err(KeyringError::Unwrap),
        };
        let failed = |error| KeyringError::Provider(self.provider.to_string(), error);
        let absent = || ProviderError::Misconfigured("the configuration has no provider of this kind".to_owned());
        let there = provider(instance, self.provider).ok_or_else(|| failed(absent()))?;
        let digest = sha256(message);
        let silent = |_| Err(ResidentError::Unavailable("the provider does not answer".into()));
        let signed = tokio::time::timeout(SIGN_WITHIN, there.sign(&self.id, signing, &digest)).await;
        let signed = signed.unwrap_or_else(silent).map_err(|error| failed(in_provider_words(error)))?;
        let public = PublicKey::try_from(&self.public).map_err(|_| KeyringError::Unwrap)?;
        // A provider that signs with another key, or not at all, is not believed.
        if public.verify(checked, message, &signed) { Ok(signed) } else { Err(KeyringError::Unwrap) }
    }
}

/// Signs a statement with a certificate key, wherever it lives.
pub(crate) async fn statement(
    instance: &Instance,
    version: &RingVersion,
    payload_type: &str,
    payload: Vec<u8>,
) -> Result<Envelope, KeyringError> {
    let Material::There(reference) = &version.material else { return version.statement(payload_type, payload) };
    if version.managed != Managed::Certificate {
        return Err(KeyringError::Unwrap);
    }
    let sig = reference.sign(instance, &dsse::pae(payload_type, &payload)).await?;
    Ok(Envelope::of(payload_type, payload, &version.key_id, sig))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_reads_back_and_a_key_is_none() {
        let public = Jwk::Rsa { n: vec![0x81; 256], e: vec![1, 0, 1] };
        let reference = Reference { provider: ProviderKind::Pkcs11, id: "slot-1".parse().unwrap(), public };
        let bytes = reference.to_material();
        assert_eq!(Reference::read(bytes.expose()).unwrap().unwrap(), reference);
        assert!(Reference::read(&[7; 32]).is_none() && Reference::read(b"").is_none());
        let cut = &bytes.expose()[..bytes.expose().len() - 1];
        assert!(matches!(Reference::read(cut), Some(Err(KeyringError::Unwrap))));
    }
}
