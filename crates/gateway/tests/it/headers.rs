//! Nobody but the gateway says who a caller is.

use std::sync::Arc;

use chancery_domain::instance::Environment;
use chancery_gateway::{Authentication, RouteHeaders};
use chancery_middleware::headers::{HeaderMode, HeaderProfile, Preset};
use serde_json::Value;

use crate::{
    application::{header, served, telling},
    stage::{Stage, route},
};

const CLAIMS: [&str; 24] = [
    "X-Auth-Subject",
    "X-Auth-Tenant",
    "X-Auth-Roles",
    "X-Auth-Assertion",
    "X-Auth-Scopes",
    "X-Auth-Method",
    "X-Auth-Decision-Id",
    "X-Tenant-Id",
    "X-Tenant",
    "Tenant",
    "Tenant-Id",
    "X-Forwarded-For",
    "X-Forwarded-User",
    "X-Real-IP",
    "X-Original-URL",
    "Forwarded",
    "X-Request-Id",
    "X-HTTP-Method-Override",
    // What others who stood before applications said there, and which path was asked for.
    "X-WEBAUTH-USER",
    "X-Consumer-Username",
    "Cf-Access-Authenticated-User-Email",
    "Remote-Groups",
    "X-Script-Name",
    "X-Scheme",
];

#[tokio::test]
async fn a_claim_in_any_case_and_spelling_never_arrives() {
    let stage = Stage::before(telling().await, |route| {
        route.underscore_headers = vec!["x_auth_subject".parse().unwrap(), "x_app".parse().unwrap()];
        route.drop_headers = vec!["x-sso-user".parse().unwrap()];
    })
    .await;
    for claim in CLAIMS {
        for spelled in [
            claim.to_owned(),
            claim.to_lowercase(),
            claim.to_uppercase(),
            claim.replace('-', "_"),
            claim.replacen('-', "_", 1),
            claim.replace('-', "."),
        ] {
            let seen = stage.send("GET", "/x", &[&format!("{spelled}: evil")]).await.seen();
            let all = seen["headers"].to_string();
            assert!(!all.contains("evil"), "{spelled}: {all}");
        }
    }
    let seen = stage.send("GET", "/x", &["X-SSO-User: evil", "X-SSO.User: evil"]).await.seen();
    assert!(!seen["headers"].to_string().contains("evil"), "{seen}");
    let seen = stage.send("GET", "/x", &["x_app: 1", "x_other: 1", "accept: text/plain"]).await.seen();
    assert_eq!((header(&seen, "x_app"), header(&seen, "x_other")), (Some("1".to_owned()), None));
    assert_eq!(header(&seen, "accept").as_deref(), Some("text/plain"));
}

