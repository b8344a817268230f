//! Tokens that are bound to a key (RFC 9449): stolen without it, they are worth nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use chancery_crypto::{KeyMaterial, KeyType, SignatureAlgorithm, SystemRandom, sha256};
use chancery_domain::Clock as _;
use data_encoding::BASE64URL_NOPAD;
use http::Request;
use serde_json::{Value, json};

use crate::{
    app::{Backend, Caller, Clinic, Reply, TestApp, request},
    factors::user,
    oauth::form,
    sessions::works,
};

backends! {
    a_login_is_bound_to_a_key_and_goes_on_with_it,
    a_program_binds_its_token,
    a_proof_is_taken_once_on_all_nodes,
    a_refresh_that_is_sent_again_with_its_proof_gives_nothing_and_ends_nothing,
}

const PASSWORD: &str = "Correct-Horse-7-Battery";
const SESSION: &str = "/v1/auth/session";

/// Who holds a key.
struct Holder(KeyMaterial);

impl Holder {
    fn new() -> Self {
        Self(KeyMaterial::generate(KeyType::EcP256, &SystemRandom).unwrap())
    }

    fn thumbprint(&self) -> String {
        self.0.public().unwrap().jwk().thumbprint()
    }

    fn claims(app: &TestApp, method: &str, path: &str, token: Option<&str>) -> Value {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let mut claims = json!({
            "jti": format!("proof-{}", COUNT.fetch_add(1, Ordering::Relaxed)),
            "htm": method,
            "htu": format!("https://chancery.test{path}"),
            "iat": app.clock.now().as_seconds(),
        });
        if let Some(token) = token {
            claims["ath"] = json!(BASE64URL_NOPAD.encode(&sha256(token.as_bytes())));
        }
        claims
    }

    fn sign(&self, claims: &Value) -> String {
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.0.public().unwrap().jwk()});
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let text = format!("{}.{}", part(&header), part(claims));
        let signature = self.0.sign(SignatureAlgorithm::Es256, text.as_bytes()).unwrap();
        format!("{text}.{}", BASE64URL_NOPAD.encode(&signature))
    }

    fn proof(&self, app: &TestApp, method: &str, path: &str, token: Option<&str>) -> String {
        self.sign(&Self::claims(app, method, path, token))
    }

    /// Asks who the caller is, with a token that is bound to this key.
    async fn asks(&self, app: &TestApp, token: &str) -> Reply {
        app.send(bound(token, &self.proof(app, "GET", SESSION, Some(token)))).await
    }
}

fn with_proof(mut request: Request<Body>, proof: &str) -> Request<Body> {
    request.headers_mut().insert("dpop", proof.parse().unwrap());
    request
}

