//! An application: where it is, and which of its addresses are well.

use std::{
    fmt, io,
    net::IpAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::body::Body;
use chancery_domain::clouds::gives_credentials;
use chancery_middleware::listener::Stream;
use http::{
    HeaderValue, Request, Uri, Version, header,
    uri::{Authority, PathAndQuery},
};
use tokio::{
    net::TcpStream,
    sync::{Semaphore, SemaphorePermit},
};

use crate::{client::Client, dial::Dial};

/// For how long a connection is kept that nobody uses. Shorter than uvicorn's 5 s: whoever closes first decides.
pub(crate) const IDLE: Duration = Duration::from_secs(4);
/// How many requests one application may keep waiting. Fewer than may run at once, so that the others' go on when it does not answer.
const WAITING: usize = 3_072;
/// For how long an address is left alone to which no connection could be made.
const DOWN_MICROS: i64 = 2_000_000;

/// Where one server of an application is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `http://host:port`.
    Tcp(Authority),
    /// `https://host:port`.
    Tls(Authority),
    /// `unix:/path/of/socket`.
    Unix(PathBuf),
}

/// A text that is no address of an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no address of an application: write http://127.0.0.1:8000, https://app.internal or unix:/run/app.sock")]
pub struct NoAddress;

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    ///
    /// [`NoAddress`].
    pub fn parse(text: &str) -> Result<Self, NoAddress> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(NoAddress) };
        }
        let uri: Uri = text.parse().map_err(|_| NoAddress)?;
        let bare = uri.path_and_query().is_none_or(|path| path == "/");
        let ours = |authority: &&Authority| {
            let literal = authority.host().trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
            bare && !authority.as_str().contains('@') && !literal.is_ok_and(gives_credentials)
        };
        let authority = uri.authority().filter(ours).cloned();
        match (uri.scheme_str(), authority) {
            (Some("http"), Some(authority)) => Ok(Self::Tcp(authority)),
            (Some("https"), Some(authority)) => Ok(Self::Tls(authority)),
            _ => Err(NoAddress),
        }
    }

    /// Whether it is reached through TLS.
    pub const fn is_secure(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The host whose certificate is asked for, in small letters.
    pub fn tls_host(&self) -> Option<String> {
        match self {
            Self::Tls(authority) => {
                Some(authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase())
            }
            Self::Tcp(_) | Self::Unix(_) => None,
        }
    }

    pub(crate) const fn scheme(&self) -> &'static str {
        if self.is_secure() { "https" } else { "http" }
    }

    /// What goes into the request's URI; the connection is made to the address itself.
    pub(crate) fn authority(&self) -> Authority {
        match self {
            Self::Tcp(authority) | Self::Tls(authority) => authority.clone(),
            Self::Unix(_) => Authority::from_static("localhost"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(authority) | Self::Tls(authority) => write!(f, "{}://{authority}", self.scheme()),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Puts TLS around a connection to a server of an application.
#[async_trait]
pub trait Secure: fmt::Debug + Send + Sync {
    /// The stream inside, when whoever is there has proved to be `host`. The caller bounds how long it takes.
    async fn secure(&self, host: &str, stream: TcpStream) -> io::Result<Box<dyn Stream>>;
}

/// An application.
#[derive(Debug)]
pub struct Upstream {
    name: String,
    servers: Vec<Server>,
    health: Option<Health>,
    next: AtomicUsize,
    places: Semaphore,
}

/// How it is found out whether a server is well.
#[derive(Debug, Clone)]
pub struct Health {
    /// A path that answers 2xx if it is.
    pub path: String,
    /// How often it is asked.
    pub every: Duration,
}

/// One server of an application, with connections to it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: Address,
    pub(crate) client: Client,
    well: AtomicBool,
    down_until: AtomicI64,
}

impl Upstream {
    /// An application at these addresses, which share its requests. `http2`: it speaks HTTP/2, and nobody asks first.
    pub fn new(name: &str, addresses: Vec<Address>, health: Option<Health>, http2: bool) -> Self {
        Self::secured(name, addresses, health, http2, None)
    }

    /// The same, with what puts TLS around connections to addresses with `https://`; without it they cannot be reached.
    pub fn secured(
        name: &str,
        addresses: Vec<Address>,
        health: Option<Health>,
        http2: bool,
        secure: Option<Arc<dyn Secure>>,
    ) -> Self {
        let servers = addresses.into_iter().map(|address| Server::new(address, http2, secure.clone())).collect();
        Self { name: name.to_owned(), servers, health, next: AtomicUsize::default(), places: Semaphore::new(WAITING) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is found out whether its servers are well.
    pub fn health(&self) -> Option<&Health> {
        self.health.as_ref()
    }

    /// Its servers with whether they are well, for whoever asks.
    pub fn servers(&self) -> impl Iterator<Item = (&Address, bool)> {
        self.servers.iter().map(|server| (&server.address, server.is_well()))
    }

    /// Whether it is asked over HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        self.servers.iter().any(Server::is_http2)
    }

    /// A place for a request that waits for its answer, if too many do not already.
    pub(crate) fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.places.try_acquire().ok()
    }

    /// Takes from these applications which servers are not well, where the same question was asked at the same address.
    pub(crate) fn keep_health_of(&self, before: &[Arc<Self>]) {
        let Some(health) = &self.health else { return };
        let asked = |one: &&Arc<Self>| one.health.as_ref().is_some_and(|asked| asked.path == health.path);
        for known in before.iter().filter(asked).flat_map(|one| &one.servers) {
            for server in self.servers.iter().filter(|server| server.address == known.address) {
                server.found(known.well.load(Ordering::Relaxed));
            }
        }
    }

    pub(crate) fn all(&self) -> &[Server] {
        &self.servers
    }

    /// The servers in the order in which a request tries them: each gets its turn, those that are well come first.
    pub(crate) fn turn(&self) -> impl Iterator<Item = &Server> {
        let from = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.servers.len();
        let order = move |wanted: bool| {
            (0..count).filter_map(move |at| {
                let server = self.servers.get((from.wrapping_add(at)) % count)?;
                (server.is_well() == wanted).then_some(server)
            })
        };
        // Nobody is well: rather try than refuse.
        order(true).chain(order(false))
    }
}

impl Server {
    fn new(address: Address, http2: bool, secure: Option<Arc<dyn Secure>>) -> Self {
        let client = Client::new(Dial::new(address.clone(), secure), http2);
        Self { address, client, well: AtomicBool::new(true), down_until: AtomicI64::new(i64::MIN) }
    }

    const fn is_http2(&self) -> bool {
        matches!(self.client, Client::Http2(_))
    }

    /// Addresses a request for this path to it. Over HTTP/1 the host stays that the client asked for, if it asked for one; over HTTP/2
    /// the authority of the URI is the only host there is.
    pub(crate) fn address(&self, request: &mut Request<Body>, path: &PathAndQuery) -> Result<(), http::Error> {
        if self.is_http2() {
            let (scheme, authority) = (self.address.scheme(), self.address.authority());
            *request.uri_mut() =
                Uri::builder().scheme(scheme).authority(authority).path_and_query(path.clone()).build()?;
            *request.version_mut() = Version::HTTP_2;
            request.headers_mut().remove(header::HOST);
            request.headers_mut().remove(header::TRANSFER_ENCODING);
        } else {
            *request.uri_mut() = path.clone().into();
            *request.version_mut() = Version::HTTP_11;
            if !request.headers().contains_key(header::HOST) {
                let host = HeaderValue::from_str(self.address.authority().as_str())?;
                request.headers_mut().insert(header::HOST, host);
            }
        }
        Ok(())
    }

    fn is_well(&self) -> bool {
        self.well.load(Ordering::Relaxed) && self.down_until.load(Ordering::Relaxed) <= ticks()
    }

    /// What its health said, and says what it said before.
    pub(crate) fn found(&self, well: bool) -> bool {
        self.well.swap(well, Ordering::Relaxed)
    }

    /// No connection could be made.
    pub(crate) fn failed(&self) {
        self.down_until.store(ticks() + DOWN_MICROS, Ordering::Relaxed);
    }

    /// It answered.
    pub(crate) fn answered(&self) {
        if self.down_until.load(Ordering::Relaxed) != i64::MIN {
            self.down_until.store(i64::MIN, Ordering::Relaxed);
        }
    }
}

/// Microseconds since the first call.
fn ticks() -> i64 {
    static START: std::sync::OnceLock<tokio::time::Instant> = std::sync::OnceLock::new();
    let start = START.get_or_init(tokio::time::Instant::now);
    i64::try_from(start.elapsed().as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_server_and_nothing_below_it() {
        for good in
            ["http://127.0.0.1:8000", "http://app", "http://[::1]:8000", "https://app:8443", "unix:/run/app.sock"]
        {
            assert_eq!(Address::parse(good).unwrap().to_string(), good);
        }
        assert_eq!(Address::parse("http://app/").unwrap().to_string(), "http://app");
        for bad in [
            "",
            "app:8000",
            "https://app/x",
            "http://app/x",
            "http://u@app",
            "ftp://app",
            "unix:app.sock",
            "http://app?x",
            "http://169.254.169.254",
            "https://[::ffff:169.254.169.254]:443",
        ] {
            assert_eq!(Address::parse(bad), Err(NoAddress), "{bad}");
        }
    }

    #[tokio::test]
    async fn servers_take_turns_and_the_well_ones_come_first() {
        let addresses = ["http://a", "http://b", "http://c"].map(|text| Address::parse(text).unwrap());
        let upstream = Upstream::new("app", addresses.to_vec(), None, false);
        let first = |upstream: &Upstream| upstream.turn().next().unwrap().address.to_string();
        assert_eq!([first(&upstream), first(&upstream), first(&upstream)], ["http://a", "http://b", "http://c"]);
        upstream.all()[0].found(false);
        upstream.all()[1].failed();
        let order: Vec<_> = upstream.turn().map(|server| server.address.to_string()).collect();
        assert_eq!(order, ["http://c", "http://a", "http://b"]);
        upstream.all()[1].answered();
        assert_eq!(upstream.servers().filter(|(_, well)| *well).count(), 2);
    }
}
