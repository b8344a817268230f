//! Places for requests that wait: an application that does not answer, and those beside it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, body::Body, http::Request, routing::any};
use chancery_gateway::{Address, Route, Upstream};
use chancery_middleware::Limits;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpSocket, task::JoinSet};

use crate::{
    application::{served, telling},
    stage::{SOON, Stage, route},
};

/// A connection over HTTP/2 from this address of the machine.
async fn from(client: u8, stage: &Stage) -> SendRequest<Body> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, client], 0))).unwrap();
    let stream = socket.connect(stage.address).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn an_application_that_does_not_answer_leaves_places_to_the_others() {
    const CLIENTS: u8 = 9;
    const CONNECTIONS: usize = 2;
    const STREAMS: usize = 250;
    let app = served(Router::new().fallback(any(std::future::pending::<()>))).await;
    let address = Address::parse(&format!("http://{app}")).unwrap();
    let upstream = Arc::new(Upstream::new("silent", vec![address], None, true));
    let silent = Route { upstream, ..route("/silent", app) };
    let stage = Stage::with(vec![silent, route("/*", telling().await)]).await;

    // Of one address come fewer than it may have; of all together more than there are places.
    let refused = Arc::new(AtomicUsize::new(0));
    let mut waiting = JoinSet::new();
    for client in 2..2 + CLIENTS {
        for _ in 0..CONNECTIONS {
            let sender = from(client, &stage).await;
            for _ in 0..STREAMS {
                let (mut sender, refused) = (sender.clone(), Arc::clone(&refused));
                waiting.spawn(async move {
                    let request = Request::get("http://app.test/silent").body(Body::empty()).unwrap();
                    assert_eq!(sender.send_request(request).await.unwrap().status(), 503);
                    refused.fetch_add(1, Ordering::SeqCst);
                });
            }
        }
    }
    let beyond = usize::from(CLIENTS) * CONNECTIONS * STREAMS - Limits::default().concurrent;
    let begun = Instant::now();
    while refused.load(Ordering::SeqCst) < beyond {
        assert!(begun.elapsed() < SOON, "{refused:?} of {beyond} refused");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stage.send("GET", "/x", &[]).await.seen();

    // Whoever goes gives the place back: then the next one waits, and is not refused.
    waiting.shutdown().await;
    let begun = Instant::now();
    while let Ok(answer) = tokio::time::timeout(SOON / 40, stage.send("GET", "/silent", &[])).await {
        assert!(begun.elapsed() < SOON, "the places are still taken: {}", answer.whole);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
