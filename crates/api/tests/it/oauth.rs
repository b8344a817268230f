//! Clients off the shelf: discovery, tokens for API keys, introspection, revocation.

use axum::body::Body;
use data_encoding::BASE64;
use http::Request;
use serde_json::{Value, json};

use crate::app::{Backend, Caller, Clinic, Reply, TestApp, request};

backends!(
    a_programs_token_dies_with_its_key_and_with_its_tenant,
    a_session_goes_on_at_the_token_endpoint_too,
    whoever_holds_a_token_can_end_it,
);

pub(crate) const PASSWORD: &str = "Correct-Horse-7-Battery";

/// A program: the id of its API key, and the key.
#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) id: String,
    pub(crate) key: String,
}

/// A program of a clinic.
pub(crate) async fn program(app: &TestApp, clinic: &Clinic, body: Value) -> Program {
    let made = app.post(&clinic.admin, "/v1/api-keys", body).await.created();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    Program { id: text("id"), key: text("key") }
}

pub(crate) async fn service(app: &TestApp, clinic: &Clinic) -> Program {
    program(app, clinic, json!({"description": "lab", "roles": ["service", "staff"]})).await
}

/// A form as it is sent; its values need no escapes but blanks.
pub(crate) fn form(path: &str, pairs: &[(&str, &str)]) -> Request<Body> {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", value.replace(' ', "+"))).collect();
    raw_form(path, &pairs.join("&"))
}

fn raw_form(path: &str, body: &str) -> Request<Body> {
    let mut sent = request("POST", path, None);
    sent.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    *sent.body_mut() = Body::from(body.to_owned());
    sent
}

pub(crate) fn basic(mut sent: Request<Body>, id: &str, secret: &str) -> Request<Body> {
    let encoded = BASE64.encode(format!("{id}:{secret}").as_bytes());
    sent.headers_mut().insert("authorization", format!("Basic {encoded}").parse().unwrap());
    sent
}

impl Program {
    pub(crate) async fn ask(&self, app: &TestApp, path: &str, pairs: &[(&str, &str)]) -> Reply {
        app.send(basic(form(path, pairs), &self.id, &self.key)).await
    }

    pub(crate) async fn token(&self, app: &TestApp) -> Caller {
        let reply = self.ask(app, "/oauth2/token", &[("grant_type", "client_credentials")]).await.ok();
        Caller { bearer: reply["access_token"].as_str().unwrap().to_owned() }
    }

    async fn introspect(&self, app: &TestApp, token: &str) -> Value {
        self.ask(app, "/oauth2/introspect", &[("token", token)]).await.ok()
    }
}

/// A person of a clinic, logged in.
pub(crate) async fn person(app: &TestApp, clinic: &Clinic, name: &str) -> Value {
    let email = format!("{name}@clinic.test");
    let body = json!({"username": name, "email": email, "password": PASSWORD, "roles": ["clinician"]});
    let made = app.post(&clinic.admin, "/v1/users", body).await.created();
    let login = json!({"tenant": clinic.slug, "username": name, "password": PASSWORD});
    let mut tokens = app.anonymous("POST", "/v1/auth/login", Some(login)).await.ok();
    tokens["user_id"] = made["id"].clone();
    tokens
}

pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

pub(crate) fn bearer(tokens: &Value) -> Caller {
    Caller { bearer: text(tokens, "access_token").to_owned() }
}

/// Whether a credential is accepted, now that nothing is remembered of it.
pub(crate) async fn works(app: &TestApp, caller: &Caller) -> bool {
    app.clock.advance_seconds(1);
    let status = app.get(caller, "/v1/auth/session").await.status.as_u16();
    assert!(status == 200 || status == 401, "{status}");
    status == 200
}

#[track_caller]
fn refused(reply: &Reply, status: u16, error: &str) {
    assert_eq!((reply.status.as_u16(), reply.json()["error"].as_str()), (status, Some(error)), "{}", reply.text());
    assert_eq!(reply.headers["content-type"], "application/json");
    assert_eq!(reply.headers["cache-control"], "no-store");
    assert_eq!(reply.headers.contains_key("www-authenticate"), status == 401);
}

