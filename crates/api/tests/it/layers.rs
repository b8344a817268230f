//! The layers, round handlers that misbehave.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::FromRequestParts,
    response::{IntoResponse, Response},
    routing::get,
};
use chancery_middleware::{Authenticated, Limits, around, layer};
use http::{Request, StatusCode};
use serde_json::json;
use tower::{Layer, ServiceExt, service_fn};

use crate::app::{Backend, Caller, TestApp, request};

backends! { a_client_that_goes_away_stops_nothing }

async fn misbehaving(limits: Limits) -> (TestApp, Router) {
    async fn panics() -> &'static str {
        panic!("row of Jane Doe")
    }
    async fn sleeps() -> &'static str {
        tokio::time::sleep(Duration::from_secs(60)).await;
        "done"
    }
    let app = TestApp::new().await;
    let router = Router::new().route("/panics", get(panics)).route("/sleeps", get(sleeps));
    let router = around(router, app.instance.clone(), None, limits);
    (app, router)
}

async fn send(router: &Router, sent: Request<Body>) -> (StatusCode, String) {
    let response = router.clone().oneshot(sent).await.unwrap();
    assert!(response.headers().contains_key("x-request-id"));
    crate::headers::assert_complete(response.headers());
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_panic_is_a_problem_that_tells_nothing() {
    let (_app, router) = misbehaving(Limits::default()).await;
    let (status, body) = send(&router, request("GET", "/panics", None)).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(body.contains("\"internal\"") && !body.contains("Jane"), "{body}");
}

/// An application without an axum router, whose requests have bodies of another kind.
#[tokio::test]
async fn the_layers_go_round_any_service_of_http() {
    async fn tenant(request: Request<Body>) -> Result<Response, std::convert::Infallible> {
        let (mut parts, _) = request.into_parts();
        Ok(match Authenticated::from_request_parts(&mut parts, &()).await {
            Ok(Authenticated(call)) => call.caller.tenant_slug().to_owned().into_response(),
            Err(problem) => problem.into_response(),
        })
    }
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let service = layer::<_, String>(app.instance.clone(), None, Limits::default()).layer(service_fn(tenant));
    let ask = async |sent: Request<Body>| {
        let response = service.clone().oneshot(sent.map(|_| String::new())).await.unwrap();
        crate::headers::assert_complete(response.headers());
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    let (status, body) = ask(request("GET", "/", None)).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(body.contains("auth.credential_missing"), "{body}");
    let mut doubled = clinic.staff.sign(request("GET", "/", None));
    doubled.headers_mut().append("host", "chancery.test".parse().unwrap());
    let (status, body) = ask(doubled).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    assert_eq!(ask(clinic.staff.sign(request("GET", "/", None))).await, (StatusCode::OK, clinic.slug));
}

#[tokio::test]
async fn what_takes_too_long_is_given_up() {
    let limits = Limits { timeout: Duration::from_millis(5), ..Limits::default() };
    let (_app, router) = misbehaving(limits).await;
    let (status, body) = send(&router, request("GET", "/sleeps", None)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("\"timeout\""), "{body}");
}

#[tokio::test]
async fn too_many_at_once_are_turned_away() {
    let (_app, router) = misbehaving(Limits { concurrent: 0, ..Limits::default() }).await;
    let (status, body) = send(&router, request("GET", "/sleeps", None)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("\"overloaded\""), "{body}");
}

async fn a_client_that_goes_away_stops_nothing(backend: Backend) {
    let app = TestApp::on(backend).await;
    let body = json!({"name": "Northside", "slug": "northside"});
    let sent = app.admin.sign(request("POST", "/v1/tenants", Some(body)));
    let mut answer = Box::pin(app.router.clone().oneshot(sent));
    assert!(std::future::poll_fn(|context| Poll::Ready(answer.as_mut().poll(context).is_pending())).await);
    drop(answer);
    let made = || async {
        let listed = app.get(&app.admin, "/v1/tenants").await.ok();
        listed["items"].as_array().unwrap().iter().any(|tenant| tenant["slug"] == "northside")
    };
    let wait = async {
        while !made().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
}

/// A handler that takes a while, and whether it came to its end.
async fn slow(limits: Limits) -> (TestApp, Router, Arc<AtomicBool>) {
    let app = TestApp::new().await;
    let done = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&done);
    let handler = move || {
        let done = Arc::clone(&done);
        async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            done.store(true, Ordering::SeqCst);
        }
    };
    let router = around(Router::new().route("/slow", get(handler)), app.instance.clone(), None, limits);
    (app, router, seen)
}

#[tokio::test]
async fn what_is_given_up_goes_on_and_still_takes_its_place() {
    let limits = Limits { timeout: Duration::from_millis(5), concurrent: 1, ..Limits::default() };
    let (_app, router, done) = slow(limits).await;
    let (_, body) = send(&router, request("GET", "/slow", None)).await;
    assert!(body.contains("\"timeout\""), "{body}");
    let (_, body) = send(&router, request("GET", "/slow", None)).await;
    assert!(body.contains("\"overloaded\""), "{body}");
    assert!(!done.load(Ordering::SeqCst));
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(done.load(Ordering::SeqCst));
    let (_, body) = send(&router, request("GET", "/slow", None)).await;
    assert!(body.contains("\"timeout\""), "{body}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let limits = Limits { timeout: Duration::from_millis(50), concurrent: 1, ..Limits::default() };
    let app = TestApp::new().await.door(limits);
    let mut sent = request("POST", "/v1/auth/login", Some(json!({})));
    let (_sender, never) = http_body_util::channel::Channel::<axum::body::Bytes>::new(1);
    *sent.body_mut() = Body::new(never);
    app.send(sent).await.refused(503, "timeout");
    tokio::time::sleep(Duration::from_millis(100)).await;
    // Its place is free again.
    app.anonymous("GET", "/livez", None).await.ok();
}

#[tokio::test]
async fn the_client_of_a_trusted_proxy_is_whom_the_proxy_saw() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let body = json!({"description": "x", "roles": ["service"], "allowed_cidrs": ["203.0.113.0/24"]});
    let made = app.post(&clinic.admin, "/v1/api-keys", body).await.created();
    let caller = Caller { bearer: made["key"].as_str().unwrap().to_owned() };
    let session = |forwarded: &str| {
        let mut sent = caller.sign(request("GET", "/v1/auth/session", None));
        sent.headers_mut().insert("x-forwarded-for", forwarded.parse().unwrap());
        sent
    };
    // Nobody is believed unless named.
    app.send(session("203.0.113.9")).await.refused(401, "auth.credential_invalid");
    let limits = Limits { trusted_proxies: vec!["192.0.2.0/24".parse().unwrap()], ..Limits::default() };
    let app = app.door(limits);
    app.send(session("203.0.113.9")).await.ok();
    app.send(session("198.51.100.1, 203.0.113.9, 192.0.2.8")).await.ok();
    for spoofed in ["203.0.113.9, 198.51.100.1", "203.0.113.9, garbage", "203.0.113.9,", "192.0.2.8"] {
        app.send(session(spoofed)).await.refused(401, "auth.credential_invalid");
    }
}
