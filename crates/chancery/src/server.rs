//! Listeners: they take connections, hand requests to a router, and drain when told to stop.

use std::{
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use axum::{
    Router,
    body::{Body, HttpBody},
    extract::ConnectInfo,
};
use hyper::{Request, body::Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use tower::Service as _;

use crate::tls::Tls;

/// How long a client may take to send its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest head, in bytes.
const HEAD_MAX: u32 = 32 * 1024;
/// How long running requests may take once the server stops.
pub const DRAIN: Duration = Duration::from_secs(25);
/// How long a connection may take to end once it was asked to, if nothing runs on it.
const GOODBYE: Duration = Duration::from_secs(5);

/// What a listener bears.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// How many connections are held at once; more wait to be accepted.
    connections: u32,
    /// How long a connection keeps its place while no request runs on it. Pings do not count.
    idle: Duration,
}

const BOUNDS: Bounds = Bounds { connections: 10_000, idle: Duration::from_secs(75) };

/// A listener: what it is for, and where to say otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Door {
    /// Such as `API`.
    pub name: &'static str,
    /// The flag that moves it.
    pub flag: &'static str,
    /// Where it answers; port 0 takes any free one.
    pub address: SocketAddr,
}

impl Door {
    /// The one for callers.
    pub const fn api(address: SocketAddr) -> Self {
        Self { name: "API", flag: "--listen", address }
    }

    /// The one that sends plain HTTP on to HTTPS.
    pub const fn redirect(address: SocketAddr) -> Self {
        Self { name: "redirecting", flag: "tls.redirect_listen", address }
    }

    /// The one for the operator's monitoring.
    pub const fn metrics(address: SocketAddr) -> Self {
        Self { name: "metrics", flag: "--metrics-listen", address }
    }
}

/// A listener at work.
pub struct Running {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<bool>,
}

impl Running {
    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more, lets running requests finish, and says whether all of them did.
    pub async fn stop(self) -> bool {
        let _ = self.stop.send(true);
        self.task.await.unwrap_or(false)
    }
}

/// Listens at `door` and serves `router` until stopped.
///
/// # Errors
///
/// If the address cannot be had; says which listener it is.
pub async fn listen(door: Door, router: Router) -> Result<Running> {
    listen_within(door, router, BOUNDS, None).await
}

/// As [`listen`], inside TLS if there is any.
///
/// # Errors
///
/// As [`listen`].
pub async fn listen_in(tls: Option<Arc<Tls>>, door: Door, router: Router) -> Result<Running> {
    listen_within(door, router, BOUNDS, tls).await
}

async fn listen_within(door: Door, router: Router, bounds: Bounds, tls: Option<Arc<Tls>>) -> Result<Running> {
    let Door { name, flag, address } = door;
    let refused = || format!("{name} listener cannot bind {address}; give it a free address with {flag}");
    let listener = TcpListener::bind(address).await.with_context(refused)?;
    let address = listener.local_addr()?;
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(accept(listener, router, bounds, tls, stopped));
    Ok(Running { address, stop, task })
}

