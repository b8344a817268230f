//! What a token with a right signature must not get away with, and what one without must not either.

use chancery_crypto::{KeyMaterial, KeyType, SystemRandom};
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://chancery.test";
const NOW: i64 = 1_790_000_000;

fn key(key_type: KeyType) -> KeyMaterial {
    KeyMaterial::generate(key_type, &SystemRandom).unwrap()
}

fn jwk(key: &KeyMaterial) -> Jwk {
    key.public().unwrap().jwk()
}

fn header(key: &KeyMaterial) -> Value {
    let public = jwk(key);
    json!({"typ": "at+jwt", "alg": TokenAlgorithm::of(&public).unwrap().as_str(), "kid": public.thumbprint()})
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": ISSUER, "sub": UserId::from_bytes([1; 16]), "client_id": "chancery",
        "iat": NOW, "exp": NOW + 900, "jti": TokenId::from_bytes([2; 16]), "tenant_id": TenantId::from_bytes([3; 16]),
        "username": "zoe", "roles": ["staff"], "type": "access", "sid": SessionId::from_bytes([4; 16]),
        "amr": ["pwd"], "auth_time": NOW,
    })
}

fn client_claims() -> Value {
    let id = ApiKeyId::from_bytes([5; 16]);
    with(claims(), &[("sub", json!(id)), ("client_id", json!(id)), ("sid", Value::Null), ("auth_time", Value::Null)])
}

/// With other members; `null` takes one away.
fn with(mut object: Value, changes: &[(&str, Value)]) -> Value {
    for (name, value) in changes {
        match value {
            Value::Null => drop(object.as_object_mut().unwrap().remove(*name)),
            value => object[*name] = value.clone(),
        }
    }
    object
}

/// A token of these texts, signed by `key` with its own algorithm.
fn signed(key: &KeyMaterial, header: &str, claims: &str) -> String {
    let algorithm = TokenAlgorithm::of(&jwk(key)).unwrap();
    let text = format!("{}.{}", BASE64URL_NOPAD.encode(header.as_bytes()), BASE64URL_NOPAD.encode(claims.as_bytes()));
    let signature = key.sign(algorithm.maths(), text.as_bytes()).unwrap();
    format!("{text}.{}", BASE64URL_NOPAD.encode(&signature))
}

fn judged(key: &KeyMaterial, text: &str) -> Result<Verified, &'static str> {
    Jws::parse(text)?.check(&jwk(key), ISSUER, Timestamp::from_seconds(NOW))
}

#[track_caller]
fn refused(key: &KeyMaterial, header: &str, claims: &str, why: &str) {
    assert_eq!(judged(key, &signed(key, header, claims)).map(|_| ()), Err(why), "{header} {claims}");
}

#[test]
fn a_token_of_each_algorithm_is_verified_by_its_key() {
    for key_type in [KeyType::EcP256, KeyType::Ed25519, KeyType::Rsa2048] {
        let key = key(key_type);
        let text = signed(&key, &header(&key).to_string(), &claims().to_string());
        let verified = judged(&key, &text).unwrap();
        assert_eq!(verified.who.user(), Some(UserId::from_bytes([1; 16])), "{key_type}");
        assert_eq!((verified.jti, verified.tenant), (TokenId::from_bytes([2; 16]), TenantId::from_bytes([3; 16])));
        assert_eq!((verified.issued_at.as_seconds(), verified.expires_at.as_seconds()), (NOW, NOW + 900));
        let other = self::key(key_type);
        assert_eq!(judged(&other, &text).map(|_| ()), Err("token signature"), "{key_type}");
    }
}

#[test]
fn our_tokens_are_verified_by_an_independent_library() {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
    for (key_type, algorithm) in [
        (KeyType::EcP256, Algorithm::ES256),
        (KeyType::Ed25519, Algorithm::EdDSA),
        (KeyType::Rsa2048, Algorithm::RS256),
    ] {
        let key = key(key_type);
        let text = signed(&key, &header(&key).to_string(), &claims().to_string());
        let b64 = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let public = match jwk(&key) {
            Jwk::Ec { x, y, .. } => DecodingKey::from_ec_components(&b64(&x), &b64(&y)).unwrap(),
            Jwk::Okp { x } => DecodingKey::from_ed_components(&b64(&x)).unwrap(),
            Jwk::Rsa { n, e } => DecodingKey::from_rsa_components(&b64(&n), &b64(&e)).unwrap(),
        };
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[ISSUER]);
        validation.validate_exp = false;
        let read = decode::<Value>(&text, &public, &validation).unwrap();
        assert_eq!(read.claims, claims());
    }
}

