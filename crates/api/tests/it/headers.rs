//! What browsers are told: headers on every response, other origins' pages, `security.txt`.
//!
//! [`assert_complete`] is asked by `TestApp::send`, so every operation and every refusal of every test passes it.

use std::time::Duration;

use axum::{Extension, Router, body::Body, routing::get};
use chancery_domain::instance::Environment;
use chancery_middleware::{
    Cors, CorsRules, Edge, Limits, SecurityTxt, around,
    headers::{CspNonce, HeaderProfile, HeaderRules, Preset},
};
use chancery_testkit::samples::HEADERS;
use http::{HeaderMap, Request, StatusCode};
use tower::ServiceExt;

use crate::app::{TestApp, request};

/// Whether a response has every header that it must have and none that tells how it was made.
#[track_caller]
pub(crate) fn assert_complete(headers: &HeaderMap) {
    for (name, value) in HEADERS {
        let values: Vec<_> = headers.get_all(name).iter().collect();
        assert_eq!(values, [value], "{name}");
    }
    assert!(headers["permissions-policy"].to_str().unwrap().contains("camera=(), "));
    assert!(headers.contains_key("cache-control"));
    for name in ["server", "x-powered-by", "via"] {
        assert!(!headers.contains_key(name), "{name}");
    }
}

const APP: &str = "https://app.clinic.test";

async fn with_origins(origins: &[&str]) -> TestApp {
    let rules = CorsRules {
        origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
        credentials: true,
        headers: Vec::new(),
        max_age_seconds: 600,
    };
    let cors = Cors::new(&rules, Environment::Production).unwrap().into();
    TestApp::new().await.door(Limits { edge: Edge { cors, ..Edge::default() }, ..Limits::default() })
}

fn from(origin: &'static str, mut sent: Request<Body>) -> Request<Body> {
    sent.headers_mut().insert("origin", origin.parse().unwrap());
    sent
}

fn preflight(origin: &'static str, path: &str) -> Request<Body> {
    let mut sent = from(origin, request("OPTIONS", path, None));
    sent.headers_mut().insert("access-control-request-method", "POST".parse().unwrap());
    sent.headers_mut().insert("access-control-request-headers", "authorization,content-type".parse().unwrap());
    sent
}

#[tokio::test]
async fn a_listed_page_may_call_and_sees_its_refusals_too() {
    let app = with_origins(&[APP]).await;
    for (path, status) in [("/livez", 200), ("/v1/tenants", 401), ("/nowhere", 404)] {
        let reply = app.send(from(APP, request("GET", path, None))).await;
        assert_eq!(reply.status.as_u16(), status, "{path}");
        assert_eq!(reply.headers["access-control-allow-origin"], APP, "{path}");
        assert_eq!(reply.headers["access-control-allow-credentials"], "true", "{path}");
        assert_eq!(reply.headers["vary"], "origin", "{path}");
        let reply = app.send(from("https://evil.test", request("GET", path, None))).await;
        assert_eq!(reply.status.as_u16(), status, "{path}");
        assert!(!reply.headers.keys().any(|name| name.as_str().starts_with("access-control-")), "{path}");
        assert_eq!(reply.headers["vary"], "origin", "{path}");
    }
}

