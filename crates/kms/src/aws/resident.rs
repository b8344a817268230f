//! Keys that live in AWS KMS.

use async_trait::async_trait;
use aws_sdk_kms::{
    primitives::Blob,
    types::{EncryptionAlgorithmSpec, KeySpec, KeyUsageType, MessageType, SigningAlgorithmSpec, Tag},
};
use chancery_crypto::Secret;
use chancery_domain::{
    keyring::{
        ProviderKind,
        resident::{
            Decryption, Destruction, ResidentError, ResidentId, ResidentKeys, ResidentPublic, ResidentType,
            ResidentUse, Signing,
        },
    },
    time::Timestamp,
};

use super::{AwsKms, faults::resident_error};

#[async_trait]
impl ResidentKeys for AwsKms {
    fn kind(&self) -> ProviderKind {
        ProviderKind::AwsKms
    }

    async fn generate(
        &self,
        name: &str,
        key_type: ResidentType,
        r#use: ResidentUse,
    ) -> Result<ResidentId, ResidentError> {
        let usage = match (r#use, key_type) {
            (ResidentUse::Sign, _) => KeyUsageType::SignVerify,
            (ResidentUse::Decrypt, ResidentType::Rsa2048 | ResidentType::Rsa4096) => KeyUsageType::EncryptDecrypt,
            (ResidentUse::Decrypt, ResidentType::EcP256 | ResidentType::EcP384) => {
                return Err(ResidentError::Unsupported);
            }
        };
        let tag = Tag::builder().tag_key("chancery").tag_value("resident").build();
        let tag = tag.map_err(|error| ResidentError::Misconfigured(error.to_string()))?;
        let call = self.client.create_key().key_spec(spec(key_type)).key_usage(usage).description(name).tags(tag);
        let answer = call.send().await.map_err(|error| resident_error(&error, name))?;
        let made = answer.key_metadata.ok_or_else(|| nothing("key"))?;
        made.arn.unwrap_or(made.key_id).parse().map_err(|_| nothing("name of a key"))
    }

    async fn public(&self, id: &ResidentId) -> Result<ResidentPublic, ResidentError> {
        let call = self.client.get_public_key().key_id(id.as_str());
        let answer = call.send().await.map_err(|error| resident_error(&error, id.as_str()))?;
        #[expect(deprecated, reason = "the older name of the same; moto gives no other")]
        let older = answer.customer_master_key_spec.as_ref().map(|spec| KeySpec::from(spec.as_str()));
        let key_type = match answer.key_spec.or(older) {
            Some(KeySpec::EccNistP256) => ResidentType::EcP256,
            Some(KeySpec::EccNistP384) => ResidentType::EcP384,
            Some(KeySpec::Rsa2048) => ResidentType::Rsa2048,
            Some(KeySpec::Rsa4096) => ResidentType::Rsa4096,
            _ => return Err(ResidentError::Unsupported),
        };
        let spki = answer.public_key.map(Blob::into_inner).ok_or_else(|| nothing("public key"))?;
        Ok(ResidentPublic { key_type, spki })
    }

    async fn sign(&self, id: &ResidentId, signing: Signing, digest: &[u8]) -> Result<Vec<u8>, ResidentError> {
        if digest.len() != signing.digest_len() {
            return Err(ResidentError::Refused);
        }
        let algorithm = match signing {
            Signing::Es256 => SigningAlgorithmSpec::EcdsaSha256,
            Signing::Es384 => SigningAlgorithmSpec::EcdsaSha384,
            Signing::Ps256 => SigningAlgorithmSpec::RsassaPssSha256,
            Signing::Rs256 => SigningAlgorithmSpec::RsassaPkcs1V15Sha256,
        };
        let call = self.client.sign().key_id(id.as_str()).message(Blob::new(digest));
        let call = call.message_type(MessageType::Digest).signing_algorithm(algorithm);
        let answer = call.send().await.map_err(|error| resident_error(&error, id.as_str()))?;
        let signature = answer.signature.map(Blob::into_inner).ok_or_else(|| nothing("signature"))?;
        match signing {
            Signing::Es256 => raw(&signature, 32),
            Signing::Es384 => raw(&signature, 48),
            Signing::Ps256 | Signing::Rs256 => Some(signature),
        }
        .ok_or_else(|| nothing("ECDSA signature"))
    }

