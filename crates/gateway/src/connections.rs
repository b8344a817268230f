//! Connections to one server of an application over HTTP/1, kept for the next request.
//!
//! An answer's body brings its connection back. hyper-util's pool starts a task with each answer that waits for that, and a second task
//! that is ready wakes a second thread: with every request.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use axum::body::{Body, Bytes, HttpBody};
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, Version, header};
use http_body::{Frame, SizeHint};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    rt::{Read, Write},
};
use tokio::task::AbortHandle;

use crate::{client::Failed, dial::Dial};

/// How many are kept that nobody uses.
const MOST: usize = 256;

/// Connections to one server.
#[derive(Debug)]
pub(crate) struct Connections {
    dial: Dial,
    shelf: Arc<Shelf>,
}

/// Those that nobody uses.
#[derive(Debug)]
struct Shelf {
    /// For how long one is kept.
    idle: Duration,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    free: Vec<Free>,
    /// Whether a task looks after them.
    watched: bool,
}

#[derive(Debug)]
struct Free {
    connection: Connection,
    since: Instant,
}

/// One of them. What still goes on over it when it is dropped ends: hyper alone would send a request's body to its end, however long its
/// answer is over.
#[derive(Debug)]
struct Connection {
    sender: SendRequest<Body>,
    /// None where it speaks another protocol by now.
    task: Option<AbortHandle>,
}

impl Connections {
    /// Made by `dial`, each kept for as long as `idle` while nobody uses it.
    pub(crate) fn new(dial: Dial, idle: Duration) -> Self {
        Self { dial, shelf: Arc::new(Shelf { idle, held: Mutex::default() }) }
    }

    /// Sends a request over a connection that is free, or a new one, and waits for the head of its answer. Dropped before, the connection
    /// ends.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Failed> {
        let mut connection = match self.shelf.take() {
            Some(connection) => connection,
            None => match self.connect().await {
                Ok(connection) => connection,
                Err(error) => return Err(Failed::unconnected(error, request)),
            },
        };
        let told = authenticates_connection(request.headers(), &header::AUTHORIZATION);
        let answered = connection.sender.try_send_request(request).await.map_err(Failed::unanswered)?;
        let (parts, body) = answered.into_parts();
        let is_somebodys = told || authenticates_connection(&parts.headers, &header::WWW_AUTHENTICATE);
        // Once HTTP/1.0 was answered hyper speaks it too, in which a body of unknown length is none.
        let is_kept = !is_somebodys && parts.version != Version::HTTP_10;
        let shelf = is_kept.then(|| Arc::clone(&self.shelf));
        let mut answer = Answer { body, connection: Some(connection), shelf };
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            answer.leave();
        } else if answer.body.is_end_stream() {
            answer.bring_back();
        }
        Ok(Response::from_parts(parts, Body::new(answer)))
    }

    async fn connect(&self) -> io::Result<Connection> {
        Connection::begin(self.dial.connect().await?).await
    }
}

impl Connection {
    async fn begin(stream: impl Read + Write + Unpin + Send + 'static) -> io::Result<Self> {
        let (sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
        // It ends with its sender, or when the server closes it; what went wrong is the request's to tell.
        let task = tokio::spawn(async move {
            let _ = connection.with_upgrades().await;
        });
        Ok(Self { sender, task: Some(task.abort_handle()) })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // One over which nothing goes ends with its sender, in good order.
        if let Some(task) = self.task.take().filter(|_| !self.sender.is_ready()) {
            task.abort();
        }
    }
}

/// Whether a field says that a connection is somebody's from here on: NTLM authenticates the connection and not the request, and
/// Negotiate may ([RFC 4559 §6](https://www.rfc-editor.org/rfc/rfc4559#section-6)). It carries no request of anybody else.
fn authenticates_connection(headers: &HeaderMap, field: &HeaderName) -> bool {
    let mut parts = headers.get_all(field).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    parts.any(|part| {
        let scheme = part.trim_ascii().split(u8::is_ascii_whitespace).next().unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
    })
}

impl Shelf {
    /// One over which a request can go out at once.
    fn take(&self) -> Option<Connection> {
        let (mut held, now) = (self.held(), Instant::now());
        held.free.retain(|free| !free.connection.sender.is_closed());
        // The last one first, so that those end which are too many. One that came back a moment ago may not be ready yet.
        let fits = |free: &Free| free.connection.sender.is_ready() && now.duration_since(free.since) < self.idle;
        let at = held.free.iter().rposition(fits)?;
        Some(held.free.swap_remove(at).connection)
    }

