//! What comes behind a body goes on behind it: of an answer all of it, of a request what its route names, over HTTP/1.1 and HTTP/2.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version},
    response::Response,
    routing::any,
};
use chancery_gateway::{
    Address, Mode, Route, Upstream,
    schema::{Contract, Rules, Schemas},
};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    application::served,
    stage::{SOON, Stage, route},
    streams::Pipe,
};

/// A body with a trailer behind it.
struct Trailing {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl http_body::Body for Trailing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.data.take().map(Frame::data);
        Poll::Ready(data.or_else(|| self.trailers.take().map(Frame::trailers)).map(Ok))
    }
}

fn trailing(text: &'static str, name: &'static str, value: &str) -> Body {
    let mut trailers = HeaderMap::new();
    trailers.insert(name, HeaderValue::from_str(value).unwrap());
    Body::new(Trailing { data: Some(Bytes::from_static(text.as_bytes())), trailers: Some(trailers) })
}

/// Answers with the request's trailer `x-sum` as its own, `x-seen`.
async fn summing() -> SocketAddr {
    let sum = any(|request: Request| async move {
        let whole = request.into_body().collect().await.unwrap();
        let sum = whole.trailers().and_then(|trailers| trailers.get("x-sum"));
        let sum = sum.map_or("none", |value| value.to_str().unwrap()).to_owned();
        let mut response = Response::new(trailing("abc", "x-seen", &sum));
        response.headers_mut().insert("trailer", HeaderValue::from_static("x-seen"));
        response
    });
    served(Router::new().fallback(sum)).await
}

async fn http1(stage: &Stage) -> String {
    let mut client = TcpStream::connect(stage.address).await.unwrap();
    let request = "POST /x HTTP/1.1\r\nhost: app.test\r\nconnection: close, te\r\nte: trailers\r\ntrailer: x-sum\r\n\
        transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 42\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let mut text = Vec::new();
    tokio::time::timeout(SOON, client.read_to_end(&mut text)).await.unwrap().unwrap();
    String::from_utf8(text).unwrap()
}

async fn http2(stage: &Stage) -> String {
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let request = Request::post(format!("http://{}/x", stage.address))
        .version(Version::HTTP_2)
        .header("te", "trailers")
        .header("trailer", "x-sum")
        .body(trailing("abc", "x-sum", "42"));
    let response = tokio::time::timeout(SOON, client.request(request.unwrap())).await.unwrap().unwrap();
    let whole = response.into_body().collect().await.unwrap();
    let seen = whole.trailers().and_then(|trailers| trailers.get("x-seen")).cloned();
    format!("{seen:?}")
}

#[tokio::test]
async fn trailers_that_a_route_names_go_through_and_answers_trailers_do() {
    let app = summing().await;
    for to_application in [false, true] {
        let address = Address::parse(&format!("http://{app}")).unwrap();
        let upstream = Arc::new(Upstream::new("app", vec![address], None, to_application));
        let trailers = vec!["x-sum".parse().unwrap()];
        let stage = Stage::with(vec![Route { upstream, trailers, ..route("/*", app) }]).await;
        let answer = http1(&stage).await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("0\r\nx-seen: 42\r\n\r\n"),
            "{to_application}: {answer}"
        );
        assert_eq!(http2(&stage).await, "Some(\"42\")", "http2: {to_application}");
    }
}

/// A call's messages, sent back as they come, and its status behind them.
struct Call(Option<Body>);

impl http_body::Body for Call {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        Pin::new(body).poll_frame(cx).map(|frame| {
            frame.or_else(|| {
                self.0 = None;
                let status = (HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
                Some(Ok(Frame::trailers([status].into_iter().collect())))
            })
        })
    }
}

/// Takes calls as a server of gRPC does: of who does not want trailers, none.
async fn calls() -> SocketAddr {
    let call = any(|request: Request| async move {
        let wants = request.version() == Version::HTTP_2
            && request.headers().get("te").is_some_and(|te| te == "trailers")
            && request.headers().get("content-type").is_some_and(|kind| kind == "application/grpc");
        let mut response =
            Response::new(if wants { Body::new(Call(Some(request.into_body()))) } else { Body::empty() });
        *response.status_mut() = if wants { StatusCode::OK } else { StatusCode::UNSUPPORTED_MEDIA_TYPE };
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        response
    });
    served(Router::new().fallback(call)).await
}

