//! What attackers have sent to verifiers of tokens, sent to ours. Each is refused in the same words.
//!
//! Tokens with a right signature and wrong content are tried beside the verifier, in `domain/src/tokens/verify/tests.rs`.

use std::sync::atomic::Ordering;

use chancery_crypto::{KeyMaterial, KeyType, PublicKey, Secret, SignatureAlgorithm, SystemRandom, sha256};
use chancery_domain::{
    Clock as _,
    access::{
        RequestInfo,
        authenticate::{Presented, authenticate},
    },
    ids::RequestId,
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::{
    app::{Backend, Caller, Clinic, TestApp},
    oauth::{person, program, service, text},
};

/// A genuine token of a person, taken apart, and the key that verifies it.
struct Genuine {
    token: String,
    header: Value,
    claims: Value,
    jwk: Value,
}

async fn genuine(app: &TestApp, clinic: &Clinic) -> Genuine {
    let tokens = person(app, clinic, "zoe").await;
    let token = text(&tokens, "access_token").to_owned();
    let read = |part: &str| serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let (header, claims) = (read(parts[0]), read(parts[1]));
    let jwk = app.anonymous("GET", "/.well-known/jwks.json", None).await.ok()["keys"][0].clone();
    assert!(accepts(app, &token).await, "or every refusal below means nothing");
    Genuine { token, header, claims, jwk }
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    BASE64URL_NOPAD.encode(bytes.as_ref())
}

/// A token of this header and these claims, with whatever `sign` gives.
fn forged(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
    let signature = sign(signed.as_bytes());
    format!("{signed}.{}", b64(signature))
}

fn with(object: &Value, changes: &[(&str, Value)]) -> Value {
    let mut object = object.clone();
    for (name, value) in changes {
        object[*name] = value.clone();
    }
    object
}

async fn accepts(app: &TestApp, token: &str) -> bool {
    let reply = app.get(&Caller { bearer: token.to_owned() }, "/v1/auth/session").await;
    if reply.status == 200 {
        return true;
    }
    reply.refused(401, "auth.credential_invalid");
    false
}

fn ec() -> KeyMaterial {
    KeyMaterial::generate(KeyType::EcP256, &SystemRandom).unwrap()
}

fn es256(key: &KeyMaterial) -> impl Fn(&[u8]) -> Vec<u8> + '_ {
    |message| key.sign(SignatureAlgorithm::Es256, message).unwrap()
}

fn jwk_of(key: &KeyMaterial) -> (Value, String) {
    let jwk = key.public().unwrap().jwk();
    (serde_json::to_value(&jwk).unwrap(), jwk.thumbprint())
}

/// HMAC-SHA-256 (RFC 2104) with a key of any length.
pub(crate) fn hs256(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let mut key = [0; 64];
    let short = if secret.len() > 64 { sha256(secret).to_vec() } else { secret.to_vec() };
    key[..short.len()].copy_from_slice(&short);
    let inner = sha256(&[&key.map(|byte| byte ^ 0x36)[..], message].concat());
    sha256(&[&key.map(|byte| byte ^ 0x5C)[..], &inner].concat()).to_vec()
}

#[tokio::test]
async fn no_spelling_of_none_is_a_signature() {
    let app = TestApp::new().await;
    let real = genuine(&app, &app.clinic("north").await).await;
    for alg in [
        json!("none"),
        json!("None"),
        json!("NONE"),
        json!("nOnE"),
        json!(" none"),
        json!("none\u{200b}"),
        json!(""),
        json!(null),
        json!(false),
        json!(["none"]),
    ] {
        let header = with(&real.header, &[("alg", alg.clone())]);
        for signature in [vec![], vec![0], vec![0; 64], b"none".to_vec()] {
            let token = forged(&header, &real.claims, |_| signature.clone());
            assert!(!accepts(&app, &token).await, "{alg}");
            assert!(!accepts(&app, token.trim_end_matches('.')).await, "{alg}");
        }
        // With the signature of the genuine token.
        let (_, signature) = real.token.rsplit_once('.').unwrap();
        let kept = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
        assert!(!accepts(&app, &forged(&header, &real.claims, |_| kept.clone())).await, "{alg}");
    }
}

