//! SHA-256, and SHA-384 for signatures that are made elsewhere.

use aws_lc_rs::digest::{Context, Digest, SHA256, SHA384, digest};

/// SHA-256 of `data` (FIPS 180-4).
pub fn sha256(data: &[u8]) -> [u8; 32] {
    // At once: a context is memory that is asked for and given back.
    bytes(&digest(&SHA256, data))
}

/// SHA-384 of `data` (FIPS 180-4).
pub fn sha384(data: &[u8]) -> [u8; 48] {
    bytes(&digest(&SHA384, data))
}

/// SHA-256 of `data` as 64 lower-case hex digits.
pub fn sha256_hex(data: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&sha256(data))
}

/// SHA-256 of the parts one after the other. Nothing is put between them.
pub(crate) fn sha256_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    bytes(&context.finish())
}

// INVARIANT: who asks knows how long the digest is.
fn bytes<const N: usize>(digest: &Digest) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abc_hashes_as_fips_180_says() {
        assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(
            data_encoding::HEXLOWER
                .encode(&sha384(b"abc"))
                .starts_with("cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163")
        );
        assert_eq!(sha256_parts([b"a".as_slice(), b"bc"]), sha256(b"abc"));
    }
}
