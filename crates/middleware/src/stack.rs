//! All layers in one order (design §3).

use std::{any::Any, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{MatchedPath, Request},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use chancery_domain::Instance;
use ipnet::IpNet;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use crate::{
    Code, Edge, Exchange, Observer, Problem,
    cors::{self, Origins},
    headers, limited,
    observe::{Observing, observe},
    places::Places,
    refusals, strict,
};

/// How much, how long, whose word counts, and what browsers are told.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The longest body.
    pub body_bytes: usize,
    /// The longest time until a response.
    pub timeout: Duration,
    /// How many requests run at once; more are refused with 503, and of one client's address (IPv6: /64) more than an eighth of them.
    /// One whose client went away still counts.
    pub concurrent: usize,
    /// Peers whose `X-Forwarded-For` is believed. Only a proxy that appends the address it sees belongs here.
    pub trusted_proxies: Vec<IpNet>,
    /// Templates of routes whose bodies are streams ([`crate::Upload`]): they have no longest body.
    pub streams: &'static [&'static str],
    /// Headers of every response, and whose pages may call.
    pub edge: Edge,
    /// Whether requests go on to an application behind: then they end with their client, take as long as their route allows,
    /// and their bodies are as long as it allows.
    pub forwards: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 8 * 1024 * 1024,
            timeout: Duration::from_secs(30),
            concurrent: 4096,
            trusted_proxies: Vec::new(),
            streams: &[],
            edge: Edge::default(),
            forwards: false,
        }
    }
}

/// The template of a request's route, where it is not axum's: in the request's extensions before [`around`] sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template(pub(crate) &'static str);

impl Template {
    /// Templates come from the configuration, so there are few; each is kept for the life of the process.
    pub fn new(text: &str) -> Self {
        Self(crate::observe::interned(text))
    }

    /// Its text.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// How long a body may be and how long it may take, for the extractors.
#[derive(Clone, Copy)]
pub(crate) struct BodyLimit {
    pub(crate) bytes: usize,
    pub(crate) time: Duration,
}

/// Puts every layer round `router`.
///
/// The peer's address comes from [`axum::extract::ConnectInfo`]`<SocketAddr>` in the request's
/// extensions, which the listener puts there; from `X-Forwarded-For` only if the peer is a trusted proxy.
///
/// What a request does runs in a task of its own: neither a client that goes away nor the timeout
/// stops it between its commit and what must follow.
pub fn around(router: Router, instance: Arc<Instance>, observer: Option<Arc<dyn Observer>>, limits: Limits) -> Router {
    let Limits { body_bytes, timeout, concurrent, trusted_proxies, streams, edge, forwards } = limits;
    let observing = Observing { instance: Arc::clone(&instance), observer, proxies: trusted_proxies.into() };
    let Edge { headers, cors, anyone, .. } = edge;
    // An application behind answers browsers that ask first.
    let (cors, anyone) = if forwards { (Arc::default(), &[][..]) } else { (cors, anyone) };
    let origins = Arc::new(Origins::new(cors, anyone));
    let preflight = Arc::clone(&origins);
    let places = Places::new(concurrent);
    let body = BodyLimit { bytes: body_bytes, time: timeout };
    // The layer added last is the outermost.
    router
        .fallback(|| async { Problem::new(Code::NotFound) })
        .method_not_allowed_fallback(|| async { Problem::new(Code::MethodNotAllowed) })
        .layer(middleware::from_fn(limited::by_address))
        .layer(middleware::from_fn(move |mut request: Request, next: Next| {
            request.extensions_mut().insert(body);
            let streams = forwards
                || request.extensions().get::<MatchedPath>().is_some_and(|path| streams.contains(&path.as_str()));
            strict::strict(if streams { usize::MAX } else { body_bytes }, request, next)
        }))
        .layer(middleware::from_fn(refusals::tell))
        .layer(middleware::from_fn(move |request: Request, next: Next| {
            detached(Arc::clone(&places), forwards, request, next)
        }))
        .layer(middleware::from_fn(move |request: Request, next: Next| timed(timeout, forwards, request, next)))
        .layer(CatchPanicLayer::custom(|_: Box<dyn Any + Send + 'static>| panicked()))
        .layer(middleware::from_fn(move |request: Request, next: Next| {
            cors::preflight(Arc::clone(&preflight), request, next)
        }))
        .layer(middleware::from_fn(move |request: Request, next: Next| observe(observing.clone(), request, next)))
        // Outermost: a refusal of any layer, and the observer's own, carries them too.
        .layer(middleware::from_fn(move |request: Request, next: Next| {
            cors::answer(Arc::clone(&origins), request, next)
        }))
        .layer(middleware::from_fn(move |request: Request, next: Next| {
            headers::set(Arc::clone(&headers), Arc::clone(&instance), request, next)
        }))
}

/// Runs the request in a task of its own, which goes on when nobody waits for it any more; one that is forwarded does not.
async fn detached(places: Arc<Places>, forwards: bool, request: Request, next: Next) -> Response {
    let address = request.extensions().get::<Arc<Exchange>>().and_then(|exchange| exchange.info().address);
    let Some(place) = Places::take(&places, address) else { return Problem::new(Code::Overloaded).into_response() };
    if forwards {
        let response = next.run(request).await;
        drop(place);
        return response;
    }
    let run = async move {
        let response = next.run(request).await;
        drop(place);
        response
    };
    match tokio::spawn(run.in_current_span()).await {
        Ok(response) => response,
        // INVARIANT: nobody aborts the task, so it panicked, or the process ends.
        Err(_) => panicked(),
    }
}

async fn timed(limit: Duration, forwards: bool, request: Request, next: Next) -> Response {
    if forwards {
        return next.run(request).await;
    }
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(Code::Timeout).into_response(),
    }
}

fn panicked() -> Response {
    // The panic hook has told where; its message may hold data, so it goes nowhere from here.
    tracing::error!("A handler panicked");
    Problem::new(Code::Internal).into_response()
}
