//! Keys sealed under keys: profile 0x31, suite 0x01.
//!
//! ```text
//!  0  1  magic 0xF9     4  8  handle of the parent    76  n  the key, encrypted
//!  1  1  profile 0x31  12 32  salt                  76+n 16  tag
//!  2  1  suite 0x01    44 32  commitment
//!  3  1  zero                                         92 bytes more than the key
//! ```

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use crate::digest::sha256;
use crate::envelope::{MAGIC, ParseError, SUITE};
use crate::frame;
use crate::handle::Handle;
use crate::hazmat::{self, Prf, TAG};
use crate::random::{Random, RandomError};
use crate::secret::{Key256, Secret};

/// The second byte of a wrapped key.
pub const PROFILE_WRAP: u8 = 0x31;
/// The longest material that can be wrapped, in bytes: an RSA-4096 key in PKCS#8 has about 2,400.
pub const MATERIAL_MAX: usize = 1 << 16;
/// Bytes that wrapping adds.
pub const WRAP_OVERHEAD: usize = HEADER + TAG;

const PREFIX: usize = 44;
const HEADER: usize = 76;

/// What a wrapped key is for. Under another context it does not unwrap.
#[derive(Debug, Clone, Copy)]
pub struct WrapContext<'a> {
    /// The id of the key that wraps.
    pub parent: &'a [u8],
    /// The id of the key that is wrapped.
    pub child: &'a [u8],
    /// The one use of the child, such as `data`.
    pub purpose: &'a [u8],
    /// The child's version.
    pub version: u32,
}

impl WrapContext<'_> {
    /// `SHA-256("chancery/wrapctx/1" ‖ LV(parent) ‖ LV(child) ‖ LV(purpose) ‖ LV(u32be version))`.
    fn digest(&self) -> [u8; 32] {
        sha256(&frame::labelled(
            b"chancery/wrapctx/1",
            &[self.parent, self.child, self.purpose, &self.version.to_be_bytes()],
        ))
    }
}

/// Why a key was not wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// Above [`MATERIAL_MAX`].
    #[error("key material too long to wrap")]
    TooLong,
    /// The source of randomness gave nothing.
    #[error("could not draw a salt")]
    Random(#[from] RandomError),
    /// The cipher refused; memory ran out.
    #[error("could not wrap")]
    Failed,
}

/// Why a key was not unwrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnwrapError {
    /// The bytes are no wrapped key.
    #[error("malformed wrapped key")]
    Malformed(#[from] ParseError),
    /// The commitment differs: another parent, another context, or a changed header. Nothing was decrypted.
    #[error("wrong wrapping key or context")]
    WrongKeyOrContext,
    /// The commitment agrees and the tag does not: the ciphertext was changed.
    #[error("tampered")]
    Tampered,
}

/// A key that wraps keys and does nothing else.
pub struct WrappingKey {
    prf: Prf,
    handle: Handle,
}

impl WrappingKey {
    /// Takes a uniform key whose version is called `handle`.
    pub fn new(key: &Key256, handle: Handle) -> Self {
        Self { prf: Prf::new(key.expose()), handle }
    }

    /// The version this key belongs to; what it wraps carries it.
    pub const fn handle(&self) -> Handle {
        self.handle
    }

    /// Wraps `material` with a fresh 32-byte salt, and so a fresh key, commitment and 12-byte nonce:
    /// `HKDF-Expand-SHA-256(KEK, "chancery/wrap/1" ‖ bytes[0..44) ‖ SHA-256(ctx), 76)`. Two wraps of one key differ.
    ///
    /// # Errors
    ///
    /// [`WrapError`]; nothing is written then.
    pub fn wrap(&self, context: &WrapContext<'_>, material: &[u8], rng: &dyn Random) -> Result<Vec<u8>, WrapError> {
        if material.len() > MATERIAL_MAX {
            return Err(WrapError::TooLong);
        }
        let mut prefix = [0; PREFIX];
        let (head, salt) = prefix.split_at_mut(12);
        let (marks, handle) = head.split_at_mut(4);
        marks.copy_from_slice(&[MAGIC, PROFILE_WRAP, SUITE, 0]);
        handle.copy_from_slice(&self.handle.0);
        rng.fill(salt)?;
        let okm = self.okm(&prefix, context);
        let [key, commitment, last] = &*okm;
        let mut out = Vec::with_capacity(WRAP_OVERHEAD + material.len());
        out.extend_from_slice(&prefix);
        out.extend_from_slice(commitment);
        hazmat::seal_behind(key, nonce(last), &mut out, material).map_err(|_| WrapError::Failed)?;
        Ok(out)
    }

    /// Unwraps what [`wrap`](Self::wrap) made under the same key and context.
    ///
    /// # Errors
    ///
    /// [`UnwrapError`]; the commitment is compared in constant time before any decryption.
    pub fn unwrap(&self, context: &WrapContext<'_>, wrapped: &[u8]) -> Result<Secret<Vec<u8>>, UnwrapError> {
        parent_of(wrapped)?;
        let (header, body) = wrapped.split_at_checked(HEADER).ok_or(ParseError::TooShort)?;
        let (prefix, found) = header.split_first_chunk::<PREFIX>().ok_or(ParseError::TooShort)?;
        let okm = self.okm(prefix, context);
        let [key, commitment, last] = &*okm;
        verify_slices_are_equal(commitment, found).map_err(|_| UnwrapError::WrongKeyOrContext)?;
        hazmat::open(key, nonce(last), header, body).map(Secret::new).map_err(|_| UnwrapError::Tampered)
    }

