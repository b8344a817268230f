//! The attack corpus, on tokens of identity providers. Each is refused in the same words.

use std::sync::{Arc, atomic::Ordering};

use chancery_crypto::{KeyMaterial, KeyType, PublicKey, SignatureAlgorithm, SystemRandom};
use serde_json::{Value, json};

use super::{World, b64, change, forged, generic};
use crate::token_attacks::hs256;

/// A world with the generic provider, which takes RS256 too; its id, a header and claims that are right.
async fn ready() -> (World, String, Value, Value) {
    let world = World::new().await;
    let id = world.provider(&world.clinic, &generic()).await;
    let now = world.now();
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": "ec-1"});
    let claims = json!({
        "iss": "https://id.clinic.example", "aud": "clinic-api", "sub": "ann", "client_id": "web", "iat": now,
        "exp": now + 600, "jti": "j", "roles": ["doctor"],
    });
    let token = world.signed(&header, &claims);
    assert!(world.accepts(&token).await, "or every refusal below means nothing");
    (world, id, header, claims)
}

fn with(object: &Value, changes: &[(&str, Value)]) -> Value {
    let mut object = object.clone();
    change(&mut object, changes);
    object
}

#[tokio::test]
async fn no_spelling_of_none_is_a_signature() {
    let (world, id, header, claims) = ready().await;
    for alg in [
        json!("none"),
        json!("None"),
        json!("NONE"),
        json!("nOnE"),
        json!(" none"),
        json!(""),
        json!(null),
        json!(["none"]),
    ] {
        let header = with(&header, &[("alg", json!("x"))]).to_string().replace("\"x\"", &alg.to_string());
        for signature in [vec![], vec![0], vec![0; 64]] {
            let token = forged(&header, &claims.to_string(), |_| signature.clone());
            assert!(["header", "algorithm", "form"].contains(&world.refused_at(&id, &token).await.as_str()), "{alg}");
            assert!(!world.accepts(token.trim_end_matches('.')).await, "{alg}");
        }
    }
}

#[tokio::test]
async fn a_public_key_is_no_shared_secret() {
    let (world, id, header, claims) = ready().await;
    for (kid, key) in [("ec-1", &world.ec), ("rsa-1", &world.rsa)] {
        let public: PublicKey = key.public().unwrap();
        let jwk = serde_json::to_string(&public.jwk()).unwrap();
        for secret in
            [public.to_pem().into_bytes(), public.to_spki(), jwk.into_bytes(), kid.as_bytes().to_vec(), vec![]]
        {
            for alg in ["HS256", "HS384", "HS512", "RS256", "ES256"] {
                let header = with(&header, &[("alg", json!(alg)), ("kid", json!(kid))]);
                let token = forged(&header.to_string(), &claims.to_string(), |message| hs256(&secret, message));
                let at = world.refused_at(&id, &token).await;
                assert!(["algorithm", "key", "signature"].contains(&at.as_str()), "{alg} with {kid}: {at}");
            }
        }
    }
}

#[tokio::test]
async fn a_key_that_a_token_brings_along_verifies_nothing() {
    let (world, id, header, claims) = ready().await;
    let key = KeyMaterial::generate(KeyType::EcP256, &SystemRandom).unwrap();
    let jwk = serde_json::to_value(key.public().unwrap().jwk()).unwrap();
    let before = world.outside.asked.load(Ordering::SeqCst);
    for more in [
        ("jwk", jwk.clone()),
        ("jku", json!("https://evil.test/jwks.json")),
        ("jku", json!("https://id.clinic.example/keys")),
        ("x5u", json!("https://evil.test/chain.pem")),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
    ] {
        let header = with(&header, std::slice::from_ref(&more));
        let sign = |message: &[u8]| key.sign(SignatureAlgorithm::Es256, message).unwrap();
        let token = forged(&header.to_string(), &claims.to_string(), sign);
        assert_eq!(world.refused_at(&id, &token).await, "header", "{header}");
        // Not even with the issuer's own signature.
        assert_eq!(world.refused_at(&id, &world.signed(&header, &claims)).await, "header", "{header}");
    }
    assert_eq!(world.outside.asked.load(Ordering::SeqCst), before, "nothing is fetched for them");
}

