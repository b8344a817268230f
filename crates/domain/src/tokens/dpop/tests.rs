//! What a proof must not get away with.

use chancery_crypto::{KeyMaterial, KeyType, SystemRandom};
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://chancery.test";
const NOW: i64 = 1_790_000_000;
const TOKEN: &str = "e30.e30.e30";

fn key(key_type: KeyType) -> KeyMaterial {
    KeyMaterial::generate(key_type, &SystemRandom).unwrap()
}

fn public(key: &KeyMaterial) -> Jwk {
    key.public().unwrap().jwk()
}

fn header(key: &KeyMaterial) -> Value {
    let jwk = public(key);
    json!({"typ": "dpop+jwt", "alg": TokenAlgorithm::of(&jwk).unwrap().as_str(), "jwk": jwk})
}

fn claims() -> Value {
    let ath = BASE64URL_NOPAD.encode(&sha256(TOKEN.as_bytes()));
    json!({"jti": "1", "htm": "POST", "htu": "https://chancery.test/v1/seal", "iat": NOW, "ath": ath})
}

/// With another member; `null` takes it away.
fn with(mut object: Value, name: &str, value: Value) -> Value {
    match value {
        Value::Null => drop(object.as_object_mut().unwrap().remove(name)),
        value => object[name] = value,
    }
    object
}

fn signed(key: &KeyMaterial, header: &str, claims: &str) -> String {
    let algorithm = TokenAlgorithm::of(&public(key)).unwrap();
    let text = format!("{}.{}", BASE64URL_NOPAD.encode(header.as_bytes()), BASE64URL_NOPAD.encode(claims.as_bytes()));
    let signature = key.sign(algorithm.maths(), text.as_bytes()).unwrap();
    format!("{text}.{}", BASE64URL_NOPAD.encode(&signature))
}

fn judged(text: String) -> Result<HeldKey, &'static str> {
    let proof = PresentedProof { text: Secret::new(text), method: "POST".to_owned(), path: "/v1/seal".to_owned() };
    check(&proof, Some(TOKEN), ISSUER, Timestamp::from_seconds(NOW))
}

#[test]
fn each_algorithm_of_ours_proves_its_key() {
    for key_type in [KeyType::EcP256, KeyType::Ed25519, KeyType::Rsa2048] {
        let key = key(key_type);
        let checked = judged(signed(&key, &header(&key).to_string(), &claims().to_string())).unwrap();
        assert_eq!(checked.thumbprint, public(&key).thumbprint());
    }
}

#[test]
fn headers_that_say_something_else_are_refused() {
    let (key, other) = (key(KeyType::EcP256), key(KeyType::EcP256));
    let private = with(header(&key), "jwk", with(json!(public(&key)), "d", json!("AA")));
    let symmetric = with(header(&key), "jwk", json!({"kty": "oct", "k": "AA"}));
    for (what, header, why) in [
        ("a token's type", with(header(&key), "typ", json!("at+jwt")), "proof type"),
        ("no type", with(header(&key), "typ", Value::Null), "proof header"),
        ("alg none", with(header(&key), "alg", json!("none")), "proof algorithm is not that of its key"),
        ("an HMAC", with(header(&key), "alg", json!("HS256")), "proof algorithm is not that of its key"),
        ("RSA", with(header(&key), "alg", json!("RS256")), "proof algorithm is not that of its key"),
        ("another key", with(header(&key), "jwk", json!(public(&other))), "proof signature"),
        ("a private key", private, "proof header"),
        ("a symmetric key", symmetric, "proof header"),
        ("no key", with(header(&key), "jwk", Value::Null), "proof header"),
        ("a place of a key", with(header(&key), "jku", json!("https://evil.test")), "proof header"),
        ("an extension", with(header(&key), "crit", json!(["b64"])), "proof header"),
    ] {
        assert_eq!(judged(signed(&key, &header.to_string(), &claims().to_string())), Err(why), "{what}");
    }
    let good = signed(&key, &header(&key).to_string(), &claims().to_string());
    let (head, _) = good.rsplit_once('.').unwrap();
    for odd in [String::new(), "a.b".to_owned(), format!("{head}."), format!("{good}.AA"), format!("{good}=")] {
        assert_eq!(judged(odd.clone()), Err("malformed proof"), "{odd}");
    }
    assert_eq!(judged(format!("{head}.AAAA")), Err("proof signature"));
}