#[tokio::test]
async fn a_public_key_is_no_shared_secret() {
    let app = TestApp::new().await;
    let real = genuine(&app, &app.clinic("north").await).await;
    let jwk: chancery_crypto::Jwk = serde_json::from_value(real.jwk.clone()).unwrap();
    let public = PublicKey::try_from(&jwk).unwrap();
    let decoded = |name: &str| BASE64URL_NOPAD.decode(text(&real.jwk, name).as_bytes()).unwrap();
    let point = [vec![4], decoded("x"), decoded("y")].concat();
    let secrets = [
        public.to_pem().into_bytes(),
        public.to_pem().trim_end().as_bytes().to_vec(),
        public.to_spki(),
        point[1..].to_vec(),
        point,
        decoded("x"),
        real.jwk.to_string().into_bytes(),
        serde_json::to_vec(&jwk).unwrap(),
        text(&real.header, "kid").as_bytes().to_vec(),
        b"secret".to_vec(),
        vec![],
    ];
    for secret in secrets {
        for alg in ["HS256", "HS384", "HS512", "hs256", "ES256", "RS256"] {
            let header = with(&real.header, &[("alg", json!(alg))]);
            assert!(!accepts(&app, &forged(&header, &real.claims, |message| hs256(&secret, message))).await, "{alg}");
        }
    }
    assert_eq!(
        data_encoding::HEXLOWER.encode(&hs256(b"Jefe", b"what do ya want for nothing?")),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        "RFC 4231 §4.3, or the test tries nothing"
    );
}

#[tokio::test]
async fn a_key_that_a_token_brings_along_verifies_nothing() {
    let app = TestApp::new().await;
    let real = genuine(&app, &app.clinic("north").await).await;
    let key = ec();
    let (jwk, thumbprint) = jwk_of(&key);
    let own = [("kid", json!(thumbprint))];
    for more in [
        vec![],
        vec![("jwk", jwk.clone())],
        vec![("jku", json!("https://evil.test/jwks.json"))],
        vec![("jku", json!("https://chancery.test/.well-known/jwks.json"))],
        vec![("x5u", json!("https://evil.test/chain.pem"))],
        vec![("x5c", json!(["MIIB"]))],
        vec![("x5t#S256", json!(thumbprint))],
        vec![("jwk", jwk), ("jku", json!("https://evil.test/jwks.json"))],
    ] {
        // Under the name of our key, under its own, and under none.
        let under_ours = with(&real.header, &more);
        let under_its_own = with(&under_ours, &own);
        let mut under_none = under_ours.clone();
        under_none.as_object_mut().unwrap().remove("kid");
        for header in [under_ours, under_its_own, under_none] {
            assert!(!accepts(&app, &forged(&header, &real.claims, es256(&key))).await, "{header}");
        }
    }
}

#[tokio::test]
async fn a_key_id_is_looked_up_and_nothing_else_is_done_with_it() {
    let (backend, views) = Backend::counted().await;
    let app = TestApp::on(backend).await;
    let real = genuine(&app, &app.clinic("north").await).await;
    let key = ec();
    let long = "k".repeat(2_000);
    let odd = [
        "",
        "../../../../dev/null",
        "/proc/self/environ",
        "' OR '1'='1",
        "1; DROP TABLE keys",
        "x' UNION SELECT 'AAAA",
        "|/bin/sleep 9",
        "https://evil.test/key",
        "key\u{0}.pem",
        "*)(uid=*",
        &long,
    ];
    views.store(0, Ordering::SeqCst);
    for kid in odd {
        let header = with(&real.header, &[("kid", json!(kid))]);
        assert!(!accepts(&app, &forged(&header, &real.claims, es256(&key))).await, "{kid}");
    }
    for kid in [json!(null), json!(7), json!(["a"]), json!({"a": 1}), json!(true)] {
        let header = with(&real.header, &[("kid", kid.clone())]);
        assert!(!accepts(&app, &forged(&header, &real.claims, es256(&key))).await, "{kid}");
    }
    assert_eq!(views.load(Ordering::SeqCst), 0, "what can be no key id costs no look-up");
}

/// Each question is a way to the database and back; six of them were most of what a new token cost.
#[tokio::test]
async fn a_new_token_asks_the_store_once() {
    let (backend, views) = Backend::counted().await;
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    let of_person = genuine(&app, &clinic).await.token;
    let of_program = service(&app, &clinic).await.token(&app).await.bearer;
    let id = RequestId::from_bytes([1; 16]);
    let request =
        RequestInfo { id, address: None, user_agent: None, key: None, route: "/v1/auth/session", method: "GET" };
    for token in [of_person, of_program] {
        // What was remembered of it is over; the keys are in memory.
        app.clock.advance_seconds(1);
        views.store(0, Ordering::SeqCst);
        let caller = authenticate(&app.instance, &Presented::AccessToken(Secret::new(token)), &request).await.unwrap();
        assert_eq!(views.load(Ordering::SeqCst), 1);
        assert_eq!(caller.tenant().to_string(), clinic.id);
    }
}