#[tokio::test]
async fn discovery_names_the_issuer_to_the_letter_and_every_endpoint() {
    let app = TestApp::new().await;
    let openid = app.anonymous("GET", "/.well-known/openid-configuration", None).await;
    let oauth = app.anonymous("GET", "/.well-known/oauth-authorization-server", None).await;
    assert_eq!(openid.ok(), oauth.ok());
    assert_eq!(openid.headers["cache-control"], "public, max-age=300");
    let said = openid.json();
    assert_eq!(said["issuer"], "https://chancery.test");
    assert_eq!(said["jwks_uri"], "https://chancery.test/.well-known/jwks.json");
    assert_eq!(said["id_token_signing_alg_values_supported"], json!(["ES256"]));
    assert_eq!(said["grant_types_supported"], json!(["client_credentials", "refresh_token"]));
    for endpoint in ["token_endpoint", "introspection_endpoint", "revocation_endpoint"] {
        let path = said[endpoint].as_str().unwrap().strip_prefix("https://chancery.test").unwrap();
        let reply = app.send(form(path, &[("token", "x"), ("grant_type", "x")])).await;
        assert!(reply.status != 404, "{endpoint}");
    }
    // A client that knows the API alone finds who gives tokens for it (RFC 9728).
    let api = app.anonymous("GET", "/.well-known/oauth-protected-resource", None).await.ok();
    assert_eq!((&api["resource"], &api["authorization_servers"][0]), (&said["issuer"], &said["issuer"]));
}

#[tokio::test]
async fn a_program_trades_its_api_key_for_a_token_of_its_own() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let lab = service(&app, &clinic).await;
    let grant = [("grant_type", "client_credentials")];
    let reply = lab.ask(&app, "/oauth2/token", &grant).await.ok();
    assert_eq!((&reply["token_type"], &reply["expires_in"]), (&json!("Bearer"), &json!(900)));
    assert_eq!(reply["scope"], "staff service");
    assert!(reply.get("refresh_token").is_none());

    let session = app.get(&bearer(&reply), "/v1/auth/session").await.ok();
    assert_eq!((&session["api_key_id"], &session["user_id"]), (&json!(lab.id), &Value::Null));
    assert_eq!((&session["tenant_id"], &session["roles"]), (&json!(clinic.id), &json!(["staff", "service"])));
    assert_eq!(session["auth"], "api_key");

    // The same in the form, and with fewer roles.
    let in_form = [grant[0], ("client_id", &*lab.id), ("client_secret", &*lab.key), ("scope", "staff"), ("more", "x")];
    let reply = app.send(form("/oauth2/token", &in_form)).await.ok();
    assert_eq!(reply["scope"], "staff");
    assert_eq!(app.get(&bearer(&reply), "/v1/auth/session").await.ok()["roles"], json!(["staff"]));
    app.get(&bearer(&reply), "/v1/keys").await.refused(403, "authz.denied");

    assert_eq!(app.events(&clinic.auditor, "token.issued").await.len(), 2);
}

async fn a_programs_token_dies_with_its_key_and_with_its_tenant(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    let (lab, other) = (service(&app, &clinic).await, service(&app, &clinic).await);
    let (token, spared) = (lab.token(&app).await, other.token(&app).await);
    assert!(works(&app, &token).await && works(&app, &spared).await);
    app.post(&clinic.admin, &format!("/v1/api-keys/{}/revoke", lab.id), json!({})).await.ok();
    assert!(!works(&app, &token).await && works(&app, &spared).await);
    refused(&lab.ask(&app, "/oauth2/token", &[("grant_type", "client_credentials")]).await, 401, "invalid_client");

    app.post(&app.admin, &format!("/v1/tenants/{}/suspend", clinic.id), json!({})).await.ok();
    assert!(!works(&app, &spared).await);
    refused(&other.ask(&app, "/oauth2/introspect", &[("token", "x")]).await, 401, "invalid_client");
    app.clock.advance_seconds(900);
}

