//! Request id, trace, one log line. Round it lie only the headers of every response.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use axum::{
    extract::{ConnectInfo, MatchedPath, Request},
    response::{IntoResponse, Response},
};
use chancery_domain::{Instance, access::RequestInfo, ids::RequestId};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use ipnet::IpNet;
use tracing::Instrument;

use crate::{
    Code, Exchange, Problem, Template, client,
    limited::{self, Watched},
    stack::BodyLimit,
};

/// The name of the header that carries the request id.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How a request ended.
#[derive(Debug, Clone, Copy)]
pub struct Finished {
    /// Its method, or `OTHER`.
    pub method: &'static str,
    /// Its route's template, or `unmatched`.
    pub route: &'static str,
    /// Its status.
    pub status: StatusCode,
    /// How long it took until the response's headers.
    pub took: Duration,
}

/// Is told of every request that ended; for metrics.
pub trait Observer: Send + Sync {
    /// One ended.
    fn finished(&self, request: Finished);
}

/// What [`observe`] works with.
pub(crate) struct Observing {
    pub(crate) instance: Arc<Instance>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) proxies: Vec<IpNet>,
    pub(crate) body: BodyLimit,
}

pub(crate) async fn observe(
    observing: Arc<Observing>,
    mut request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let started = Instant::now();
    let method = method_name(request.method());
    let route = match request.extensions().get::<Template>() {
        Some(template) => template.as_str(),
        None => request.extensions().get::<MatchedPath>().map_or("unmatched", |path| interned(path.as_str())),
    };
    // An inbound `x-request-id` is never taken over: ids are ours, so that nobody can make two events look like one.
    let Ok(id) = RequestId::make(observing.instance.now(), observing.instance.random()) else {
        return Problem::new(Code::DependencyUnavailable).into_response();
    };
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_canonical());
    let info = RequestInfo {
        id,
        address: peer.and_then(|peer| client::address(peer, request.headers(), &observing.proxies)),
        user_agent: user_agent(request.headers()),
        key: None,
        route,
        method,
    };
    let watched = request.extensions().get::<Watched>().is_some();
    let exchange = Arc::new(Exchange::new(observing.instance.clone(), info, observing.body).watched(watched));
    request.extensions_mut().insert(Arc::clone(&exchange));

    let span = tracing::info_span!("request", request_id = %id, method, route);
    let mut response = next(request).instrument(span.clone()).await;
    match response.extensions().get::<Forwarded>() {
        Some(_) => limited::tell_beside(&exchange, response.headers_mut()),
        None => limited::tell(&exchange, response.headers_mut()),
    }
    if let Ok(value) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let finished = Finished { method, route, status: response.status(), took: started.elapsed() };
    let status = finished.status.as_u16();
    let code = response.extensions().get::<Code>().map(|code| code.as_str());
    let duration_us = u64::try_from(finished.took.as_micros()).unwrap_or(u64::MAX);
    span.in_scope(|| tracing::info!(status, code, duration_us, "Answered {method} {route} with {status}"));
    if let Some(observer) = &observing.observer {
        observer.finished(finished);
    }
    response
}

/// In a response's extensions: it is an application's own, and its headers stay as they are. Whoever forwards it has taken out what tells
/// what it runs on ([`remove_telling`](crate::headers::remove_telling)).
#[derive(Debug, Clone, Copy)]
pub struct Forwarded;

fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}

/// At most 200 characters, control characters left out.
fn user_agent(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::USER_AGENT)?.to_str().ok()?;
    // Letter by letter a text grows again and again; most are fine as they are.
    let fine = value.len() <= 200 && !value.contains(char::is_control);
    Some(if fine { value.to_owned() } else { value.chars().filter(|c| !c.is_control()).take(200).collect() })
}

/// Keeps a route's template for the life of the process. Templates come from the router, so there are few.
pub(crate) fn interned(route: &str) -> &'static str {
    static KNOWN: RwLock<Option<HashSet<&'static str>>> = RwLock::new(None);
    if let Some(known) = KNOWN.read().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(|set| set.get(route)) {
        return known;
    }
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    let set = known.get_or_insert_default();
    if let Some(found) = set.get(route) {
        return found;
    }
    let kept: &'static str = Box::leak(route.to_owned().into_boxed_str());
    set.insert(kept);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_programs_name_so_much_is_kept_and_no_control_character() {
        let kept = |value: &str| {
            let value = HeaderValue::from_str(value).unwrap();
            user_agent(&[(header::USER_AGENT, value)].into_iter().collect()).unwrap()
        };
        assert_eq!(kept("curl/8.5.0"), "curl/8.5.0");
        assert_eq!(kept("a\tb"), "ab");
        assert_eq!(kept(&"x".repeat(201)), "x".repeat(200));
    }

    #[test]
    fn a_template_is_kept_once() {
        let first = interned("/v1/things/{id}");
        assert!(std::ptr::eq(first, interned(&String::from("/v1/things/{id}"))));
    }
}