#[tokio::test]
async fn a_flood_of_unknown_key_ids_has_keys_looked_up_once_a_second_and_keeps_nobody_out() {
    const FLOOD: usize = 1_000;
    let (backend, views) = Backend::counted().await;
    let app = TestApp::on(backend).await;
    let real = genuine(&app, &app.clinic("north").await).await;
    let key = ec();
    let forgeries: Vec<String> = (0..FLOOD)
        .map(|n| {
            let header = with(&real.header, &[("kid", json!(b64(sha256(&n.to_be_bytes()))))]);
            forged(&header, &real.claims, es256(&key))
        })
        .collect();
    assert!(accepts(&app, &real.token).await);
    views.store(0, Ordering::SeqCst);
    let before = app.clock.now();
    for token in &forgeries {
        assert!(!accepts(&app, token).await);
    }
    let seconds = (app.clock.now().as_micros() - before.as_micros()) / 1_000_000 + 1;
    let looked = views.load(Ordering::SeqCst);
    let allowed = usize::try_from(seconds).unwrap() + 1;
    assert!(looked <= allowed, "{looked} look-ups in {seconds} s for {FLOOD} tokens");
    assert!(allowed * 10 < FLOOD, "or the bound means nothing: {seconds} s");
    assert!(accepts(&app, &real.token).await);
}

#[tokio::test]
async fn an_extension_that_is_critical_or_changes_the_signed_bytes_is_refused() {
    let app = TestApp::new().await;
    let real = genuine(&app, &app.clinic("north").await).await;
    let key = ec();
    for more in [
        vec![("crit", json!([]))],
        vec![("crit", json!(["exp"])), ("exp", json!(4_000_000_000_u64))],
        vec![("crit", json!(["b64"])), ("b64", json!(false))],
        vec![("b64", json!(false))],
        vec![("zip", json!("DEF"))],
        vec![("cty", json!("JWT"))],
        vec![("enc", json!("A128GCM"))],
    ] {
        let header = with(&real.header, &more);
        assert!(!accepts(&app, &forged(&header, &real.claims, es256(&key))).await, "{header}");
    }
}

#[tokio::test]
async fn no_claim_can_be_changed_under_the_signature_that_was_given() {
    let app = TestApp::new().await;
    let real = genuine(&app, &app.clinic("north").await).await;
    let (_, signature) = real.token.rsplit_once('.').unwrap();
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    let now = app.clock.now().as_seconds();
    for (name, value) in [
        ("exp", json!(now + 899)),
        ("exp", json!("9999999999")),
        ("exp", json!(9_999_999_999.5)),
        ("exp", json!(1e300)),
        ("nbf", json!("0")),
        ("iat", json!(-1)),
        ("iss", json!("https://chancery.test/")),
        ("aud", json!(["https://chancery.test", "https://other.test"])),
        ("sub", json!("usr_01J9Z3K0Q5V8WXYZ0123456789")),
        ("tenant_id", json!("ten_platform")),
        ("roles", json!(["platform_admin"])),
        ("type", json!("refresh")),
        ("jti", json!("tok_01J9Z3K0Q5V8WXYZ0123456789")),
    ] {
        let claims = with(&real.claims, &[(name, value)]);
        assert!(!accepts(&app, &forged(&real.header, &claims, |_| signature.clone())).await, "{name}");
    }
    // Said twice, and with blanks that mean nothing.
    for changed in [
        real.claims.to_string().replacen('{', r#"{"roles":["platform_admin"],"#, 1),
        real.claims.to_string().replacen('{', "{ ", 1),
    ] {
        let (header, _) = real.token.split_once('.').unwrap();
        assert!(!accepts(&app, &format!("{header}.{}.{}", b64(changed), b64(&signature))).await);
    }
    for typ in ["JWT", "rt+jwt", ""] {
        let header = with(&real.header, &[("typ", json!(typ))]);
        assert!(!accepts(&app, &forged(&header, &real.claims, |_| signature.clone())).await, "{typ}");
    }
}

#[tokio::test]
async fn the_same_key_does_not_speak_for_another_issuer() {
    let app = TestApp::new().await;
    let real = genuine(&app, &app.clinic("north").await).await;
    for issuer in ["https://chancery.test/", "http://chancery.test", "https://chancery.test:443", "https://other.test"]
    {
        let other = app.again(|settings| settings.issuer = issuer.to_owned()).await;
        assert!(!accepts(&other, &real.token).await, "{issuer}");
        let login = json!({"tenant": "north", "username": "zoe", "password": crate::oauth::PASSWORD});
        let theirs = other.anonymous("POST", "/v1/auth/login", Some(login)).await.ok();
        assert!(accepts(&other, text(&theirs, "access_token")).await);
        assert!(!accepts(&app, text(&theirs, "access_token")).await, "{issuer}");
    }
    let (stranger, key) = (TestApp::new().await, ec());
    let theirs = genuine(&stranger, &stranger.clinic("north").await).await;
    assert!(!accepts(&app, &theirs.token).await, "another installation with the same name");
    assert!(!accepts(&app, &forged(&theirs.header, &real.claims, es256(&key))).await);
}

#[tokio::test]
async fn a_refresh_token_is_no_access_token_and_the_other_way_round() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let zoe = person(&app, &clinic, "zoe").await;
    let lab = program(&app, &clinic, json!({"description": "lab", "roles": ["service"]})).await;
    assert!(!accepts(&app, text(&zoe, "refresh_token")).await);
    for wrong in [text(&zoe, "access_token"), &lab.token(&app).await.bearer, &lab.key] {
        let body = json!({"refresh_token": wrong});
        app.anonymous("POST", "/v1/auth/refresh", Some(body)).await.refused(401, "auth.credential_invalid");
    }
}

