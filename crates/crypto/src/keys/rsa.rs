//! RSA: PSS and PKCS#1 v1.5 signatures and OAEP, all with SHA-256 ([RFC 8017](https://www.rfc-editor.org/rfc/rfc8017)).

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    KeyPair, KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
    PublicEncryptingKey, PublicKeyComponents,
};
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, RsaEncoding,
};
use zeroize::Zeroizing;

use super::UseError;
use super::der::{self, Reader};
use crate::jwk::Jwk;
use crate::secret::Secret;
use crate::sign::KeyError;

/// `SEQUENCE { OID rsaEncryption, NULL }`.
const ALGORITHM: [u8; 15] = [0x30, 13, 6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 1, 5, 0];
/// OAEP with SHA-256 adds two hashes and two bytes.
const OAEP_OVERHEAD: usize = 66;

/// The sizes of our own RSA keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RsaSize {
    /// 2048 bits: 112 bits of security, for what must work with older systems.
    Rsa2048,
    /// 4096 bits.
    Rsa4096,
}

/// An RSA private key of 2048 or 4096 bits with an exponent of at least 65,537. Never prints.
pub struct RsaPrivateKey {
    pair: KeyPair,
    oaep: OaepPrivateDecryptingKey,
    pkcs8: Zeroizing<Vec<u8>>,
    public: RsaPublicKey,
}

impl RsaPrivateKey {
    /// Makes a new key inside AWS-LC, with its own random generator: a FIPS module makes its keys itself. Takes up to seconds.
    ///
    /// # Errors
    ///
    /// [`KeyError::Failed`] from AWS-LC.
    pub fn make(size: RsaSize) -> Result<Self, KeyError> {
        let size = match size {
            RsaSize::Rsa2048 => KeySize::Rsa2048,
            RsaSize::Rsa4096 => KeySize::Rsa4096,
        };
        Self::from_pair(KeyPair::generate(size).map_err(|_| KeyError::Failed)?)
    }

