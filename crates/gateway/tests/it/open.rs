//! What stays open behind an answer's head is counted like what waits for one.

use std::{sync::atomic::Ordering, time::Duration};

use chancery_gateway::Settings;
use chancery_middleware::Limits;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    application::{Bytewise, telling},
    stage::{Answer, Room, SOON, Stage, route},
};

/// Eight streams and sixteen requests: of one address one stream and two requests.
fn room() -> Room {
    let gateway = Settings { streams: 8, ..Settings::default() };
    Room { gateway, layers: Limits { concurrent: 16, ..Limits::default() } }
}

/// Asks on a connection of its own, which stays open; gives the connection and the beginning of the answer.
async fn asked(stage: &Stage, request: &str) -> (TcpStream, Answer) {
    let mut client = TcpStream::connect(stage.address).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let mut text = Vec::new();
    let head = async {
        while !text.windows(4).any(|end| end == b"\r\n\r\n") {
            let mut piece = [0; 512];
            let count = client.read(&mut piece).await.unwrap();
            assert!(count > 0, "it ended: {}", String::from_utf8_lossy(&text));
            text.extend_from_slice(&piece[..count]);
        }
    };
    tokio::time::timeout(SOON, head).await.expect("it is answered");
    let answer = Answer::parse(&text);
    (client, answer)
}

const WEBSOCKET: &str = "GET /open HTTP/1.1\r\nhost: app.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const LONG: &str = "GET /open HTTP/1.1\r\nhost: app.test\r\n\r\n";

/// Answers with this head, and says no more until its client goes.
async fn silent(head: &'static str) -> (std::net::SocketAddr, Bytewise) {
    Bytewise::speaking(move |_, mut stream, app| async move {
        if app.head(&mut stream).await.is_some() {
            stream.write_all(head.as_bytes()).await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
            app.gone.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await
}

/// Five connections of a stranger held 1,250 connections to an application, without end.
#[tokio::test]
async fn one_client_opens_so_many_websockets_and_no_more() {
    let (app, seen) =
        silent("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
    let stage = Stage::with_room(vec![route("/open", app), route("/*", telling().await)], room()).await;
    let (first, answer) = asked(&stage, WEBSOCKET).await;
    assert_eq!(answer.status, 101);
    for _ in 0..2 {
        assert_eq!(asked(&stage, WEBSOCKET).await.1.status, 503);
    }
    assert_eq!(seen.connections.load(Ordering::SeqCst), 1, "the application heard of none of them");
    stage.send("GET", "/x", &[]).await.seen();
    drop(first);
    let again = async {
        while asked(&stage, WEBSOCKET).await.1.status != 101 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, again).await.expect("its place is free again");
}

/// Five connections of a stranger did so with answers in the place of WebSockets.
#[tokio::test]
async fn long_answers_that_find_no_place_keep_those_of_their_requests() {
    for head in ["content-length: 10000000", "transfer-encoding: chunked"] {
        let head: &'static str = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").leak();
        let (app, seen) = silent(head).await;
        let stage = Stage::with_room(vec![route("/open", app), route("/*", telling().await)], room()).await;
        // One in the place of a stream, one in that of its request; a second request has a place still.
        let mut open = Vec::new();
        for _ in 0..2 {
            let (client, answer) = asked(&stage, LONG).await;
            assert_eq!(answer.status, 200, "{}", answer.whole);
            open.push(client);
        }
        stage.send("GET", "/x", &[]).await.seen();
        let (client, answer) = asked(&stage, LONG).await;
        assert_eq!(answer.status, 200, "{}", answer.whole);
        open.push(client);
        stage.send("GET", "/x", &[]).await.refused(503, "overloaded");
        assert_eq!(seen.connections.load(Ordering::SeqCst), 3);
        drop(open);
        let again = async {
            while stage.send("GET", "/x", &[]).await.status != 200 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(SOON, again).await.expect("the places are free again");
    }
}
