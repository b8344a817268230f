//! HMAC-SHA-1, which some senders of webhooks still compute.

use crate::hazmat;

/// HMAC-SHA-1 of `message` (RFC 2202), to check what another system sent. Never for anything new.
pub fn hmac_sha1(key: &[u8], message: &[u8]) -> [u8; 20] {
    hazmat::hmac_sha1(key, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_one_of_rfc_2202() {
        let tag = hmac_sha1(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(data_encoding::HEXLOWER.encode(&tag), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    }
}
