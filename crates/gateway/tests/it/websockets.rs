//! WebSockets go through, and end with the credential that opened them.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use chancery_gateway::{Address, Authentication, Route, Upstream};
use chancery_middleware::listener::Bounds;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};

use crate::{
    application::{Bytewise, telling},
    stage::{SOON, Stage, route},
};

/// Changes the protocol if asked to, and then sends every byte back.
async fn echoing() -> std::net::SocketAddr {
    let (address, _) = Bytewise::speaking(|_, mut stream, app| async move {
        let Some(head) = app.head(&mut stream).await else { return };
        let head = head.to_ascii_lowercase();
        assert!(head.contains("upgrade: websocket") && head.contains("connection: upgrade"), "{head}");
        let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\nhi";
        stream.write_all(answer.as_bytes()).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    })
    .await;
    address
}

async fn opened(stage: &Stage, lines: &str) -> TcpStream {
    let mut client = TcpStream::connect(stage.address).await.unwrap();
    let head = format!(
        "GET /ws HTTP/1.1\r\nhost: app.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
    );
    client.write_all(head.as_bytes()).await.unwrap();
    client
}

async fn read(client: &mut TcpStream, wanted: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let reading = async {
        let mut piece = [0; 512];
        while !text.windows(wanted.len()).any(|window| window == wanted) {
            let count = client.read(&mut piece).await.unwrap();
            assert!(count > 0, "it ended: {:?}", String::from_utf8_lossy(&text));
            text.extend_from_slice(&piece[..count]);
        }
    };
    tokio::time::timeout(SOON, reading).await.expect("it comes");
    text
}

#[tokio::test]
async fn bytes_go_both_ways_until_the_credential_is_revoked() {
    let stage = Stage::before(echoing().await, |route| route.authentication = Authentication::Required).await;
    let (id, key) = stage.key("staff").await;
    let mut client = opened(&stage, &format!("authorization: Bearer {key}\r\n")).await;
    let head = read(&mut client, b"\r\n\r\nhi").await;
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    // Frames are no lines: whatever comes goes through.
    client.write_all(b"\x81\x05\0\n\r\xff ").await.unwrap();
    read(&mut client, b"\x81\x05\0\n\r\xff ").await;
    let (_, admin) = stage.key("tenant_admin").await;
    stage.api_as(&admin, "POST", &format!("/v1/api-keys/{id}/revoke"), Value::Null).await;
    let ended = async { while !matches!(client.read(&mut [0; 64]).await, Ok(0) | Err(_)) {} };
    tokio::time::timeout(Duration::from_secs(3), ended).await.expect("it ends soon");
    let mut late = opened(&stage, &format!("authorization: Bearer {key}\r\n")).await;
    assert!(read(&mut late, b"\r\n\r\n").await.starts_with(b"HTTP/1.1 401"));
}

#[tokio::test]
async fn a_websocket_ends_when_the_gateway_stops() {
    let stage = Stage::before(echoing().await, |_| ()).await;
    let mut client = opened(&stage, "").await;
    read(&mut client, b"hi").await;
    stage.stop.send(true).unwrap();
    let ended = async { while !matches!(client.read(&mut [0; 64]).await, Ok(0) | Err(_)) {} };
    tokio::time::timeout(SOON, ended).await.expect("it ends");
    assert!(tokio::time::timeout(SOON, stage.served).await.unwrap().unwrap());
}

#[tokio::test]
async fn who_may_not_opens_nothing_and_a_plain_answer_stays_one() {
    let closed = Stage::before(telling().await, |route| route.websocket = false).await;
    let mut client = opened(&closed, "").await;
    assert!(read(&mut client, b"\r\n\r\n").await.starts_with(b"HTTP/1.1 403"));
    let plain = Stage::before(telling().await, |_| ()).await;
    let mut client = opened(&plain, "").await;
    let answer = read(&mut client, b"\"target\":\"/ws\"").await;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    client.write_all(b"GET /next HTTP/1.1\r\nhost: app.test\r\n\r\n").await.unwrap();
    read(&mut client, b"\"target\":\"/next\"").await;
}

/// Found by reading: it was asked by a plain GET, and its answer given as if nobody had wanted to upgrade.
#[tokio::test]
async fn an_application_over_http_2_is_not_asked_for_a_websocket() {
    let app = telling().await;
    let address = Address::parse(&format!("http://{app}")).unwrap();
    let upstream = Arc::new(Upstream::new("app", vec![address], None, true));
    let stage = Stage::with(vec![Route { upstream, ..route("/*", app) }]).await;
    stage.send("GET", "/x", &[]).await.seen();
    let upgrade = "GET /ws HTTP/1.1\r\nhost: app.test\r\nconnection: close, upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let answer = stage.raw(upgrade.as_bytes()).await;
    answer.refused(403, "authz.denied");
    assert!(answer.whole.contains("takes no WebSockets"), "{}", answer.whole);
}

