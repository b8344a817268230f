//! A 256-bit key in n shares, any k of which recover it and fewer tell nothing (Shamir 1979, bytewise over GF(256)).
//!
//! ```text
//!  0  1  version 1          3  8  set, random        27 32  value
//!  1  1  threshold k       11 16  commitment         59  6  checksum: SHA-256(bytes[0..59)), its first 6 bytes
//!  2  1  index, from 1
//! commitment = the first 16 bytes of HKDF-Expand-SHA-256(key, "chancery/share/1" ‖ LV(set) ‖ LV(k), 32)
//! value[i]   = key[i] + c1[i]·index + … + c(k-1)[i]·index^(k-1) in the field of AES, c random
//! text       = CHS1, then base32 of the 65 bytes in groups of four
//! ```
//!
//! The checksum finds slips of a pen; the commitment finds shares of another set and shares that were changed on purpose. The key is
//! uniform, so its commitment does not help to guess it.

mod gf256;
#[cfg(test)]
mod tests;

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

use crate::derive::derive_key;
use crate::digest::sha256;
use crate::random::{self, Random, RandomError};
use crate::secret::{Key256, Secret};

/// What the text form of a share begins with.
pub const SHARE_PREFIX: &str = "CHS1";

const VERSION: u8 = 1;
const SIGNED: usize = 59;
const LENGTH: usize = 65;
/// The longest text that is looked at: room for white space.
const TEXT_MAX: usize = 1024;

/// Why a key was not split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// There must be at least two shares to combine and at least as many in all.
    #[error("a key is split for 2 to 255 shares, of which 2 or more recover it")]
    Counts,
    /// The source of randomness gave nothing.
    #[error("could not draw shares")]
    Random(#[from] RandomError),
}

/// Why text is no share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// Not `CHS1` and 104 letters of base32.
    #[error("not a share")]
    NotAShare,
    /// The checksum differs: most likely a slip in copying.
    #[error("the share was copied wrongly")]
    Checksum,
}

/// Why shares gave no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CombineError {
    /// More shares are needed.
    #[error("{needed} shares are needed and {found} were given")]
    TooFew {
        /// The threshold that the shares name; 2 when there is none.
        needed: u8,
        /// How many were given.
        found: usize,
    },
    /// The shares are of different sets.
    #[error("shares of different sets")]
    Mixed,
    /// One share was given twice.
    #[error("share {0} was given twice")]
    Twice(u8),
    /// What came out is not the key that was split: at least one share was changed.
    #[error("at least one share is wrong")]
    Wrong,
}

/// One share of a key. Never prints; wiped on drop.
pub struct Share(Zeroizing<[u8; LENGTH]>);

impl Share {
    /// Which share of its set it is, from 1.
    pub fn index(&self) -> u8 {
        self.at(2)
    }

    /// How many shares recover the key.
    pub fn threshold(&self) -> u8 {
        self.at(1)
    }

    /// The name of the set in 16 hex digits: shares of one set have the same.
    pub fn set(&self) -> String {
        data_encoding::HEXLOWER.encode(self.part(3, 8))
    }

    /// The text form, for paper: `CHS1-` and 26 groups of four letters.
    pub fn to_text(&self) -> Secret<String> {
        let letters = Zeroizing::new(BASE32_NOPAD.encode(&*self.0));
        let mut text = String::with_capacity(SHARE_PREFIX.len() + letters.len() / 4 * 5);
        text.push_str(SHARE_PREFIX);
        for (at, letter) in letters.chars().enumerate() {
            if at.is_multiple_of(4) {
                text.push('-');
            }
            text.push(letter);
        }
        Secret::new(text)
    }

    /// Reads the text form. Case, hyphens and white space do not matter.
    ///
    /// # Errors
    ///
    /// [`ShareError`].
    pub fn from_text(text: &str) -> Result<Self, ShareError> {
        if text.len() > TEXT_MAX {
            return Err(ShareError::NotAShare);
        }
        let mut plain = Zeroizing::new(String::with_capacity(text.len()));
        plain.extend(
            text.chars().filter(|one| *one != '-' && !one.is_ascii_whitespace()).map(|one| one.to_ascii_uppercase()),
        );
        let letters = plain.strip_prefix(SHARE_PREFIX).ok_or(ShareError::NotAShare)?;
        let mut bytes = Zeroizing::new([0; LENGTH]);
        if BASE32_NOPAD.decode_len(letters.len()) != Ok(LENGTH) {
            return Err(ShareError::NotAShare);
        }
        BASE32_NOPAD.decode_mut(letters.as_bytes(), &mut *bytes).map_err(|_| ShareError::NotAShare)?;
        let share = Self(bytes);
        if share.checksum() != share.part(SIGNED, LENGTH - SIGNED) {
            return Err(ShareError::Checksum);
        }
        if share.at(0) != VERSION || share.index() == 0 || share.threshold() < 2 {
            return Err(ShareError::NotAShare);
        }
        Ok(share)
    }

