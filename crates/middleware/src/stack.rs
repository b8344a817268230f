//! All layers in one order (design §3).

use std::{any::Any, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use chancery_domain::Instance;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    Code, Observer, Problem,
    observe::{Observing, observe},
    refusals, strict,
};

/// How much and how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest body.
    pub body_bytes: usize,
    /// The longest time until a response.
    pub timeout: Duration,
    /// How many requests run at once; more are refused with 503.
    pub concurrent: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes: 8 * 1024 * 1024, timeout: Duration::from_secs(30), concurrent: 4096 }
    }
}

/// The longest body, for the extractors.
#[derive(Clone, Copy)]
pub(crate) struct BodyLimit(pub(crate) usize);

/// Puts every layer round `router`.
///
/// The peer's address comes from [`axum::extract::ConnectInfo`]`<SocketAddr>` in the request's
/// extensions, which the listener puts there, and from no header.
pub fn around(router: Router, instance: Arc<Instance>, observer: Option<Arc<dyn Observer>>, limits: Limits) -> Router {
    let observing = Observing { instance, observer };
    let places = Arc::new(tokio::sync::Semaphore::new(limits.concurrent));
    // The layer added last is the outermost.
    router
        .fallback(|| async { Problem::new(Code::NotFound) })
        .method_not_allowed_fallback(|| async { Problem::new(Code::MethodNotAllowed) })
        .layer(middleware::from_fn(move |mut request: Request, next: Next| {
            request.extensions_mut().insert(BodyLimit(limits.body_bytes));
            strict::strict(limits.body_bytes, request, next)
        }))
        .layer(middleware::from_fn(move |request: Request, next: Next| timed(limits.timeout, request, next)))
        .layer(middleware::from_fn(move |request: Request, next: Next| shed(places.clone(), request, next)))
        .layer(middleware::from_fn(refusals::tell))
        .layer(CatchPanicLayer::custom(after_panic))
        .layer(middleware::from_fn(move |request: Request, next: Next| observe(observing.clone(), request, next)))
}

async fn timed(limit: Duration, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(Code::Timeout).into_response(),
    }
}

async fn shed(places: Arc<tokio::sync::Semaphore>, request: Request, next: Next) -> Response {
    match places.try_acquire() {
        Ok(_place) => next.run(request).await,
        Err(_) => Problem::new(Code::Overloaded).into_response(),
    }
}

fn after_panic(_: Box<dyn Any + Send + 'static>) -> Response {
    // The panic hook has told where; its message may hold data, so it goes nowhere from here.
    tracing::error!("A handler panicked");
    Problem::new(Code::Internal).into_response()
}
