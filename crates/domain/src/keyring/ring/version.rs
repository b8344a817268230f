//! An unwrapped key version.

use chancery_crypto::{
    Ed25519SigningKey, Handle, Jwk, Key256, P256SigningKey, RsaPrivateKey,
    dsse::{self, Envelope},
};

use super::KeyringError;
use crate::{
    keyring::{KeyState, Managed, reference::Reference},
    time::Timestamp,
};

/// The unwrapped material of a key version.
pub(crate) enum Material {
    Root(Key256),
    Ed25519(Ed25519SigningKey),
    P256(P256SigningKey),
    Rsa(Box<RsaPrivateKey>),
    /// A certificate key that lives in a provider: [`crate::keyring::statement`] signs with it.
    There(Box<Reference>),
    /// What is stored does not unwrap, or is not what its row says. Whatever needs it fails; the tenant's other keys go on,
    /// and so it can be taken back from where a copy of it is.
    Damaged,
}

/// An unwrapped key version.
pub(crate) struct RingVersion {
    pub(crate) managed: Managed,
    pub(crate) key_id: String,
    pub(crate) handle: Handle,
    pub(crate) state: KeyState,
    pub(crate) retired_at: Option<Timestamp>,
    pub(crate) public: Option<Jwk>,
    pub(crate) material: Material,
}

impl RingVersion {
    pub(in crate::keyring) fn root(&self) -> Result<&Key256, KeyringError> {
        match &self.material {
            Material::Root(root) => Ok(root),
            Material::Ed25519(_) | Material::P256(_) | Material::Rsa(_) | Material::There(_) | Material::Damaged => {
                Err(KeyringError::Unwrap)
            }
        }
    }

    /// The Ed25519 signing key, for those that are one.
    pub(crate) fn ed25519(&self) -> Result<&Ed25519SigningKey, KeyringError> {
        match &self.material {
            Material::Ed25519(key) => Ok(key),
            Material::Root(_) | Material::P256(_) | Material::Rsa(_) | Material::There(_) | Material::Damaged => {
                Err(KeyringError::Unwrap)
            }
        }
    }

    /// Signs a statement in the way of the key's type, where the key is.
    pub(crate) fn statement(&self, payload_type: &str, payload: Vec<u8>) -> Result<Envelope, KeyringError> {
        if self.managed != Managed::Certificate {
            return Err(KeyringError::Unwrap);
        }
        let message = dsse::pae(payload_type, &payload);
        let sig = match &self.material {
            Material::Ed25519(key) => key.sign(&message).to_vec(),
            Material::P256(key) => key.sign(&message).map_err(|_| KeyringError::Unwrap)?.to_vec(),
            Material::Rsa(key) => key.sign_pss(&message).map_err(|_| KeyringError::Unwrap)?,
            Material::Root(_) | Material::There(_) | Material::Damaged => return Err(KeyringError::Unwrap),
        };
        Ok(Envelope::of(payload_type, payload, &self.key_id, sig))
    }

    /// Signs a token by the one algorithm of the key, where the key is: nothing takes a copy of it.
    pub(crate) fn sign_token(&self, message: &[u8]) -> Result<Vec<u8>, KeyringError> {
        // A certificate's key is of the same kind, and signs certificates.
        if self.managed != Managed::Token {
            return Err(KeyringError::Unwrap);
        }
        match &self.material {
            Material::P256(key) => key.sign(message).map(|made| made.to_vec()).map_err(|_| KeyringError::Unwrap),
            Material::Ed25519(key) => Ok(key.sign(message).to_vec()),
            Material::Rsa(key) => key.sign_pkcs1(message).map_err(|_| KeyringError::Unwrap),
            Material::Root(_) | Material::There(_) | Material::Damaged => Err(KeyringError::Unwrap),
        }
    }
}