/// The question who the caller is, by a bound token.
fn bound(token: &str, proof: &str) -> Request<Body> {
    let mut sent = with_proof(request("GET", SESSION, None), proof);
    sent.headers_mut().insert("authorization", format!("DPoP {token}").parse().unwrap());
    sent
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

async fn logged_in(app: &TestApp, clinic: &Clinic, holder: &Holder) -> Value {
    let body = json!({"tenant": clinic.slug, "username": "zoe", "password": PASSWORD});
    let proof = holder.proof(app, "POST", "/v1/auth/login", None);
    app.send(with_proof(request("POST", "/v1/auth/login", Some(body)), &proof)).await.ok()
}

async fn refreshed(app: &TestApp, tokens: &Value, proof: Option<&str>) -> Reply {
    let sent = request("POST", "/v1/auth/refresh", Some(json!({"refresh_token": tokens["refresh_token"]})));
    app.send(match proof {
        Some(proof) => with_proof(sent, proof),
        None => sent,
    })
    .await
}

async fn a_login_is_bound_to_a_key_and_goes_on_with_it(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    user(&app, &clinic, "zoe", "clinician").await;
    let (holder, thief) = (Holder::new(), Holder::new());
    let tokens = logged_in(&app, &clinic, &holder).await;
    assert_eq!(tokens["token_type"], "DPoP");
    let token = text(&tokens["access_token"]);
    assert_eq!(holder.asks(&app, token).await.ok()["username"], "zoe");

    // Stolen: without the key, or with another.
    assert!(!works(&app, &tokens).await, "as a bearer token");
    thief.asks(&app, token).await.refused(401, "auth.credential_invalid");
    let path = "/v1/auth/refresh";
    refreshed(&app, &tokens, None).await.refused(401, "auth.credential_invalid");
    let reply = refreshed(&app, &tokens, Some(&thief.proof(&app, "POST", path, None))).await;
    reply.refused(401, "auth.credential_invalid");
    let reply = refreshed(&app, &tokens, Some(&holder.proof(&app, "POST", "/v1/auth/login", None))).await;
    reply.refused(401, "auth.proof_invalid");
    assert_eq!(reply.headers["www-authenticate"], r#"DPoP error="invalid_dpop_proof", algs="ES256 EdDSA RS256""#);

    // Its owner goes on, with tokens of the same key.
    let next = refreshed(&app, &tokens, Some(&holder.proof(&app, "POST", path, None))).await.ok();
    assert_eq!(next["token_type"], "DPoP");
    holder.asks(&app, text(&next["access_token"])).await.ok();
    assert!(!works(&app, &next).await);
    let token = text(&next["access_token"]);
    let path = "/v1/auth/reauthenticate";
    let mut sent = request("POST", path, Some(json!({"password": PASSWORD})));
    sent.headers_mut().insert("authorization", format!("DPoP {token}").parse().unwrap());
    let proved = app.send(with_proof(sent, &holder.proof(&app, "POST", path, Some(token)))).await.ok();
    assert_eq!(proved["token_type"], "DPoP");
    holder.asks(&app, text(&proved["access_token"])).await.ok();
    assert!(!works(&app, &proved).await);
}

async fn a_program_binds_its_token(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    let key =
        app.post(&clinic.admin, "/v1/api-keys", json!({"description": "x", "roles": ["service"]})).await.created();
    let pairs =
        [("grant_type", "client_credentials"), ("client_id", text(&key["id"])), ("client_secret", text(&key["key"]))];
    let holder = Holder::new();
    let path = "/oauth2/token";
    let given = app.send(with_proof(form(path, &pairs), &holder.proof(&app, "POST", path, None))).await.ok();
    assert_eq!(given["token_type"], "DPoP");
    let token = text(&given["access_token"]);
    assert_eq!(holder.asks(&app, token).await.ok()["api_key_id"], key["id"]);
    assert!(!works(&app, &given).await);

    let mut sent = form("/oauth2/introspect", &[("token", token)]);
    sent.headers_mut().insert("x-api-key", text(&key["key"]).parse().unwrap());
    let found = app.send(sent).await.ok();
    assert_eq!((&found["token_type"], &found["cnf"]["jkt"]), (&json!("DPoP"), &json!(holder.thumbprint())));

    // By JSON, too; and a proof that is none gives nothing.
    let sent = Caller { bearer: text(&key["key"]).to_owned() }.sign(request("POST", "/v1/tokens", Some(json!({}))));
    let made = app.send(with_proof(sent, &holder.proof(&app, "POST", "/v1/tokens", None))).await.created();
    assert_eq!(made["token_type"], "DPoP");
    let reply = app.send(with_proof(form(path, &pairs), &holder.proof(&app, "POST", SESSION, None))).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["error"]), (400, &json!("invalid_dpop_proof")));
    let metadata = app.anonymous("GET", "/.well-known/openid-configuration", None).await.ok();
    assert_eq!(metadata["dpop_signing_alg_values_supported"], json!(["ES256", "EdDSA", "RS256"]));
}

async fn a_proof_is_taken_once_on_all_nodes(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    user(&app, &clinic, "zoe", "clinician").await;
    let other = app.again(|_| ()).await;
    let holder = Holder::new();
    let tokens = logged_in(&app, &clinic, &holder).await;
    let token = text(&tokens["access_token"]);
    let proof = holder.proof(&app, "GET", SESSION, Some(token));
    app.send(bound(token, &proof)).await.ok();
    for node in [&app, &other] {
        let reply = node.send(bound(token, &proof)).await;
        reply.refused(401, "auth.credential_invalid");
        assert_eq!(reply.headers["www-authenticate"], r#"DPoP error="invalid_token", algs="ES256 EdDSA RS256""#);
    }
    // Of two at once, on two nodes, one gets in.
    let proof = holder.proof(&app, "GET", SESSION, Some(token));
    let (one, two) = tokio::join!(app.send(bound(token, &proof)), other.send(bound(token, &proof)));
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401], "{} {}", one.text(), two.text());
    // A login's proof is none for another login.
    let proof = holder.proof(&app, "POST", "/v1/auth/login", None);
    for (node, status) in [(&app, 200), (&other, 401)] {
        let body = json!({"tenant": "north", "username": "zoe", "password": PASSWORD});
        let reply = node.send(with_proof(request("POST", "/v1/auth/login", Some(body)), &proof)).await;
        assert_eq!(reply.status, status, "{}", reply.text());
    }
}

