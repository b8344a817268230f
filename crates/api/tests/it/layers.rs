//! The layers, round handlers that misbehave.

use std::time::Duration;

use axum::{Router, body::Body, routing::get};
use chancery_middleware::{Limits, around};
use http::{Request, StatusCode};
use tower::ServiceExt;

use crate::app::{TestApp, request};

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
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
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