    fn write(index: u8, head: &Head, value: &[u8; 32]) -> Self {
        let mut share = Self(Zeroizing::new([0; LENGTH]));
        let parts = [&[VERSION, head.threshold, index][..], &head.set, &head.commitment, value];
        for (to, from) in share.0.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        let checksum = share.checksum();
        for (to, from) in share.0.iter_mut().skip(SIGNED).zip(checksum) {
            *to = from;
        }
        share
    }

    fn checksum(&self) -> [u8; LENGTH - SIGNED] {
        let [a, b, c, d, e, f, ..] = sha256(self.part(0, SIGNED));
        [a, b, c, d, e, f]
    }

    /// Version aside, what all shares of a set have in common.
    fn head(&self) -> (u8, &[u8]) {
        (self.threshold(), self.part(3, 24))
    }

    fn value(&self) -> &[u8] {
        self.part(27, 32)
    }

    fn at(&self, place: usize) -> u8 {
        self.0.get(place).copied().unwrap_or_default()
    }

    fn part(&self, from: usize, length: usize) -> &[u8] {
        self.0.get(from..from + length).unwrap_or_default()
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Share({} of set {}, {} needed, ..)", self.index(), self.set(), self.threshold())
    }
}

/// What all shares of a set have in common.
struct Head {
    threshold: u8,
    set: [u8; 8],
    commitment: [u8; 16],
}

/// The commitment, bound to the set and its threshold.
fn commit(key: &Key256, set: &[u8], threshold: u8) -> [u8; 16] {
    let whole = derive_key(key, "chancery/share/1", &[set, &[threshold]]);
    let mut commitment = [0; 16];
    commitment.copy_from_slice(whole.expose().split_at(16).0);
    commitment
}

/// Splits `key` into `count` shares, any `threshold` of which recover it.
///
/// # Errors
///
/// [`SplitError`] unless 2 ≤ `threshold` ≤ `count`.
pub fn split(key: &Key256, threshold: u8, count: u8, rng: &dyn Random) -> Result<Vec<Share>, SplitError> {
    if threshold < 2 || count < threshold {
        return Err(SplitError::Counts);
    }
    let set = random::array(rng)?;
    let head = Head { threshold, set, commitment: commit(key, &set, threshold) };
    let mut coefficients = Zeroizing::new(vec![[0; 32]; usize::from(threshold) - 1]);
    rng.fill(coefficients.as_flattened_mut())?;
    let share = |index| {
        let mut value = Zeroizing::new([0; 32]);
        // Horner's rule from the highest coefficient down to the key.
        for coefficient in coefficients.iter().rev().chain([key.expose()]) {
            for (to, more) in value.iter_mut().zip(coefficient) {
                *to = gf256::mul(*to, index) ^ more;
            }
        }
        Share::write(index, &head, &value)
    };
    Ok((1..=count).map(share).collect())
}

/// Recovers the key. All shares given count, also those beyond the threshold: a wrong one among them is noticed.
///
/// # Errors
///
/// [`CombineError`]; no key leaves unless it is the one that was split.
pub fn combine(shares: &[Share]) -> Result<Key256, CombineError> {
    let found = shares.len();
    let first = shares.first().ok_or(CombineError::TooFew { needed: 2, found })?;
    if shares.iter().any(|share| share.head() != first.head()) {
        return Err(CombineError::Mixed);
    }
    if let Some(twice) = (1..=u8::MAX).find(|index| shares.iter().filter(|share| share.index() == *index).count() > 1) {
        return Err(CombineError::Twice(twice));
    }
    let needed = first.threshold();
    if found < usize::from(needed) {
        return Err(CombineError::TooFew { needed, found });
    }
    let mut key = Zeroizing::new([0; 32]);
    for share in shares {
        // Lagrange at 0: the product of x / (x − own), and minus is plus here. Indices are not secret.
        let others = shares.iter().map(Share::index).filter(|index| *index != share.index());
        let weight = others.fold(1, |product, x| gf256::mul(product, gf256::mul(x, gf256::invert(x ^ share.index()))));
        for (to, value) in key.iter_mut().zip(share.value()) {
            *to ^= gf256::mul(weight, *value);
        }
    }
    let key = Key256::from_bytes(*key);
    let commitment = commit(&key, first.part(3, 8), needed);
    verify_slices_are_equal(&commitment, first.part(11, 16)).map_err(|_| CombineError::Wrong)?;
    Ok(key)
}
