//! The gateway at work, and its table while it changes.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::any,
};
use chancery_domain::{Instance, access::Caller, audit::refusals, ids::WebhookSourceId};
use chancery_middleware::{
    Code, Exchange, Forwarded, Limits, Observer, Problem, Standing, Template, around, headers::CspNonce,
    listener::Connection,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version, header, request::Parts};

use crate::{
    Asked, Demand, Match, Mode, Route, Table, extended, forward, health,
    hygiene::{self, Origin},
    lasting::Lasting,
    observed::Observed,
    tunnel,
    verdict::{VERDICT, Verdicts, admit},
    webhook,
};

/// Where the application finds the word for its scripts.
const NONCE: HeaderName = HeaderName::from_static("x-csp-nonce");

/// What holds for all routes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// A proxy in front ends TLS.
    pub tls_terminated: bool,
}

/// The gateway.
pub struct Gateway {
    instance: Arc<Instance>,
    settings: Settings,
    demands: Vec<Arc<dyn Demand>>,
    at_work: RwLock<Arc<AtWork>>,
    before: Mutex<Option<Arc<AtWork>>>,
    observed: Arc<Observed>,
}

/// A table, and the questions to its applications.
struct AtWork {
    table: Arc<Table>,
    _checks: health::Checks,
}

impl Gateway {
    /// Of this table, with what further parts demand. Needs a runtime.
    pub fn new(instance: Arc<Instance>, settings: Settings, table: Table, demands: Vec<Arc<dyn Demand>>) -> Arc<Self> {
        let at_work = RwLock::new(AtWork::begin(table));
        Arc::new(Self { instance, settings, demands, at_work, before: Mutex::default(), observed: Arc::default() })
    }

    /// The table at work.
    pub fn table(&self) -> Arc<Table> {
        Arc::clone(&self.at_work.read().unwrap_or_else(PoisonError::into_inner).table)
    }