async fn accept(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    tls: Option<Arc<Tls>>,
    mut stopped: watch::Receiver<bool>,
) -> bool {
    let builder = Arc::new(builder());
    let places = Arc::new(Semaphore::new(bounds.connections as usize));
    loop {
        // Both waits see the signal: at the cap no place comes free by itself.
        let next = async { (Arc::clone(&places).acquire_owned().await, listener.accept().await) };
        let (place, accepted) = tokio::select! {
            next = next => next,
            _ = stopped.changed() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (builder, router, stopped) = (Arc::clone(&builder), router.clone(), stopped.clone());
                let tls = tls.clone();
                tokio::spawn(async move {
                    let _ = stream.set_nodelay(true);
                    match tls {
                        None => serve(&builder, stream, peer, router, bounds.idle, stopped).await,
                        Some(tls) => {
                            let inside = tokio::time::timeout(HEAD_TIMEOUT, tls.accept(stream)).await;
                            // Who does not get through the handshake in time speaks no TLS of ours.
                            if let Ok(Ok(inside)) = inside {
                                serve(&builder, inside, peer, router, bounds.idle, stopped).await;
                            }
                        }
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "Could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    // All places are free again when every connection has ended.
    tokio::time::timeout(DRAIN, places.acquire_many(bounds.connections)).await.is_ok()
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_MAX as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .max_concurrent_streams(250)
        .max_header_list_size(HEAD_MAX);
    builder
}

/// Serves one connection until its client goes, it idles too long, or the server stops.
async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    builder: &auto::Builder<TokioExecutor>,
    stream: S,
    peer: SocketAddr,
    router: Router,
    idle: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    let work = Arc::new(Work::default());
    let service = hyper::service::service_fn({
        let work = Arc::clone(&work);
        move |mut request: Request<Incoming>| {
            let running = Work::begin(&work);
            request.extensions_mut().insert(ConnectInfo(peer));
            let response = router.clone().call(request.map(Body::new));
            let work = Arc::clone(&work);
            async move {
                let response = response.await;
                drop(running);
                response.map(|response| response.map(|body| watched(body, work)))
            }
        }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let stopping = async {
        // An error means that the server is gone: the same to us.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    tokio::select! {
        // A client that goes away is no news.
        _ = connection.as_mut() => return,
        () = stopping => {}
        () = work.idle_for(idle) => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = connection => {}
        // Whoever does not take the hint, or never sent a whole request, is cut off.
        () = work.idle_for(GOODBYE) => {}
    }
}

/// A stream is not idle while it moves: each piece that is taken off it counts as work.
fn watched(body: Body, work: Arc<Work>) -> Body {
    // What lies in memory goes out at once.
    let short = HttpBody::size_hint(&body).exact().is_some_and(|length| length <= 1024 * 1024);
    if short { body } else { Body::new(Watched { body, work }) }
}

struct Watched {
    body: Body,
    work: Arc<Work>,
}

impl HttpBody for Watched {
    type Data = <Body as HttpBody>::Data;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_ready() {
            self.work.change(|running| running);
        }
        frame
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        HttpBody::size_hint(&self.body)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// What runs on one connection.
struct Work(Mutex<(usize, Instant)>);

impl Default for Work {
    fn default() -> Self {
        Self(Mutex::new((0, Instant::now())))
    }
}

/// A request at work; done when dropped.
struct Busy(Arc<Work>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.change(|running| running.saturating_sub(1));
    }
}

impl Work {
    fn begin(work: &Arc<Self>) -> Busy {
        work.change(|running| running.saturating_add(1));
        Busy(Arc::clone(work))
    }

    fn change(&self, to: impl FnOnce(usize) -> usize) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = (to(state.0), Instant::now());
    }

    /// Ends when nothing has run for so long, counted from now at the earliest.
    async fn idle_for(&self, patience: Duration) {
        let asked = Instant::now();
        loop {
            let (running, since) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let idle = since.max(asked).elapsed();
            if running == 0 && idle >= patience {
                return;
            }
            let rest = if running == 0 { patience.saturating_sub(idle) } else { patience };
            tokio::time::sleep(rest).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
    const SOON: Duration = Duration::from_secs(20);

    async fn served(connections: u32, idle: Duration) -> Running {
        let slow = get(|| async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            "done"
        });
        let router = Router::new().route("/slow", slow);
        listen_within(Door::api(ANY), router, Bounds { connections, idle }, None).await.unwrap()
    }

    #[tokio::test]
    async fn a_full_house_still_hears_the_signal() {
        let running = served(1, SOON).await;
        let mut stream = TcpStream::connect(running.address()).await.unwrap();
        stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let stopped = tokio::time::timeout(SOON, running.stop()).await;
        assert_eq!(stopped, Ok(true));
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("done"), "a running request is finished: {answer}");
    }

    #[tokio::test]
    async fn an_idle_connection_loses_its_place_and_a_working_one_does_not() {
        let running = served(1, Duration::from_millis(300)).await;
        // HTTP/2: the preface, empty settings, and from then on nothing.
        let mut idle = TcpStream::connect(running.address()).await.unwrap();
        idle.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let mut rest = Vec::new();
        // Longer than its patience: only a connection that lost its place lets the next one in.
        let mut working = TcpStream::connect(running.address()).await.unwrap();
        working.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        tokio::time::timeout(SOON, idle.read_to_end(&mut rest)).await.unwrap().unwrap();
        let mut answer = String::new();
        tokio::time::timeout(SOON, working.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.ends_with("done"), "{answer}");
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
        let bounds = Bounds { connections: 1, idle: Duration::from_millis(400) };
        let running = listen_within(Door::api(ANY), router, bounds, None).await.unwrap();
        let mut stream = TcpStream::connect(running.address()).await.unwrap();
        stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer.matches("piece ").count(), 10, "{answer}");
        assert!(answer.ends_with("0\r\n\r\n"), "the last chunk came: {answer}");
    }

    type Piece = Result<axum::body::Bytes, std::convert::Infallible>;

    struct Pipe(tokio::sync::mpsc::Receiver<Piece>);

    impl HttpBody for Pipe {
        type Data = axum::body::Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
            self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(hyper::body::Frame::data)))
        }
    }

    #[tokio::test]
    async fn a_busy_address_says_whose_it_is() {
        let running = served(1, SOON).await;
        let refused = listen(Door::metrics(running.address()), Router::new()).await.err().unwrap();
        let text = format!("{refused:#}");
        assert!(text.starts_with(&format!("metrics listener cannot bind {}", running.address())), "{text}");
        assert!(text.contains("--metrics-listen"), "{text}");
    }
}
