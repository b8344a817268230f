//! The gateway at work: its door, and the way of each request through the order of design §3.
//!
//! | file | what it does |
//! | --- | --- |
//! | `tables` | the table at work and the one before it, while they change |
//! | `onward` | what goes on to the application |
//! | `answer` | what the client gets of its answer |

mod answer;
mod onward;
mod tables;

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use chancery_domain::{Instance, access::Caller, audit::refusals, ids::WebhookSourceId};
use chancery_middleware::{Around, Code, Exchange, Limits, Observer, Problem, Template, Watched, listener::Connection};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header, request::Parts};

use crate::{
    Asked, Demand, Match, Mode, Route, Table, extended, forward, hygiene,
    lasting::Lasting,
    longer,
    observed::Observed,
    path::Ambiguous,
    preflight::{self, Preflight},
    streams::Streams,
    verdict::{VERDICT, Verdicts, admit, remains},
    webhook,
};
use answer::{answer, unmeasured};
use onward::query;
use tables::Tables;

/// What holds for all routes.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// A proxy in front ends TLS.
    pub tls_terminated: bool,
    /// How many WebSockets and long answers may be open at once: of one client an eighth, of one application three quarters.
    pub streams: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { tls_terminated: false, streams: 4096 }
    }
}

/// The gateway.
pub struct Gateway {
    instance: Arc<Instance>,
    settings: Settings,
    demands: Vec<Arc<dyn Demand>>,
    tables: Tables,
    observed: Arc<Observed>,
    streams: Streams,
}

impl Gateway {
    /// Of this table, with what further parts demand. Needs a runtime.
    pub fn new(instance: Arc<Instance>, settings: Settings, table: Table, demands: Vec<Arc<dyn Demand>>) -> Arc<Self> {
        let (tables, streams) = (Tables::begin(table), Streams::of(settings.streams));
        Arc::new(Self { instance, settings, demands, tables, observed: Arc::default(), streams })
    }

    /// The table at work.
    pub fn table(&self) -> Arc<Table> {
        self.tables.at_work()
    }

    /// The running Chancery.
    pub const fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    /// The table before the one at work, if there is one.
    pub fn before(&self) -> Option<Arc<Table>> {
        self.tables.before()
    }

    /// Puts another table to work; requests that are on their way keep theirs.
    pub fn apply(&self, table: Table) {
        self.tables.apply(table);
    }

    /// Puts the table before this one to work again; says whether there was one.
    pub fn roll_back(&self) -> bool {
        self.tables.roll_back()
    }