    /// `[key, commitment, nonce and 20 bytes that are not used]`: Expand to 76 is a prefix of Expand to 96.
    fn okm(&self, prefix: &[u8; PREFIX], context: &WrapContext<'_>) -> Zeroizing<[[u8; 32]; 3]> {
        let mut scratch = [&[0; hazmat::BLOCK][..], b"chancery/wrap/1", prefix, &context.digest(), &[0]].concat();
        let mut out = Zeroizing::new([[0; 32]; 3]);
        hazmat::expand_in(&self.prf, &mut scratch, out.as_flattened_mut());
        out
    }
}

impl std::fmt::Debug for WrappingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WrappingKey({:?}, ..)", self.handle)
    }
}

/// The handle of the key that wrapped `wrapped`: which one to fetch.
///
/// # Errors
///
/// [`ParseError`] names the first thing that is wrong with the bytes.
pub fn parent_of(wrapped: &[u8]) -> Result<Handle, ParseError> {
    let (head, rest) = wrapped.split_first_chunk::<4>().ok_or(match wrapped.first() {
        Some(&MAGIC) => ParseError::TooShort,
        _ => ParseError::NotSealed,
    })?;
    match *head {
        [MAGIC, PROFILE_WRAP, SUITE, 0] => {}
        [MAGIC, PROFILE_WRAP, SUITE, _] => return Err(ParseError::ReservedFlag),
        [MAGIC, PROFILE_WRAP, ..] => return Err(ParseError::UnknownSuite),
        [MAGIC, ..] => return Err(ParseError::UnknownProfile),
        _ => return Err(ParseError::NotSealed),
    }
    if wrapped.len() < WRAP_OVERHEAD {
        return Err(ParseError::TooShort);
    }
    if wrapped.len() > WRAP_OVERHEAD + MATERIAL_MAX {
        return Err(ParseError::TooLong);
    }
    rest.first_chunk().copied().map(Handle).ok_or(ParseError::TooShort)
}

fn nonce(last: &[u8; 32]) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce.copy_from_slice(last.split_at(12).0);
    nonce
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use static_assertions::assert_not_impl_any;

    use super::*;
    use crate::SystemRandom;

    assert_not_impl_any!(WrappingKey: Clone, Copy, serde::Serialize);

    const PLACE: WrapContext<'static> = WrapContext { parent: b"root", child: b"key_1", purpose: b"data", version: 1 };

    fn parent() -> WrappingKey {
        WrappingKey::new(&Key256::from_bytes([4; 32]), Handle([8; 8]))
    }

    #[test]
    fn what_was_wrapped_unwraps_and_no_two_wraps_are_equal() {
        let one = parent().wrap(&PLACE, &[7; 32], &SystemRandom).unwrap();
        let two = parent().wrap(&PLACE, &[7; 32], &SystemRandom).unwrap();
        assert_eq!(one.len(), 32 + WRAP_OVERHEAD);
        assert_eq!(parent_of(&one), Ok(Handle([8; 8])));
        assert_eq!(parent().unwrap(&PLACE, &one).unwrap().expose(), &[7; 32]);
        assert_ne!(one[12..], two[12..]);
    }

    #[test]
    fn another_parent_or_context_does_not_unwrap_it() {
        let wrapped = parent().wrap(&PLACE, &[7; 32], &SystemRandom).unwrap();
        for place in [
            WrapContext { parent: b"roo", ..PLACE },
            WrapContext { child: b"key_2", ..PLACE },
            WrapContext { purpose: b"index", ..PLACE },
            WrapContext { version: 2, ..PLACE },
        ] {
            assert_eq!(parent().unwrap(&place, &wrapped).unwrap_err(), UnwrapError::WrongKeyOrContext);
        }
        let other = WrappingKey::new(&Key256::from_bytes([5; 32]), Handle([8; 8]));
        assert_eq!(other.unwrap(&PLACE, &wrapped).unwrap_err(), UnwrapError::WrongKeyOrContext);
    }

    #[test]
    fn a_flipped_bit_anywhere_does_not_unwrap() {
        let good = parent().wrap(&PLACE, &[7; 32], &SystemRandom).unwrap();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                let wanted = match at {
                    0 => UnwrapError::Malformed(ParseError::NotSealed),
                    1 => UnwrapError::Malformed(ParseError::UnknownProfile),
                    2 => UnwrapError::Malformed(ParseError::UnknownSuite),
                    3 => UnwrapError::Malformed(ParseError::ReservedFlag),
                    4..76 => UnwrapError::WrongKeyOrContext,
                    _ => UnwrapError::Tampered,
                };
                assert_eq!(parent().unwrap(&PLACE, &bad).unwrap_err(), wanted, "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn length_is_bounded_on_both_sides() {
        let good = parent().wrap(&PLACE, &[], &SystemRandom).unwrap();
        assert!(parent().unwrap(&PLACE, &good).unwrap().expose().is_empty());
        assert_eq!(parent_of(&[]), Err(ParseError::NotSealed));
        for short in 1..good.len() {
            assert_eq!(parent_of(&good[..short]), Err(ParseError::TooShort));
        }
        assert_eq!(parent().wrap(&PLACE, &vec![0; MATERIAL_MAX + 1], &SystemRandom), Err(WrapError::TooLong));
        let mut long = parent().wrap(&PLACE, &vec![0; MATERIAL_MAX], &SystemRandom).unwrap();
        assert!(parent().unwrap(&PLACE, &long).is_ok());
        long.push(0);
        assert_eq!(parent_of(&long), Err(ParseError::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), head in any::<bool>()) {
            let bytes = if head { [&[MAGIC, PROFILE_WRAP, SUITE, 0][..], &bytes].concat() } else { bytes };
            prop_assert!(parent().unwrap(&PLACE, &bytes).is_err());
        }
    }
}
