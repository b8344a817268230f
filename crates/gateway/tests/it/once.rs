//! A request is sent once; who does not answer is told of, and a client that goes away takes its request with it.

use std::{sync::atomic::Ordering, time::Duration};

use chancery_gateway::{Address, Pattern, Route, Upstream};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    application::{Bytewise, answer},
    stage::{SOON, Stage, route},
};

/// Reads requests and closes the connection behind the first of each, without an answer; the first connection answers one.
async fn forgetful() -> (std::net::SocketAddr, Bytewise) {
    Bytewise::speaking(|number, mut stream, app| async move {
        if app.head(&mut stream).await.is_some() && number == 1 {
            answer(&mut stream, "first").await;
            // The connection stays in the pool; what comes over it is read, and nobody answers.
            app.head(&mut stream).await;
        }
    })
    .await
}

#[tokio::test]
async fn what_reached_an_application_is_never_sent_again() {
    for method in ["POST", "GET"] {
        let (address, app) = forgetful().await;
        let stage = Stage::before(address, |_| ()).await;
        assert_eq!(stage.send("GET", "/warm", &[]).await.body, b"first");
        let lost = stage.send(method, "/x", &["content-length: 0"]).await;
        lost.refused(502, "upstream.bad_gateway");
        assert_eq!((app.requests(), app.connections.load(Ordering::SeqCst)), (2, 1), "{method}");
    }
}

#[tokio::test]
async fn only_what_may_be_repeated_tries_another_server() {
    let (well, app) = Bytewise::speaking(|_, mut stream, app| async move {
        while app.head(&mut stream).await.is_some() {
            answer(&mut stream, "well").await;
        }
    })
    .await;
    let two = || {
        // Nobody listens at the first.
        let addresses =
            ["http://127.0.0.1:1".to_owned(), format!("http://{well}")].map(|text| Address::parse(&text).unwrap());
        let upstream = std::sync::Arc::new(Upstream::new("app", addresses.to_vec(), None, false));
        let authentication = chancery_gateway::Authentication::None;
        vec![Route { authentication, ..Route::new(Pattern::parse("/*").unwrap(), upstream) }]
    };
    let stage = Stage::with(two()).await;
    assert_eq!(stage.send("GET", "/x", &[]).await.body, b"well");
    let stage = Stage::with(two()).await;
    stage
        .send("POST", "/x", &["content-length: 2", "content-type: text/plain"])
        .await
        .refused(502, "upstream.bad_gateway");
    assert_eq!(app.requests(), 1);
    assert_eq!(
        stage.send("POST", "/x", &["content-length: 0"]).await.body,
        b"well",
        "and who cannot be reached is left alone for a while"
    );
}

#[tokio::test]
async fn an_application_that_takes_too_long_or_talks_nonsense_is_told_of() {
    let (silent, _) = Bytewise::speaking(|_, mut stream, app| async move {
        app.head(&mut stream).await;
        tokio::time::sleep(SOON).await;
    })
    .await;
    let stage = Stage::before(silent, |route| route.timeout = Duration::from_millis(300)).await;
    stage.send("GET", "/x", &[]).await.refused(504, "upstream.timeout");
    let (odd, _) = Bytewise::speaking(|_, mut stream, app| async move {
        app.head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx").await;
    })
    .await;
    let stage = Stage::before(odd, |_| ()).await;
    stage.send("GET", "/x", &[]).await.refused(502, "upstream.bad_gateway");
}