#[tokio::test]
async fn a_programs_token_is_bound_to_the_networks_of_its_key() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let body = |cidr: &str| json!({"description": "lab", "roles": ["service"], "allowed_cidrs": [cidr]});
    // Requests of the tests come from 192.0.2.7.
    let inside = program(&app, &clinic, body("192.0.2.0/24")).await;
    let outside = program(&app, &clinic, body("10.0.0.0/8")).await;
    assert!(works(&app, &inside.token(&app).await).await);
    let grant = [("grant_type", "client_credentials")];
    refused(&outside.ask(&app, "/oauth2/token", &grant).await, 401, "invalid_client");
    let token = inside.token(&app).await;
    let mut elsewhere = token.sign(request("GET", "/v1/auth/session", None));
    elsewhere.extensions_mut().insert(axum::extract::ConnectInfo(std::net::SocketAddr::from(([10, 0, 0, 1], 1))));
    app.send(elsewhere).await.refused(401, "auth.credential_invalid");
}

#[tokio::test]
async fn only_the_api_key_of_a_program_gets_a_token() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let (lab, zoe) = (service(&app, &clinic).await, person(&app, &clinic, "zoe").await);
    let as_zoe = json!({"description": "hers", "roles": ["clinician"], "user_id": zoe["user_id"]});
    let as_zoe = program(&app, &clinic, as_zoe).await;
    let grant = [("grant_type", "client_credentials")];
    refused(&as_zoe.ask(&app, "/oauth2/token", &grant).await, 400, "unauthorized_client");
    for holder in [bearer(&zoe), lab.token(&app).await] {
        let reply = app.send(holder.sign(form("/oauth2/token", &grant))).await;
        refused(&reply, 400, "unauthorized_client");
    }
    for scope in ["tenant_admin", "service tenant_admin", "nobody", "openid", " "] {
        let reply = lab.ask(&app, "/oauth2/token", &[grant[0], ("scope", scope)]).await;
        refused(&reply, 400, "invalid_scope");
    }
    // The same without a form.
    for holder in [bearer(&zoe), lab.token(&app).await, Caller { bearer: as_zoe.key.clone() }] {
        app.post(&holder, "/v1/tokens", json!({})).await.refused(403, "authz.denied");
    }
}

#[tokio::test]
async fn a_client_that_is_not_who_it_says_is_told_nothing_more() {
    let app = TestApp::new().await;
    let (ours, theirs) = (app.clinic("ours").await, app.clinic("theirs").await);
    let (lab, alien) = (service(&app, &ours).await, service(&app, &theirs).await);
    let mut changed = lab.key.clone();
    changed.replace_range(40..41, if &changed[40..41] == "x" { "y" } else { "x" });
    let unknown = "apk_01J9Z3K0Q5V8WXYZ0123456789";
    for path in ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"] {
        let pairs = [("grant_type", "client_credentials"), ("token", "x")];
        for (id, secret) in [
            (&*lab.id, &*changed),
            (&*lab.id, &*alien.key),
            (&*alien.id, &*lab.key),
            (unknown, &*lab.key),
            (&*lab.id, "secret"),
            ("", &*lab.key),
            ("chancery", "secret"),
            (&*lab.id, ""),
        ] {
            refused(&app.send(basic(form(path, &pairs), id, secret)).await, 401, "invalid_client");
            if !secret.is_empty() && !id.is_empty() {
                let in_form = [pairs[0], pairs[1], ("client_id", id), ("client_secret", secret)];
                refused(&app.send(form(path, &in_form)).await, 401, "invalid_client");
            }
        }
        // An id alone proves nothing; two proofs are one too many.
        let named = [pairs[0], pairs[1], ("client_id", &*lab.id)];
        refused(&app.send(form(path, &named)).await, 401, "invalid_client");
        let twice = [pairs[0], pairs[1], ("client_id", &*lab.id), ("client_secret", &*lab.key)];
        refused(&app.send(basic(form(path, &twice), &lab.id, &lab.key)).await, 400, "invalid_request");
        let other = [pairs[0], pairs[1], ("client_id", &*alien.id)];
        refused(&app.send(basic(form(path, &other), &lab.id, &lab.key)).await, 401, "invalid_client");
        for garbage in ["Basic", "Basic !!!", "Bearer garbage", "Bearer chy_dev_x", "Digest x"] {
            let mut sent = form(path, &pairs);
            sent.headers_mut().insert("authorization", garbage.parse().unwrap());
            refused(&app.send(sent).await, 401, "invalid_client");
        }
    }
    let nobody = form("/oauth2/introspect", &[("token", "x")]);
    refused(&app.send(nobody).await, 401, "invalid_client");
    let nobody = form("/oauth2/token", &[("grant_type", "client_credentials")]);
    refused(&app.send(nobody).await, 401, "invalid_client");
}

