//! What issuers outside send: tokens up to the question whose they are, and key sets.

use chancery_crypto::{PublicKey, SignatureAlgorithm};
use chancery_domain::identity_providers::{AudienceClaim, hostile};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value, json};

const OWN: &str = "https://chancery.example";

/// A token of an issuer outside. What is taken has one spelling, is told from our own by its `iss` alone, brings no key along, and
/// is bound to no key by anybody's rules.
pub(crate) fn foreign_token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let foreign = hostile::is_foreign(text, OWN);
    let Some(token) = hostile::token(text) else { return };
    assert!(text.len() <= 8 * 1024, "a token above 8 KiB");
    let whole = format!("{}.{}", token.signed, BASE64URL_NOPAD.encode(&token.signature));
    assert_eq!(whole, text, "two spellings of one token");
    let (header, claims) = token.signed.split_once('.').unwrap();
    let read = |part: &str| -> Map<String, Value> {
        serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
    };
    assert_eq!((read(header), read(claims)), (token.header.clone(), token.claims.clone()));
    let issuer = token.claims.get("iss").and_then(Value::as_str);
    assert_eq!(foreign, issuer.is_some_and(|issuer| issuer != OWN), "whose it is depends on who looks");
    if let Some((algorithm, kid)) = &token.addressed {
        let known = ["alg", "kid", "typ", "x5t", "x5t#S256"];
        assert!(token.header.keys().all(|name| known.contains(&name.as_str())), "a header brings something along");
        assert!((1..=255).contains(&kid.len()) && kid.bytes().all(|byte| byte.is_ascii_graphic()));
        let said = token.header.get("alg").and_then(Value::as_str).unwrap();
        let shared = said.starts_with("HS") || said.eq_ignore_ascii_case("none");
        assert!(!shared || algorithm.is_none(), "`{said}` is taken");
    }
    for (claim, audience) in &token.audiences {
        assert!(token.claims.contains_key(claim.as_str()), "an audience out of nowhere");
        assert!(*claim == AudienceClaim::Aud || token.claims.get(claim.as_str()) == Some(&json!(audience)));
    }
    for (profile, subject) in &token.kinds {
        let bound = token.claims.contains_key("cnf") || token.claims.contains_key("events");
        assert!(!bound, "{profile} takes a bound token or an event");
        // Entra's is a directory and a person.
        assert!(subject.as_ref().is_none_or(|text| (1..=511).contains(&text.len())));
        assert!(subject.as_ref().is_none_or(|text| !text.chars().any(char::is_control)));
    }
}

fn compact(header: &Value, claims: &Value) -> Vec<u8> {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    format!("{}.{}.{}", part(header), part(claims), BASE64URL_NOPAD.encode(&[7; 64])).into_bytes()
}

pub(crate) fn foreign_token_seeds() -> Vec<Vec<u8>> {
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": "key-1"});
    let claims = |more: Value| {
        let mut claims = json!({"iss": "https://id.clinic.example", "aud": ["clinic-api", "https://id.clinic.example/userinfo"],
            "sub": "auth0|5f7c8ec7c33c6c004bbafe82", "azp": "web", "iat": 1_790_000_000, "exp": 1_790_000_600, "roles": ["doctor"]});
        let all = claims.as_object_mut().unwrap();
        all.extend(more.as_object().unwrap().clone());
        claims
    };
    let directory = "11111111-2222-3333-4444-555555555555";
    let entra = json!({"iss": format!("https://login.microsoftonline.com/{directory}/v2.0"), "tid": directory, "oid": "o", "ver": "2.0"});
    vec![
        compact(&header, &claims(json!({}))),
        compact(&header, &claims(json!({"iss": OWN}))),
        compact(&json!({"alg": "RS256", "kid": "k", "x5t": "a", "x5t#S256": "b"}), &claims(entra)),
        compact(
            &header,
            &claims(json!({"token_use": "access", "client_id": "c", "cognito:groups": ["a"], "aud": "x"})),
        ),
        compact(&header, &claims(json!({"typ": "Bearer", "realm_access": {"roles": ["a"]}, "jti": "j"}))),
        compact(&header, &claims(json!({"cid": "c", "scp": ["a b"], "uid": "u", "nonce": "n"}))),
        compact(&header, &claims(json!({"cnf": {"jkt": "x"}, "events": {}}))),
        compact(&json!({"alg": "HS256", "kid": "k"}), &claims(json!({}))),
        compact(&json!({"alg": "none", "kid": "k", "crit": ["b64"], "b64": false, "jwk": {}}), &claims(json!({}))),
        b"eyJhbGciOiJSUzI1NiIsImtpZCI6ImEiLCJraWQiOiJhIn0.eyJpc3MiOiJhIiwiaXNzIjoiYiJ9.AA".to_vec(),
    ]
}