#[tokio::test]
async fn a_key_id_is_looked_up_and_nothing_else_is_done_with_it() {
    let (world, id, header, claims) = ready().await;
    let long = "k".repeat(300);
    for kid in ["", " ", "' OR '1'='1", "x' UNION SELECT 'AAAA", "|/bin/sleep 9", "key\u{0}.pem", "kéy", &long] {
        let token = world.signed(&with(&header, &[("kid", json!(kid))]), &claims);
        assert_eq!(world.refused_at(&id, &token).await, "header", "{kid}");
    }
    for kid in ["../../../../dev/null", "/proc/self/environ", "https://evil.test/key", "*)(uid=*", "EC-1", "ec-1/"] {
        let token = world.signed(&with(&header, &[("kid", json!(kid))]), &claims);
        assert_eq!(world.refused_at(&id, &token).await, "key", "{kid}");
    }
    // Another key of the issuer than the one that signed.
    let token = world.signed(&with(&header, &[("kid", json!("rsa-1"))]), &claims);
    assert_eq!(world.refused_at(&id, &token).await, "key");
}

#[tokio::test]
async fn times_are_whole_seconds_of_this_age() {
    let (world, id, header, claims) = ready().await;
    let now = world.now();
    for (name, value) in [
        ("exp", json!((now + 600).to_string())),
        ("exp", json!(now as f64 + 600.5)),
        ("exp", json!(1e300)),
        ("exp", json!(u64::MAX)),
        ("exp", json!(i64::MAX)),
        ("exp", json!(-1)),
        ("exp", json!(true)),
        ("exp", json!([now + 600])),
        ("exp", json!({"$gt": 0})),
        ("exp", Value::Null),
        ("exp", json!(now - 31)),
        ("exp", json!(now + 90_000)),
        ("nbf", json!("0")),
        ("nbf", json!(0.5)),
        ("nbf", json!(now + 120)),
        ("nbf", json!(-5)),
        ("iat", json!(now + 120)),
        ("iat", json!("now")),
        ("iat", Value::Null),
        ("iat", json!(now + 601)),
    ] {
        let token = world.signed(&header, &with(&claims, &[(name, value.clone())]));
        assert_eq!(world.refused_at(&id, &token).await, "times", "{name}: {value}");
    }
    // A member that is null stays null.
    let null = claims.to_string().replace(&format!("\"exp\":{}", claims["exp"]), "\"exp\":null");
    assert_eq!(world.refused_at(&id, &world.signed_text(&header, &null)).await, "times");
    // Within the leeway of 30 s.
    for (name, value) in [("exp", now - 20), ("nbf", now + 20), ("iat", now + 20)] {
        let token = world.signed(&header, &with(&claims, &[(name, json!(value)), ("jti", json!(name))]));
        let token = if name == "exp" {
            world.signed(&header, &with(&claims, &[("exp", json!(value)), ("iat", json!(now - 600))]))
        } else {
            token
        };
        assert_eq!(world.refused_at(&id, &token).await, "accepted", "{name}");
    }
}