#[tokio::test]
async fn a_form_that_could_be_read_in_two_ways_is_refused() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let lab = service(&app, &clinic).await;
    let send = async |sent: Request<Body>| app.send(basic(sent, &lab.id, &lab.key)).await;
    for body in [
        "grant_type=client_credentials&grant_type=client_credentials",
        "grant_type=client_credentials&scope=staff&scope=service",
        "grant_type=client_credentials&gr%61nt_type=refresh_token",
        "grant_type=client_credentials&x=%zz",
        "grant_type=client_credentials&x=%00",
        "grant_type=%ff",
        "grant_type=",
        "",
    ] {
        refused(&send(raw_form("/oauth2/token", body)).await, 400, "invalid_request");
    }
    refused(&send(raw_form("/oauth2/token", "grant_type=password")).await, 400, "unsupported_grant_type");
    refused(&send(raw_form("/oauth2/token", "grant_type=Client_Credentials")).await, 400, "unsupported_grant_type");
    refused(&send(raw_form("/oauth2/token?grant_type=client_credentials", "")).await, 400, "invalid_request");
    let json = request("POST", "/oauth2/token", Some(json!({"grant_type": "client_credentials"})));
    refused(&send(json).await, 400, "invalid_request");
    let long = format!("grant_type=client_credentials&x={}", "a".repeat(20_000));
    refused(&send(raw_form("/oauth2/token", &long)).await, 400, "invalid_request");
}

async fn a_session_goes_on_at_the_token_endpoint_too(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    let (lab, first) = (service(&app, &clinic).await, person(&app, &clinic, "zoe").await);
    let ask = async |token: &str, more: &[(&str, &str)]| {
        let pairs = [&[("grant_type", "refresh_token"), ("refresh_token", token)], more].concat();
        app.send(form("/oauth2/token", &pairs)).await
    };
    let second = ask(text(&first, "refresh_token"), &[("client_id", "chancery")]).await.ok();
    assert!(works(&app, &bearer(&second)).await);
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    let third = ask(text(&second, "refresh_token"), &[]).await.ok();
    refused(&ask(text(&third, "refresh_token"), &[("scope", "clinician")]).await, 400, "invalid_scope");
    let by_lab = [("client_id", &*lab.id), ("client_secret", &*lab.key)];
    refused(&ask(text(&third, "refresh_token"), &by_lab).await, 400, "unauthorized_client");
    // An access token is no refresh token, and nothing else is either.
    for wrong in [text(&third, "access_token"), &lab.key, "garbage"] {
        refused(&ask(wrong, &[]).await, 400, "invalid_grant");
    }
    // A copy of the first one turns up.
    refused(&ask(text(&first, "refresh_token"), &[]).await, 400, "invalid_grant");
    refused(&ask(text(&third, "refresh_token"), &[]).await, 400, "invalid_grant");
    assert!(!works(&app, &bearer(&third)).await);
}