#[test]
fn ed25519_has_two_names_and_no_other_algorithm_has() {
    let edwards = key(KeyType::Ed25519);
    let named = |alg: &str| with(header(&edwards), &[("alg", json!(alg))]).to_string();
    assert!(judged(&edwards, &signed(&edwards, &named("Ed25519"), &claims().to_string())).is_ok());
    let mismatch = "token algorithm is not that of the key";
    for alg in ["eddsa", "ed25519", "EDDSA", "ES256", "HS256", ""] {
        refused(&edwards, &named(alg), &claims().to_string(), mismatch);
    }
    for (key_type, alg) in [(KeyType::EcP256, "es256"), (KeyType::EcP256, "ES384"), (KeyType::Rsa2048, "PS256")] {
        let key = key(key_type);
        refused(&key, &with(header(&key), &[("alg", json!(alg))]).to_string(), &claims().to_string(), mismatch);
    }
}

#[test]
fn a_header_that_says_more_than_type_algorithm_and_key_is_refused() {
    let key = key(KeyType::EcP256);
    let more = [
        ("jwk", serde_json::to_value(jwk(&key)).unwrap()),
        ("jku", json!("https://evil.test/jwks.json")),
        ("x5u", json!("https://evil.test/chain.pem")),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("AAAA")),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
        ("nonce", json!("x")),
    ];
    for (name, value) in more {
        let header = with(header(&key), &[(name, value)]).to_string();
        refused(&key, &header, &claims().to_string(), "token header");
    }
    for name in ["typ", "alg", "kid"] {
        let header = with(header(&key), &[(name, Value::Null)]).to_string();
        refused(&key, &header, &claims().to_string(), "token header");
    }
    for value in [json!(1), json!(["ES256"]), json!({"ES256": 1})] {
        let header = with(header(&key), &[("alg", value)]).to_string();
        refused(&key, &header, &claims().to_string(), "token header");
    }
    let twice = header(&key).to_string().replacen('{', r#"{"alg":"none","#, 1);
    refused(&key, &twice, &claims().to_string(), "token header");
    refused(&key, &format!("{}{{}}", header(&key)), &claims().to_string(), "token header");
}

#[test]
fn another_type_is_refused_whoever_signed() {
    let key = key(KeyType::EcP256);
    for typ in ["JWT", "jwt", "", "at+jwt ", "id+jwt", "application/jwt", "rt+jwt", "logout+jwt", "at+jwt+x"] {
        refused(&key, &with(header(&key), &[("typ", json!(typ))]).to_string(), &claims().to_string(), "token type");
    }
    for typ in ["AT+JWT", "application/at+jwt", "Application/AT+JWT"] {
        let header = with(header(&key), &[("typ", json!(typ))]).to_string();
        assert!(judged(&key, &signed(&key, &header, &claims().to_string())).is_ok(), "{typ}");
    }
}

#[test]
fn a_key_id_is_a_thumbprint_and_nothing_else() {
    let key = key(KeyType::EcP256);
    let long = "A".repeat(4_000);
    for kid in ["", "../../etc/passwd", "' OR 1=1 --", "key\u{0}", "AAAA", &long, "https://evil.test/k", "$(id)"] {
        refused(&key, &with(header(&key), &[("kid", json!(kid))]).to_string(), &claims().to_string(), "token key id");
    }
}

#[test]
fn times_are_whole_numbers_within_reach() {
    let key = key(KeyType::EcP256);
    let sent = |changes: &[(&str, Value)]| with(claims(), changes).to_string();
    let head = header(&key).to_string();
    for name in ["exp", "iat", "nbf"] {
        for odd in [json!("1790000900"), json!(1.79e9), json!(true), json!([NOW]), json!({}), json!(u64::MAX)] {
            refused(&key, &head, &sent(&[(name, odd)]), "token claims");
        }
        let endless = sent(&[(name, json!(7))]).replace(&format!("\"{name}\":7"), &format!("\"{name}\":1e400"));
        refused(&key, &head, &endless, "token claims");
    }
    refused(&key, &head, &sent(&[("exp", json!(NOW))]), "token expired");
    refused(&key, &head, &sent(&[("exp", json!(-1))]), "token expired");
    refused(&key, &head, &sent(&[("exp", json!(i64::MIN))]), "token expired");
    refused(&key, &head, &sent(&[("exp", json!(i64::MAX))]), "token lives too long");
    refused(&key, &head, &sent(&[("exp", json!(NOW + 901))]), "token lives too long");
    refused(&key, &head, &sent(&[("iat", json!(i64::MIN))]), "token lives too long");
    refused(&key, &head, &sent(&[("iat", json!(NOW + 6))]), "token of the future");
    refused(&key, &head, &sent(&[("iat", json!(i64::MAX))]), "token of the future");
    refused(&key, &head, &sent(&[("nbf", json!(NOW + 6))]), "token of the future");
    for missing in ["exp", "iat", "jti", "iss", "aud", "sub", "client_id", "tenant_id", "roles", "type"] {
        refused(&key, &head, &sent(&[(missing, Value::Null)]), "token claims");
    }
    // An answer that was on its way for a moment, by a clock that is a little behind.
    assert!(judged(&key, &signed(&key, &head, &sent(&[("iat", json!(NOW + 5)), ("nbf", json!(NOW + 5))]))).is_ok());
}

