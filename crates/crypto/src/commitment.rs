//! Salted commitments: personal data stays out of a signed or logged text and can still be shown to belong to it.

use crate::digest::sha256_parts;
use crate::frame;

/// `SHA-256(0x02 ‖ salt ‖ u32be length of name ‖ name ‖ value)`.
///
/// Without the salt the value cannot be guessed; with salt and value anybody can check. Destroying the salt erases the value for good.
pub fn commitment(salt: &[u8; 32], name: &str, value: &[u8]) -> [u8; 32] {
    let length = frame::length(name.as_bytes());
    sha256_parts([[0x02].as_slice(), salt, &length, name.as_bytes(), value])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salt_name_and_value_all_count() {
        let it = commitment(&[1; 32], "ref", b"MRN 42");
        assert_eq!(it, commitment(&[1; 32], "ref", b"MRN 42"));
        assert_ne!(it, commitment(&[2; 32], "ref", b"MRN 42"));
        assert_ne!(it, commitment(&[1; 32], "re", b"fMRN 42"));
        assert_ne!(it, commitment(&[1; 32], "ref", b"MRN 43"));
    }
}