#[tokio::test]
async fn introspection_tells_a_program_of_the_same_tenant_what_a_token_is() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let (lab, zoe) = (service(&app, &clinic).await, person(&app, &clinic, "zoe").await);
    let said = lab.introspect(&app, text(&zoe, "access_token")).await;
    assert_eq!((&said["active"], &said["token_type"]), (&json!(true), &json!("Bearer")));
    assert_eq!((&said["sub"], &said["client_id"]), (&zoe["user_id"], &json!("chancery")));
    assert_eq!((&said["username"], &said["scope"]), (&json!("zoe"), &json!("clinician")));
    assert_eq!((&said["iss"], &said["aud"]), (&json!("https://chancery.test"), &json!("https://chancery.test")));
    assert_eq!((&said["tenant_id"], &said["sid"]), (&json!(clinic.id), &zoe["session_id"]));
    assert_eq!((&said["amr"], said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap()), (&json!(["pwd"]), 900));
    assert!(text(&said, "jti").starts_with("tok_"));

    let said = lab.introspect(&app, text(&zoe, "refresh_token")).await;
    assert_eq!((&said["active"], &said["token_type"]), (&json!(true), &json!("refresh_token")));
    assert!(said.get("jti").is_none());
    // Looking at it does not use it.
    let refresh = json!({"refresh_token": zoe["refresh_token"]});
    app.anonymous("POST", "/v1/auth/refresh", Some(refresh)).await.ok();
    assert_eq!(lab.introspect(&app, text(&zoe, "refresh_token")).await, json!({"active": false}));

    let token = lab.token(&app).await;
    let said = lab.introspect(&app, &token.bearer).await;
    assert_eq!((&said["sub"], &said["client_id"]), (&json!(lab.id), &json!(lab.id)));
    assert!(said.get("username").is_none() && said.get("sid").is_none() && said.get("amr").is_none());
    // Any credential of the API may ask.
    let sent = bearer(&zoe).sign(form("/oauth2/introspect", &[("token", &token.bearer), ("token_type_hint", "x")]));
    assert_eq!(app.send(sent).await.ok()["active"], true);

    // Each of them is in the log, by the token's id and never by the token.
    let told = app.events(&clinic.auditor, "token.introspected").await;
    let cores: Vec<Value> =
        told.iter().map(|event| serde_json::from_str(event["core"].as_str().unwrap()).unwrap()).collect();
    let active: Vec<&str> = cores.iter().map(|core| core["detail"]["active"].as_str().unwrap()).collect();
    assert_eq!(active, ["yes", "yes", "no", "yes", "yes"]);
    assert_eq!(cores[0]["resource"]["kind"], "token");
    assert_eq!((&cores[1]["resource"]["id"], &cores[1]["detail"]["holder"]), (&zoe["session_id"], &zoe["user_id"]));
    assert!(cores[2].get("resource").is_none(), "of what is worth nothing, nothing is known");
}

#[tokio::test]
async fn whatever_is_wrong_with_a_token_introspection_says_the_same() {
    let app = TestApp::new().await;
    let (ours, theirs) = (app.clinic("ours").await, app.clinic("theirs").await);
    let (lab, alien) = (service(&app, &ours).await, service(&app, &theirs).await);
    let zoe = person(&app, &ours, "zoe").await;
    let token = alien.token(&app).await.bearer;
    let tampered = format!("{}A", text(&zoe, "access_token"));
    for wrong in ["garbage", "a.b.c", "", "chr_dev_x", &lab.key, &token, &tampered] {
        let pairs = [("token", if wrong.is_empty() { "x" } else { wrong })];
        let reply = lab.ask(&app, "/oauth2/introspect", &pairs).await;
        assert_eq!(reply.ok(), json!({"active": false}), "{wrong}");
    }
    let theirs_view = alien.introspect(&app, text(&zoe, "access_token")).await;
    assert_eq!(theirs_view, json!({"active": false}));
    assert_eq!(alien.introspect(&app, text(&zoe, "refresh_token")).await, json!({"active": false}));
    refused(&lab.ask(&app, "/oauth2/introspect", &[]).await, 400, "invalid_request");

    let logout = bearer(&zoe);
    app.post(&logout, "/v1/auth/logout", json!({})).await;
    for name in ["access_token", "refresh_token"] {
        assert_eq!(lab.introspect(&app, text(&zoe, name)).await, json!({"active": false}), "{name}");
    }
    let old = lab.token(&app).await.bearer;
    app.clock.advance_seconds(901);
    assert_eq!(lab.introspect(&app, &old).await, json!({"active": false}));
}

async fn whoever_holds_a_token_can_end_it(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    let lab = service(&app, &clinic).await;
    let revoke = async |token: &str| {
        let reply = app.send(form("/oauth2/revoke", &[("token", token)])).await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 0), "{}", reply.text());
    };
    let zoe = person(&app, &clinic, "zoe").await;
    revoke(text(&zoe, "access_token")).await;
    assert!(!works(&app, &bearer(&zoe)).await);
    // The session goes on, until its refresh token is revoked.
    let refresh = json!({"refresh_token": zoe["refresh_token"]});
    let next = app.anonymous("POST", "/v1/auth/refresh", Some(refresh)).await.ok();
    assert!(works(&app, &bearer(&next)).await);
    revoke(text(&next, "refresh_token")).await;
    assert!(!works(&app, &bearer(&next)).await);
    let over = json!({"refresh_token": next["refresh_token"]});
    app.anonymous("POST", "/v1/auth/refresh", Some(over)).await.refused(401, "auth.credential_invalid");
    for unknown in ["garbage", "a.b.c", &lab.key, text(&zoe, "access_token"), text(&next, "refresh_token")] {
        revoke(unknown).await;
    }
    assert_eq!(app.events(&clinic.auditor, "token.revoked").await.len(), 1);
    assert_eq!(app.events(&clinic.auditor, "session.ended").await.len(), 1);
}

