//! Terms: keyed, truncated hashes that find a sealed value by equality.

use data_encoding::HEXLOWER;

use crate::frame;
use crate::hazmat::{self, Prf};
use crate::secret::Key256;

/// A term cannot have this many bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a term has 8 to 256 bits in steps of 8, not {0}")]
pub struct TermError(pub u16);

/// The key of one index under one version of the index root.
pub struct IndexKey(Prf);

impl IndexKey {
    /// `HKDF-Expand-SHA-256(root, "chancery/bidx/1" ‖ LV(tenant) ‖ LV(table) ‖ LV(index), 32)`.
    pub fn derive(root: &Key256, tenant: &[u8], table: &[u8], index: &[u8]) -> Self {
        let info = frame::labelled(b"chancery/bidx/1", &[tenant, table, index]);
        Self(Prf::new(&*hazmat::expand::<32>(&Prf::new(root.expose()), &info)))
    }

    /// The first `bits` of `HMAC-SHA-256(key, LV(normaliser) ‖ LV(partition) ‖ LV(normalised))` in lower-case hex, two digits a byte.
    ///
    /// `normaliser` is its id and version, such as `email/1`; `partition` is empty for an index without partitions. Few bits mean
    /// false hits by intent, so the caller compares after opening.
    ///
    /// # Errors
    ///
    /// [`TermError`] unless `bits` is a multiple of 8 from 8 to 256.
    pub fn term(&self, normaliser: &str, partition: &[u8], normalised: &[u8], bits: u16) -> Result<String, TermError> {
        if bits == 0 || bits > 256 || !bits.is_multiple_of(8) {
            return Err(TermError(bits));
        }
        let normaliser = normaliser.as_bytes();
        let lengths = [frame::length(normaliser), frame::length(partition), frame::length(normalised)];
        let [a, b, c] = &lengths;
        let hash = self.0.mac_parts([a.as_slice(), normaliser, b, partition, c, normalised]);
        Ok(HEXLOWER.encode(hash.get(..usize::from(bits / 8)).ok_or(TermError(bits))?))
    }
}

/// The form of a term over several values: `LV(part)…`, so that no byte moves from one to the next.
pub fn compound_form(parts: &[&[u8]]) -> Vec<u8> {
    frame::labelled(b"", parts)
}

impl std::fmt::Debug for IndexKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IndexKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> IndexKey {
        IndexKey::derive(&Key256::from_bytes([3; 32]), b"ten_1", b"users", b"email")
    }

    #[test]
    fn equal_values_have_equal_terms_and_others_not() {
        let term = key().term("email/1", b"", b"jane@example.com", 64).unwrap();
        assert_eq!(term.len(), 16);
        assert_eq!(key().term("email/1", b"", b"jane@example.com", 64).unwrap(), term);
        assert_ne!(key().term("email/2", b"", b"jane@example.com", 64).unwrap(), term);
        assert_ne!(key().term("email/1", b"1", b"jane@example.com", 64).unwrap(), term);
        assert_ne!(key().term("email/1", b"", b"joan@example.com", 64).unwrap(), term);
        let elsewhere = IndexKey::derive(&Key256::from_bytes([3; 32]), b"ten_2", b"users", b"email");
        assert_ne!(elsewhere.term("email/1", b"", b"jane@example.com", 64).unwrap(), term);
    }

    #[test]
    fn fewer_bits_are_a_prefix_and_256_fill_64_digits() {
        let full = key().term("email/1", b"", b"x", 256).unwrap();
        assert_eq!(full.len(), 64);
        assert_eq!(key().term("email/1", b"", b"x", 8).unwrap(), full[..2]);
    }

    #[test]
    fn a_compound_form_keeps_its_parts_apart() {
        assert_eq!(compound_form(&[b"ab", b"c"]), b"\0\0\0\x02ab\0\0\0\x01c");
        assert_ne!(compound_form(&[b"ab", b"c"]), compound_form(&[b"a", b"bc"]));
    }

    #[test]
    fn odd_sizes_are_refused() {
        for bits in [0, 1, 7, 9, 12, 257, 264, u16::MAX] {
            assert_eq!(key().term("email/1", b"", b"x", bits), Err(TermError(bits)));
        }
    }
}
