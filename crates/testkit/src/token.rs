//! An HSM in memory.

use std::{collections::BTreeMap, sync::Mutex};

use async_trait::async_trait;
use aws_lc_rs::{
    digest::{Digest, SHA256},
    encoding::{AsDer, PublicKeyX509Der},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use chancery_crypto::Secret;
use chancery_domain::keyring::{
    ProviderKind, ResidentId,
    resident::{
        Decryption, Destruction, ResidentError, ResidentKeys, ResidentPublic, ResidentType, ResidentUse, Signing,
    },
};

/// A provider of P-256 keys that sign, and of no others.
#[derive(Default)]
pub struct Token(Mutex<BTreeMap<String, EcdsaKeyPair>>);

#[async_trait]
impl ResidentKeys for Token {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Pkcs11
    }

    async fn generate(&self, _: &str, key_type: ResidentType, r#use: ResidentUse) -> Result<ResidentId, ResidentError> {
        if (key_type, r#use) != (ResidentType::EcP256, ResidentUse::Sign) {
            return Err(ResidentError::Unsupported);
        }
        let mut keys = self.0.lock().unwrap();
        let id = format!("slot-{}", keys.len());
        keys.insert(id.clone(), EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());
        Ok(id.parse().unwrap())
    }

    async fn public(&self, id: &ResidentId) -> Result<ResidentPublic, ResidentError> {
        let keys = self.0.lock().unwrap();
        let key = keys.get(id.as_str()).ok_or(ResidentError::NotFound)?;
        let spki: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        Ok(ResidentPublic { key_type: ResidentType::EcP256, spki: spki.as_ref().to_vec() })
    }

    async fn sign(&self, id: &ResidentId, signing: Signing, digest: &[u8]) -> Result<Vec<u8>, ResidentError> {
        if signing != Signing::Es256 {
            return Err(ResidentError::Unsupported);
        }
        let digest = Digest::import_less_safe(digest, &SHA256).map_err(|_| ResidentError::Refused)?;
        let keys = self.0.lock().unwrap();
        let key = keys.get(id.as_str()).ok_or(ResidentError::NotFound)?;
        Ok(key.sign_digest(&digest).unwrap().as_ref().to_vec())
    }

    async fn decrypt(&self, _: &ResidentId, _: Decryption, _: &[u8]) -> Result<Secret<Vec<u8>>, ResidentError> {
        Err(ResidentError::Unsupported)
    }

    async fn destroy(&self, id: &ResidentId) -> Result<Destruction, ResidentError> {
        let gone = self.0.lock().unwrap().remove(id.as_str());
        gone.map(|_| Destruction::Done).ok_or(ResidentError::NotFound)
    }
}