/// A connection over HTTP/2 that knows that the gateway knows of WebSockets.
async fn over_http_2(stage: &Stage) -> (SendRequest<Body>, JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(stage.address).await.unwrap();
    let (mut sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    // The server says so before its first answer.
    assert_eq!(refused(&mut sender).await, 401);
    (sender, connection)
}

/// The answer to whoever has no credential.
async fn refused(sender: &mut SendRequest<Body>) -> axum::http::StatusCode {
    let request = axum::http::Request::get("http://app.test/x").body(Body::empty()).unwrap();
    tokio::time::timeout(SOON, sender.send_request(request)).await.unwrap().unwrap().status()
}

/// Asks for a WebSocket over HTTP/2.
async fn connect(
    sender: &mut SendRequest<Body>,
    protocol: Option<&'static str>,
    key: Option<&str>,
) -> axum::http::Response<hyper::body::Incoming> {
    let request = axum::http::Request::connect("http://app.test/ws?room=1").header("sec-websocket-version", "13");
    let request = key.iter().fold(request, |request, key| request.header("x-api-key", *key));
    let mut request = request.body(Body::empty()).unwrap();
    if let Some(protocol) = protocol {
        request.extensions_mut().insert(hyper::ext::Protocol::from_static(protocol));
    }
    tokio::time::timeout(SOON, sender.send_request(request)).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_websocket_over_http_2_is_one_over_http_1_1_for_the_application_and_ends_with_its_credential() {
    let stage = Stage::before(echoing().await, |route| route.authentication = Authentication::Required).await;
    let (id, key) = stage.key("staff").await;
    let (mut sender, _connection) = over_http_2(&stage).await;
    assert_eq!(connect(&mut sender, Some("websocket"), None).await.status(), 401);
    assert_eq!(connect(&mut sender, Some("connect-udp"), Some(&key)).await.status(), 405);
    let mut opened = connect(&mut sender, Some("websocket"), Some(&key)).await;
    assert_eq!(opened.status(), 200);
    assert!(!opened.headers().contains_key("upgrade") && !opened.headers().contains_key("sec-websocket-accept"));
    let mut socket = TokioIo::new(hyper::upgrade::on(&mut opened).await.unwrap());
    let mut hi = [0; 2];
    socket.read_exact(&mut hi).await.unwrap();
    socket.write_all(b"there").await.unwrap();
    let mut there = [0; 5];
    tokio::time::timeout(SOON, socket.read_exact(&mut there)).await.unwrap().unwrap();
    assert_eq!((&hi, &there), (b"hi", b"there"));
    let (_, admin) = stage.key("tenant_admin").await;
    stage.api_as(&admin, "POST", &format!("/v1/api-keys/{id}/revoke"), Value::Null).await;
    let ended = tokio::time::timeout(Duration::from_secs(3), socket.read(&mut hi)).await.expect("it ends soon");
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}

/// There its 200 says that the WebSocket is open, which browsers believed.
#[tokio::test]
async fn over_http_2_an_application_that_does_not_upgrade_opens_nothing() {
    let stage = Stage::before(telling().await, |route| route.authentication = Authentication::Required).await;
    let (_, key) = stage.key("staff").await;
    let (mut sender, _connection) = over_http_2(&stage).await;
    let answer = connect(&mut sender, Some("websocket"), Some(&key)).await;
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    assert!(answer.headers().contains_key("x-request-id"));
}

#[tokio::test]
async fn a_connection_does_not_end_as_idle_under_a_websocket_over_http_2() {
    let idle = Duration::from_millis(300);
    let mut all = route("/*", echoing().await);
    all.authentication = Authentication::Required;
    let bounds = Bounds { idle, idle_when_full: idle, ..Bounds::default() };
    let stage = Stage::within(vec![all], bounds).await;
    let (_, key) = stage.key("staff").await;
    let (mut sender, connection) = over_http_2(&stage).await;
    let mut opened = connect(&mut sender, Some("websocket"), Some(&key)).await;
    let mut socket = TokioIo::new(hyper::upgrade::on(&mut opened).await.unwrap());
    let mut hi = [0; 2];
    socket.read_exact(&mut hi).await.unwrap();
    // Neither side says anything for long; and then both do.
    tokio::time::sleep(idle * 4).await;
    assert_eq!(refused(&mut sender).await, 401, "a connection that is about to end takes no further request");
    socket.write_all(b"there").await.unwrap();
    let mut there = [0; 5];
    tokio::time::timeout(SOON, socket.read_exact(&mut there)).await.unwrap().unwrap();
    assert_eq!(&there, b"there");
    assert!(!connection.is_finished());
    drop((socket, opened));
    // Its client still holds it: it is the gateway that ends what idles.
    tokio::time::timeout(SOON, connection).await.expect("it ends soon after the WebSocket").unwrap().unwrap();
    drop(sender);
}