/// Found with Python's `http.server`: its clients were answered in HTTP/1.0, too.
#[tokio::test]
async fn an_application_of_http_1_0_is_answered_for_in_1_1() {
    let (old, _) = Bytewise::speaking(|_, mut stream, app| async move {
        app.head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nold").await;
    })
    .await;
    let stage = Stage::before(old, |_| ()).await;
    let answer = stage.send("GET", "/x", &[]).await;
    assert!(answer.whole.starts_with("HTTP/1.1 200") && answer.whole.contains("old"), "{}", answer.whole);
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_request_with_it() {
    let (address, app) = Bytewise::speaking(|_, mut stream, app| async move {
        app.head(&mut stream).await;
        // Ends when the other side goes, and answers nothing.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        app.gone.fetch_add(1, Ordering::SeqCst);
    })
    .await;
    let stage = Stage::with(vec![route("/*", address)]).await;
    let mut client = TcpStream::connect(stage.address).await.unwrap();
    client.write_all(b"GET /slow HTTP/1.1\r\nhost: app.test\r\n\r\n").await.unwrap();
    while app.requests() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(client);
    let cancelled = async {
        while app.gone.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON / 4, cancelled).await.expect("the application hears of it");
}

#[tokio::test]
async fn what_changes_something_or_has_a_body_is_not_sent_to_a_second_server() {
    let (well, app) = Bytewise::speaking(|_, mut stream, app| async move {
        while app.head(&mut stream).await.is_some() {
            answer(&mut stream, "well").await;
        }
    })
    .await;
    let stage = Stage::with(vec![route("/*", well)]).await;
    for (method, body) in [("POST", 0), ("POST", 2), ("PATCH", 0), ("PUT", 2), ("DELETE", 2), ("GET", 2)] {
        // Nobody listens at the first, and nobody knows that yet.
        let addresses =
            ["http://127.0.0.1:1".to_owned(), format!("http://{well}")].map(|at| Address::parse(&at).unwrap());
        let upstream = std::sync::Arc::new(Upstream::new("app", addresses.to_vec(), None, false));
        stage.gateway.apply(chancery_gateway::Table::new(vec![Route { upstream, ..route("/*", well) }]).unwrap());
        let text = format!(
            "{method} /x HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\nidempotency-key: k\r\ncontent-length: {body}\r\n\r\n{}",
            "x".repeat(body)
        );
        stage.raw(text.as_bytes()).await.refused(502, "upstream.bad_gateway");
    }
    assert_eq!(app.requests(), 0);
}

/// Waits until so many connections to the application have ended.
async fn gone(app: &Bytewise, count: usize) {
    let ended = async {
        while app.gone.load(Ordering::SeqCst) < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON / 4, ended).await.expect("the application hears of it");
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_middle_of_either_body_takes_its_request_with_it() {
    let (address, app) = Bytewise::speaking(|_, mut stream, app| async move {
        let Some(head) = app.head(&mut stream).await else { return };
        if head.starts_with("GET") {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
            while stream.write_all(b"1\r\nx\r\n").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        } else {
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            assert!(!rest.ends_with(b"0\r\n\r\n"), "half a body is not sent as if it were whole");
        }
        app.gone.fetch_add(1, Ordering::SeqCst);
    })
    .await;
    let stage = Stage::with(vec![route("/*", address)]).await;
    for (count, request) in [
        "GET /events HTTP/1.1\r\nhost: app.test\r\n\r\n",
        "POST /x HTTP/1.1\r\nhost: app.test\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "POST /x HTTP/1.1\r\nhost: app.test\r\ncontent-length: 9\r\n\r\nabc",
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = TcpStream::connect(stage.address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        while app.requests() <= count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if request.starts_with("GET") {
            let _ = client.read(&mut [0; 64]).await.unwrap();
        }
        drop(client);
        gone(&app, count + 1).await;
    }
}

#[tokio::test]
async fn a_stream_of_http_2_that_is_reset_takes_its_request_with_it() {
    let (address, app) = Bytewise::speaking(|_, mut stream, app| async move {
        app.head(&mut stream).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
        app.gone.fetch_add(1, Ordering::SeqCst);
    })
    .await;
    let stage = Stage::with(vec![route("/*", address)]).await;
    let stream = TcpStream::connect(stage.address).await.unwrap();
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, hyper_util::rt::TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("http://app.test/slow").body(axum::body::Body::empty()).unwrap();
    let asked = tokio::spawn(sender.send_request(request));
    while app.requests() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    asked.abort();
    gone(&app, 1).await;
}