#[tokio::test]
async fn a_call_of_grpc_goes_both_ways_and_its_status_comes_behind() {
    let app = calls().await;
    let address = Address::parse(&format!("http://{app}")).unwrap();
    let upstream = Arc::new(Upstream::new("app", vec![address], None, true));
    let stage = Stage::with(vec![Route { upstream, ..route("/*", app) }]).await;
    let stream = TcpStream::connect(stage.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (mut messages, to) = tokio::io::duplex(64);
    let request = Request::post("http://app.test/clinic.Ward/Watch").header("te", "trailers");
    let request = request.header("content-type", "application/grpc").body(Body::new(Pipe(to))).unwrap();
    let answered = tokio::time::timeout(SOON, sender.send_request(request)).await;
    let mut response = answered.expect("the head comes before the first message").unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/grpc");
    for message in [&b"\0\0\0\0\x03one"[..], b"\0\0\0\0\x03two"] {
        messages.write_all(message).await.unwrap();
        let frame = tokio::time::timeout(SOON, response.body_mut().frame()).await.expect("it comes back at once");
        assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), message);
    }
    drop(messages);
    let behind = tokio::time::timeout(SOON, response.into_body().collect()).await.expect("it ends").unwrap();
    assert_eq!(behind.trailers().unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn trailers_go_through_behind_a_body_that_was_read() {
    let app = summing().await;
    let body = serde_json::json!({"content": {"application/json": {"schema": {"type": "object"}}}});
    let document = serde_json::json!({"openapi": "3.1.0", "paths": {"/x": {"post": {"requestBody": body}}}});
    let schemas = Schemas::default();
    schemas.put("app", Contract::read(&document, Rules::default()).unwrap());
    let trailers = vec!["x-sum".parse().unwrap()];
    let read = Route { schema: Some("app".to_owned()), mode: Mode::Shadow, trailers, ..route("/*", app) };
    let answer = http1(&Stage::demanding(vec![read], vec![Arc::new(schemas)]).await).await;
    assert!(answer.contains("x-chancery-verdict: would-refuse"), "it was looked at: {answer}");
    assert!(answer.contains("0\r\nx-seen: 42\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_trailer_does_not_say_who_calls() {
    let stage = Stage::with(vec![route("/*", summing().await)]).await;
    for name in ["authorization", "host", "content-length", "transfer-encoding"] {
        let request = format!(
            "POST /x HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
             3\r\nabc\r\n0\r\n{name}: evil\r\n\r\n"
        );
        stage.raw(request.as_bytes()).await.refused(400, "request.malformed");
    }
}

/// Tells which trailers a request had, and what announced them.
async fn telling_trailers() -> SocketAddr {
    let tell = any(|request: Request| async move {
        let announced = request.headers().get("trailer").cloned();
        let whole = request.into_body().collect().await.unwrap();
        let mut names: Vec<_> =
            whole.trailers().into_iter().flat_map(HeaderMap::keys).map(ToString::to_string).collect();
        names.sort();
        format!("{announced:?} {names:?}")
    });
    served(Router::new().fallback(tell)).await
}

/// Uvicorn with httptools makes headers of trailers, and a client was whom it said.
#[tokio::test]
async fn a_clients_trailers_do_not_arrive_unless_the_route_names_them() {
    const CLAIMS: [&str; 5] = ["x-auth-subject", "x-auth-roles", "x-tenant-id", "x-forwarded-for", "cookie"];
    let app = telling_trailers().await;
    let mut named = route("/named", app);
    named.trailers = vec!["x-sum".parse().unwrap()];
    let stage = Stage::with(vec![route("/*", app), named]).await;
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    for (path, seen) in [("/x", "None []"), ("/named", "Some(\"x-sum\") [\"x-sum\"]")] {
        let lines: String = CLAIMS.iter().map(|name| format!("{name}: evil\r\n")).collect();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\ntrailer: {}, x-sum\r\n\
             transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n{lines}x-sum: 42\r\n\r\n",
            CLAIMS.join(", ")
        );
        let answer = stage.raw(request.as_bytes()).await;
        assert!(answer.whole.ends_with(seen), "{path}: {}", answer.whole);

        let claims =
            CLAIMS.iter().chain(&["x-sum"]).map(|name| (name.parse().unwrap(), HeaderValue::from_static("evil")));
        let body = Trailing { data: Some(Bytes::from_static(b"abc")), trailers: Some(claims.collect()) };
        let request = Request::post(format!("http://{}{path}", stage.address))
            .version(Version::HTTP_2)
            .header("trailer", format!("{}, x-sum", CLAIMS.join(", ")))
            .body(Body::new(body));
        let response = tokio::time::timeout(SOON, client.request(request.unwrap())).await.unwrap().unwrap();
        let text = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(String::from_utf8_lossy(&text), seen, "over HTTP/2, {path}");
    }
}