#[tokio::test]
async fn claims_come_once_and_are_what_they_should_be() {
    let (world, id, header, claims) = ready().await;
    let text = claims.to_string();
    for double in [
        text.replacen('{', r#"{"aud":"clinic-api","#, 1),
        text.replacen('{', r#"{"iss":"https://id.clinic.example","#, 1),
        text.replacen('{', r#"{"roles":["boss"],"#, 1),
        text.replacen('{', r#"{"\u0072oles":["boss"],"#, 1),
        text.replacen('{', r#"{"deep":{"a":1,"a":2},"#, 1),
    ] {
        assert_eq!(world.refused_at(&id, &world.signed_text(&header, &double)).await, "form", "{double}");
    }
    for (name, value, at) in [
        ("aud", json!("another"), "audience"),
        ("aud", json!(["another", "Clinic-API"]), "audience"),
        ("aud", json!({"clinic-api": true}), "audience"),
        ("aud", json!(["clinic-api", 7]), "audience"),
        ("aud", json!("clinic-api "), "audience"),
        ("aud", Value::Null, "audience"),
        ("iss", json!("https://id.clinic.example/"), "issuer"),
        ("iss", json!("HTTPS://ID.CLINIC.EXAMPLE"), "issuer"),
        ("iss", json!("https://id.clinic.example.evil.test"), "issuer"),
        ("iss", json!(["https://id.clinic.example"]), "issuer"),
        ("sub", json!(""), "subject"),
        ("sub", json!(7), "subject"),
        ("sub", Value::Null, "subject"),
        ("sub", json!("a".repeat(256)), "subject"),
        ("sub", json!("a\nb"), "subject"),
        ("cnf", json!({"jkt": "x"}), "kind"),
    ] {
        let token = world.signed(&header, &with(&claims, &[(name, value.clone())]));
        assert_eq!(world.refused_at(&id, &token).await, at, "{name}: {value}");
    }
    for typ in ["JWT", "jwt", "at+jwt ", "application/jwt", "JOSE", "dpop+jwt", ""] {
        let token = world.signed(&with(&header, &[("typ", json!(typ))]), &claims);
        assert_eq!(world.refused_at(&id, &token).await, "type", "{typ}");
    }
    for typ in ["AT+JWT", "application/at+jwt"] {
        let token = world.signed(&with(&header, &[("typ", json!(typ))]), &claims);
        assert_eq!(world.refused_at(&id, &token).await, "accepted", "{typ}");
    }
}

#[tokio::test]
async fn an_algorithm_is_one_of_the_providers_and_fits_the_key() {
    let (world, id, header, claims) = ready().await;
    for alg in ["RS384", "RS512", "PS512", "ES512", "ES256K", "es256", "EdDSA", "A128GCM", "dir"] {
        let token = world.signed(&with(&header, &[("alg", json!(alg))]), &claims);
        let at = world.refused_at(&id, &token).await;
        assert!(["algorithm", "key"].contains(&at.as_str()), "{alg}: {at}");
    }
    let mut narrower = generic();
    narrower["algorithms"] = json!(["RS256"]);
    world.app.put(&world.clinic.admin, &format!("/v1/identity-providers/{id}"), narrower).await.ok();
    assert_eq!(world.refused_at(&id, &world.signed(&header, &claims)).await, "algorithm");
    let rsa = |alg: &str| with(&header, &[("alg", json!(alg)), ("kid", json!("rsa-1"))]);
    assert_eq!(world.refused_at(&id, &world.signed(&rsa("PS256"), &claims)).await, "algorithm");
    assert_eq!(world.refused_at(&id, &world.signed(&rsa("RS256"), &claims)).await, "accepted");
}

#[tokio::test]
async fn a_signature_is_whole_and_of_this_content() {
    let (world, id, header, claims) = ready().await;
    let good = world.signed(&header, &claims);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let raw = data_encoding::BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    let der = [vec![0x30, 0x44, 2, 32], raw[..32].to_vec(), vec![2, 32], raw[32..].to_vec()].concat();
    // The last: r = s = 0, which one Java verified (CVE-2022-21449).
    for bad in [raw[..63].to_vec(), [raw.clone(), vec![0]].concat(), der, vec![0; 64], vec![0xFF; 64]] {
        assert_eq!(world.refused_at(&id, &format!("{signed}.{}", b64(bad))).await, "signature");
    }
    let promoted = with(&claims, &[("roles", json!(["boss"]))]);
    let moved = format!("{}.{}.{signature}", b64(header.to_string()), b64(promoted.to_string()));
    assert_eq!(world.refused_at(&id, &moved).await, "signature");
    for odd in [
        format!("{good}="),
        format!("{signed}."),
        format!("{good}.x"),
        format!("{signed}.{signature}.{signature}.x.y.z.a.b"),
    ] {
        assert!(!world.accepts(&odd).await, "{odd}");
    }
}

#[tokio::test]
async fn a_token_of_a_megabyte_is_turned_away_unread() {
    let (world, _, header, claims) = ready().await;
    let before = world.outside.asked.load(Ordering::SeqCst);
    for length in [9_000, 1_000_000] {
        let token = world.signed(&header, &with(&claims, &[("pad", json!("x".repeat(length)))]));
        assert!(!world.accepts(&token).await);
    }
    let kid = with(&header, &[("kid", json!("k".repeat(1_000_000)))]);
    assert!(!world.accepts(&world.signed(&kid, &claims)).await);
    assert_eq!(world.outside.asked.load(Ordering::SeqCst), before);
}

#[tokio::test]
async fn a_flood_of_unknown_key_ids_asks_the_issuer_twice_a_minute_and_keeps_nobody_out() {
    let (world, _, header, claims) = ready().await;
    let good = world.signed(&header, &claims);
    world.outside.asked.store(0, Ordering::SeqCst);
    // Each look at the clock is a millisecond: the flood takes seconds of it.
    let began = world.now();
    for n in 0..500 {
        let token = world.signed(&with(&header, &[("kid", json!(format!("flood-{n}")))]), &claims);
        assert!(!world.accepts(&token).await);
    }
    let seconds = world.now() - began;
    let asked = world.outside.asked.load(Ordering::SeqCst);
    assert!(i64::try_from(asked).unwrap() <= seconds / 30 + 1, "{asked} questions in {seconds} s");
    assert!(world.accepts(&good).await);
    // A rotation in the middle of it is found within half a minute.
    let next = KeyMaterial::generate(KeyType::EcP256, &SystemRandom).unwrap();
    world.publish("ec-2", &next);
    world.app.clock.advance_seconds(31);
    let rotated = with(&header, &[("kid", json!("ec-2"))]);
    let sign = |message: &[u8]| next.sign(SignatureAlgorithm::Es256, message).unwrap();
    assert!(world.accepts(&forged(&rotated.to_string(), &claims.to_string(), sign)).await);
}

#[tokio::test]
async fn tokens_that_come_at_once_ask_the_issuer_once() {
    let world = Arc::new(World::new().await);
    world.provider(&world.clinic, &generic()).await;
    let all: Vec<_> = (0..40)
        .map(|n| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.accepts(&world.token(&[("jti", json!(n.to_string()))])).await })
        })
        .collect();
    for one in all {
        assert!(one.await.unwrap());
    }
    assert_eq!(world.outside.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_no_reason_to_believe_a_token() {
    let (world, _, header, claims) = ready().await;
    let good = world.signed(&header, &claims);
    world.outside.down.store(true, Ordering::SeqCst);
    world.app.clock.advance_seconds(400);
    assert!(world.accepts(&good).await, "its keys are known");
    let forgery = forged(&header.to_string(), &claims.to_string(), |_| vec![1; 64]);
    assert!(!world.accepts(&forgery).await);
    // Another issuer, which never answered: whether its tokens are right nobody knows.
    let mut other = generic();
    other["issuer"] = json!("https://other.example");
    let id = world.provider(&world.clinic, &other).await;
    let token = world.token(&[("iss", json!("https://other.example"))]);
    world.session(&token).await.refused(503, "dependency.unavailable");
    let verdict = world.verdict(&id, &token).await;
    assert_eq!(verdict["accepted"], json!(false));
    assert_eq!(verdict["steps"].as_array().unwrap().last().unwrap()["check"], json!("key"));
}
