use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::{Body, HttpBody},
    routing::get,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use super::*;

const SOON: Duration = Duration::from_secs(20);

struct Running {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<bool>,
}

async fn served(router: Router, bounds: Bounds) -> Running {
    served_with(router, bounds, Vec::new(), None).await
}

async fn served_with(
    router: Router,
    bounds: Bounds,
    proxies: Vec<IpNet>,
    welcome: Option<Arc<dyn Welcome>>,
) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    Running { address, stop, task: tokio::spawn(serve(listener, router, bounds, proxies, welcome, stopped)) }
}

fn slow() -> Router {
    let slow = get(|| async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        "done"
    });
    Router::new().route("/slow", slow)
}

fn bounds(connections: u32, idle: Duration) -> Bounds {
    // Nothing is pressed by a house of one place.
    Bounds { connections, idle, idle_when_full: idle, ..Bounds::default() }
}

async fn said(address: SocketAddr, text: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is an end too.
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_full_house_still_hears_the_signal() {
    let running = served(slow(), bounds(1, SOON)).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    running.stop.send(true).unwrap();
    let stopped = tokio::time::timeout(SOON, running.task).await.unwrap().unwrap();
    assert!(stopped);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("done"), "a running request is finished: {answer}");
}

#[tokio::test]
async fn an_idle_connection_loses_its_place_and_a_working_one_does_not() {
    let running = served(slow(), bounds(1, Duration::from_millis(300))).await;
    // HTTP/2: the preface, empty settings, and from then on nothing.
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    idle.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut rest = Vec::new();
    // Longer than its patience: only a connection that lost its place lets the next one in.
    let working = tokio::spawn(async move {
        said(running.address, b"GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await
    });
    tokio::time::timeout(SOON, idle.read_to_end(&mut rest)).await.unwrap().unwrap();
    let answer = working.await.unwrap();
    assert!(answer.ends_with("done"), "{answer}");
}

#[tokio::test]
async fn a_full_house_has_less_patience() {
    let crowded =
        Bounds { connections: 10, idle: SOON, idle_when_full: Duration::from_millis(200), ..Bounds::default() };
    let running = served_with(slow(), crowded, all_of_it(), None).await;
    let _idle = silent(running.address, 10).await;
    let started = std::time::Instant::now();
    let answer = said(running.address, ASK).await;
    assert!(answer.ends_with("done") && started.elapsed() < SOON / 2, "{answer}");
}

const ASK: &[u8] = b"GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

/// Everybody is a proxy.
fn all_of_it() -> Vec<IpNet> {
    vec!["127.0.0.0/8".parse().unwrap()]
}

/// So many connections that say nothing.
async fn silent(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut silent = Vec::new();
    for _ in 0..count {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    silent
}

/// One address held every place, and took each that became free.
#[tokio::test]
async fn one_client_has_an_eighth_of_the_places_and_a_proxy_as_many_as_there_are() {
    let patient = Bounds { connections: 16, idle_when_full: SOON, ..Bounds::default() };
    let running = served(slow(), patient).await;
    let crowd = silent(running.address, 16).await;
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind(SocketAddr::from(([127, 0, 0, 2], 0))).unwrap();
    let mut other = other.connect(running.address).await.unwrap();
    other.write_all(ASK).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(SOON / 2, other.read_to_string(&mut answer)).await.expect("it has a place").unwrap();
    assert!(answer.ends_with("done"), "{answer}");
    let closed = async |stream: &mut TcpStream| {
        tokio::time::timeout(Duration::from_millis(50), stream.read(&mut [0])).await.is_ok()
    };
    let mut left = 0;
    for mut stream in crowd {
        left += usize::from(!closed(&mut stream).await);
    }
    assert_eq!(left, 2, "what it opened beyond its share is closed");
    let running = served_with(slow(), patient, all_of_it(), None).await;
    for mut stream in silent(running.address, 15).await {
        assert!(!closed(&mut stream).await, "a proxy brings many clients");
    }
}

/// Lets those in who speak.
struct Doorman;

#[async_trait]
impl Welcome for Doorman {
    async fn welcome(&self, stream: TcpStream) -> io::Result<Box<dyn Stream>> {
        stream.readable().await?;
        Ok(Box::new(stream))
    }
}

/// Whoever did not even begin with TLS kept its place for ten seconds, however full it was.
#[tokio::test]
async fn a_full_house_has_less_patience_at_the_door_too() {
    let crowded =
        Bounds { connections: 10, head: SOON, idle_when_full: Duration::from_millis(200), ..Bounds::default() };
    let running = served_with(slow(), crowded, all_of_it(), Some(Arc::new(Doorman))).await;
    let _idle = silent(running.address, 10).await;
    let started = std::time::Instant::now();
    let answer = said(running.address, ASK).await;
    assert!(answer.ends_with("done") && started.elapsed() < SOON / 2, "{answer}");
}

#[tokio::test]
async fn a_slow_head_and_a_slow_body_are_cut_off() {
    let hasty = Bounds { head: Duration::from_millis(300), body: Duration::from_millis(300), ..Bounds::default() };
    let eats = axum::routing::post(|body: axum::body::Bytes| async move { format!("ate {}", body.len()) });
    let running = served(Router::new().route("/eat", eats), hasty).await;
    for beginning in
        [&b"GET /eat HTTP/1.1\r\nhost: x\r\n"[..], b"POST /eat HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc"]
    {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        let mut answer = Vec::new();
        let drip = async {
            // A byte now and then does not help.
            let (mut reader, mut writer) = stream.split();
            let dripping = async {
                for byte in [&b"x"[..], b":", b"y", b"z", b"z"] {
                    tokio::time::sleep(Duration::from_millis(150)).await;
                    let _ = writer.write_all(byte).await;
                }
            };
            tokio::join!(dripping, reader.read_to_end(&mut answer))
        };
        let started = std::time::Instant::now();
        let _ = tokio::time::timeout(SOON, drip).await.expect("it is closed");
        assert!(started.elapsed() < Duration::from_secs(5));
        assert!(!String::from_utf8_lossy(&answer).contains("\r\n\r\nate"), "{answer:?}");
    }
    let whole =
        said(running.address, b"POST /eat HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc")
            .await;
    assert!(whole.ends_with("ate 3"), "{whole}");
}

/// The answer to the first was lost.
#[tokio::test]
async fn a_head_behind_another_has_its_own_time_from_when_that_is_answered() {
    let hasty = Bounds { head: Duration::from_millis(500), ..Bounds::default() };
    let running = served(slow(), hasty).await;
    for (rest, answers) in [("host: x\r\nconnection: close\r\n\r\n", 2), ("", 1)] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(b"GET /slow HTTP/1.1\r\n").await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        stream.write_all(b"host: x\r\n\r\nGET /slow HTTP/1.1\r\n").await.unwrap();
        tokio::time::sleep(Duration::from_millis(900)).await;
        stream.write_all(rest.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.expect("it is closed");
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer.matches("done").count(), answers, "{answer}");
    }
}

#[tokio::test]
async fn a_refused_head_is_answered_after_those_before_it() {
    let running = served(slow(), Bounds::default()).await;
    let two = b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\nGET /slow HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nGET /slow HTTP/1.1\r\nhost: x\r\n\r\n";
    let answer = said(running.address, two).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 2, "{answer}");
    // A router without our layers has no such route.
    assert!(answer.contains("done") && answer.contains("404"), "{answer}");
}

#[tokio::test]
async fn a_stream_that_moves_is_not_idle() {
    let slow = get(|| async {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Piece>(1);
        tokio::spawn(async move {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_millis(150)).await;
                if sender.send(Ok("piece ".into())).await.is_err() {
                    return;
                }
            }
        });
        Body::new(Pipe(receiver))
    });
    let router = Router::new().route("/slow", slow);
    let running = served(router, bounds(1, Duration::from_millis(400))).await;
    let answer = said(running.address, b"GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert_eq!(answer.matches("piece ").count(), 10, "{answer}");
    assert!(answer.ends_with("0\r\n\r\n"), "the last chunk came: {answer}");
}

type Piece = Result<axum::body::Bytes, std::convert::Infallible>;

struct Pipe(tokio::sync::mpsc::Receiver<Piece>);

impl HttpBody for Pipe {
    type Data = axum::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(hyper::body::Frame::data)))
    }
}
