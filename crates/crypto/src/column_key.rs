//! Seals and opens lone fields.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use crate::context::ContextDigest;
use crate::envelope::{
    Flags, HEADER, MAGIC, OVERHEAD, PLAINTEXT_MAX, PREFIX, PROFILE_FIELD, SUITE, Sealed, TEXT_PREFIX,
};
use crate::frame;
use crate::handle::Handle;
use crate::hazmat::{self, BLOCK, Prf};
use crate::random::{Random, RandomError};
use crate::secret::{Key256, Secret};

const LABEL: &[u8; 14] = b"chancery/env/1";
/// `LABEL ‖ bytes[0..36) ‖ SHA-256(ctx)`.
const INFO: usize = LABEL.len() + PREFIX + 32;

/// Why a value was not sealed. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Above [`PLAINTEXT_MAX`].
    #[error("value too long to seal")]
    TooLong,
    /// The plaintext is itself a sealed value, in bytes or text: most likely a caller's mistake, and it would hide a key version from the census.
    #[error("value is sealed already")]
    AlreadySealed,
    /// The source of randomness gave nothing.
    #[error("could not draw a salt")]
    Random(#[from] RandomError),
    /// The cipher refused; memory ran out.
    #[error("could not seal")]
    Failed,
}

/// Why a value did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The commitment differs: another key, another place, or a changed header. Nothing was decrypted.
    #[error("wrong key or context")]
    WrongKeyOrContext,
    /// The commitment agrees and the tag does not: the ciphertext was changed.
    #[error("tampered")]
    Tampered,
}

/// The key of one column under one version of the data root. Wiped on drop, never printed, never stored.
pub struct ColumnKey {
    prf: Prf,
    handle: Handle,
}

impl ColumnKey {
    /// `HKDF-Expand-SHA-256(root, "chancery/col/1" ‖ LV(tenant) ‖ LV(table) ‖ LV(column), 32)`; `handle` names the version of `root`.
    pub fn derive(root: &Key256, handle: Handle, tenant: &[u8], table: &[u8], column: &[u8]) -> Self {
        let info = frame::labelled(b"chancery/col/1", &[tenant, table, column]);
        let key = hazmat::expand::<32>(&Prf::new(root.expose()), &info);
        Self { prf: Prf::new(&*key), handle }
    }

    /// Takes a key that is not derived from a data root, such as a person's own key. `key` must be uniform and have this use only.
    pub fn from_key(key: &Key256, handle: Handle) -> Self {
        Self { prf: Prf::new(key.expose()), handle }
    }

    /// The version this key belongs to; what it seals carries it.
    pub const fn handle(&self) -> Handle {
        self.handle
    }

    /// Seals `plaintext` for the place of `context`, under a message key of its own.
    ///
    /// 24 bytes of salt per value: 2^80 values under one column key before two salts meet with a chance of 2^-32.
    ///
    /// # Errors
    ///
    /// [`SealError`]; nothing is written then.
    pub fn seal(
        &self,
        context: &ContextDigest,
        flags: Flags,
        plaintext: &[u8],
        rng: &dyn Random,
    ) -> Result<Sealed, SealError> {
        if plaintext.len() > PLAINTEXT_MAX {
            return Err(SealError::TooLong);
        }
        if plaintext.starts_with(&[MAGIC, PROFILE_FIELD]) || plaintext.starts_with(TEXT_PREFIX.as_bytes()) {
            return Err(SealError::AlreadySealed);
        }
        let mut prefix = [0; PREFIX];
        let (head, salt) = prefix.split_at_mut(12);
        let (marks, handle) = head.split_at_mut(4);
        marks.copy_from_slice(&[MAGIC, PROFILE_FIELD, SUITE, flags.to_byte()]);
        handle.copy_from_slice(&self.handle.0);
        rng.fill(salt)?;
        let message = self.message(&prefix, context);
        let [key, commitment] = &*message;
        let mut bytes = Vec::with_capacity(OVERHEAD + plaintext.len());
        bytes.extend_from_slice(&prefix);
        bytes.extend_from_slice(commitment);
        hazmat::seal_behind(key, nonce(&prefix), &mut bytes, plaintext).map_err(|_| SealError::Failed)?;
        Ok(Sealed::written(bytes, self.handle, flags))
    }