#[tokio::test]
async fn a_programs_token_is_revoked_by_that_program_only() {
    let app = TestApp::new().await;
    let (ours, theirs) = (app.clinic("ours").await, app.clinic("theirs").await);
    let (lab, other, alien) = (service(&app, &ours).await, service(&app, &ours).await, service(&app, &theirs).await);
    let (token, zoe) = (lab.token(&app).await, person(&app, &ours, "zoe").await);
    let pairs = [("token", &*token.bearer)];
    assert_eq!(app.send(form("/oauth2/revoke", &pairs)).await.status, 200);
    for stranger in [&other, &alien] {
        assert_eq!(stranger.ask(&app, "/oauth2/revoke", &pairs).await.status, 200);
    }
    for name in ["access_token", "refresh_token"] {
        assert_eq!(alien.ask(&app, "/oauth2/revoke", &[("token", text(&zoe, name))]).await.status, 200);
    }
    assert!(works(&app, &token).await && works(&app, &bearer(&zoe)).await);
    assert_eq!(lab.ask(&app, "/oauth2/revoke", &pairs).await.status, 200);
    assert!(!works(&app, &token).await);
    assert!(works(&app, &lab.token(&app).await).await);
}

#[tokio::test]
async fn a_store_that_is_away_is_said_in_oauths_words() {
    let (backend, faulty) = Backend::faulty().await;
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    let lab = service(&app, &clinic).await;
    app.clock.advance_seconds(1);
    faulty.faults().fail_view(true);
    faulty.faults().fail_directory(true);
    let reply = lab.ask(&app, "/oauth2/token", &[("grant_type", "client_credentials")]).await;
    refused(&reply, 503, "temporarily_unavailable");
    assert_eq!(reply.headers["retry-after"], "1");
}

#[tokio::test]
async fn a_program_gets_a_token_with_a_life_and_claims_of_its_choice() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let lab = service(&app, &clinic).await;
    let key = Caller { bearer: lab.key.clone() };
    let claims = json!({"https://lab.test/device": {"id": 7}, "lab:room": "b2"});
    let body = json!({"roles": ["staff"], "lifetime_minutes": 5, "claims": claims});
    let issued = app.post(&key, "/v1/tokens", body).await.created();
    assert_eq!((&issued["expires_in"], &issued["roles"]), (&json!(300), &json!(["staff"])));
    let token = bearer(&issued);
    let session = app.get(&token, "/v1/auth/session").await.ok();
    assert_eq!((&session["jti"], &session["expires_at"]), (&issued["jti"], &issued["expires_at"]));
    let payload = token.bearer.split('.').nth(1).unwrap();
    let said: Value =
        serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap()).unwrap();
    assert_eq!((&said["https://lab.test/device"], &said["lab:room"]), (&json!({"id": 7}), &json!("b2")));
    app.clock.advance_seconds(301);
    assert!(!works(&app, &token).await);

    for body in [
        json!({"lifetime_minutes": 4}),
        json!({"lifetime_minutes": 16}),
        json!({"lifetime_minutes": "5"}),
        json!({"roles": []}),
        json!({"roles": ["tenant_admin"]}),
        json!({"claims": {"sub": "usr_01J9Z3K0Q5V8WXYZ0123456789"}}),
        json!({"claims": {"roles": ["tenant_admin"]}}),
        json!({"claims": {"lab:x": "a".repeat(2_048)}}),
        json!({"claims": []}),
        json!({"colour": "red"}),
    ] {
        app.post(&key, "/v1/tokens", body).await.refused(422, "request.invalid");
    }
}
