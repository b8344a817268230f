//! One request on its way to an application, and what comes of it.

use std::{error::Error, sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use chancery_middleware::{Code, Problem, Standing};
use http::{HeaderValue, Method, Request, Uri, header, request::Parts, uri::PathAndQuery};

use crate::{
    Refused, Route,
    body::{Fault, Progress, measured},
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
    let body = measured(body, most, &route.trailers, standing, Arc::clone(&progress));
    let mut request = Request::from_parts(parts, body);
    let _place = route.upstream.place().ok_or(Code::Overloaded)?;
    let mut servers = route.upstream.turn();
    let mut server = servers.next().ok_or(Code::UpstreamBadGateway)?;
    let mut tries = 0;
    loop {
        tries += 1;
        server.address(&mut request, path).map_err(|_| Code::RequestMalformed)?;
        let failed = match within(route.timeout, &progress, server.client.send(request)).await {
            None => return Err(Code::UpstreamTimeout.into()),
            Some(Ok(response)) => {
                server.answered();
                return Ok(response);
            }
            Some(Err(failed)) => failed,
        };
        if let Some(problem) = Refused::within(&*failed.error) {
            return Err(problem);
        }
        match progress.fault() {
            Some(Fault::TooLong) => return Err(Code::TooLarge.into()),
            Some(Fault::Broken) => {
                return Err(Problem::new(Code::RequestMalformed).detail("the body did not arrive"));
            }
            None => {}
        }
        if failed.connecting {
            server.failed();
        }
        request = match failed.unsent {
            Some(unsent) if repeatable && tries < 3 => *unsent,
            _ => return Err(refused(route, &*failed.error)),
        };
        if failed.connecting {
            server = match servers.next() {
                Some(next) => next,
                None => return Err(refused(route, &*failed.error)),
            };
        }
    }
}

/// Why is for our log; it names the application and neither path nor address of a client.
fn refused(route: &Route, error: &(dyn Error + 'static)) -> Problem {
    let (mut timed_out, mut chain) = (false, String::new());
    let mut cause = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        timed_out |= io.is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut);
        let between = if chain.is_empty() { "" } else { ": " };
        chain.push_str(between);
        chain.push_str(&error.to_string());
        cause = error.source();
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

/// The path and query that go on: as they came, if nothing of that is changed.
pub(crate) fn target(came: Option<&Uri>, path: &str, query: Option<&str>) -> Result<PathAndQuery, Problem> {
    let is_same = |came: &&PathAndQuery| {
        came.as_str().strip_prefix(path).is_some_and(|rest| match query {
            Some(query) => rest.strip_prefix('?') == Some(query),
            None => rest.is_empty(),
        })
    };
    // Behind the name of a server the path may be none at all, which stands for `/`.
    let came = came.filter(|came| came.authority().is_none()).and_then(Uri::path_and_query);
    if let Some(came) = came.filter(is_same) {
        return Ok(came.clone());
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_the_path_that_was_read_and_the_query_that_is_left() {
        let goes = |came: &str, path: &str, query: Option<&str>| {
            let target = target(Some(&came.parse().unwrap()), path, query).unwrap();
            // As it is sent.
            Uri::from(target).to_string()
        };
        assert_eq!(goes("/a/b?c=1", "/a/b", Some("c=1")), "/a/b?c=1");
        assert_eq!(goes("/a/b?c=1&tenant=x", "/a/b", Some("c=1")), "/a/b?c=1");
        assert_eq!(goes("/a/b?c=1", "/a/b", None), "/a/b");
        assert_eq!(goes("/a/b", "/a/b", None), "/a/b");
        assert_eq!(goes("/a/b?", "/a/b", Some("")), "/a/b?");
        assert_eq!(goes("/%61/b?c=1", "/a/b", Some("c=1")), "/a/b?c=1");
        assert_eq!(goes("/a/b/c", "/a/b", None), "/a/b");
        for came in ["http://a", "http://a/", "http://a?b"] {
            assert_eq!(goes(came, "/", None), "/", "{came}");
        }
        assert_eq!(goes("http://a?b", "/", Some("b")), "/?b");
    }
}