#[tokio::test]
async fn what_connection_names_is_for_the_gateway_alone() {
    let stage = Stage::before(telling().await, |_| ()).await;
    let lines = [
        "Connection: close, X-Inner, X-Forwarded-For, x-request-id, host",
        "X-Inner: 1",
        "Keep-Alive: 5",
        "TE: gzip",
        "Proxy-Authorization: x",
        "Upgrade: h2c",
        "HTTP2-Settings: AAA",
    ];
    let seen = stage.send("GET", "/x", &lines).await.seen();
    for name in ["x-inner", "keep-alive", "te", "proxy-authorization", "upgrade", "http2-settings", "connection"] {
        assert_eq!(header(&seen, name), None, "{seen}");
    }
    assert_eq!(header(&seen, "x-forwarded-for").as_deref(), Some("127.0.0.1"), "ours stay");
    assert_eq!(header(&seen, "host").as_deref(), Some("app.test"));
    assert_eq!(header(&seen, "x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(header(&seen, "x-forwarded-host").as_deref(), Some("app.test"));
    assert!(header(&seen, "x-request-id").unwrap().starts_with("req_"));
    assert!(header(&seen, "traceparent").unwrap().starts_with("00-"));
}

#[tokio::test]
async fn a_verified_caller_is_named_and_its_credential_stays_here() {
    let app = telling().await;
    let mut named = route("/*", app);
    (named.authentication, named.plain_identity, named.audit) = (Authentication::Required, true, true);
    let mut kept = route("/kept", app);
    (kept.authentication, kept.keep_credential) = (Authentication::Required, true);
    let stage = Stage::with(vec![named, kept]).await;
    let (id, key) = stage.key("clinician").await;
    let bearer = format!("Authorization: Bearer {key}");
    let seen = stage
        .send(
            "GET",
            "/x?tenant_id=ten_other&a=1&tenant=north",
            &[&bearer, "X-Auth-Roles: platform_admin", "X-Tenant-Id: evil"],
        )
        .await
        .seen();
    assert_eq!(header(&seen, "x-auth-subject").as_deref(), Some(id.as_str()));
    assert_eq!(header(&seen, "x-auth-tenant").as_deref(), Some(stage.tenant.as_str()));
    assert_eq!(header(&seen, "x-auth-roles").as_deref(), Some("clinician"));
    assert_eq!(
        header(&seen, "x-tenant-id").as_deref(),
        Some(stage.tenant.as_str()),
        "the older header is a copy that can be believed"
    );
    assert_eq!(header(&seen, "authorization"), None);
    assert_eq!(seen["target"], "/x?a=1&tenant=north", "another tenant's name goes no further");
    assert_eq!(stage.events("tenant.mismatch").await.len(), 1);
    let forwarded = stage.events("request.forwarded").await;
    assert_eq!(forwarded.len(), 1);
    let core = forwarded[0]["core"].as_str().unwrap();
    assert!(core.contains(r#""route":"/*""#), "the route's template, not the path: {core}");
    let seen = stage.send("GET", "/kept", &[&bearer]).await.seen();
    assert_eq!(header(&seen, "authorization"), Some(format!("Bearer {key}")));
}

#[tokio::test]
async fn an_answer_is_the_applications_own_but_for_what_it_runs_on() {
    let stage = Stage::before(telling().await, |_| ()).await;
    let teapot = stage.send("GET", "/teapot", &[]).await;
    assert_eq!((teapot.status.as_u16(), teapot.body.as_slice()), (418, &b"own words"[..]));
    for name in ["server", "x-powered-by", "content-security-policy", "cache-control"] {
        assert!(!teapot.headers.contains_key(name), "{}", teapot.whole);
    }
    let cookies = stage.send("GET", "/cookies", &[]).await;
    assert_eq!(cookies.headers.get_all("set-cookie").iter().count(), 2);
    stage
        .send("GET", "/x", &["Authorization: Basic eDp5", "Authorization: Basic eDp5"])
        .await
        .refused(400, "request.malformed");
    let seen: Value = stage.send("GET", "/x", &["Authorization: Basic eDp5"]).await.seen();
    assert_eq!(
        header(&seen, "authorization").as_deref(),
        Some("Basic eDp5"),
        "the application's own, where nobody here looks"
    );
    let (_, key) = stage.key("staff").await;
    let (bearer, in_header) = (format!("Authorization: Bearer {key}"), format!("X-API-Key: {key}"));
    let lines = [bearer.as_str(), in_header.as_str(), "Cookie: __Host-chancery-access=x; a=1"];
    let seen = stage.send("GET", "/x", &lines).await.seen();
    assert!(
        header(&seen, "authorization").is_none() && header(&seen, "x-api-key").is_none(),
        "ours is none of its: {seen}"
    );
    assert_eq!(header(&seen, "cookie").as_deref(), Some("a=1"));
}

#[tokio::test]
async fn a_parameter_that_may_come_once_comes_once() {
    let stage = Stage::before(telling().await, |route| route.single_parameters = vec!["id".to_owned()]).await;
    stage.send("GET", "/x?id=1&%69d=2", &[]).await.refused(400, "request.malformed");
    assert_eq!(stage.send("GET", "/x?id=1&tag=a&tag=b", &[]).await.seen()["target"], "/x?id=1&tag=a&tag=b");
}

fn profile(preset: Preset, mode: HeaderMode, change: impl FnOnce(&mut HeaderProfile)) -> Option<RouteHeaders> {
    let mut profile = HeaderProfile::preset(preset, Environment::Production);
    change(&mut profile);
    Some(RouteHeaders { profile: preset.as_str().to_owned(), ready: Arc::new(profile.ready().unwrap()), mode })
}

/// Pages with a policy of their own, and the word for scripts that they were told.
async fn pages() -> std::net::SocketAddr {
    let page = axum::routing::get(|headers: axum::http::HeaderMap| async move {
        let nonce = headers.get("x-csp-nonce").map_or("none", |nonce| nonce.to_str().unwrap()).to_owned();
        ([("content-security-policy", "default-src *"), ("server", "kettle/1")], nonce)
    });
    served(axum::Router::new().route("/page", page)).await
}

#[tokio::test]
async fn a_route_says_what_browsers_are_told_of_its_pages() {
    let app = pages().await;
    let of = |headers| async move { Stage::before(app, |route| route.headers = headers).await };
    let added = of(profile(Preset::Strict, HeaderMode::AddIfMissing, |_| ())).await.send("GET", "/page", &[]).await;
    assert_eq!(added.headers["content-security-policy"], "default-src *", "the application's own stays");
    assert_eq!(added.headers["x-frame-options"], "DENY");
    assert!(added.headers.contains_key("strict-transport-security") && !added.headers.contains_key("server"));
    let stage = of(profile(Preset::Strict, HeaderMode::Enforce, |_| ())).await;
    let enforced = stage.send("GET", "/page", &[]).await;
    let sights = stage.gateway.observed().sights();
    let differ: Vec<_> = sights["/*"].headers_differ.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(differ, [("content-security-policy", 1)], "it is told where the application says otherwise");
    assert!(enforced.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'self'"));
    assert_eq!(enforced.headers.get_all("content-security-policy").iter().count(), 1);
    let only = of(profile(Preset::Strict, HeaderMode::Enforce, |profile| profile.report_only = true)).await;
    let only = only.send("GET", "/page", &[]).await;
    assert_eq!(
        only.headers["content-security-policy"], "default-src *",
        "what is tried stands beside what is in force"
    );
    assert!(only.headers["content-security-policy-report-only"].to_str().unwrap().starts_with("default-src 'self'"));
}

#[tokio::test]
async fn each_page_gets_a_word_for_its_scripts_and_no_client_says_which() {
    let headers = profile(Preset::Strict, HeaderMode::Enforce, |profile| profile.nonces = true);
    let stage = Stage::before(pages().await, |route| route.headers = headers).await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let page = stage.send("GET", "/page", &["x-csp-nonce: evil"]).await;
        let nonce = String::from_utf8(page.body.clone()).unwrap();
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(nonce.len() >= 20 && policy.contains(&format!("'nonce-{nonce}'")), "{}", page.whole);
        seen.push(nonce);
    }
    assert_ne!(seen[0], seen[1]);
    let none = Stage::before(pages().await, |_| ()).await.send("GET", "/page", &["x-csp-nonce: evil"]).await;
    assert_eq!(none.body, b"none");
}