    /// What was seen and let pass since the process began.
    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    /// Hands a webhook of a source on to the application, by the route that takes that source's; gives what was answered, or nothing
    /// if no route at this path is that one: whoever may set a source up must not reach other parts of the application by it.
    ///
    /// # Errors
    ///
    /// [`Problem`]: the application did not answer.
    pub async fn hand_on(
        &self,
        source: WebhookSourceId,
        path: &str,
        message: (HeaderMap, Bytes),
    ) -> Result<Option<StatusCode>, Problem> {
        match self.table().find(&Method::POST, path) {
            Match::Route(route, path) if route.webhook.as_ref().is_some_and(|hook| hook.source == source) => {
                webhook::hand_on(&self.instance, &route, &path, message).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Puts another table to work; requests that are on their way keep theirs.
    pub fn apply(&self, table: Table) {
        self.put(AtWork::begin(table));
    }

    /// The table before the one at work, if there is one.
    pub fn before(&self) -> Option<Arc<Table>> {
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        before.as_ref().map(|before| Arc::clone(&before.table))
    }

    /// Puts the table before this one to work again; says whether there was one.
    pub fn roll_back(&self) -> bool {
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner).take();
        let there = before.is_some();
        if let Some(before) = before {
            self.put(before);
        }
        there
    }

    fn put(&self, next: Arc<AtWork>) {
        let mut at_work = self.at_work.write().unwrap_or_else(PoisonError::into_inner);
        *self.before.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::mem::replace(&mut at_work, next));
    }

    /// The door: all layers of design §3 around the forwarding.
    pub fn router(self: &Arc<Self>, observer: Option<Arc<dyn Observer>>, limits: Limits) -> Router {
        let limits = Limits { forwards: true, ..limits };
        let forwarding =
            Router::new().route("/", any(handle)).route("/{*rest}", any(handle)).with_state(Arc::clone(self));
        around(forwarding, Arc::clone(&self.instance), observer, limits)
            // Outside of them all, for they log what this finds.
            .layer(middleware::from_fn_with_state(Arc::clone(self), find))
    }
}

impl AtWork {
    fn begin(table: Table) -> Arc<Self> {
        let checks = health::begin(&table);
        Arc::new(Self { table: Arc::new(table), _checks: checks })
    }
}

/// Looks for the request's route, once: policy, log and forwarding use what is found here.
async fn find(State(gateway): State<Arc<Gateway>>, mut request: Request<Body>, next: Next) -> Response {
    let extended = extended::unfold(&mut request, &gateway.instance);
    let found = gateway.table().find(request.method(), request.uri().path());
    let template = match &found {
        Match::Route(route, _) | Match::Method(route) => route.template,
        Match::Nothing | Match::Ambiguous(_) => Template::new("unmatched"),
    };
    request.extensions_mut().insert(template);
    request.extensions_mut().insert(found);
    let response = next.run(request).await;
    if extended { extended::fold(response) } else { response }
}

async fn handle(State(gateway): State<Arc<Gateway>>, request: Request<Body>) -> Response {
    match gateway.serve(request).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

impl Gateway {
    async fn serve(&self, mut request: Request<Body>) -> Result<Response, Problem> {
        let (route, path) = match request.extensions_mut().remove::<Match>() {
            Some(Match::Route(route, path)) => (route, path),
            Some(Match::Method(_)) => return Err(Code::MethodNotAllowed.into()),
            Some(Match::Ambiguous(why)) => return Err(Problem::new(Code::PathAmbiguous).detail(why.to_string())),
            Some(Match::Nothing) => return Err(Code::NotFound.into()),
            None => return Err(Code::Internal.into()),
        };
        if forward::is_diagnostic(request.method()) {
            return Err(Code::MethodNotAllowed.into());
        }
        if hygiene::is_doubled(request.headers()).is_some() {
            return Err(Problem::new(Code::RequestMalformed).detail("a header that may come once came twice"));
        }
        check_length(&route, &request)?;
        let exchange = request.extensions().get::<Arc<Exchange>>().cloned().ok_or(Code::Internal)?;
        let mut verdicts = Verdicts::of(&route, &self.observed);
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
        let on_client = upgrade.then(|| hyper::upgrade::on(&mut request));

        let (mut parts, body) = request.into_parts();
        verdicts.take(check_parameters(&route, &parts))?;
        let standing = verdicts.take(admit(&route, &parts, upgrade).await)?;
        if let Some(standing) = &standing {
            verdicts.take(count(&route, &exchange, Some(&standing.call().caller)).await)?;
        }
        let query = self.query(&parts, standing.as_ref());
        let target = forward::target(path.as_str(), query.as_deref())?;
        self.prepare(&route, &mut parts, &exchange, connection.as_ref(), standing.as_ref())?;
        parts.uri = target.clone().into();
        let nonce = self.nonce(&route, &mut parts);

        let mut request = Request::from_parts(parts, body);
        for demand in &self.demands {
            let standing = standing.as_ref();
            let mut asked =
                Asked { route: &route, exchange: &exchange, standing, request: &mut request, watch: verdicts.watch() };
            verdicts.take(demand.asked(&mut asked).await)?;
        }
        if let (true, Some(standing)) = (route.audit, &standing) {
            refusals::forwarded(&self.instance, standing.call()).await?;
        }
        if upgrade {
            request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            request.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        let response = forward::forward(&route, request, &target).await?;
        let mut response = answer(response, on_client, Lasting { standing, connection })?;
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

    /// The query that goes on: a name of another tenant does not, where it was not refused (design §3).
    fn query(&self, parts: &Parts, standing: Option<&Standing>) -> Option<String> {
        let query = parts.uri.query()?;
        let Some(standing) = standing else { return Some(query.to_owned()) };
        let call = standing.call();
        let foreign = |name: &str, named: &str| {
            (name == "tenant" || name == "tenant_id")
                && named != call.caller.tenant_slug()
                && named.parse() != Ok(call.tenant())
        };
        let is_foreign =
            |pair: &&str| form_urlencoded::parse(pair.as_bytes()).any(|(name, named)| foreign(&name, &named));
        let kept: Vec<&str> = query.split('&').filter(|pair| !is_foreign(pair)).collect();
        Some(kept.join("&"))
    }

    /// A word for the scripts of one page, which the application writes into them. Without randomness there is none, and nothing inline runs.
    fn nonce(&self, route: &Route, parts: &mut Parts) -> Option<CspNonce> {
        let wanted = route.headers.as_ref().is_some_and(|headers| headers.ready.wants_nonce());
        let nonce = CspNonce::make(self.instance.random()).ok().filter(|_| wanted)?;
        parts.headers.insert(NONCE, HeaderValue::from_str(nonce.as_str()).ok()?);
        Some(nonce)
    }

    /// Takes out what the application must not see, and says what it may believe.
    fn prepare(
        &self,
        route: &Route,
        parts: &mut Parts,
        exchange: &Exchange,
        connection: Option<&Connection>,
        standing: Option<&Standing>,
    ) -> Result<(), Problem> {
        let authority = parts.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
        let host = parts.headers.get(header::HOST).cloned().or(authority);
        hygiene::clean(&mut parts.headers, &route.underscore_headers, &route.trailers);
        if let Some(host) = &host {
            parts.headers.insert(header::HOST, host.clone());
        }
        hygiene::join_cookies(&mut parts.headers);
        let secure = self.settings.tls_terminated || connection.is_some_and(Connection::is_secure);
        let origin = Origin { address: exchange.info().address, secure, host, request: exchange.info().id };
        hygiene::introduce(&mut parts.headers, &origin);
        if !route.keep_credential && route.mode == Mode::Enforce {
            let issuer = &self.instance.settings().issuer;
            match standing {
                Some(_) => hygiene::drop_credential(&mut parts.headers, issuer),
                None => hygiene::drop_ours(&mut parts.headers, issuer),
            }
        }
        if let Some(standing) = standing.filter(|_| route.plain_identity) {
            hygiene::name_caller(&mut parts.headers, exchange, &standing.call().caller)?;
        }
        // What only we are to know of the request goes no further.
        parts.extensions = http::Extensions::new();
        Ok(())
    }
}

/// Counts a request by the limits that its route names: those of addresses before anybody asks who calls, the others then.
async fn count(route: &Route, exchange: &Exchange, caller: Option<&Caller>) -> Result<(), Problem> {
    match route.mode {
        _ if route.limits.is_empty() => Ok(()),
        Mode::Enforce => exchange.limit(&route.limits, caller).await,
        Mode::Observe | Mode::Shadow => exchange.watch(&route.limits, caller).await,
    }
}

/// Cheap refusals come first: a length that is said is known before anything is read.
fn check_length(route: &Route, request: &Request<Body>) -> Result<(), Problem> {
    let least = http_body::Body::size_hint(request.body()).lower();
    if route.body_bytes != 0 && least > route.body_bytes { Err(Code::TooLarge.into()) } else { Ok(()) }
}

/// A parameter that comes twice is read as the first by one program and as the last by another (IV-09).
fn check_parameters(route: &Route, parts: &Parts) -> Result<(), Problem> {
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    let twice = route
        .single_parameters
        .iter()
        .any(|single| form_urlencoded::parse(query).filter(|(name, _)| name == single).nth(1).is_some());
    if twice {
        return Err(Problem::new(Code::RequestMalformed).detail("a parameter that may come once came twice"));
    }
    Ok(())
}

/// What the client gets of the application's answer: all of it, but what spoke for the connection between us.
fn answer(
    mut response: Response,
    on_client: Option<hyper::upgrade::OnUpgrade>,
    mut lasting: Lasting,
) -> Result<Response, Problem> {
    let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let websocket = upgraded && hygiene::is_websocket(response.headers());
    hygiene::clean_response(response.headers_mut());
    response.extensions_mut().insert(Forwarded);
    // How the application speaks is between it and us: its HTTP/1.0 is not the client's.
    *response.version_mut() = Version::HTTP_11;
    match (upgraded, on_client) {
        (false, _) => {
            // Events have no end that could be waited for; browsers ask for them again by themselves.
            if !is_event_stream(response.headers()) {
                lasting.connection = None;
            }
            Ok(lasting.bind(response))
        }
        (true, Some(on_client)) if websocket => {
            let on_application = hyper::upgrade::on(&mut response);
            tunnel::join(on_client, on_application, lasting);
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            Ok(response)
        }
        // Another protocol that nobody asked for.
        (true, _) => Err(Code::UpstreamBadGateway.into()),
    }
}

/// Server-sent events.
fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    kind.split(|byte| *byte == b';')
        .next()
        .is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"))
}