/// A key set. Each key that is taken has an id, fits the algorithm that it names, verifies no noise, and is none of a set's that
/// has more than 50.
pub(crate) fn key_set(data: &[u8]) {
    let (mut keys, mut said) = (Vec::new(), Vec::new());
    let taken = hostile::key_set(data, |kid, alg, key| {
        assert!((1..=255).contains(&kid.len()), "a key without an id");
        let maths = maths_of(key);
        let named = alg.map(|alg| alg.as_str());
        assert!(named.is_none_or(|alg| maths.iter().any(|(name, _)| *name == alg)), "a key that makes no {named:?}");
        for (_, algorithm) in maths {
            assert!(!key.verify(*algorithm, b"message", data), "noise verified");
        }
        if let PublicKey::Rsa(rsa) = key {
            assert!(rsa.bits() >= 2_048, "a short key");
        }
        let mut jwk = serde_json::to_value(key.jwk()).unwrap();
        put(&mut jwk, "kid", kid);
        if let Some(alg) = alg {
            put(&mut jwk, "alg", alg.as_str());
        }
        keys.push(jwk);
        said.push((kid.to_owned(), named, key.jwk().thumbprint()));
    });
    assert_eq!(taken, !keys.is_empty(), "a set without a key");
    assert!(keys.len() <= 50);
    if taken {
        // What is kept of a set is a set that says the same.
        let mut again = Vec::new();
        let body = json!({"keys": keys}).to_string();
        assert!(hostile::key_set(body.as_bytes(), |kid, alg, key| {
            again.push((kid.to_owned(), alg.map(|alg| alg.as_str()), key.jwk().thumbprint()));
        }));
        assert_eq!(again, said);
    }
}

fn put(object: &mut Value, name: &str, text: &str) {
    object.as_object_mut().unwrap().insert(name.to_owned(), json!(text));
}

/// What such a key can verify.
fn maths_of(key: &PublicKey) -> &'static [(&'static str, SignatureAlgorithm)] {
    match key {
        PublicKey::Rsa(_) => &[("RS256", SignatureAlgorithm::Rs256), ("PS256", SignatureAlgorithm::Ps256)],
        PublicKey::EcP256(_) => &[("ES256", SignatureAlgorithm::Es256)],
        PublicKey::EcP384(_) => &[("ES384", SignatureAlgorithm::Es384)],
        PublicKey::Ed25519(_) => &[("EdDSA", SignatureAlgorithm::EdDsa)],
    }
}

pub(crate) fn key_set_seeds() -> Vec<Vec<u8>> {
    let made: Vec<Value> = super::keys::jwk_seeds()
        .iter()
        .filter_map(|seed| serde_json::from_slice(seed).ok())
        .map(|mut key: Value| {
            put(&mut key, "kid", "key-1");
            put(&mut key, "use", "sig");
            key
        })
        .collect();
    // Any odd number of 2,048 bits is a modulus as far as a verifier can see.
    let rsa = json!({"kty": "RSA", "kid": "rsa-1", "alg": "RS256", "e": "AQAB", "n": BASE64URL_NOPAD.encode(&[0xC5; 256]), "x5c": ["x"]});
    let others = [
        json!({"kty": "oct", "kid": "s", "k": "c2VjcmV0", "alg": "HS256"}),
        json!({"kty": "RSA", "kid": "enc", "use": "enc", "e": "AQAB", "n": "AQ"}),
    ];
    let set = |keys: &[Value]| json!({"keys": keys}).to_string().into_bytes();
    vec![set(&made), set(std::slice::from_ref(&rsa)), set(&[made.as_slice(), &[rsa], &others].concat()), set(&[])]
}