    /// Where there are too many, one goes whose request's body is still being sent, for its answer is over; if none is, the oldest.
    fn put(shelf: &Arc<Self>, connection: Connection) {
        let mut held = shelf.held();
        let _too_many = (held.free.len() >= MOST).then(|| {
            let sends = held.free.iter().position(|free| !free.connection.sender.is_ready());
            held.free.remove(sends.unwrap_or_default())
        });
        held.free.push(Free { connection, since: Instant::now() });
        let watched = std::mem::replace(&mut held.watched, true);
        drop(held);
        if !watched {
            tokio::spawn(watch(Arc::downgrade(shelf), shelf.idle));
        }
    }

    /// Closes those that were idle for too long, and those over which a request's body still goes then; says whether any is left.
    fn sweep(&self) -> bool {
        let (mut held, now) = (self.held(), Instant::now());
        held.free.retain(|free| !free.connection.sender.is_closed() && now.duration_since(free.since) < self.idle);
        held.watched = !held.free.is_empty();
        held.watched
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks after those that nobody uses, as long as there are any.
async fn watch(shelf: Weak<Shelf>, idle: Duration) {
    loop {
        tokio::time::sleep(idle).await;
        if !shelf.upgrade().is_some_and(|shelf| shelf.sweep()) {
            return;
        }
    }
}

/// An answer's body. At its end its connection is free again; if it is dropped before, the connection ends with it.
struct Answer {
    body: Incoming,
    connection: Option<Connection>,
    /// None where nobody else may have the connection.
    shelf: Option<Arc<Shelf>>,
}

impl Answer {
    fn bring_back(&mut self) {
        if let (Some(connection), Some(shelf)) = (self.connection.take(), &self.shelf) {
            Shelf::put(shelf, connection);
        }
    }

    /// It speaks another protocol from here on, and ends with that.
    fn leave(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            connection.task = None;
        }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Err(_)) => this.connection = None,
            Some(Ok(_)) if !this.body.is_end_stream() => {}
            Some(Ok(_)) | None => this.bring_back(),
        }
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::HeaderValue;
    use http_body_util::BodyExt as _;
    use hyper_util::rt::TokioIo;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
        net::TcpListener,
        time::timeout,
    };

    use super::*;
    use crate::Address;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

    /// An application that answers every request alike, and counts its connections: all, and those that are open.
    #[derive(Clone, Default)]
    struct Application {
        all: Arc<AtomicUsize>,
        open: Arc<AtomicUsize>,
    }

