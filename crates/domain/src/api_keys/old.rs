//! Keys that another system issued: texts of any form, known by their SHA-256.
//!
//! What is stored of one is an HMAC of its SHA-256 under the pepper, so the plain digest that came with the import lies
//! nowhere; it is found by the first 32 bits of the SHA-256, which several keys may share (AK-02, AK-03, ADR 0017).

use chancery_crypto::{MacKey, Secret, sha256};

use crate::ids::ApiKeyId;

/// Shorter texts are nobody's key: they could be guessed.
const SHORTEST: usize = 16;
/// The longest.
const LONGEST: usize = 512;
/// What else than the secrets of our own keys is put under the pepper.
const LABEL: &[u8] = b"chancery/old-api-key/1";

/// Whether a text can be a key of another system; asked before anything is looked up.
pub fn can_be(text: &str) -> bool {
    (SHORTEST..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Under what a key is found: the first 32 bits of its SHA-256, in hex.
pub fn prefix(sha256: &[u8; 32]) -> String {
    let [a, b, c, d, ..] = sha256;
    format!("{a:02x}{b:02x}{c:02x}{d:02x}")
}

/// What is stored of a key.
pub fn digest(pepper: &MacKey, id: ApiKeyId, sha256: &[u8; 32]) -> [u8; 32] {
    pepper.mac(&[LABEL, &id.to_bytes(), sha256])
}

/// Whether a key with this SHA-256 is the one with this digest, in constant time.
pub(crate) fn fits(pepper: &MacKey, id: ApiKeyId, sha256: &[u8; 32], stored: &[u8; 32]) -> bool {
    pepper.verify(&[LABEL, &id.to_bytes(), sha256], stored)
}

/// The SHA-256 of a presented text.
pub(crate) fn sum(text: &Secret<String>) -> [u8; 32] {
    sha256(text.expose().as_bytes())
}

#[cfg(test)]
mod tests {
    use chancery_crypto::Key256;

    use super::*;

    #[test]
    fn a_key_fits_its_own_digest_under_its_own_id() {
        let pepper = MacKey::from(&Key256::from_bytes([5; 32]));
        let (id, other) = (ApiKeyId::from_bytes([1; 16]), ApiKeyId::from_bytes([2; 16]));
        let sum = sha256(b"sk_old_0123456789abcdef");
        let stored = digest(&pepper, id, &sum);
        assert!(fits(&pepper, id, &sum, &stored));
        assert!(!fits(&pepper, other, &sum, &stored));
        assert!(!fits(&pepper, id, &sha256(b"sk_old_0123456789abcdeg"), &stored));
        assert!(!fits(&MacKey::from(&Key256::from_bytes([6; 32])), id, &sum, &stored));
        assert_ne!(stored, sum);
    }

    #[test]
    fn the_prefix_is_32_bits() {
        assert_eq!(prefix(&sha256(b"")), "e3b0c442");
    }

    #[test]
    fn short_long_and_odd_texts_are_nobodys() {
        assert!(can_be(&"a".repeat(16)) && can_be(&"a".repeat(512)));
        for bad in
            ["", "a".repeat(15).as_str(), "a".repeat(513).as_str(), "sixteen letters!\u{e9}", "sixteen letters ok"]
        {
            assert!(!can_be(bad), "{bad}");
        }
    }
}
