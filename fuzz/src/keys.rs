//! PKCS#8, PEM, SPKI and JWK.

use chancery_crypto::{
    Ed25519SigningKey, Jwk, KeyMaterial, KeyType, P256SigningKey, P384SigningKey, PublicKey, SystemRandom,
};

/// A private key in DER or PEM.
pub(crate) fn private(data: &[u8]) {
    let from_text = std::str::from_utf8(data).ok().and_then(|text| KeyMaterial::from_pem(text).ok());
    for key in [KeyMaterial::from_pkcs8(data).ok(), from_text].into_iter().flatten() {
        let public = key.public().unwrap();
        let again = KeyMaterial::from_pkcs8(key.to_pkcs8().unwrap().expose()).unwrap();
        assert_eq!(again.public().unwrap(), public);
        let again = KeyMaterial::from_pem(key.to_pem().unwrap().expose()).unwrap();
        assert_eq!((again.public().unwrap(), again.key_type()), (public, key.key_type()));
    }
    for key_type in [KeyType::Aes256, KeyType::Ed25519, KeyType::EcP256, KeyType::EcP384, KeyType::Rsa2048] {
        if let Ok(key) = KeyMaterial::from_material(key_type, data) {
            assert_eq!(key.key_type(), key_type);
        }
    }
}

/// Keys that are quickly made. RSA keys come from files: drawing one takes too long here.
fn made() -> Vec<KeyMaterial> {
    vec![
        KeyMaterial::Ed25519(Ed25519SigningKey::make(&SystemRandom).unwrap()),
        KeyMaterial::EcP256(P256SigningKey::make().unwrap()),
        KeyMaterial::EcP384(P384SigningKey::make().unwrap()),
    ]
}

pub(crate) fn private_seeds() -> Vec<Vec<u8>> {
    let both = |key: &KeyMaterial| {
        [key.to_pkcs8().unwrap().expose().clone(), key.to_pem().unwrap().expose().clone().into_bytes()]
    };
    made().iter().flat_map(both).collect()
}

/// A public key in DER or PEM. Every accepted spelling is the one that is written; a signature of noise never verifies.
pub(crate) fn public(data: &[u8]) {
    if let Ok(key) = PublicKey::from_spki(data) {
        assert_eq!(key.to_spki(), data, "two spellings of one key");
        check_public(&key, data);
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(key) = PublicKey::from_pem(text)
    {
        assert_eq!(PublicKey::from_pem(&key.to_pem()).unwrap(), key);
        check_public(&key, data);
    }
}

fn check_public(key: &PublicKey, noise: &[u8]) {
    assert_eq!(PublicKey::from_spki(&key.to_spki()).unwrap(), *key);
    let jwk: serde_json::Value = serde_json::to_value(key.jwk()).unwrap();
    assert_eq!(serde_json::from_value::<Jwk>(jwk).unwrap(), key.jwk());
    for algorithm in key.key_type().map_or(&[][..], KeyType::signs_with) {
        assert!(!key.verify(*algorithm, b"message", noise), "noise verified");
    }
}

pub(crate) fn public_seeds() -> Vec<Vec<u8>> {
    let both = |key: &KeyMaterial| {
        let key = key.public().unwrap();
        [key.to_spki(), key.to_pem().into_bytes()]
    };
    made().iter().flat_map(both).collect()
}

/// A JWK. What is accepted writes the same key again, under one thumbprint.
pub(crate) fn jwk(data: &[u8]) {
    let Ok(jwk) = serde_json::from_slice::<Jwk>(data) else { return };
    let again: Jwk = serde_json::from_str(&serde_json::to_string(&jwk).unwrap()).unwrap();
    assert_eq!(again, jwk);
    assert_eq!(again.thumbprint(), jwk.thumbprint());
    if let Ok(key) = PublicKey::try_from(&jwk) {
        assert_eq!(key.jwk(), jwk, "two JWKs of one key");
        check_public(&key, data);
    }
}

pub(crate) fn jwk_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<_> =
        made().iter().map(|key| serde_json::to_vec(&key.public().unwrap().jwk()).unwrap()).collect();
    seeds.push(br#"{"kty":"RSA","n":"sXchDaQebHnPiGvyDOAT4saGEUetSyo9MKLOoWFsueri","e":"AQAB","d":"AA"}"#.to_vec());
    seeds
}
