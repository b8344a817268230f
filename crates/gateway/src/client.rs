//! How one server of an application is asked: over HTTP/1 or HTTP/2, and what is known of a request that it did not answer.

use std::{error::Error, io};

use axum::body::Body;
use http::{Request, Response};
use hyper::client::conn::TrySendError;
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};

use crate::{connections::Connections, dial::Dial, upstream::IDLE};

/// Asks one server.
#[derive(Debug)]
pub(crate) enum Client {
    Http1(Connections),
    /// All requests share a connection.
    Http2(Box<legacy::Client<Dial, Body>>),
}

/// A request that was not answered.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: Box<dyn Error + Send + Sync>,
    /// Whether no connection could be made.
    pub(crate) connecting: bool,
    /// The request, if not a byte of it was sent.
    pub(crate) unsent: Option<Box<Request<Body>>>,
}

impl Failed {
    pub(crate) fn unconnected(error: io::Error, request: Request<Body>) -> Self {
        Self { error: error.into(), connecting: true, unsent: Some(Box::new(request)) }
    }

    /// hyper gives a message back that it did not begin to write.
    pub(crate) fn unanswered(mut error: TrySendError<Request<Body>>) -> Self {
        let unsent = error.take_message().map(Box::new);
        Self { error: error.into_error().into(), connecting: false, unsent }
    }
}

impl Client {
    pub(crate) fn new(dial: Dial, http2: bool) -> Self {
        if !http2 {
            return Self::Http1(Connections::new(dial, IDLE));
        }
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).timer(TokioTimer::new()).pool_idle_timeout(IDLE);
        // Whether a request may be sent again is not for the pool to say.
        builder.retry_canceled_requests(false).http2_only(true).http2_adaptive_window(true);
        Self::Http2(Box::new(builder.build(dial)))
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Failed> {
        let client = match self {
            Self::Http1(connections) => return connections.send(request).await,
            Self::Http2(client) => client,
        };
        // It gives nothing back.
        let again = http_body::Body::is_end_stream(request.body()).then(|| Box::new(bodiless(&request)));
        match client.request(request).await {
            Ok(response) => Ok(response.map(Body::new)),
            Err(error) => {
                let connecting = error.is_connect();
                let unsent = again.filter(|_| connecting || was_never_sent(&error));
                Err(Failed { error: error.into(), connecting, unsent })
            }
        }
    }
}

/// The same request, of which nothing is known but its head.
fn bodiless(request: &Request<Body>) -> Request<Body> {
    let mut again = Request::new(Body::empty());
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.version_mut() = request.version();
    *again.headers_mut() = request.headers().clone();
    again
}

/// As over HTTP/1; hyper-util keeps the message and tells so by this text alone.
fn was_never_sent(error: &legacy::Error) -> bool {
    error.to_string() == "client error (Canceled)"
}