#[test]
fn a_claim_that_is_said_twice_is_refused() {
    let key = key(KeyType::EcP256);
    for (name, value) in [("exp", "1"), ("sub", "\"usr_x\""), ("tenant_id", "\"ten_platform\""), ("type", "\"access\"")]
    {
        let twice = claims().to_string().replacen('{', &format!(r#"{{"{name}":{value},"#), 1);
        refused(&key, &header(&key).to_string(), &twice, "token claims");
    }
}

#[test]
fn issuer_and_audience_are_compared_to_the_letter() {
    let key = key(KeyType::EcP256);
    let head = header(&key).to_string();
    for other in
        ["https://chancery.test/", "http://chancery.test", "https://CHANCERY.test", "https://chancery.test.evil", ""]
    {
        for name in ["iss", "aud"] {
            let sent = with(claims(), &[(name, json!(other))]).to_string();
            refused(&key, &head, &sent, "token of another issuer or for another audience");
        }
    }
    for odd in [json!([ISSUER]), json!([ISSUER, "https://other.test"]), json!([])] {
        refused(&key, &head, &with(claims(), &[("aud", odd)]).to_string(), "token claims");
    }
}

#[test]
fn users_and_clients_are_never_taken_for_each_other() {
    let key = key(KeyType::EcP256);
    let head = header(&key).to_string();
    let verified = judged(&key, &signed(&key, &head, &client_claims().to_string())).unwrap();
    assert_eq!(verified.who, Who::Client(ApiKeyId::from_bytes([5; 16])));

    let (user, client) = (json!(UserId::from_bytes([5; 16])), json!(ApiKeyId::from_bytes([5; 16])));
    let sent = |from: Value, changes: &[(&str, Value)]| with(from, changes).to_string();
    refused(&key, &head, &sent(claims(), &[("sub", client.clone())]), "token subject is no user");
    refused(&key, &head, &sent(claims(), &[("client_id", client.clone())]), "token subject is not its client");
    refused(&key, &head, &sent(client_claims(), &[("sub", user.clone())]), "token subject is not its client");
    let sid = [("sid", json!(SessionId::from_bytes([4; 16])))];
    refused(&key, &head, &sent(client_claims(), &sid), "token subject is not its client");
    let both = [("sub", user.clone()), ("client_id", user)];
    refused(&key, &head, &sent(client_claims(), &both), "token client is no API key");
    refused(&key, &head, &sent(claims(), &[("auth_time", Value::Null)]), "token without auth_time");
    refused(&key, &head, &sent(claims(), &[("type", json!("refresh"))]), "not an access token");
}

#[test]
fn a_signature_of_zeros_or_of_another_length_is_none() {
    let key = key(KeyType::EcP256);
    let text = signed(&key, &header(&key).to_string(), &claims().to_string());
    let (unsigned, _) = text.rsplit_once('.').unwrap();
    for bytes in [vec![0; 64], vec![0; 63], vec![0; 65], vec![0xFF; 64], vec![0x30, 6, 2, 1, 0, 2, 1, 0], vec![1]] {
        let forged = format!("{unsigned}.{}", BASE64URL_NOPAD.encode(&bytes));
        assert_eq!(judged(&key, &forged).map(|_| ()), Err("token signature"));
    }
    assert_eq!(judged(&key, &format!("{unsigned}.")).map(|_| ()), Err("malformed token"));
}

#[test]
fn form_is_checked_before_anything_is_read() {
    let key = key(KeyType::EcP256);
    let text = signed(&key, &header(&key).to_string(), &claims().to_string());
    let [head, payload, signature] = parts(&text).unwrap();
    for odd in [
        format!("{text}."),
        format!(".{text}"),
        format!("{text}=="),
        format!("{head}.{payload}"),
        format!("{head}.{payload}.{signature}.a.a.a.a.a.a"),
        format!("{head} .{payload}.{signature}"),
        format!("{head}.{payload}.{signature}\n"),
        text.replace('-', "+"),
        String::new(),
        "...".to_owned(),
    ] {
        if odd != text {
            assert_eq!(check_form(&odd), Err("malformed token"), "{odd}");
        }
    }
    assert_eq!(check_form(&format!("{head}.{payload}.{}", "A".repeat(1 << 20))), Err("token too long"));
}
