//! One request on its way to an application, and what comes of it.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use chancery_middleware::{Code, Problem, Standing};
use http::{HeaderValue, Method, Request, Uri, Version, header, request::Parts, uri::PathAndQuery};
use hyper_util::client::legacy::Error;

use crate::{
    Refused, Route,
    body::{Fault, Progress, measured},
    upstream::Server,
};

/// Sends a request whose headers are those that the application shall see, and waits for the head of its answer.
///
/// A request is sent once. Only one that has no body and may be repeated goes to another server or over another connection, and only
/// if not a byte of it can have been sent. Its body ends with its caller's credential.
pub(crate) async fn forward(
    route: &Route,
    request: Request<Body>,
    path: &PathAndQuery,
    standing: Option<&Standing>,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let repeatable = parts.method.is_idempotent() && http_body::Body::is_end_stream(&body);
    let progress = Progress::new();
    let most = route.most_bytes();
    frame(&mut parts, &body);
    let mut body = Some(measured(body, most, &route.trailers, standing, Arc::clone(&progress)));
    let _place = route.upstream.place().ok_or(Code::Overloaded)?;
    let mut servers = route.upstream.turn();
    let mut server = servers.next().ok_or(Code::UpstreamBadGateway)?;
    let mut tries = 0;
    loop {
        tries += 1;
        let request = Request::from_parts(addressed(&parts, server, path)?, body.take().unwrap_or_default());
        let error = match within(route.timeout, &progress, server.client.request(request)).await {
            None => return Err(Code::UpstreamTimeout.into()),
            Some(Ok(response)) => {
                server.answered();
                return Ok(response.map(Body::new));
            }
            Some(Err(error)) => error,
        };
        if let Some(problem) = Refused::within(&error) {
            return Err(problem);
        }
        match progress.fault() {
            Some(Fault::TooLong) => return Err(Code::TooLarge.into()),
            Some(Fault::Broken) => {
                return Err(Problem::new(Code::RequestMalformed).detail("the body did not arrive"));
            }
            None => {}
        }
        let unsent = error.is_connect() || was_never_sent(&error);
        if error.is_connect() {
            server.failed();
        }
        if !(unsent && repeatable && tries < 3) {
            return Err(refused(route, &error));
        }
        if error.is_connect() {
            server = match servers.next() {
                Some(next) => next,
                None => return Err(refused(route, &error)),
            };
        }
    }
}

/// hyper gives a message back that it did not begin to write.
fn was_never_sent(error: &Error) -> bool {
    error.to_string() == "client error (Canceled)"
}

/// Why is for our log; it names the application and neither path nor address of a client.
fn refused(route: &Route, error: &Error) -> Problem {
    let mut timed_out = false;
    let mut chain = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        let io = next.downcast_ref::<std::io::Error>();
        timed_out |= io.is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut);
        chain.push_str(": ");
        chain.push_str(&next.to_string());
        cause = next.source();
    }
    let upstream = route.upstream.name();
    tracing::warn!(upstream, error = %chain, "The application `{upstream}` did not answer");
    Problem::new(if timed_out { Code::UpstreamTimeout } else { Code::UpstreamBadGateway })
}

/// How the message is framed on the next connection: by a length or in chunks, never both.
fn frame(parts: &mut Parts, body: &Body) {
    let hint = http_body::Body::size_hint(body);
    if hint.exact().is_none() {
        parts.headers.remove(header::CONTENT_LENGTH);
        // hyper sends no body with GET unless told so.
        parts.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

fn addressed(parts: &Parts, server: &Server, path: &PathAndQuery) -> Result<Parts, Problem> {
    let (scheme, authority) = (server.address.scheme(), server.address.authority());
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path.clone()).build();
    let mut request = Request::new(());
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = uri.map_err(|_| Code::RequestMalformed)?;
    *request.version_mut() = if server.http2 { Version::HTTP_2 } else { Version::HTTP_11 };
    *request.headers_mut() = parts.headers.clone();
    if server.http2 {
        // The authority of the URI is the only host there is.
        request.headers_mut().remove(header::HOST);
        request.headers_mut().remove(header::TRANSFER_ENCODING);
    }
    Ok(request.into_parts().0)
}

/// What a future gives, unless so long passed since the request's body moved.
async fn within<T>(patience: Duration, progress: &Progress, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    loop {
        let deadline = progress.moved() + patience;
        match tokio::time::timeout_at(deadline.into(), future.as_mut()).await {
            Ok(value) => return Some(value),
            Err(_) if progress.moved() + patience <= std::time::Instant::now() => return None,
            Err(_) => {}
        }
    }
}

/// The path and query that go on.
pub(crate) fn target(path: &str, query: Option<&str>) -> Result<PathAndQuery, Problem> {
    let target = match query {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    target.map_err(|_| Problem::new(Code::RequestMalformed).detail("the query is not valid"))
}

/// Methods that no application is asked with.
pub(crate) fn is_diagnostic(method: &Method) -> bool {
    *method == Method::TRACE || *method == Method::CONNECT || method.as_str() == "TRACK"
}
