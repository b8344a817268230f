//! Webhooks of a route: verified as they came, kept, answered for in the application's place, and handed on until it has them.
//!
//! The rules, the store and the tries are those of `chancery_domain::webhooks`; here is only the way to an application that is no URL.

use std::{str::FromStr, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::FromRequest as _,
    response::Response,
};
use chancery_domain::{
    Instance,
    ids::{RequestId, WebhookSourceId},
    tokens::Onward,
};
use chancery_middleware::{ASSERTION, Code, Exchange, Hooked, Problem, Unread, asserted};
use http::{HeaderMap, Method, Request, StatusCode, header};
use tracing::Instrument as _;

use crate::{
    Route,
    body::whole,
    forward,
    hygiene::{self, Origin},
    path::Canonical,
};

/// How long an application may take to say that it has one: shorter than the minute after which another node tries.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whose webhooks a route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The slug of the source's tenant.
    pub tenant: String,
    /// The source.
    pub source: WebhookSourceId,
}

/// A text that names no source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("names no source: write TENANT/whs_…, as in the source's path")]
pub struct NoHook;

impl FromStr for Hook {
    type Err = NoHook;

    /// `TENANT/whs_…`, or the source's whole path with `/hooks/` before it.
    fn from_str(text: &str) -> Result<Self, NoHook> {
        let (tenant, source) = text.strip_prefix("/hooks/").unwrap_or(text).split_once('/').ok_or(NoHook)?;
        let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let source = source.parse().map_err(|_| NoHook)?;
        if tenant.is_empty() || !tenant.bytes().all(fine) {
            Err(NoHook)
        } else {
            Ok(Self { tenant: tenant.to_owned(), source })
        }
    }
}

/// What stands behind the route's own path, for senders that sign nothing: a last parameter of the pattern.
pub(crate) fn token(route: &Route, path: &Canonical) -> Option<String> {
    route.pattern.ends_with_parameter().then(|| path.segments().last()).flatten().map(std::borrow::Cow::into_owned)
}

/// Takes a message or a handshake in the application's place. In a task of its own: a sender that goes away in the middle would leave
/// a mark that it came, and nothing that was kept.
pub(crate) async fn taken(hook: Hook, token: Option<String>, request: Request<Body>) -> Result<Response, Problem> {
    let work = tokio::spawn(take(hook, token, request).in_current_span());
    work.await.unwrap_or_else(|_| Err(Code::Internal.into()))
}

async fn take(hook: Hook, token: Option<String>, request: Request<Body>) -> Result<Response, Problem> {
    let id = hook.source.to_string();
    let source = (hook.tenant.as_str(), id.as_str());
    match *request.method() {
        Method::GET => Unread::from_request(request, &()).await?.shake(source).await,
        Method::POST => Unread::from_request(request, &()).await?.receive(source, token.as_deref()).await,
        _ => Err(Code::MethodNotAllowed.into()),
    }
}

/// Says what would be said of a message, which goes on whole: the application still takes it itself.
pub(crate) async fn examined(
    hook: Hook,
    token: Option<String>,
    exchange: Arc<Exchange>,
    request: &mut Request<Body>,
) -> Result<(), Problem> {
    if *request.method() != Method::POST {
        return Ok(());
    }
    let longest = exchange.instance().settings().webhook_body_bytes as usize;
    let body = whole(request.body_mut(), longest, exchange.info().address).await?;
    let (headers, id) = (request.headers().clone(), hook.source.to_string());
    Hooked::new(exchange, headers, body).examine((&hook.tenant, &id), token.as_deref()).await
}

/// A source says itself which headers its signature is in: a tenant must not name by them who calls, or frame the message.
fn clean(route: &Route, headers: &mut HeaderMap) {
    hygiene::clean(headers, &route.underscore_headers, &[]);
    hygiene::drop_named(headers, &route.drop_headers);
    // Cookies go with all others below.
    hygiene::drop_credential(headers, "");
    for name in [header::HOST, header::CONTENT_LENGTH, header::COOKIE] {
        headers.remove(name);
    }
}

/// Hands one on to the application of a route; gives the head of its answer.
pub(crate) async fn hand_on(
    instance: &Instance,
    route: &Route,
    path: &Canonical,
    (mut headers, body): (HeaderMap, Bytes),
) -> Result<(StatusCode, HeaderMap), Problem> {
    let id = RequestId::make(instance.now(), instance.random()).map_err(|_| Code::Internal)?;
    clean(route, &mut headers);
    let audience = route.upstream.name();
    let onward = Onward { request: id, audience, caller: None, method: "POST", path: path.as_str() };
    headers.insert(ASSERTION, asserted(instance, &onward).await?);
    // Whoever sent it spoke TLS: providers know nothing else.
    hygiene::introduce(&mut headers, &Origin { address: None, secure: true, host: None, request: id });
    let target = forward::target(None, path.as_str(), None)?;
    let mut request = Request::new(Body::from(body));
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) =
        (Method::POST, target.clone().into(), headers);
    let answered = tokio::time::timeout(PATIENCE, forward::forward(route, request, &target, None)).await;
    let (answer, _) = answered.map_err(|_| Code::UpstreamTimeout)??.into_parts();
    Ok((answer.status, answer.headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_named_by_its_tenant_and_its_id() {
        let id = WebhookSourceId::from_bytes([7; 16]);
        let hook = Hook { tenant: "north-1".to_owned(), source: id };
        assert_eq!(format!("north-1/{id}").parse(), Ok(hook.clone()));
        assert_eq!(format!("/hooks/north-1/{id}").parse(), Ok(hook));
        for other in
            ["oura".to_owned(), format!("/{id}"), format!("No/{id}"), "north/oura".to_owned(), format!("a/b/{id}")]
        {
            assert_eq!(other.parse::<Hook>(), Err(NoHook), "{other}");
        }
    }
}
