//! Takes connections, refuses what HTTP can be misread in, hands requests to a router, and drains when told to stop.
//!
//! The same for the API and the gateway. What stock hyper does not do is done here: `wire` looks at the bytes before hyper does,
//! `work` ends what idles, `declared` and `paced` hold HTTP/2 bodies to their announced length and to the clock.

mod connection;
mod declared;
mod paced;
mod scan;
mod wire;
mod work;

use std::{future::pending, io, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::Router;
use hyper_util::{rt::TokioExecutor, rt::TokioTimer, server::conn::auto};
use ipnet::IpNet;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::Places;

pub use connection::Connection;
pub use scan::Malformed;
pub use work::Busy;

/// How long running requests may take once the server stops.
pub const DRAIN: Duration = Duration::from_secs(25);

/// What a listener bears.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How many connections are held at once; more wait to be accepted. Of one client (IPv6: of a /56) an eighth of them, of a /48 a
    /// quarter; what it opens beyond is closed.
    pub connections: u32,
    /// How long a connection keeps its place while no request runs on it. Pings do not count. And how long an answer over HTTP/2 keeps its
    /// source while its client takes nothing of it.
    pub idle: Duration,
    /// The same, once fewer than a tenth of the places are free.
    pub idle_when_full: Duration,
    /// How long a client may take to send its request's head.
    pub head: Duration,
    /// How long all waiting for a body may take; 500 bytes more give it another second.
    pub body: Duration,
    /// The longest head, in bytes.
    pub head_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 16_384,
            idle: Duration::from_secs(75),
            idle_when_full: Duration::from_secs(2),
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            head_bytes: 32 * 1024,
        }
    }
}

/// A stream of bytes, such as one inside TLS.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// What happens to a connection before anybody speaks HTTP on it: TLS.
#[async_trait]
pub trait Welcome: Send + Sync {
    /// The stream inside. Takes as long as [`Bounds::head`] at most, and [`Bounds::idle_when_full`] once few places are free.
    async fn welcome(&self, stream: TcpStream) -> io::Result<Box<dyn Stream>>;
}

/// Serves `router` until `stopped` says so, then lets running requests finish; says whether all of them did.
///
/// The router must be one of [`crate::around`], which tells clients of bytes that were refused here. `proxies` bring the connections of
/// many clients, and may have as many as there are.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    proxies: Vec<IpNet>,
    welcome: Option<Arc<dyn Welcome>>,
    mut stopped: watch::Receiver<bool>,
) -> bool {
    let places = Places::new(bounds.connections as usize);
    let (full, is_full) = watch::channel(false);
    let house =
        Arc::new(House { builder: builder(bounds), router, bounds, welcome, is_full, stopped: stopped.clone() });
    loop {
        // Both waits see the signal: at the cap no place comes free by itself.
        let next = async { (Arc::clone(&places.free).acquire_owned().await, listener.accept().await) };
        let (free, accepted) = tokio::select! {
            next = next => next,
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        let now_full = places.free.available_permits() < bounds.connections as usize / 10;
        full.send_if_modified(|full| std::mem::replace(full, now_full) != now_full);
        match (free, accepted) {
            (Ok(free), Ok((stream, peer))) => {
                let address = peer.ip().to_canonical();
                let is_proxy = proxies.iter().any(|network| network.contains(&address));
                if let Some(place) = places.give(free, (!is_proxy).then_some(address)) {
                    tokio::spawn(connection::attend(Arc::clone(&house), stream, peer, place));
                }
            }
            (_, Ok(_)) => break,
            (_, Err(error)) => {
                tracing::warn!(%error, "Could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop((listener, house));
    // All places are free again when every connection has ended.
    tokio::time::timeout(DRAIN, places.free.acquire_many(bounds.connections)).await.is_ok()
}

/// What all connections of a listener share.
struct House {
    builder: auto::Builder<TokioExecutor>,
    router: Router,
    bounds: Bounds,
    welcome: Option<Arc<dyn Welcome>>,
    is_full: watch::Receiver<bool>,
    stopped: watch::Receiver<bool>,
}

impl House {
    async fn welcome(&self, stream: TcpStream) -> io::Result<(Box<dyn Stream>, bool)> {
        stream.set_nodelay(true)?;
        let Some(welcome) = &self.welcome else { return Ok((Box::new(stream), false)) };
        let begun = Instant::now();
        let pressed = async {
            self.full().await;
            sleep_until(begun + self.bounds.idle_when_full).await;
        };
        tokio::select! {
            welcomed = welcome.welcome(stream) => Ok((welcomed?, true)),
            () = sleep_until(begun + self.bounds.head) => Err(io::ErrorKind::TimedOut.into()),
            () = pressed => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Ends once fewer than a tenth of the places are free.
    async fn full(&self) {
        let mut is_full = self.is_full.clone();
        if is_full.wait_for(|full| *full).await.is_err() {
            // Nobody is accepted any more.
            pending().await
        }
    }
}

fn builder(bounds: Bounds) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // What is half a head `wire` keeps to itself, and looks at the clock; what idles ends by `work`. A third timer would be set and taken
    // back with every request.
    builder.http1().header_read_timeout(None::<Duration>).max_buf_size(bounds.head_bytes.max(8192));
    builder
        .http2()
        .timer(TokioTimer::new())
        // For WebSockets (RFC 8441); where nobody serves them, it is a method like any other that nobody takes.
        .enable_connect_protocol()
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .max_concurrent_streams(250)
        // Twice as long as what we take: what is between we refuse ourselves, and only what is longer h2 does.
        .max_header_list_size(u32::try_from(bounds.head_bytes.saturating_mul(2)).unwrap_or(u32::MAX));
    builder
}

#[cfg(test)]
mod tests;