#[test]
fn claims_of_another_request_time_or_token_are_refused() {
    let key = key(KeyType::Ed25519);
    let judged_with = |claims: Value| judged(signed(&key, &header(&key).to_string(), &claims.to_string())).map(drop);
    for (name, value, why) in [
        ("htm", json!("GET"), "proof for another request"),
        ("htm", json!("post"), "proof for another request"),
        ("htu", json!("https://chancery.test/v1/open"), "proof for another request"),
        ("htu", json!("https://evil.test/v1/seal"), "proof for another request"),
        ("htu", json!("http://chancery.test/v1/seal"), "proof for another request"),
        ("htu", json!("https://chancery.test:8443/v1/seal"), "proof for another request"),
        ("htu", json!("/v1/seal"), "proof for another request"),
        ("htu", json!("https://chancery.test/v1/seal/"), "proof for another request"),
        ("htu", json!("https://chancery.test/V1/seal"), "proof for another request"),
        ("iat", json!(NOW - 61), "proof of another time"),
        ("iat", json!(NOW + 6), "proof of another time"),
        ("iat", json!(i64::MIN), "proof of another time"),
        ("iat", json!("1790000000"), "proof claims"),
        ("iat", json!(1_790_000_000.5), "proof claims"),
        ("ath", json!("AA"), "proof for another token"),
        ("ath", Value::Null, "proof for another token"),
        ("jti", json!(""), "proof id"),
        ("jti", json!("x".repeat(257)), "proof id"),
        ("jti", Value::Null, "proof claims"),
        ("htm", Value::Null, "proof claims"),
    ] {
        assert_eq!(judged_with(with(claims(), name, value.clone())), Err(why), "{name} {value}");
    }
    for htu in
        ["HTTPS://Chancery.Test/v1/seal", "https://chancery.test:443/v1/seal", "https://chancery.test/v1/seal?a=b#c"]
    {
        assert_eq!(judged_with(with(claims(), "htu", json!(htu))), Ok(()), "{htu}");
    }
    for (name, value) in [("iat", json!(NOW - 60)), ("iat", json!(NOW + 5)), ("nonce", json!("n")), ("x", json!({}))] {
        assert_eq!(judged_with(with(claims(), name, value.clone())), Ok(()), "{name} {value}");
    }
    let twice = claims().to_string().replacen("\"jti\"", "\"jti\":\"2\",\"jti\"", 1);
    assert_eq!(judged(signed(&key, &header(&key).to_string(), &twice)), Err("proof claims"));
}

#[test]
fn a_proof_is_remembered_by_its_key_and_id() {
    let (one, two) = (key(KeyType::EcP256), key(KeyType::EcP256));
    let digest = |key: &KeyMaterial, jti: &str| {
        judged(signed(key, &header(key).to_string(), &with(claims(), "jti", json!(jti)).to_string())).unwrap().digest
    };
    // ECDSA draws at random: the same claims, signed twice, are the same proof.
    assert_eq!(digest(&one, "1"), digest(&one, "1"));
    assert_ne!(digest(&one, "1"), digest(&one, "2"));
    assert_ne!(digest(&one, "1"), digest(&two, "1"));
}

#[test]
fn a_path_in_front_is_part_of_the_address() {
    assert!(is_target("https://h.test/auth/v1/seal", "https://h.test/auth/", "/v1/seal"));
    assert!(!is_target("https://h.test/v1/seal", "https://h.test/auth", "/v1/seal"));
    assert!(is_target("http://127.0.0.1:8700/oauth2/token", "http://127.0.0.1:8700", "/oauth2/token"));
}
