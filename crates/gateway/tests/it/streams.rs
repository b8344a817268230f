//! Nothing waits for the end of a body, in neither direction.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    response::Response,
    routing::{get, post},
};
use chancery_gateway::{
    Authentication, Mode, Route,
    schema::{Contract, Rules, Schemas},
};
use chancery_middleware::listener::Bounds;
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
    application::{Bytewise, answer, served, telling},
    stage::{SOON, Stage, route},
};

/// Sends each piece back as soon as it comes; and a stream of events without end.
async fn echoing() -> std::net::SocketAddr {
    let echo = post(|request: Request| async move { Response::new(request.into_body()) });
    let events = get(|| async {
        let (mut from, to) = tokio::io::duplex(64);
        tokio::spawn(async move {
            while from.write_all(b"data: 1\n\n").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        let mut response = Response::new(Body::new(Pipe(to)));
        response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
        response
    });
    let early = post(|| async { (axum::http::StatusCode::FORBIDDEN, "no need to read it") });
    let late = get(|| async {
        tokio::time::sleep(Duration::from_millis(900)).await;
        let (open, to) = tokio::io::duplex(64);
        tokio::spawn(async move {
            tokio::time::sleep(SOON).await;
            drop(open);
        });
        Response::new(Body::new(Pipe(to)))
    });
    let router = Router::new().route("/echo", echo).route("/events", events).route("/early", early);
    served(router.route("/late", late)).await
}

/// A body whose bytes come as they are written at the other end.
pub(crate) struct Pipe(pub(crate) tokio::io::DuplexStream);

impl http_body::Body for Pipe {
    type Data = bytes::Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, std::io::Error>>> {
        let mut space = [0; 64];
        let mut buf = tokio::io::ReadBuf::new(&mut space);
        let read = tokio::io::AsyncRead::poll_read(std::pin::Pin::new(&mut self.0), cx, &mut buf);
        read.map(|read| match read {
            Ok(()) if buf.filled().is_empty() => None,
            Ok(()) => Some(Ok(http_body::Frame::data(bytes::Bytes::copy_from_slice(buf.filled())))),
            Err(error) => Some(Err(error)),
        })
    }
}

async fn until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut text = String::new();
    let reading = async {
        let mut piece = [0; 512];
        while !text.contains(wanted) {
            let count = stream.read(&mut piece).await.unwrap();
            assert!(count > 0, "it ended before {wanted:?}: {text}");
            text.push_str(&String::from_utf8_lossy(&piece[..count]));
        }
    };
    tokio::time::timeout(SOON, reading).await.unwrap_or_else(|_| panic!("no {wanted:?}"));
    text
}

#[tokio::test]
async fn each_piece_goes_on_at_once() {
    let stage = Stage::with(vec![route("/*", echoing().await)]).await;
    let mut client = TcpStream::connect(stage.address).await.unwrap();
    client.write_all(b"POST /echo HTTP/1.1\r\nhost: app.test\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    // One letter each: what is longer may come in several pieces.
    for piece in ["a", "b", "c"] {
        client.write_all(format!("1\r\n{piece}\r\n").as_bytes()).await.unwrap();
        until(&mut client, &format!("1\r\n{piece}\r\n")).await;
    }
    client.write_all(b"0\r\n\r\n").await.unwrap();
    until(&mut client, "0\r\n\r\n").await;
    let mut client = TcpStream::connect(stage.address).await.unwrap();
    client.write_all(b"GET /events HTTP/1.1\r\nhost: app.test\r\n\r\n").await.unwrap();
    assert!(until(&mut client, "data: 1").await.contains("text/event-stream"));
}

#[tokio::test]
async fn a_body_is_asked_for_when_somebody_reads_it_and_not_longer_than_allowed() {
    let mut short = route("/echo", echoing().await);
    short.body_bytes = 8;
    let mut guarded = route("/early", echoing().await);
    guarded.authentication = Authentication::Required;
    let stage = Stage::with(vec![short, guarded]).await;
    let mut client = TcpStream::connect(stage.address).await.unwrap();
    client
        .write_all(b"POST /echo HTTP/1.1\r\nhost: app.test\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        .await
        .unwrap();
    until(&mut client, "100 Continue").await;
    client.write_all(b"abc").await.unwrap();
    until(&mut client, "abc").await;
    let refused = stage.raw(b"POST /early HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n").await;
    refused.refused(401, "auth.credential_missing");
    stage
        .raw(b"POST /echo HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\ncontent-length: 9\r\n\r\n123456789")
        .await
        .refused(413, "request.too_large");
}

/// A stream of events that a key opened, when the first is there.
async fn events(stage: &Stage, key: &str) -> TcpStream {
    let mut client = TcpStream::connect(stage.address).await.unwrap();
    client
        .write_all(format!("GET /events HTTP/1.1\r\nhost: app.test\r\nauthorization: Bearer {key}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    until(&mut client, "data: 1\n\n").await;
    client
}

async fn revoke(stage: &Stage, id: &str) {
    let (_, admin) = stage.key("tenant_admin").await;
    stage.api_as(&admin, "POST", &format!("/v1/api-keys/{id}/revoke"), serde_json::Value::Null).await;
}

#[tokio::test]
async fn a_stream_ends_with_the_credential_that_opened_it() {
    let stage = Stage::before(echoing().await, |route| route.authentication = Authentication::Required).await;
    let (id, key) = stage.key("staff").await;
    let mut client = events(&stage, &key).await;
    revoke(&stage, &id).await;
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(3), client.read_to_end(&mut rest)).await.expect("it ends soon");
    assert!(!String::from_utf8_lossy(&rest).ends_with("0\r\n\r\n"), "and not as if it were whole");
}

/// It was cut, though such a route refuses nothing: a client whose credential does not do yet lost what it got before.
#[tokio::test]
async fn where_nothing_is_refused_yet_a_stream_outlives_its_credential() {
    let watched = |route: &mut Route| {
        (route.authentication, route.mode) = (Authentication::Required, Mode::Observe);
    };
    let stage = Stage::before(echoing().await, watched).await;
    let (id, key) = stage.key("staff").await;
    let mut client = events(&stage, &key).await;
    revoke(&stage, &id).await;
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(2), client.read_to_end(&mut rest)).await;
    assert!(ended.is_err(), "it ended: {}", String::from_utf8_lossy(&rest));
}

/// Who sent lines for hours went on after the revocation, and the application acted on each.
#[tokio::test]
async fn an_upload_ends_with_the_credential_that_began_it() {
    let (address, app) = Bytewise::speaking(|_, mut stream, app| async move {
        app.head(&mut stream).await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!rest.ends_with(b"0\r\n\r\n"), "it is not ended as if it were whole");
        app.gone.fetch_add(1, Ordering::SeqCst);
    })
    .await;
    let stage = Stage::before(address, |route| route.authentication = Authentication::Required).await;
    let (id, key) = stage.key("staff").await;
    let stream = TcpStream::connect(stage.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (mut from, to) = tokio::io::duplex(64);
    tokio::spawn(async move {
        while from.write_all(b"line\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let request = axum::http::Request::post("http://app.test/x").header("authorization", format!("Bearer {key}"));
    let answer = tokio::spawn(sender.send_request(request.body(Body::new(Pipe(to))).unwrap()));
    while app.requests() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    revoke(&stage, &id).await;
    let answer = tokio::time::timeout(Duration::from_secs(3), answer).await.expect("it ends soon").unwrap();
    assert_eq!(answer.unwrap().status(), 401);
    let gone = async {
        while app.gone.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON / 4, gone).await.expect("the application hears of it");
}

/// A body that is read here before any of it goes on may take minutes to come.
#[tokio::test]
async fn a_body_that_was_read_does_not_go_on_if_its_credential_ended_meanwhile() {
    let (address, app) = Bytewise::speaking(|_, mut stream, app| async move {
        if app.head(&mut stream).await.is_some() {
            answer(&mut stream, "done").await;
        }
    })
    .await;
    let body = serde_json::json!({"content": {"application/json": {"schema": {"type": "array"}}}});
    let document = serde_json::json!({"openapi": "3.1.0", "paths": {"/x": {"post": {"requestBody": body}}}});
    let schemas = Schemas::default();
    schemas.put("app", Contract::read(&document, Rules::default()).unwrap());
    let read =
        Route { schema: Some("app".to_owned()), authentication: Authentication::Required, ..route("/*", address) };
    let stage = Stage::demanding(vec![read], vec![Arc::new(schemas)]).await;
    let (_, admin) = stage.key("tenant_admin").await;
    // And if nobody can tell, it does not either: it went on while the store was away.
    for (revoked, away, status) in [(false, false, 200), (true, false, 401), (true, true, 503)] {
        let (id, key) = stage.key("staff").await;
        let mut client = TcpStream::connect(stage.address).await.unwrap();
        let head = format!(
            "POST /x HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: 3\r\n\r\n[1"
        );
        client.write_all(head.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        if revoked {
            stage.api_as(&admin, "POST", &format!("/v1/api-keys/{id}/revoke"), serde_json::Value::Null).await;
        }
        stage.store.faults().fail_view(away);
        stage.store.faults().fail_directory(away);
        client.write_all(b"]").await.unwrap();
        let answer = until(&mut client, "\r\n\r\n").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert_eq!(app.requests(), 1);
    }
}

/// A length says nothing of when it comes.
#[tokio::test]
async fn a_download_of_known_length_ends_with_its_credential_too() {
    let (address, _) = Bytewise::speaking(|_, mut stream, app| async move {
        app.head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n").await;
        while stream.write_all(b"data").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let stage = Stage::before(address, |route| route.authentication = Authentication::Required).await;
    let (id, key) = stage.key("staff").await;
    let mut client = TcpStream::connect(stage.address).await.unwrap();
    let request = format!("GET /x HTTP/1.1\r\nhost: app.test\r\nauthorization: Bearer {key}\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    until(&mut client, "data").await;
    revoke(&stage, &id).await;
    let mut rest = Vec::new();
    let rest = client.read_to_end(&mut rest);
    let _ = tokio::time::timeout(Duration::from_secs(3), rest).await.expect("it ends soon");
}

/// A stream whose head came after the revocation went on for half a minute.
#[tokio::test]
async fn a_stream_that_begins_after_its_credential_ended_ends_at_once() {
    let stage = Stage::before(echoing().await, |route| route.authentication = Authentication::Required).await;
    let (id, key) = stage.key("staff").await;
    let (_, admin) = stage.key("tenant_admin").await;
    let mut client = TcpStream::connect(stage.address).await.unwrap();
    client
        .write_all(format!("GET /late HTTP/1.1\r\nhost: app.test\r\nauthorization: Bearer {key}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    stage.api_as(&admin, "POST", &format!("/v1/api-keys/{id}/revoke"), serde_json::Value::Null).await;
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), client.read_to_end(&mut rest)).await.expect("it ends soon");
    let rest = String::from_utf8_lossy(&rest);
    // Its head may be out already, or nothing of it.
    let begun = rest.is_empty() || rest.starts_with("HTTP/1.1 200");
    assert!(begun && !rest.ends_with("0\r\n\r\n"), "it was let in, and is not whole: {rest}");
}

#[tokio::test]
async fn a_stream_ends_when_its_callers_address_is_blocked() {
    let stage = Stage::before(echoing().await, |route| route.authentication = Authentication::Required).await;
    let (_, key) = stage.key("staff").await;
    let mut client = events(&stage, &key).await;
    let block = serde_json::json!({"network": "127.0.0.1", "reason": "a test"});
    stage.api("POST", "/v1/ip-blocks", block).await;
    let _ =
        tokio::time::timeout(Duration::from_secs(3), client.read_to_end(&mut Vec::new())).await.expect("it ends soon");
}

#[tokio::test]
async fn http_2_is_spoken_on_both_sides() {
    let stage = Stage::with(vec![route("/*", telling().await)]).await;
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let request = axum::http::Request::post(format!("http://{}/x?a=1", stage.address))
        .header("x-auth-subject", "evil")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(Body::from("abc"));
    let response = client.request(request.unwrap()).await.unwrap();
    assert_eq!(response.version(), axum::http::Version::HTTP_2);
    let seen: serde_json::Value =
        serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!((&seen["target"], &seen["body"]), (&"/x?a=1".into(), &"abc".into()));
    assert!(!seen["headers"].to_string().contains("evil"), "{seen}");
    let cookies = seen["headers"].as_array().unwrap().iter().filter(|pair| pair[0] == "cookie").collect::<Vec<_>>();
    assert_eq!(cookies, [&serde_json::json!(["cookie", "a=1; b=2"])], "one field, as HTTP/1.1 has it");

    // axum's own server speaks HTTP/2 without TLS as well.
    let address = chancery_gateway::Address::parse(&format!("http://{}", telling().await)).unwrap();
    let upstream = std::sync::Arc::new(chancery_gateway::Upstream::new("app", vec![address], None, true));
    let http2 = chancery_gateway::Route { upstream, ..route("/*", stage.address) };
    let stage = Stage::with(vec![http2]).await;
    let seen = stage.send("GET", "/y", &[]).await.seen();
    assert_eq!(crate::application::header(&seen, "x-forwarded-host").as_deref(), Some("app.test"), "{seen}");
}

#[tokio::test]
async fn an_http_2_body_is_as_long_as_it_said() {
    let stage = Stage::with(vec![route("/*", telling().await)]).await;
    let stream = TcpStream::connect(stage.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for said in ["2", "9"] {
        let request = axum::http::Request::post("http://app.test/x")
            .header("content-length", said)
            .body(Body::from_stream_of("abc"));
        let refused = match sender.send_request(request.unwrap()).await {
            Ok(response) => response.status() == 400,
            // The stream is reset.
            Err(_) => true,
        };
        assert!(refused, "{said}");
    }
}

trait FromStreamOf {
    fn from_stream_of(text: &'static str) -> Body;
}

impl FromStreamOf for Body {
    /// A body whose length nobody knows before.
    fn from_stream_of(text: &'static str) -> Body {
        let (mut from, to) = tokio::io::duplex(64);
        tokio::spawn(async move { from.write_all(text.as_bytes()).await });
        Body::new(Pipe(to))
    }
}

#[tokio::test]
async fn slow_heads_and_bodies_end_and_do_not_reach_the_application_whole() {
    let hasty = Bounds { head: Duration::from_millis(300), body: Duration::from_millis(300), ..Bounds::default() };
    let stage = Stage::within(vec![route("/*", telling().await)], hasty).await;
    let head = tokio::time::timeout(SOON, async {
        let mut client = TcpStream::connect(stage.address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost").await.unwrap();
        client.read_to_end(&mut Vec::new()).await
    });
    head.await.expect("it is closed").unwrap();
    stage
        .raw(b"POST /x HTTP/1.1\r\nhost: app.test\r\ncontent-length: 9\r\n\r\nabc")
        .await
        .refused(400, "request.malformed");
}

/// Over HTTP/2 nobody looked at the clock.
#[tokio::test]
async fn a_slow_body_over_http_2_ends_too_and_reaches_no_application_whole() {
    let hasty = Bounds { body: Duration::from_millis(300), ..Bounds::default() };
    let stage = Stage::within(vec![route("/*", telling().await)], hasty).await;
    let stream = TcpStream::connect(stage.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (open, to) = tokio::io::duplex(64);
    let request = axum::http::Request::post("http://app.test/x").body(Body::new(Pipe(to)));
    let answer = tokio::time::timeout(SOON / 4, sender.send_request(request.unwrap())).await.expect("it ends");
    assert!(answer.is_ok_and(|answer| answer.status() == 400));
    drop(open);
}

/// Unread streams and a request now and then held connections to the application without end.
#[tokio::test]
async fn a_stream_of_http_2_that_nobody_reads_lets_go_of_the_application() {
    let (address, app) = Bytewise::speaking(|_, mut stream, app| async move {
        app.head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await;
        while stream.write_all(&[b'x'; 16 * 1024]).await.is_ok() {}
        app.gone.fetch_add(1, Ordering::SeqCst);
    })
    .await;
    let hasty = Bounds { idle: Duration::from_millis(1_200), ..Bounds::default() };
    let stage = Stage::within(vec![route("/flood", address)], hasty).await;
    let stream = TcpStream::connect(stage.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let get = |path: &str| axum::http::Request::get(format!("http://app.test{path}")).body(Body::empty()).unwrap();
    let flood = sender.send_request(get("/flood")).await.unwrap();
    assert_eq!(flood.status(), 200);
    let begun = std::time::Instant::now();
    while app.gone.load(Ordering::SeqCst) == 0 {
        assert!(begun.elapsed() < SOON / 4, "the application is still held");
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(sender.send_request(get("/other")).await.unwrap().status(), 404, "the connection itself goes on");
    }
    let cut = tokio::time::timeout(SOON, flood.into_body().collect()).await.expect("it ends");
    assert!(cut.is_err(), "and not as if it were whole");
}

/// Found by reading: each stop waited for them as long as it waits at all, and then said that requests had not finished.
#[tokio::test]
async fn a_stream_of_events_ends_when_the_gateway_stops_and_other_streams_are_finished() {
    let slow = get(|| async {
        let (mut from, to) = tokio::io::duplex(64);
        tokio::spawn(async move {
            for _ in 0..5 {
                from.write_all(b"piece ").await.unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Response::new(Body::new(Pipe(to)))
    });
    let slow = route("/slow", served(Router::new().route("/slow", slow)).await);
    let stage = Stage::with(vec![route("/*", echoing().await), slow]).await;
    let mut events = TcpStream::connect(stage.address).await.unwrap();
    events.write_all(b"GET /events HTTP/1.1\r\nhost: app.test\r\n\r\n").await.unwrap();
    until(&mut events, "data: 1\n\n").await;
    let mut pieces = TcpStream::connect(stage.address).await.unwrap();
    pieces.write_all(b"GET /slow HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = until(&mut pieces, "piece ").await;
    stage.stop.send(true).unwrap();
    let _ = tokio::time::timeout(SOON / 4, events.read_to_end(&mut Vec::new())).await.expect("it ends soon");
    pieces.read_to_string(&mut text).await.unwrap();
    assert_eq!(text.matches("piece ").count(), 5, "{text}");
    assert!(tokio::time::timeout(SOON / 4, stage.served).await.unwrap().unwrap(), "and then it ends");
}

#[tokio::test]
async fn a_gateway_that_stops_finishes_what_runs() {
    let slow = get(|| async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        "done"
    });
    let stage = Stage::with(vec![route("/*", served(Router::new().route("/slow", slow)).await)]).await;
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        stage.stop.send(true).unwrap();
    };
    let (answer, ()) = tokio::join!(stage.send("GET", "/slow", &[]), stopping);
    assert_eq!(answer.body, b"done");
    assert!(tokio::time::timeout(SOON, stage.served).await.unwrap().unwrap(), "and then it ends");
}