#[tokio::test]
async fn a_browser_that_asks_first_is_answered_without_a_credential() {
    let app = with_origins(&[APP]).await;
    for path in ["/v1/tenants", "/v1/auth/login", "/nowhere"] {
        let reply = app.send(preflight(APP, path)).await;
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (204, ""), "{path}");
        assert_eq!(reply.headers["access-control-allow-origin"], APP);
        assert!(reply.headers["access-control-allow-methods"].to_str().unwrap().contains("POST"));
        assert!(reply.headers.contains_key("x-request-id"));
        for origin in ["https://evil.test", "null"] {
            let reply = app.send(preflight(origin, path)).await;
            assert_eq!(reply.status.as_u16(), 204);
            assert!(!reply.headers.keys().any(|name| name.as_str().starts_with("access-control-")), "{origin}");
        }
    }
    // Without a list nobody is answered, and nothing is different for anybody.
    let app = TestApp::new().await;
    app.send(preflight(APP, "/v1/tenants")).await.refused(405, "method.not_allowed");
    let reply = app.send(from(APP, request("GET", "/livez", None))).await;
    assert!(!reply.headers.contains_key("vary") && !reply.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn panics_and_lateness_are_told_to_listed_pages_with_all_headers() {
    let app = TestApp::new().await;
    let rules = CorsRules { origins: vec![APP.to_owned()], ..CorsRules::default() };
    let cors = Cors::new(&rules, Environment::Production).unwrap().into();
    let limits =
        Limits { timeout: Duration::from_millis(5), edge: Edge { cors, ..Edge::default() }, ..Limits::default() };
    let panics = get(|| async {
        if true {
            panic!("x")
        }
    });
    let sleeps = get(|| async { tokio::time::sleep(Duration::from_secs(60)).await });
    let router = Router::new().route("/panics", panics).route("/sleeps", sleeps);
    let router = around(router, app.instance.clone(), None, limits);
    for (path, status) in [("/panics", 500), ("/sleeps", 503)] {
        let response = router.clone().oneshot(from(APP, request("GET", path, None))).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert_complete(response.headers());
        assert_eq!(response.headers()["access-control-allow-origin"], APP, "{path}");
    }
}

#[tokio::test]
async fn a_page_gets_a_nonce_of_its_own() {
    let app = TestApp::new().await;
    let profile = HeaderProfile { nonces: true, ..HeaderProfile::preset(Preset::Strict, Environment::Production) };
    let headers = HeaderRules::new(&profile).unwrap().into();
    let limits = Limits { edge: Edge { headers, ..Edge::default() }, ..Limits::default() };
    let page = get(|Extension(nonce): Extension<CspNonce>| async move { nonce.as_str().to_owned() });
    let router = around(Router::new().route("/page", page), app.instance.clone(), None, limits);
    let mut nonces = Vec::new();
    for _ in 0..3 {
        let response = router.clone().oneshot(request("GET", "/page", None)).await.unwrap();
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        let body = axum::body::to_bytes(response.into_body(), 100).await.unwrap();
        let nonce = String::from_utf8(body.to_vec()).unwrap();
        assert!(nonce.len() >= 22 && policy.contains(&format!("script-src 'self' 'nonce-{nonce}'")), "{policy}");
        nonces.push(nonce);
    }
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), 3);
}

#[tokio::test]
async fn a_path_only_reports_what_it_would_stop() {
    let app = TestApp::new().await;
    let strict = HeaderProfile::preset(Preset::Strict, Environment::Production);
    let old =
        HeaderProfile { report_only: true, report_to: Some("https://h.test/reports/c/t".into()), ..strict.clone() };
    let headers = HeaderRules::new(&strict).unwrap().with_path("/old", &old).unwrap().into();
    let limits = Limits { edge: Edge { headers, ..Edge::default() }, ..Limits::default() };
    let router = around(Router::new(), app.instance.clone(), None, limits);
    let get = async |path: &str| router.clone().oneshot(request("GET", path, None)).await.unwrap();
    let old = get("/old/page").await;
    assert!(!old.headers().contains_key("content-security-policy"));
    let policy = old.headers()["content-security-policy-report-only"].to_str().unwrap();
    assert!(policy.contains("report-to csp"), "{policy}");
    assert_eq!(old.headers()["reporting-endpoints"], "csp=\"https://h.test/reports/c/t\"");
    assert!(get("/").await.headers().contains_key("content-security-policy"));
}

#[tokio::test]
async fn security_txt_is_served_while_somebody_stands_behind_it() {
    let app = TestApp::new().await;
    app.anonymous("GET", "/.well-known/security.txt", None).await.refused(404, "not_found");
    let expires = chancery_domain::Clock::now(&*app.clock).as_seconds() + 86_400;
    let expires = chancery_domain::Timestamp::from_micros(expires * 1_000_000);
    let file = SecurityTxt { text: "Contact: mailto:security@clinic.test\n".into(), expires };
    let edge = Edge { security_txt: Some(file), ..Edge::default() };
    let app = app.door(Limits { edge, ..Limits::default() });
    let reply = app.anonymous("GET", "/.well-known/security.txt", None).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(reply.text(), "Contact: mailto:security@clinic.test\n");
    app.clock.advance_seconds(86_400);
    app.anonymous("GET", "/.well-known/security.txt", None).await.refused(404, "not_found");
}