    /// What was seen and let pass since the process began.
    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    /// Hands a webhook of a source on to the application, by the route that takes that source's; gives the head of the answer, or
    /// nothing if no route at this path is that one: whoever may set a source up must not reach other parts of the application by it.
    ///
    /// # Errors
    ///
    /// [`Problem`]: the application did not answer.
    pub async fn hand_on(
        &self,
        source: WebhookSourceId,
        path: &str,
        message: (HeaderMap, Bytes),
    ) -> Result<Option<(StatusCode, HeaderMap)>, Problem> {
        match self.table().find(&Method::POST, path) {
            Match::Route(route, path) if route.webhook.as_ref().is_some_and(|hook| hook.source == source) => {
                webhook::hand_on(&self.instance, &route, &path, message).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The door: all layers of design §3 around the forwarding.
    pub fn router(self: &Arc<Self>, observer: Option<Arc<dyn Observer>>, limits: Limits) -> Router {
        let limits = Limits { forwards: true, ..limits };
        let (gateway, around) = (Arc::clone(self), Around::new(Arc::clone(&self.instance), observer, limits));
        // Outside of all layers, for they log what this finds.
        let found = move |request: Request<Body>, next: Next| find(Arc::clone(&gateway), around.clone(), request, next);
        // No routes of axum's: it would take every path apart again.
        Router::new().fallback(handle).with_state(Arc::clone(self)).layer(middleware::from_fn(found))
    }
}

/// Looks for the request's route, once: policy, log and forwarding use what is found here.
async fn find(gateway: Arc<Gateway>, around: Around, mut request: Request<Body>, next: Next) -> Response {
    let extended = extended::unfold(&mut request, &gateway.instance);
    let found = preflight::find(&gateway.table(), &request);
    let template = match &found {
        Match::Route(route, _) | Match::Method(route) => route.template,
        Match::Nothing | Match::Ambiguous(_) => Template::new("unmatched"),
    };
    request.extensions_mut().insert(template);
    if let Match::Route(route, _) = &found
        && route.mode != Mode::Enforce
    {
        request.extensions_mut().insert(Watched);
    }
    request.extensions_mut().insert(found);
    let asks_for_head = *request.method() == Method::HEAD;
    let response = unmeasured(around.run(request, next).await, asks_for_head);
    if extended { extended::fold(response) } else { response }
}

async fn handle(State(gateway): State<Arc<Gateway>>, request: Request<Body>) -> Response {
    let extended = extended::is_extended(&request);
    match gateway.serve(request).await {
        Ok(response) if extended && response.status().is_success() => {
            Problem::new(Code::UpstreamBadGateway).detail("the application opened no WebSocket").into_response()
        }
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

impl Gateway {
    async fn serve(&self, mut request: Request<Body>) -> Result<Response, Problem> {
        let (route, path) = match request.extensions_mut().remove::<Match>() {
            Some(Match::Route(route, path)) => (route, path),
            Some(Match::Method(_)) => return Err(Code::MethodNotAllowed.into()),
            // `*`, or nothing: no application's path.
            Some(Match::Nothing | Match::Ambiguous(Ambiguous::NoSlash)) => return Err(Code::NotFound.into()),
            Some(Match::Ambiguous(why)) => return Err(Problem::new(Code::PathAmbiguous).detail(why.to_string())),
            None => return Err(Code::Internal.into()),
        };
        if forward::is_diagnostic(request.method()) {
            return Err(Code::MethodNotAllowed.into());
        }
        if hygiene::is_doubled(request.headers()).is_some() {
            return Err(Problem::new(Code::RequestMalformed).detail("a header that may come once came twice"));
        }
        let exchange = request.extensions().get::<Arc<Exchange>>().cloned().ok_or(Code::Internal)?;
        let mut verdicts = Verdicts::of(&route, &self.observed);
        verdicts.take(check_length(&route, &request))?;
        verdicts.take(count(&route, &exchange, None).await)?;
        if let Some(hook) = route.webhook.clone() {
            let token = webhook::token(&route, &path);
            if route.mode == Mode::Enforce {
                return webhook::taken(hook, token, request).await;
            }
            verdicts.take(webhook::examined(hook, token, Arc::clone(&exchange), &mut request).await)?;
        }
        let connection = request.extensions().get::<Connection>().cloned();
        let upgrade = hygiene::is_websocket(request.headers());
        if upgrade && !route.websocket {
            return Err(Code::AuthzDenied.into());
        }
        if upgrade && route.upstream.is_http2() {
            // It would be asked as if nobody wanted to upgrade.
            return Err(
                Problem::new(Code::AuthzDenied).detail("this application takes no WebSockets: it is asked over HTTP/2")
            );
        }
        let on_client = upgrade.then(|| hyper::upgrade::on(&mut request));
        let mut preflight = Preflight::of(&route, &request);

        let (mut parts, body) = request.into_parts();
        let body = longer::noted(body, &route, verdicts.watch());
        verdicts.take(check_parameters(&route, &parts))?;
        let admitted = Preflight::pass(&mut preflight, admit(&route, &parts, upgrade).await);
        let standing = verdicts.take(admitted)?;
        if let Some(standing) = &standing {
            verdicts.take(count(&route, &exchange, Some(&standing.call().caller)).await)?;
        }
        let target = {
            let query = if Preflight::is_bare(preflight.as_ref()) { None } else { query(&parts, standing.as_ref()) };
            forward::target(Some(&parts.uri), path.as_str(), query.as_deref())?
        };
        self.prepare(&route, &mut parts, &exchange, connection.as_ref(), standing.as_ref())?;
        parts.uri = target.clone().into();
        let nonce = self.nonce(&route, &mut parts);

        let mut request = Request::from_parts(parts, body);
        for demand in &self.demands {
            let standing = standing.as_ref();
            let mut asked =
                Asked { route: &route, exchange: &exchange, standing, request: &mut request, watch: verdicts.watch() };
            verdicts.take(Preflight::pass(&mut preflight, demand.asked(&mut asked).await))?;
        }
        verdicts.take(remains(standing.as_ref()).await)?;
        let place = || self.streams.take(&route.upstream, exchange.info().address);
        let websocket = match on_client {
            Some(on_client) => Some((on_client, place().ok_or(Code::Overloaded)?)),
            None => None,
        };
        if let (true, Some(standing)) = (route.audit, &standing) {
            refusals::forwarded(&self.instance, standing.call()).await?;
        }
        if upgrade {
            request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            request.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        // Where nothing is refused yet, nothing ends with a credential either.
        let standing = standing.filter(|_| route.mode == Mode::Enforce);
        let response = forward::forward(&route, request, &target, standing.as_ref()).await?;
        let response = Preflight::answered(preflight, response)?;
        let mut response = answer(response, websocket, Lasting { standing, connection }, place)?;
        if let Some(headers) = route.headers.as_ref().filter(|_| response.status() != StatusCode::SWITCHING_PROTOCOLS) {
            let differ = headers.ready.apply(response.headers_mut(), headers.mode, nonce.as_ref());
            self.observed.differ(&route, &differ);
        }
        if route.mode == Mode::Shadow
            && let Ok(told) = HeaderValue::from_str(&verdicts.told())
        {
            response.headers_mut().insert(VERDICT, told);
        }
        Ok(response)
    }
}

/// Counts a request by the limits that its route names: those of addresses before anybody asks who calls, the others then. Where it does
/// not enforce, all that hold for a request are looked at here, and refuse nobody before.
async fn count(route: &Route, exchange: &Exchange, caller: Option<&Caller>) -> Result<(), Problem> {
    match route.mode {
        Mode::Enforce if route.limits.is_empty() => Ok(()),
        Mode::Enforce => exchange.limit(&route.limits, caller).await,
        Mode::Observe | Mode::Shadow => exchange.watch(&route.limits, caller).await,
    }
}

/// Cheap refusals come first: a length that is said is known before anything is read.
fn check_length(route: &Route, request: &Request<Body>) -> Result<(), Problem> {
    let least = http_body::Body::size_hint(request.body()).lower();
    if route.body_bytes != 0 && least > route.body_bytes { Err(Code::TooLarge.into()) } else { Ok(()) }
}

/// A parameter that comes twice is read as the first by one program and as the last by another (IV-09). One that says another method
/// would have that done by the route of POST.
fn check_parameters(route: &Route, parts: &Parts) -> Result<(), Problem> {
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    let twice = route
        .single_parameters
        .iter()
        .any(|single| form_urlencoded::parse(query).filter(|(name, _)| name == single).nth(1).is_some());
    if twice {
        return Err(Problem::new(Code::RequestMalformed).detail("a parameter that may come once came twice"));
    }
    if parts.method == Method::POST && !route.methods.is_empty() && onward::overrides_method(query) {
        return Err(Problem::new(Code::RequestMalformed).detail("a parameter must not say another method"));
    }
    Ok(())
}