#[tokio::test]
async fn proofs_of_another_request_time_or_token_are_refused() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    user(&app, &clinic, "zoe", "clinician").await;
    let holder = Holder::new();
    let tokens = logged_in(&app, &clinic, &holder).await;
    let token = text(&tokens["access_token"]);
    let now = app.clock.now().as_seconds();
    for (name, value) in [
        ("htm", json!("POST")),
        ("htu", json!("https://chancery.test/v1/auth/sessions")),
        ("htu", json!("https://evil.test/v1/auth/session")),
        ("iat", json!(now - 70)),
        ("iat", json!(now + 60)),
        ("ath", json!("AA")),
    ] {
        let mut claims = Holder::claims(&app, "GET", SESSION, Some(token));
        claims[name] = value.clone();
        let reply = app.send(bound(token, &holder.sign(&claims))).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (401, "auth.credential_invalid"), "{name} {value}");
    }
    // For the same request with a query, which is no part of the address.
    let mut claims = Holder::claims(&app, "GET", SESSION, Some(token));
    claims["htu"] = json!("https://chancery.test/v1/auth/session?a=b");
    app.send(bound(token, &holder.sign(&claims))).await.ok();
    app.send(bound(token, "garbage")).await.refused(401, "auth.credential_invalid");
    app.send(bound(token, token)).await.refused(401, "auth.credential_invalid");
    let mut alone = request("GET", SESSION, None);
    alone.headers_mut().insert("authorization", format!("DPoP {token}").parse().unwrap());
    app.send(alone).await.refused(401, "auth.credential_invalid");
    let mut two = bound(token, &holder.proof(&app, "GET", SESSION, Some(token)));
    two.headers_mut().append("dpop", holder.proof(&app, "GET", SESSION, Some(token)).parse().unwrap());
    app.send(two).await.refused(401, "auth.proof_invalid");

    // A token that is bound to no key gains nothing by one.
    let plain = crate::factors::log_in(&app, &clinic, "zoe").await;
    holder.asks(&app, text(&plain["access_token"])).await.refused(401, "auth.credential_invalid");
    assert!(works(&app, &plain).await);
}

#[tokio::test]
async fn a_cookie_is_not_bound_to_a_key() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    user(&app, &clinic, "zoe", "clinician").await;
    let body = json!({"tenant": "north", "username": "zoe", "password": PASSWORD, "cookies": true});
    let proof = Holder::new().proof(&app, "POST", "/v1/auth/login", None);
    let reply = app.send(with_proof(request("POST", "/v1/auth/login", Some(body)), &proof)).await;
    reply.refused(422, "request.invalid");
    assert!(!reply.headers.contains_key("set-cookie"));
}

/// Found by attackers: a proof was noted as used only where the head advanced, so that a copied request gave its successor once more.
async fn a_refresh_that_is_sent_again_with_its_proof_gives_nothing_and_ends_nothing(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    user(&app, &clinic, "zoe", "clinician").await;
    let other = app.again(|_| ()).await;
    let holder = Holder::new();
    let tokens = logged_in(&app, &clinic, &holder).await;
    let fresh = || holder.proof(&app, "POST", "/v1/auth/refresh", None);
    let proof = fresh();
    let next = refreshed(&app, &tokens, Some(&proof)).await.ok();
    for node in [&app, &other] {
        refreshed(node, &tokens, Some(&proof)).await.refused(401, "auth.proof_invalid");
    }
    // Its owner, who lost the answer, proves the key again; and that proof is used up by it as well.
    let again = fresh();
    let repeated = refreshed(&app, &tokens, Some(&again)).await.ok();
    assert_eq!(repeated["refresh_token"], next["refresh_token"]);
    refreshed(&other, &tokens, Some(&again)).await.refused(401, "auth.proof_invalid");
    // Later the copied request is one of a copied token; without a new proof it ends nothing.
    app.clock.advance_seconds(20);
    refreshed(&app, &tokens, Some(&proof)).await.refused(401, "auth.proof_invalid");
    refreshed(&app, &tokens, Some(&again)).await.refused(401, "auth.proof_invalid");
    refreshed(&app, &next, Some(&fresh())).await.ok();
    // Of two at once with one proof one goes on.
    let next = refreshed(&app, &refreshed(&app, &next, Some(&fresh())).await.ok(), Some(&fresh())).await.ok();
    let proof = fresh();
    let (one, two) = tokio::join!(refreshed(&app, &next, Some(&proof)), refreshed(&other, &next, Some(&proof)));
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401], "{} {}", one.text(), two.text());
}