    impl Application {
        async fn start(answer: &'static [u8], idle: Duration) -> (Self, Connections) {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = Address::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
            let application = Self::default();
            let counted = application.clone();
            tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    counted.all.fetch_add(1, Ordering::Relaxed);
                    counted.open.fetch_add(1, Ordering::Relaxed);
                    let counted = counted.clone();
                    tokio::spawn(async move {
                        let mut heads = [0; 1024];
                        // A request of these tests comes in one piece.
                        while stream.read(&mut heads).await.is_ok_and(|count| count > 0) {
                            stream.write_all(answer).await.unwrap();
                        }
                        counted.open.fetch_sub(1, Ordering::Relaxed);
                    });
                }
            });
            (application, Connections::new(Dial::new(address, None), idle))
        }

        fn all(&self) -> usize {
            self.all.load(Ordering::Relaxed)
        }

        async fn has_open(&self, count: usize) -> bool {
            for _ in 0..100 {
                if self.open.load(Ordering::Relaxed) == count {
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            false
        }
    }

    fn request() -> Request<Body> {
        Request::builder().uri("/").header("host", "app").body(Body::empty()).unwrap()
    }

    /// A body of which nothing ever comes.
    pub(crate) struct Endless;

    impl HttpBody for Endless {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            Poll::Pending
        }
    }

    fn upload() -> Request<Body> {
        Request::builder().method("POST").uri("/").header("host", "app").body(Body::new(Endless)).unwrap()
    }

    async fn body_of(connections: &Connections) -> Bytes {
        answered(connections, request()).await
    }

    async fn answered(connections: &Connections, request: Request<Body>) -> Bytes {
        connections.send(request).await.unwrap().into_body().collect().await.unwrap().to_bytes()
    }

    /// Waits until the task of the connection that came back has seen that its answer is over.
    async fn settled(connections: &Connections) {
        for _ in 0..100 {
            let is_settled = |free: &Free| free.connection.sender.is_ready() || free.connection.sender.is_closed();
            if connections.shelf.held().free.iter().all(is_settled) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_connection_is_used_again_once_its_answer_is_over() {
        let (application, connections) = Application::start(ANSWER, Duration::from_secs(60)).await;
        for _ in 0..3 {
            assert_eq!(body_of(&connections).await, "hello");
            settled(&connections).await;
        }
        assert_eq!(application.all(), 1);
        // Two at once need two.
        let both = tokio::join!(connections.send(request()), connections.send(request()));
        assert!(both.0.is_ok() && both.1.is_ok());
        assert_eq!(application.all(), 2);
    }

    #[tokio::test]
    async fn a_connection_whose_answer_nobody_took_is_not_used_again() {
        let long = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nhello";
        let (application, connections) = Application::start(long, Duration::from_secs(60)).await;
        drop(connections.send(request()).await.unwrap());
        assert!(application.has_open(0).await, "it ends with its answer");
        drop(connections.send(request()).await.unwrap());
        assert_eq!(application.all(), 2);
    }

    #[tokio::test]
    async fn a_connection_that_nobody_uses_ends() {
        let (application, connections) = Application::start(ANSWER, Duration::from_millis(50)).await;
        body_of(&connections).await;
        assert!(application.has_open(0).await);
        assert_eq!(body_of(&connections).await, "hello", "and there is another one");
        assert_eq!(application.all(), 2);
    }

    /// Such an upload went on for hours, and nobody counted it.
    #[tokio::test]
    async fn an_upload_that_was_answered_early_ends_soon_after_its_answer() {
        let (application, connections) = Application::start(ANSWER, Duration::from_millis(50)).await;
        assert_eq!(answered(&connections, upload()).await, "hello");
        assert!(application.has_open(0).await);
        let (application, connections) = Application::start(ANSWER, Duration::from_secs(60)).await;
        drop(connections.send(upload()).await.unwrap());
        assert!(application.has_open(0).await, "at once if nobody takes its answer");
    }

    /// Such uploads took the whole shelf, and no connection of anybody was used twice.
    #[tokio::test]
    async fn a_full_shelf_closes_what_is_still_sent_and_then_the_oldest() {
        let shelf = Arc::new(Shelf { idle: Duration::from_secs(60), held: Mutex::default() });
        let (mut sending, mut servers) = (Vec::new(), Vec::new());
        for at in 0..MOST + 2 {
            let (ours, theirs) = duplex(1024);
            let mut connection = Connection::begin(TokioIo::new(ours)).await.unwrap();
            connection.sender.ready().await.unwrap();
            if at == 7 {
                sending.push(connection.sender.try_send_request(upload()));
            }
            Shelf::put(&shelf, connection);
            servers.push(theirs);
        }
        assert_eq!(shelf.held().free.len(), MOST);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut open = Vec::new();
        for (at, server) in servers.iter_mut().enumerate() {
            if !has_ended(server).await {
                open.push(at);
            }
        }
        assert!(!open.contains(&0) && !open.contains(&7) && open.len() == MOST, "{open:?}");
        drop(sending);
    }

    async fn has_ended(server: &mut DuplexStream) -> bool {
        timeout(Duration::ZERO, server.read_to_end(&mut Vec::new())).await.is_ok()
    }

    /// Whoever came next was answered as the one before.
    #[tokio::test]
    async fn a_connection_on_which_somebody_is_authenticated_is_nobody_elses() {
        const ASKS: &[u8] = b"HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic realm=\"a\", Negotiate\r\n\
            content-length: 5\r\n\r\nhello";
        for (answer, credential, connections_made) in [
            (ANSWER, "NTLM TlRM", 2),
            (ANSWER, "negotiate YII=", 2),
            (ANSWER, "Basic YTpi", 1),
            (ASKS, "Basic YTpi", 2),
        ] {
            let (application, connections) = Application::start(answer, Duration::from_secs(60)).await;
            for _ in 0..2 {
                let mut request = request();
                request.headers_mut().insert(header::AUTHORIZATION, HeaderValue::from_static(credential));
                assert_eq!(answered(&connections, request).await, "hello");
                settled(&connections).await;
            }
            assert_eq!(application.all(), connections_made, "{credential}");
        }
    }

    /// The next upload without a length arrived as nothing, and was answered.
    #[tokio::test]
    async fn a_connection_over_which_http_1_0_was_answered_is_not_used_again() {
        let old = b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 5\r\n\r\nhello";
        let (application, connections) = Application::start(old, Duration::from_secs(60)).await;
        for _ in 0..2 {
            assert_eq!(body_of(&connections).await, "hello");
            settled(&connections).await;
        }
        assert_eq!(application.all(), 2);
    }

    #[tokio::test]
    async fn what_was_not_sent_comes_back() {
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let address = Address::parse(&format!("http://{nobody}")).unwrap();
        let connections = Connections::new(Dial::new(address, None), Duration::from_secs(60));
        let failed = connections.send(request()).await.unwrap_err();
        assert!(failed.connecting && failed.unsent.is_some_and(|request| request.headers().contains_key("host")));
        // What was read by an application that then goes away is not sent again.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let connections = Connections::new(Dial::new(address, None), Duration::from_secs(60));
        let gone = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        };
        let (failed, ()) = tokio::join!(connections.send(request()), gone);
        let failed = failed.unwrap_err();
        assert!(!failed.connecting && failed.unsent.is_none());
    }
}
