//! Proxies that ask before they let a request through: what each says of the request, and what it is told.

use std::sync::Arc;

use chancery_domain::instance::Environment;
use chancery_middleware::{Cors, CorsRules, Edge, Limits};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use http::Request;
use serde_json::{Value, json};

use crate::app::{Backend, Caller, Clinic, Reply, TestApp, request};

/// The address of every request in these tests.
const PROXIES: &str = "192.0.2.0/24";

async fn behind_a_proxy() -> (TestApp, Clinic) {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let limits = Limits { trusted_proxies: vec![PROXIES.parse().unwrap()], ..Limits::default() };
    (app.door(limits), clinic)
}

/// The question of each proxy about one request.
fn questions(method: &str, target: &str, roles: Option<&str>) -> [(&'static str, Request<axum::body::Body>); 3] {
    let asked = roles.map_or("route=clinic".to_owned(), |roles| format!("route=clinic&roles={roles}"));
    let with = |mut sent: Request<axum::body::Body>, headers: &[(&'static str, &str)]| {
        for (name, value) in headers {
            sent.headers_mut().insert(*name, value.parse().unwrap());
        }
        sent
    };
    let traefik = request("GET", &format!("/authz/forward-auth?{asked}"), None);
    let nginx = request("GET", &format!("/authz/auth-request?{asked}"), None);
    let envoy = request(method, &format!("/authz/ext-authz{target}"), None);
    let mut of_envoy = vec![("x-chancery-route", "clinic")];
    of_envoy.extend(roles.map(|roles| ("x-chancery-roles", roles)));
    [
        ("Traefik", with(traefik, &[("x-forwarded-method", method), ("x-forwarded-uri", target)])),
        ("nginx", with(nginx, &[("x-original-method", method), ("x-original-uri", target)])),
        ("Envoy", with(envoy, &of_envoy)),
    ]
}

fn claims(reply: &Reply) -> (Value, Value) {
    let text = reply.headers["x-auth-assertion"].to_str().unwrap();
    let part = |at| {
        let part: &str = text.split('.').nth(at).unwrap();
        serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
    };
    (part(0), part(1))
}

#[tokio::test]
async fn each_proxy_is_told_who_calls() {
    let (app, clinic) = behind_a_proxy().await;
    let session = app.get(&clinic.service, "/v1/auth/session").await.ok();
    for (proxy, question) in questions("PUT", "/api/patients/1?ward=west", None) {
        let reply = app.send(clinic.service.sign(question)).await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 0), "{proxy}: {}", reply.text());
        let (header, said) = claims(&reply);
        assert_eq!((&header["typ"], &header["alg"]), (&json!("auth-assertion+jwt"), &json!("ES256")), "{proxy}");
        assert_eq!(said["sub"], reply.headers["x-auth-subject"].to_str().unwrap(), "{proxy}");
        assert_eq!((&said["tenant_id"], &said["tenant"]), (&session["tenant_id"], &json!("ours")), "{proxy}");
        assert_eq!((&said["aud"], &said["auth"]), (&json!("clinic"), &json!("api_key")), "{proxy}");
        assert_eq!(said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap(), 60, "{proxy}");
        assert_eq!(said["jti"], reply.headers["x-request-id"].to_str().unwrap(), "{proxy}");
        assert_eq!(reply.headers["x-auth-decision-id"], reply.headers["x-request-id"], "{proxy}");
        assert_eq!(reply.headers["x-auth-roles"], "service", "{proxy}");
        // printf 'PUT\n/api/patients/1' | sha256sum
        let hash = BASE64URL_NOPAD.decode(said["request"].as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(
            HEXLOWER.encode(&hash),
            "ab11e0ca43ebfa60191e031a4faf3c307aa999fc57cb4b6371cf76378e500bb5",
            "{proxy}"
        );
    }
}

#[tokio::test]
async fn what_a_proxy_lets_through_is_in_the_log_where_its_configuration_says_so() {
    let (app, clinic) = behind_a_proxy().await;
    for (proxy, question) in questions("GET", "/api/patients/1", None) {
        assert_eq!(app.send(clinic.service.sign(question)).await.status.as_u16(), 200, "{proxy}");
    }
    assert_eq!(app.events(&clinic.auditor, "request.forwarded").await.len(), 0, "nobody asked for it");

    let audited = || {
        let mut asked = questions("GET", "/api/patients/1", None);
        asked[0].1 = traefik("/authz/forward-auth?route=clinic&audit=true");
        asked[1].1 = nginx("/authz/auth-request?route=clinic&audit=true");
        asked[2].1.headers_mut().insert("x-chancery-audit", "true".parse().unwrap());
        asked
    };
    let mut requests = Vec::new();
    for (proxy, question) in audited() {
        let reply = app.send(clinic.service.sign(question)).await;
        assert_eq!(reply.status.as_u16(), 200, "{proxy}: {}", reply.text());
        requests.push(reply.headers["x-request-id"].to_str().unwrap().to_owned());
    }
    let told = app.events(&clinic.auditor, "request.forwarded").await;
    let mut seen = Vec::new();
    for event in &told {
        let core: Value = serde_json::from_str(event["core"].as_str().unwrap()).unwrap();
        assert!(!core.to_string().contains("patients"), "the path of a patient is in no event: {core}");
        seen.push(core["request_id"].as_str().unwrap().to_owned());
    }
    seen.sort();
    requests.sort();
    assert_eq!(seen, requests);
    // Whoever is refused has an event of that alone.
    for (proxy, question) in audited() {
        app.send(question).await.refused(401, "auth.credential_missing");
        assert_eq!(app.events(&clinic.auditor, "request.forwarded").await.len(), 3, "{proxy}");
    }
}

/// The question of Traefik at this address, about a patient.
fn traefik(path: &str) -> Request<axum::body::Body> {
    let mut sent = request("GET", path, None);
    sent.headers_mut().insert("x-forwarded-method", "GET".parse().unwrap());
    sent.headers_mut().insert("x-forwarded-uri", "/api/patients/1".parse().unwrap());
    sent
}

/// The same of nginx.
fn nginx(path: &str) -> Request<axum::body::Body> {
    let mut sent = request("GET", path, None);
    sent.headers_mut().insert("x-original-method", "GET".parse().unwrap());
    sent.headers_mut().insert("x-original-uri", "/api/patients/1".parse().unwrap());
    sent
}

#[tokio::test]
async fn a_log_that_does_not_take_it_lets_no_proxy_pass_an_audited_request() {
    let (backend, store) = Backend::faulty().await;
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let limits = Limits { trusted_proxies: vec![PROXIES.parse().unwrap()], ..Limits::default() };
    let app = app.door(limits);
    let ask = |path: &str| clinic.service.sign(nginx(path));
    assert_eq!(app.send(ask("/authz/auth-request?route=clinic&audit=true")).await.status.as_u16(), 200);
    store.faults().fail_append(true);
    let reply = app.send(ask("/authz/auth-request?route=clinic&audit=true")).await;
    reply.refused(503, "audit.unavailable");
    assert!(!reply.headers.contains_key("x-auth-assertion"));
    assert_eq!(app.send(ask("/authz/auth-request?route=clinic")).await.status.as_u16(), 200);
}

#[tokio::test]
async fn an_assertion_is_no_access_token() {
    let (app, clinic) = behind_a_proxy().await;
    let [(_, question), ..] = questions("GET", "/", None);
    let reply = app.send(clinic.service.sign(question)).await;
    let bearer = reply.headers["x-auth-assertion"].to_str().unwrap().to_owned();
    app.get(&Caller { bearer }, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
}

#[tokio::test]
async fn whoever_may_not_is_refused_as_elsewhere() {
    let (app, clinic) = behind_a_proxy().await;
    let limited = json!({"description": "x", "roles": ["service"], "rate_limit": 1});
    for (proxy, question) in questions("GET", "/api/patients", None) {
        let made = app.post(&clinic.admin, "/v1/api-keys", limited.clone()).await.created();
        let caller = Caller { bearer: made["key"].as_str().unwrap().to_owned() };
        let again = || questions("GET", "/api/patients", None).into_iter().find(|(name, _)| *name == proxy).unwrap().1;
        app.send(question).await.refused(401, "auth.credential_missing");
        let garbage = Caller { bearer: "chy_dev_garbage".into() };
        app.send(garbage.sign(again())).await.refused(401, "auth.credential_invalid");
        assert_eq!(app.send(caller.sign(again())).await.status.as_u16(), 200, "{proxy}");
        let reply = app.send(caller.sign(again())).await;
        reply.refused(429, "ratelimit.exceeded");
        assert!(reply.headers.contains_key("retry-after"), "{proxy}");
    }
    for (_, question) in questions("GET", "/api/patients", Some("clinician,auditor")) {
        app.send(clinic.service.sign(question)).await.refused(403, "authz.denied");
    }
    for (proxy, question) in questions("GET", "/api/patients", Some("clinician,auditor")) {
        assert_eq!(app.send(clinic.auditor.sign(question)).await.status.as_u16(), 200, "{proxy}");
    }
    assert!(app.events(&clinic.auditor, "access.refused").await.len() >= 3, "refusals of known callers are in the log");
}

#[tokio::test]
async fn another_tenants_name_in_the_original_query_is_not_believed() {
    let (app, clinic) = behind_a_proxy().await;
    for (proxy, question) in questions("GET", "/api/patients?tenant=theirs", None) {
        let reply = app.send(clinic.service.sign(question)).await;
        assert_eq!(reply.status.as_u16(), 200, "{proxy}: {}", reply.text());
        assert_eq!(claims(&reply).1["tenant"], "ours", "{proxy}");
    }
    assert_eq!(app.events(&clinic.auditor, "tenant.mismatch").await.len(), 3);
}

#[tokio::test]
async fn nobody_but_a_proxy_may_ask() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    for (proxy, question) in questions("GET", "/api/patients", None) {
        let reply = app.send(clinic.service.sign(question)).await;
        reply.refused(403, "authz.denied");
        assert!(!reply.headers.contains_key("x-auth-assertion"), "{proxy}");
    }
}

#[tokio::test]
async fn a_proxy_that_does_not_say_which_request_gets_no_answer() {
    let (app, clinic) = behind_a_proxy().await;
    let tries: [(&str, &[(&str, &str)]); 8] = [
        ("/authz/forward-auth?route=clinic", &[]),
        ("/authz/forward-auth?route=clinic", &[("x-original-method", "GET"), ("x-original-uri", "/")]),
        ("/authz/auth-request?route=clinic", &[("x-forwarded-method", "GET"), ("x-forwarded-uri", "/")]),
        ("/authz/auth-request?route=clinic", &[("x-original-method", "GET"), ("x-original-uri", "http://x/")]),
        ("/authz/auth-request?route=clinic", &[("x-original-method", "G T"), ("x-original-uri", "/")]),
        ("/authz/auth-request", &[("x-original-method", "GET"), ("x-original-uri", "/")]),
        ("/authz/auth-request?route=clinic&roles=", &[("x-original-method", "GET"), ("x-original-uri", "/")]),
        ("/authz/ext-authz/a", &[]),
    ];
    for (path, headers) in tries {
        let mut sent = request("GET", path, None);
        for (name, value) in headers {
            sent.headers_mut().append(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        app.send(clinic.service.sign(sent)).await.refused(400, "request.malformed");
    }
    // One of two is whichever the reader likes.
    let mut sent = request("GET", "/authz/auth-request?route=clinic", None);
    for value in ["/a", "/b"] {
        sent.headers_mut().append("x-original-uri", value.parse().unwrap());
    }
    sent.headers_mut().insert("x-original-method", "GET".parse().unwrap());
    app.send(clinic.service.sign(sent)).await.refused(400, "request.malformed");
}

#[tokio::test]
async fn what_fails_is_no_bad_credential() {
    let (backend, faulty) = crate::app::Backend::faulty().await;
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let limits = Limits { trusted_proxies: vec![PROXIES.parse().unwrap()], ..Limits::default() };
    let app = app.door(limits);
    app.clock.advance_seconds(5);
    faulty.faults().fail_begin(true);
    faulty.faults().fail_view(true);
    faulty.faults().fail_directory(true);
    for (proxy, question) in questions("GET", "/api/patients", None) {
        let reply = app.send(clinic.service.sign(question)).await;
        reply.refused(503, "dependency.unavailable");
        assert!(reply.headers.contains_key("retry-after"), "{proxy}");
    }
}

/// Envoy could never let `/` through.
#[tokio::test]
async fn the_root_is_a_path_like_any_other() {
    let (app, clinic) = behind_a_proxy().await;
    for (proxy, question) in questions("GET", "/", None) {
        let reply = app.send(clinic.service.sign(question)).await;
        assert_eq!(reply.status.as_u16(), 200, "{proxy}: {}", reply.text());
        assert_eq!(claims(&reply).1["aud"], "clinic", "{proxy}");
    }
}

/// Assertions were signed for paths that application and proxy read differently.
#[tokio::test]
async fn a_path_with_two_readings_is_not_signed() {
    let (app, clinic) = behind_a_proxy().await;
    for target in ["/../a", "/a/../b", "/a%2f..%2fb", "/a%00", "/a//b", "/a%25%32%66b", "/a/..;/b"] {
        for (proxy, question) in questions("GET", target, None) {
            let reply = app.send(clinic.service.sign(question)).await;
            reply.refused(403, "request.path_ambiguous");
            assert!(!reply.headers.contains_key("x-auth-assertion"), "{proxy} {target}");
        }
    }
}

/// What a browser asks before a page of another origin may call.
fn asking_first(mut question: Request<axum::body::Body>) -> Request<axum::body::Body> {
    question.headers_mut().insert("origin", "https://app.clinic.test".parse().unwrap());
    question.headers_mut().insert("access-control-request-method", "PUT".parse().unwrap());
    question
}

/// The question of each proxy about an `OPTIONS`, with its configuration's word on preflights.
fn preflights(word: Option<&str>) -> Vec<(&'static str, Request<axum::body::Body>)> {
    let mut all = Vec::from(questions("OPTIONS", "/api/patients/1", Some("clinician")));
    for (_, question) in &mut all {
        let Some(word) = word else { continue };
        if question.uri().query().is_some() {
            *question.uri_mut() = format!("{}&preflights={word}", question.uri()).parse().unwrap();
        } else {
            question.headers_mut().insert("x-chancery-preflights", word.parse().unwrap());
        }
    }
    all
}

#[tokio::test]
async fn a_preflight_gets_through_where_the_proxy_says_so_and_is_a_strangers() {
    let (app, _) = behind_a_proxy().await;
    for (proxy, question) in preflights(Some("pass")) {
        let reply = app.send(asking_first(question)).await;
        assert_eq!(reply.status.as_u16(), 200, "{proxy}: {}", reply.text());
        let said = claims(&reply).1;
        assert!(said.get("sub").is_none() && said["aud"] == "clinic", "{proxy}: {said}");
        for name in ["x-auth-subject", "x-auth-tenant", "x-auth-roles", "x-auth-method"] {
            assert_eq!(reply.headers[name], "", "{proxy}: whatever the client said there is nobody's");
        }
    }
    for (_, question) in preflights(None) {
        app.send(asking_first(question)).await.refused(401, "auth.credential_missing");
    }
    for word in ["", "true", "Pass"] {
        for (_, question) in preflights(Some(word)) {
            app.send(asking_first(question)).await.refused(401, "auth.credential_missing");
        }
    }
}

#[tokio::test]
async fn what_is_no_preflight_gets_through_no_proxy_as_one() {
    let (app, clinic) = behind_a_proxy().await;
    for (_, question) in preflights(Some("pass")) {
        app.send(question).await.refused(401, "auth.credential_missing");
    }
    for (name, value) in [("content-length", "5"), ("cookie", "session=x"), ("x-auth-token", "x"), ("origin", "null")] {
        for (_, question) in preflights(Some("pass")) {
            let mut question = asking_first(question);
            question.headers_mut().append(name, value.parse().unwrap());
            app.send(question).await.refused(401, "auth.credential_missing");
        }
    }
    // With a credential it is a request like any other: one of another role is refused.
    for (_, question) in preflights(Some("pass")) {
        app.send(clinic.service.sign(asking_first(question))).await.refused(403, "authz.denied");
    }
    // And nobody but a proxy passes them.
    let app = TestApp::new().await;
    for (_, question) in preflights(Some("pass")) {
        app.send(asking_first(question)).await.refused(401, "auth.credential_missing");
    }
}

/// A list of pages that may call the API itself answered the preflight in the application's place, and Envoy took 204 for a refusal.
#[tokio::test]
async fn a_list_of_our_own_answers_no_preflight_of_an_application_behind_envoy() {
    let app = TestApp::new().await;
    let rules = CorsRules { origins: vec!["https://app.clinic.test".to_owned()], ..CorsRules::default() };
    let cors = Arc::new(Cors::new(&rules, Environment::Production).unwrap());
    let edge = Edge { cors, ..Edge::default() };
    let app = app.door(Limits { trusted_proxies: vec![PROXIES.parse().unwrap()], edge, ..Limits::default() });
    for (proxy, question) in preflights(Some("pass")) {
        let reply = app.send(asking_first(question)).await;
        assert_eq!(reply.status.as_u16(), 200, "{proxy}: {}", reply.text());
        assert!(reply.headers.contains_key("x-auth-assertion"), "{proxy}");
    }
}
