//! All layers in one order (design §3).

use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    BoxError, Router,
    body::{Body, HttpBody},
    extract::{MatchedPath, Request},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use chancery_domain::Instance;
use futures_util::FutureExt as _;
use ipnet::IpNet;
use tower::{Layer, Service, ServiceBuilder};
use tracing::Instrument;

use crate::{
    Code, Edge, Exchange, Observer, Problem,
    cors::{self, Origins},
    headers::{self, HeaderRules},
    limited,
    observe::{Observing, observe},
    places::{Holds, KeepsPlace, Places},
    refusals, strict,
};

/// What every path begins with.
const EVERYWHERE: &[&str] = &[""];

/// How much, how long, whose word counts, and what browsers are told.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The longest body.
    pub body_bytes: usize,
    /// The longest time until a response.
    pub timeout: Duration,
    /// How many requests run at once; more are refused with 503, and of one client's address (IPv6: /56) more than an eighth of them, of a
    /// /48 more than a quarter. One whose client went away still counts.
    pub concurrent: usize,
    /// Peers whose `X-Forwarded-For` is believed. Only a proxy that appends the address it sees belongs here.
    pub trusted_proxies: Vec<IpNet>,
    /// Templates of routes that bound their bodies themselves, such as those that take an [`Upload`](crate::Upload): they have no longest
    /// body here.
    pub own_bounds: &'static [&'static str],
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
            own_bounds: &[],
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
#[derive(Debug, Clone, Copy)]
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
    let router = router
        .fallback(|| async { Problem::new(Code::NotFound) })
        .method_not_allowed_fallback(|| async { Problem::new(Code::MethodNotAllowed) });
    let around = Around::new(instance, observer, limits);
    // All of them in one of axum's: with one each, a request would box ten futures and clone ten routers.
    router.layer(middleware::from_fn(move |request: Request, next: Next| around.clone().run(request, next)))
}

/// Every layer, for a layer of [`axum::middleware::from_fn`] that does something more around them: two of axum's are one too many.
#[derive(Clone)]
pub struct Around(Arc<Layers>);

impl Around {
    /// As [`around`] has them.
    pub fn new(instance: Arc<Instance>, observer: Option<Arc<dyn Observer>>, limits: Limits) -> Self {
        let Limits { body_bytes, timeout, concurrent, trusted_proxies, own_bounds, edge, forwards } = limits;
        let Edge { headers, cors, anyone, unanswered, .. } = edge;
        // An application behind answers browsers that ask first, and says who may read its answers; the list is for refusals.
        let (anyone, unanswered) = if forwards { (&[][..], EVERYWHERE) } else { (anyone, unanswered) };
        let body = BodyLimit { bytes: body_bytes, time: timeout };
        let observing = Observing { instance: Arc::clone(&instance), observer, proxies: trusted_proxies, body };
        Self(Arc::new(Layers {
            observing: Arc::new(observing),
            instance,
            headers,
            origins: Arc::new(Origins::new(cors, anyone, unanswered)),
            places: Places::new(concurrent),
            body,
            own_bounds,
            forwards,
        }))
    }

    /// Takes a request through them, and what they let pass to `next`.
    pub async fn run(self, request: Request, next: Next) -> Response {
        through(self.0, request, next).await
    }
}

/// The same layers around any service of HTTP that never fails, for applications without an axum router.
///
/// A service finds out who calls with `Authenticated::from_request_parts(&mut parts, &())`. Logs and limits know a route by the
/// [`Template`] in a request's extensions, if something further out has put one there; what no route has is the service's own to say.
/// `own_bounds` of [`Limits`] are routes of axum's alone.
pub fn layer<S, B>(
    instance: Arc<Instance>,
    observer: Option<Arc<dyn Observer>>,
    limits: Limits,
) -> impl Layer<
    S,
    Service = impl Service<http::Request<B>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync,
> + Clone
where
    S: Service<Request, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Response: IntoResponse,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let around = Around::new(instance, observer, limits);
    let ours = move |request: Request, next: Next| around.clone().run(request, next);
    ServiceBuilder::new()
        .map_request(|request: http::Request<B>| request.map(Body::new))
        .layer(middleware::from_fn::<_, (Request,)>(ours))
}

/// What the layers work with.
struct Layers {
    instance: Arc<Instance>,
    observing: Arc<Observing>,
    headers: Arc<HeaderRules>,
    origins: Arc<Origins>,
    places: Places,
    body: BodyLimit,
    own_bounds: &'static [&'static str],
    forwards: bool,
}

/// From the outermost on: a refusal of any layer, and the observer's own, carries the headers too.
async fn through(layers: Arc<Layers>, request: Request, next: Next) -> Response {
    let (headers, instance) = (Arc::clone(&layers.headers), Arc::clone(&layers.instance));
    headers::set(headers, instance, request, async move |request| {
        cors::answer(Arc::clone(&layers.origins), request, async move |request| {
            observe(Arc::clone(&layers.observing), request, async move |request| {
                cors::preflight(Arc::clone(&layers.origins), request, async move |request| {
                    let whole = AssertUnwindSafe(timed(layers, request, next)).catch_unwind();
                    whole.await.unwrap_or_else(|_| panicked())
                })
                .await
            })
            .await
        })
        .await
    })
    .await
}

async fn timed(layers: Arc<Layers>, request: Request, next: Next) -> Response {
    if layers.forwards {
        return placed(layers, request, next).await;
    }
    match tokio::time::timeout(layers.body.time, placed(layers, request, next)).await {
        Ok(response) => response,
        Err(_) => Problem::new(Code::Timeout).into_response(),
    }
}

/// Runs the request in a task of its own, which goes on when nobody waits for it any more; one that is forwarded does not.
async fn placed(layers: Arc<Layers>, request: Request, next: Next) -> Response {
    let address = request.extensions().get::<Arc<Exchange>>().and_then(|exchange| exchange.info().address);
    let Some(place) = layers.places.take(address) else { return Problem::new(Code::Overloaded).into_response() };
    let forwards = layers.forwards;
    let run = async move {
        let mut response = refusals::tell(request, async move |request| judged(&layers, request, next).await).await;
        if response.extensions_mut().remove::<KeepsPlace>().is_some() {
            response.extensions_mut().insert(Holds::new(place));
        }
        response
    };
    if forwards {
        return run.await;
    }
    match tokio::spawn(run.in_current_span()).await {
        Ok(response) => response,
        // INVARIANT: nobody aborts the task, so it panicked, or the process ends.
        Err(_) => panicked(),
    }
}

/// What is refused before anybody asks who calls.
async fn judged(layers: &Layers, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let own = layers.forwards || path.is_some_and(|path| layers.own_bounds.contains(&path.as_str()));
    let most = if own { usize::MAX } else { layers.body.bytes };
    strict::strict(most, request, async move |request| {
        limited::by_address(request, async move |request| next.run(request).await).await
    })
    .await
}

fn panicked() -> Response {
    // The panic hook has told where; its message may hold data, so it goes nowhere from here.
    tracing::error!("A handler panicked");
    Problem::new(Code::Internal).into_response()
}