    /// Reads a PKCS#8 DER document ([RFC 5208](https://www.rfc-editor.org/rfc/rfc5208)).
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`], also for other sizes; [`KeyError::Weak`] for a small exponent.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        der::sequence(der)?; // nothing behind it
        Self::from_pair(KeyPair::from_pkcs8(der).map_err(|_| KeyError::Malformed)?)
    }

    /// Reads a PKCS#1 `RSAPrivateKey` ([RFC 8017 §A.1.2](https://www.rfc-editor.org/rfc/rfc8017#appendix-A.1.2)).
    ///
    /// # Errors
    ///
    /// As [`from_pkcs8`](Self::from_pkcs8).
    pub fn from_pkcs1(der: &[u8]) -> Result<Self, KeyError> {
        der::sequence(der)?;
        Self::from_pair(KeyPair::from_der(der).map_err(|_| KeyError::Malformed)?)
    }

    /// The PKCS#8 DER document, to be wrapped.
    pub fn to_material(&self) -> Secret<Vec<u8>> {
        Secret::new(self.pkcs8.to_vec())
    }

    /// The public half.
    pub const fn public(&self) -> &RsaPublicKey {
        &self.public
    }

    /// How large it is.
    pub const fn size(&self) -> RsaSize {
        if self.public.n.len() == 256 { RsaSize::Rsa2048 } else { RsaSize::Rsa4096 }
    }

    /// Signs with PSS, SHA-256 and 32 bytes of salt (`PS256`).
    ///
    /// # Errors
    ///
    /// [`UseError::Refused`] from AWS-LC.
    pub fn sign_pss(&self, message: &[u8]) -> Result<Vec<u8>, UseError> {
        self.sign(&RSA_PSS_SHA256, message)
    }

    /// Signs with PKCS#1 v1.5 and SHA-256 (`RS256`).
    ///
    /// # Errors
    ///
    /// [`UseError::Refused`] from AWS-LC.
    pub fn sign_pkcs1(&self, message: &[u8]) -> Result<Vec<u8>, UseError> {
        self.sign(&RSA_PKCS1_SHA256, message)
    }

    /// Decrypts OAEP with SHA-256, MGF1-SHA-256 and `label`, most often empty.
    ///
    /// # Errors
    ///
    /// [`UseError::Refused`], for every cause alike: telling them apart would help an attacker ([RFC 8017 §7.1.2](https://www.rfc-editor.org/rfc/rfc8017#section-7.1.2)).
    pub fn decrypt_oaep(&self, label: &[u8], ciphertext: &[u8]) -> Result<Secret<Vec<u8>>, UseError> {
        let mut out = Zeroizing::new(vec![0; self.oaep.min_output_size()]);
        let plaintext = self
            .oaep
            .decrypt(&OAEP_SHA256_MGF1SHA256, ciphertext, &mut out, some(label))
            .map_err(|_| UseError::Refused)?;
        Ok(Secret::new(plaintext.to_vec()))
    }

    fn sign(&self, encoding: &'static dyn RsaEncoding, message: &[u8]) -> Result<Vec<u8>, UseError> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair.sign(encoding, &SystemRandom::new(), message, &mut signature).map_err(|_| UseError::Refused)?;
        Ok(signature)
    }

    fn from_pair(pair: KeyPair) -> Result<Self, KeyError> {
        let public = RsaPublicKey::from_pkcs1(pair.public_key().as_ref())?;
        if !matches!((public.n.len(), public.n.first()), (256 | 512, Some(0x80..))) {
            return Err(KeyError::Malformed);
        }
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyError::Failed)?;
        let pkcs8 = Zeroizing::new(der.as_ref().to_vec());
        let oaep = PrivateDecryptingKey::from_pkcs8(&pkcs8)
            .map_err(|_| KeyError::Malformed)
            .and_then(|key| OaepPrivateDecryptingKey::new(key).map_err(|_| KeyError::Failed))?;
        Ok(Self { pair, oaep, pkcs8, public })
    }
}

impl std::fmt::Debug for RsaPrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RsaPrivateKey(..)")
    }
}

/// An RSA public key of 2048 to 8192 bits with an exponent from 65,537 to 2^33 - 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RsaPublicKey {
    n: Vec<u8>,
    e: Vec<u8>,
}

impl RsaPublicKey {
    /// Takes modulus and exponent, big-endian without leading zeros.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`] for an even number, a leading zero or a size out of bounds; [`KeyError::Weak`] for an exponent below 65,537.
    pub fn from_parts(n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        let odd = |number: &[u8]| {
            number.first().is_some_and(|top| *top != 0) && number.last().is_some_and(|low| low & 1 == 1)
        };
        // A larger exponent AWS-LC takes here and verifies nothing with.
        let large = e.len() > 5 || matches!(e, [2..=255, _, _, _, _]);
        if !odd(n) || !odd(e) || !(256..=1024).contains(&n.len()) || large {
            return Err(KeyError::Malformed);
        }
        if e.len() < 3 {
            return Err(KeyError::Weak);
        }
        let key = Self { n: n.to_vec(), e: e.to_vec() };
        key.encrypting()?; // AWS-LC checks sizes to the bit
        Ok(key)
    }

    /// Reads a PKCS#1 `RSAPublicKey`.
    ///
    /// # Errors
    ///
    /// As [`from_parts`](Self::from_parts).
    pub fn from_pkcs1(der: &[u8]) -> Result<Self, KeyError> {
        let mut reader = Reader::new(der::sequence(der)?);
        let (n, e) = (reader.positive()?, reader.positive()?);
        reader.finish()?;
        Self::from_parts(n, e)
    }

    /// Reads a `SubjectPublicKeyInfo` ([RFC 5280 §4.1](https://www.rfc-editor.org/rfc/rfc5280#section-4.1)).
    ///
    /// # Errors
    ///
    /// As [`from_parts`](Self::from_parts).
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let mut reader = Reader::new(der::sequence(der)?.strip_prefix(&ALGORITHM).ok_or(KeyError::Malformed)?);
        let bits = reader.element(der::BIT_STRING)?;
        reader.finish()?;
        Self::from_pkcs1(bits.strip_prefix(&[0]).ok_or(KeyError::Malformed)?)
    }

    /// The `SubjectPublicKeyInfo`.
    pub fn to_spki(&self) -> Vec<u8> {
        let key = der::element(der::SEQUENCE, &[&der::positive(&self.n), &der::positive(&self.e)]);
        der::element(der::SEQUENCE, &[&ALGORITHM, &der::element(der::BIT_STRING, &[&[0], &key])])
    }

    /// The key as a JWK.
    pub fn jwk(&self) -> Jwk {
        Jwk::Rsa { n: self.n.clone(), e: self.e.clone() }
    }

    /// Bits of the modulus.
    pub fn bits(&self) -> usize {
        let top = self.n.first().map_or(0, |top| top.leading_zeros());
        self.n.len() * 8 - top as usize
    }

    /// Whether `signature` is this key's PSS signature of `message`, with SHA-256 and 32 bytes of salt.
    #[must_use]
    pub fn verify_pss(&self, message: &[u8], signature: &[u8]) -> bool {
        self.components().verify(&RSA_PSS_2048_8192_SHA256, message, signature).is_ok()
    }

    /// Whether `signature` is this key's PKCS#1 v1.5 signature of `message`, with SHA-256.
    #[must_use]
    pub fn verify_pkcs1(&self, message: &[u8], signature: &[u8]) -> bool {
        self.components().verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
    }

    /// Encrypts with OAEP, SHA-256, MGF1-SHA-256 and `label`, most often empty.
    ///
    /// # Errors
    ///
    /// [`UseError::TooLong`] above the modulus less 66 bytes; [`UseError::Refused`] from AWS-LC.
    pub fn encrypt_oaep(&self, label: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, UseError> {
        if plaintext.len() + OAEP_OVERHEAD > self.n.len() {
            return Err(UseError::TooLong);
        }
        let key = self.encrypting().map_err(|_| UseError::Refused)?;
        let mut out = vec![0; key.ciphertext_size()];
        let length = key
            .encrypt(&OAEP_SHA256_MGF1SHA256, plaintext, &mut out, some(label))
            .map_err(|_| UseError::Refused)?
            .len();
        out.truncate(length);
        Ok(out)
    }

    fn components(&self) -> PublicKeyComponents<&[u8]> {
        PublicKeyComponents { n: &self.n, e: &self.e }
    }

    fn encrypting(&self) -> Result<OaepPublicEncryptingKey, KeyError> {
        let key: PublicEncryptingKey = self.components().try_into().map_err(|_| KeyError::Malformed)?;
        OaepPublicEncryptingKey::new(key).map_err(|_| KeyError::Failed)
    }
}

impl TryFrom<&Jwk> for RsaPublicKey {
    type Error = KeyError;

    fn try_from(jwk: &Jwk) -> Result<Self, KeyError> {
        match jwk {
            Jwk::Rsa { n, e } => Self::from_parts(n, e),
            Jwk::Okp { .. } | Jwk::Ec { .. } => Err(KeyError::Malformed),
        }
    }
}

const fn some(label: &[u8]) -> Option<&[u8]> {
    if label.is_empty() { None } else { Some(label) }
}