    async fn decrypt(
        &self,
        id: &ResidentId,
        decryption: Decryption,
        ciphertext: &[u8],
    ) -> Result<Secret<Vec<u8>>, ResidentError> {
        let algorithm = match decryption {
            Decryption::RsaOaep256 => EncryptionAlgorithmSpec::RsaesOaepSha256,
            Decryption::RsaOaep => EncryptionAlgorithmSpec::RsaesOaepSha1,
        };
        let call = self.client.decrypt().key_id(id.as_str()).ciphertext_blob(Blob::new(ciphertext));
        let answer = call.encryption_algorithm(algorithm).send().await;
        let answer = answer.map_err(|error| resident_error(&error, id.as_str()))?;
        answer.plaintext.map(|blob| Secret::new(blob.into_inner())).ok_or_else(|| nothing("plaintext"))
    }

    async fn destroy(&self, id: &ResidentId) -> Result<Destruction, ResidentError> {
        let call = self.client.schedule_key_deletion().key_id(id.as_str());
        let answer = call.pending_window_in_days(i32::from(self.deletion_days)).send().await;
        let answer = answer.map_err(|error| resident_error(&error, id.as_str()))?;
        let at = answer.deletion_date.ok_or_else(|| nothing("date of deletion"))?;
        Ok(Destruction::Scheduled(Timestamp::from_seconds(at.secs())))
    }
}

const fn spec(key_type: ResidentType) -> KeySpec {
    match key_type {
        ResidentType::EcP256 => KeySpec::EccNistP256,
        ResidentType::EcP384 => KeySpec::EccNistP384,
        ResidentType::Rsa2048 => KeySpec::Rsa2048,
        ResidentType::Rsa4096 => KeySpec::Rsa4096,
    }
}

fn nothing(what: &str) -> ResidentError {
    ResidentError::Unavailable(format!("AWS KMS gave no {what}").into())
}

/// `SEQUENCE { INTEGER r, INTEGER s }` as r ‖ s of `size` bytes each.
fn raw(der: &[u8], size: usize) -> Option<Vec<u8>> {
    // The longest is 102 bytes, so that each length is one byte.
    let [0x30, length @ 0..=0x7F, body @ ..] = der else { return None };
    if body.len() != usize::from(*length) {
        return None;
    }
    let (r, rest) = integer(body)?;
    let (s, rest) = integer(rest)?;
    let padded = |number: &[u8]| Some([vec![0; size.checked_sub(number.len())?], number.to_vec()].concat());
    rest.is_empty().then_some([padded(r)?, padded(s)?].concat())
}

/// A positive integer without its leading zero, and what follows.
fn integer(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let [0x02, length @ 1..=0x7F, rest @ ..] = der else { return None };
    let (number, rest) = rest.split_at_checked(usize::from(*length))?;
    match number {
        [0, number @ ..] => Some((number, rest)),
        [0x80..=0xFF, ..] => None,
        number => Some((number, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_loses_its_der() {
        assert_eq!(raw(&[0x30, 7, 2, 2, 0, 0x80, 2, 1, 5], 2), Some(vec![0, 0x80, 0, 5]));
        for bad in [
            &[][..],
            &[0x30, 6, 2, 1, 1, 2, 1],
            &[0x30, 6, 2, 1, 1, 2, 1, 1, 0],
            &[0x30, 7, 2, 1, 1, 2, 1, 1, 0],
            &[0x30, 6, 2, 1, 0x80, 2, 1, 1],
            &[0x30, 8, 2, 3, 1, 1, 1, 2, 1, 1],
        ] {
            assert_eq!(raw(bad, 2), None, "{bad:?}");
        }
    }
}