#[tokio::test]
async fn a_signature_of_zeros_verifies_nothing() {
    // CVE-2022-21449: r = s = 0 passed for every message.
    const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let app = TestApp::new().await;
    let real = genuine(&app, &app.clinic("north").await).await;
    let order = data_encoding::HEXLOWER.decode(ORDER.as_bytes()).unwrap();
    let (zero, mut one) = (vec![0; 32], vec![0; 32]);
    one[31] = 1;
    for r in [&zero, &one, &order] {
        for s in [&zero, &one, &order] {
            let token = forged(&real.header, &real.claims, |_| [r.as_slice(), s].concat());
            assert!(!accepts(&app, &token).await);
        }
    }
    for odd in [vec![0x30, 6, 2, 1, 0, 2, 1, 0], vec![0; 63], vec![0; 65], vec![0; 128], vec![0; 72]] {
        assert!(!accepts(&app, &forged(&real.header, &real.claims, |_| odd.clone())).await);
    }
}

#[tokio::test]
async fn the_twin_of_a_signature_does_not_escape_a_revocation() {
    // Of ECDSA's (r, s) also (r, n − s) is valid: another text of the same token.
    const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let real = genuine(&app, &clinic).await;
    let (signed, signature) = real.token.rsplit_once('.').unwrap();
    let mut bytes = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    let order = data_encoding::HEXLOWER.decode(ORDER.as_bytes()).unwrap();
    let mut borrow = 0;
    for at in (0..32).rev() {
        let digit = i32::from(order[at]) - i32::from(bytes[32 + at]) - borrow;
        borrow = i32::from(digit < 0);
        bytes[32 + at] = u8::try_from(digit.rem_euclid(256)).unwrap();
    }
    let twin = format!("{signed}.{}", b64(&bytes));
    assert!(accepts(&app, &twin).await, "a valid signature, or this test tries nothing");
    let body = json!({"jti": real.claims["jti"], "reason": "leaked"});
    app.post(&clinic.admin, "/v1/revocations", body).await.created();
    assert!(!accepts(&app, &twin).await && !accepts(&app, &real.token).await);
}

#[tokio::test]
async fn size_and_shape_are_judged_before_content() {
    let (backend, views) = Backend::counted().await;
    let app = TestApp::on(backend).await;
    let real = genuine(&app, &app.clinic("north").await).await;
    let parts: Vec<&str> = real.token.split('.').collect();
    views.store(0, Ordering::SeqCst);
    let large = "A".repeat(1 << 20);
    for token in [
        large.clone(),
        format!("{}.{}.{large}", parts[0], parts[1]),
        format!("{}.{large}.{}", parts[0], parts[2]),
        format!("{}.a.b.c.d.e.f", real.token),
        format!("{0}.{0}.{0}", real.token),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}..{}", parts[0], parts[2]),
        format!("{}==.{}.{}", parts[0], parts[1], parts[2]),
        format!("{}.", real.token),
        format!(".{}", real.token),
        "a.b.c".to_owned(),
        "e30.e30.AA".to_owned(),
        ".".repeat(8_000),
    ] {
        assert!(!accepts(&app, &token).await, "{}", token.len());
    }
    assert_eq!(views.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_token_ends_to_the_second_and_one_of_the_future_has_not_begun() {
    let app = TestApp::new().await;
    let real = genuine(&app, &app.clinic("north").await).await;
    let end = real.claims["exp"].as_i64().unwrap();
    app.clock.advance_seconds(end - app.clock.now().as_seconds() - 1);
    assert!(accepts(&app, &real.token).await);
    app.clock.advance_seconds(1);
    assert!(!accepts(&app, &real.token).await);
    // A clock that was set back does not make it younger than its issue.
    app.clock.advance_seconds(-900 - 60);
    let other = app.again(|_| ()).await;
    assert!(!accepts(&other, &real.token).await);
}