    /// Opens a sealed value at the place of `context`.
    ///
    /// # Errors
    ///
    /// - [`OpenError::WrongKeyOrContext`]: found by comparing the commitment in constant time, before any decryption.
    /// - [`OpenError::Tampered`]: the tag does not match; no plaintext leaves.
    pub fn open(&self, context: &ContextDigest, sealed: &Sealed) -> Result<Secret<Vec<u8>>, OpenError> {
        let short = OpenError::WrongKeyOrContext; // INVARIANT: a `Sealed` has at least 84 bytes
        let (header, body) = sealed.as_bytes().split_at_checked(HEADER).ok_or(short)?;
        let (prefix, found) = header.split_first_chunk::<PREFIX>().ok_or(short)?;
        let message = self.message(prefix, context);
        let [key, commitment] = &*message;
        verify_slices_are_equal(commitment, found).map_err(|_| OpenError::WrongKeyOrContext)?;
        hazmat::open(key, nonce(prefix), header, body).map(Secret::new).map_err(|_| OpenError::Tampered)
    }

    fn message(&self, prefix: &[u8; PREFIX], context: &ContextDigest) -> Message {
        let mut scratch = [0; BLOCK + INFO + 1];
        let (label, rest) = scratch.split_at_mut(BLOCK).1.split_at_mut(LABEL.len());
        let (head, place) = rest.split_at_mut(PREFIX);
        label.copy_from_slice(LABEL);
        head.copy_from_slice(prefix);
        place.split_at_mut(context.0.len()).0.copy_from_slice(&context.0);
        let mut out = Zeroizing::new([[0; 32]; 2]);
        hazmat::expand_in(&self.prf, &mut scratch, out.as_flattened_mut());
        out
    }
}

impl std::fmt::Debug for ColumnKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ColumnKey({:?}, ..)", self.handle)
    }
}

/// `[key, commitment]` of one message. The key is used once and never stored.
type Message = Zeroizing<[[u8; 32]; 2]>;

