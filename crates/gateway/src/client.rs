//! How one server of an application is asked: over HTTP/1 or HTTP/2, and what is known of a request that it did not answer.

use std::{
    error::Error,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::{Body, Bytes, HttpBody};
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use hyper::{body::Incoming, client::conn::TrySendError};
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use tokio::sync::oneshot;

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
        let again = request.body().is_end_stream().then(|| Box::new(bodiless(&request)));
        let (request, going) = if again.is_some() { (request, None) } else { until_answered(request) };
        match client.request(request).await {
            Ok(response) => Ok(response.map(|body| Body::new(Answer { body, _going: going }))),
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

/// The same request, whose body breaks off when what is given with it is dropped: hyper alone would send it to its end, however long its
/// answer is over, and each would hold one of the few streams that the application has.
fn until_answered(request: Request<Body>) -> (Request<Body>, Option<oneshot::Sender<()>>) {
    let (going, answered) = oneshot::channel();
    (request.map(|body| Body::new(Upload { body, answered: Some(answered) })), Some(going))
}

struct Upload {
    body: Body,
    answered: Option<oneshot::Receiver<()>>,
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if this.answered.as_mut().is_some_and(|answered| Pin::new(answered).poll(cx).is_ready()) {
            (this.body, this.answered) = (Body::empty(), None);
            return Poll::Ready(Some(Err(axum::Error::new(io::Error::from(io::ErrorKind::BrokenPipe)))));
        }
        Pin::new(&mut this.body).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// An answer's body; while it goes on, so may its request's.
struct Answer {
    body: Incoming,
    _going: Option<oneshot::Sender<()>>,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, time::Duration};

    use http_body_util::BodyExt as _;
    use hyper::{server::conn::http2, service::service_fn};
    use hyper_util::rt::TokioIo;
    use tokio::{net::TcpListener, sync::mpsc, time::timeout};

    use super::*;
    use crate::{Address, connections::tests::Endless};

    /// An application that neither reads nor refuses what is sent has only so many streams.
    #[tokio::test]
    async fn over_http_2_an_upload_that_was_answered_early_ends_with_its_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let (keep, mut kept) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(move |request: Request<Incoming>| {
                keep.send(request.into_body()).unwrap();
                async { Ok::<_, Infallible>(Response::new(Body::from("hello"))) }
            });
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await
        });
        let client = Client::new(Dial::new(address, None), true);
        let answer = client.send(Request::post("http://app/").body(Body::new(Endless)).unwrap()).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
        let mut upload = kept.recv().await.unwrap();
        let end = timeout(Duration::from_secs(20), upload.frame()).await.expect("it ends");
        assert!(end.unwrap().is_err());
    }
}
