//! What it costs to know who calls.

use std::time::Instant;

use axum::http::Method;
use chancery_crypto::{
    Jwk, PublicKey, Secret, SignatureAlgorithm, SystemRandom,
    password::{self, Cost},
};
use chancery_domain::{
    access::{
        RequestInfo,
        authenticate::{Presented, authenticate},
    },
    ids::RequestId,
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::{
    app::{Caller, TestApp, request},
    oauth::{self, text},
};

/// How many callers are new.
const NEW: u32 = 1_000;
/// How often one is known already, and in how many rounds: the best counts.
const KNOWN: u32 = 40_000;
const ROUNDS: u32 = 5;
/// How many people log in.
const LOGINS: u32 = 40;

/// Nanoseconds of one of `count` that took as long as `work` does.
async fn each(count: u32, work: impl AsyncFnOnce()) -> f64 {
    let started = Instant::now();
    work().await;
    started.elapsed().as_secs_f64() * 1e9 / f64::from(count)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

async fn known(app: &TestApp, presented: &Presented) -> f64 {
    let request = a_request();
    authenticate(&app.instance, presented, &request).await.unwrap();
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let round = each(KNOWN, async || {
            for _ in 0..KNOWN {
                std::hint::black_box(authenticate(&app.instance, presented, &request).await.unwrap());
            }
        });
        best = best.min(round.await);
    }
    best
}

fn a_request() -> RequestInfo {
    let id = RequestId::from_bytes([1; 16]);
    RequestInfo { id, address: None, user_agent: None, key: None, route: "/v1/auth/session", method: "GET" }
}

/// Callers by tokens that were never seen, and the signature check of each alone, in turns.
async fn unknown(app: &TestApp, tokens: &[Caller]) -> [f64; 2] {
    let published = app.anonymous("GET", "/.well-known/jwks.json", None).await.ok();
    let jwk: Jwk = serde_json::from_value(published["keys"][0].clone()).unwrap();
    let (key, request) = (PublicKey::try_from(&jwk).unwrap(), a_request());
    let (mut whole, mut bare) = (Vec::new(), Vec::new());
    for token in tokens {
        let presented = Presented::AccessToken(Secret::new(token.bearer.clone()));
        let started = Instant::now();
        authenticate(&app.instance, &presented, &request).await.unwrap();
        whole.push(started.elapsed().as_secs_f64() * 1e9);
        let (signed, signature) = token.bearer.rsplit_once('.').unwrap();
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
        let started = Instant::now();
        assert!(key.verify(SignatureAlgorithm::Es256, signed.as_bytes(), &signature));
        bare.push(started.elapsed().as_secs_f64() * 1e9);
    }
    [median(whole), median(bare)]
}

/// Times in ns: a known caller by API key and by token, a new one by ES256 token beside the signature check alone, an
/// introspection, a login beside the hash alone at the usual cost. `cargo xtask bench` reads the last line.
///
/// `cargo test --release -p chancery-api --test it -- --ignored --nocapture identity::`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn it_costs_little_to_know_who_calls() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let lab = oauth::service(&app, &clinic).await;
    let mut tokens = Vec::new();
    for _ in 0..NEW {
        tokens.push(lab.token(&app).await);
    }
    let [token_new, es256] = unknown(&app, &tokens).await;
    let api_key = known(&app, &Presented::ApiKey(Secret::new(clinic.service.bearer.clone()))).await;
    let token = known(&app, &Presented::AccessToken(Secret::new(tokens[0].bearer.clone()))).await;
    let introspect = each(NEW, async || {
        for token in &tokens {
            let said: Value = lab.ask(&app, "/oauth2/introspect", &[("token", &token.bearer)]).await.ok();
            assert_eq!(said["active"], true);
        }
    })
    .await;

    let usual = app.again(|settings| settings.password_cost = Cost::default()).await;
    oauth::person(&usual, &clinic, "zoe").await;
    let login = json!({"tenant": clinic.slug, "username": "zoe", "password": oauth::PASSWORD});
    let hash = password::hash(oauth::PASSWORD.as_bytes(), Cost::default(), &SystemRandom).unwrap();
    let (mut logins, mut hashes) = (Vec::new(), Vec::new());
    for _ in 0..LOGINS {
        let sent = request(Method::POST.as_str(), "/v1/auth/login", Some(login.clone()));
        let started = Instant::now();
        let answer = usual.send(sent).await.ok();
        logins.push(started.elapsed().as_secs_f64() * 1e9);
        assert!(text(&answer, "access_token").len() > 99);
        let started = Instant::now();
        assert!(password::verify(oauth::PASSWORD.as_bytes(), &hash).unwrap().matched);
        hashes.push(started.elapsed().as_secs_f64() * 1e9);
    }
    let (login, argon2) = (median(logins), median(hashes));
    let found = json!({
        "api_key_known_ns": api_key, "token_known_ns": token, "token_new_ns": token_new,
        "es256_ns": es256, "introspection_ns": introspect, "login_ns": login, "argon2_ns": argon2,
    });
    println!("{found}");
}