/// The key is single use, so any fixed rule is safe: the second half of the salt.
fn nonce(prefix: &[u8; PREFIX]) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce.copy_from_slice(prefix.split_at(24).1);
    nonce
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use static_assertions::assert_not_impl_any;

    use super::*;
    use crate::{Context, ParseError, SystemRandom};

    assert_not_impl_any!(ColumnKey: Clone, Copy, serde::Serialize);

    const HANDLE: Handle = Handle([1, 2, 3, 4, 5, 6, 7, 8]);
    const PLACE: Context<'static> = Context {
        tenant: b"ten_1",
        domain: b"data",
        table: b"patients",
        column: b"name",
        row: b"42",
        generation: b"",
        schema_type: b"text",
    };

    fn key() -> ColumnKey {
        ColumnKey::derive(&Key256::from_bytes([9; 32]), HANDLE, PLACE.tenant, PLACE.table, PLACE.column)
    }

    fn sealed() -> Sealed {
        key().seal(&PLACE.digest(), Flags::ROW, b"Jane Doe", &SystemRandom).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_in_its_place() {
        let sealed = sealed();
        assert_eq!(sealed.as_bytes().len(), 8 + 84);
        assert_eq!((sealed.handle(), sealed.flags()), (HANDLE, Flags::ROW));
        let read = Sealed::from_text(&sealed.to_text()).unwrap();
        assert_eq!(key().open(&PLACE.digest(), &read).unwrap().expose(), b"Jane Doe");
    }

    #[test]
    fn two_seals_of_one_value_share_only_the_head() {
        let (one, two) = (sealed().into_bytes(), sealed().into_bytes());
        assert_eq!(one[..12], two[..12]);
        assert_ne!(one[12..36], two[12..36]);
        assert_ne!(one[36..68], two[36..68]);
        assert_ne!(one[68..], two[68..]);
    }

    #[test]
    fn a_moved_value_does_not_open() {
        let sealed = sealed();
        for place in [
            Context { tenant: b"ten_2", ..PLACE },
            Context { table: b"visits", ..PLACE },
            Context { column: b"address", ..PLACE },
            Context { row: b"43", ..PLACE },
            Context { row: b"", ..PLACE },
            Context { generation: b"2", ..PLACE },
            Context { schema_type: b"bytes", ..PLACE },
        ] {
            assert_eq!(key().open(&place.digest(), &sealed).unwrap_err(), OpenError::WrongKeyOrContext);
        }
        for other in [
            ColumnKey::derive(&Key256::from_bytes([8; 32]), HANDLE, PLACE.tenant, PLACE.table, PLACE.column),
            ColumnKey::derive(&Key256::from_bytes([9; 32]), HANDLE, b"ten_2", PLACE.table, PLACE.column),
            ColumnKey::derive(&Key256::from_bytes([9; 32]), HANDLE, PLACE.tenant, PLACE.table, b"address"),
        ] {
            assert_eq!(other.open(&PLACE.digest(), &sealed).unwrap_err(), OpenError::WrongKeyOrContext);
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_does_not_open() {
        let good = sealed().into_bytes();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                let found = Sealed::from_bytes(bad).map(|sealed| key().open(&PLACE.digest(), &sealed).unwrap_err());
                let wanted = match (at, bit) {
                    (0, _) => Err(ParseError::NotSealed),
                    (1, _) => Err(ParseError::UnknownProfile),
                    (2, _) => Err(ParseError::UnknownSuite),
                    (3, 1..) => Err(ParseError::ReservedFlag),
                    (..68, _) => Ok(OpenError::WrongKeyOrContext),
                    _ => Ok(OpenError::Tampered),
                };
                assert_eq!(found, wanted, "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_cut_or_stretched_value_does_not_open() {
        let good = sealed().into_bytes();
        for length in 84..good.len() {
            let cut = Sealed::from_bytes(good[..length].to_vec()).unwrap();
            assert_eq!(key().open(&PLACE.digest(), &cut).unwrap_err(), OpenError::Tampered);
        }
        let longer = Sealed::from_bytes([&good[..], &[0]].concat()).unwrap();
        assert_eq!(key().open(&PLACE.digest(), &longer).unwrap_err(), OpenError::Tampered);
    }

    #[test]
    fn sealing_has_bounds() {
        let seal = |plaintext: &[u8]| key().seal(&PLACE.digest(), Flags::COLUMN, plaintext, &SystemRandom);
        assert_eq!(seal(&vec![0; PLAINTEXT_MAX + 1]).unwrap_err(), SealError::TooLong);
        let longest = seal(&vec![7; PLAINTEXT_MAX]).unwrap();
        assert_eq!(key().open(&PLACE.digest(), &longest).unwrap().expose().len(), PLAINTEXT_MAX);
        assert!(key().open(&PLACE.digest(), &seal(b"").unwrap()).unwrap().expose().is_empty());
        assert_eq!(seal(sealed().as_bytes()).unwrap_err(), SealError::AlreadySealed);
        assert_eq!(seal(sealed().to_text().as_bytes()).unwrap_err(), SealError::AlreadySealed);
        assert!(seal(b"chy1").is_ok());
    }

    #[test]
    fn without_randomness_nothing_is_sealed() {
        struct Dry;
        impl Random for Dry {
            fn fill(&self, _: &mut [u8]) -> Result<(), RandomError> {
                Err(RandomError)
            }
        }
        assert_eq!(key().seal(&PLACE.digest(), Flags::ROW, b"x", &Dry).unwrap_err(), SealError::Random(RandomError));
    }

    proptest! {
           #[test]
           fn any_value_opens_as_it_was(plaintext in proptest::collection::vec(any::<u8>(), 0..300), row in any::<[u8; 16]>()) {
               let place = Context { row: &row, ..PLACE }.digest();
               match key().seal(&place, Flags::ROW, &plaintext, &SystemRandom) {
                   Ok(sealed) => {
    let opened = key().open(&place, &sealed).unwrap();
    prop_assert_eq!(opened.expose(), &plaintext);
    }
                   Err(error) => prop_assert_eq!(error, SealError::AlreadySealed),
               }
           }
       }
}
