//! One connection, from its first byte to its last.

use std::{convert::Infallible, future::Future, net::SocketAddr, pin::pin, sync::Arc};

use axum::{body::Body, extract::ConnectInfo, response::Response};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use http::{HeaderMap, StatusCode, Version, header};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::watch};
use tower::Service as _;

use super::{
    House, Malformed,
    declared::declared,
    paced::paced,
    wire::{Shared, Wire},
    work::{Busy, Work, watched},
};
use crate::Place;

/// How long a connection may take to end once it was asked to, if nothing runs on it.
const GOODBYE: std::time::Duration = std::time::Duration::from_secs(5);

/// What a request knows of the connection it came by; in its extensions. Whoever keeps it keeps the connection's place.
#[derive(Clone)]
pub struct Connection(Arc<Held>);

struct Held {
    secure: bool,
    stopped: watch::Receiver<bool>,
    work: Arc<Work>,
    _place: Place,
}

impl Connection {
    /// Whether it is inside TLS of ours.
    pub fn is_secure(&self) -> bool {
        self.0.secure
    }

    /// Ends when the server is to stop: what would go on without end ends now.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stopped = self.0.stopped.clone();
        async move {
            // An error means that the server is gone: the same to us.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        }
    }

    /// For what goes on behind an answer, such as a WebSocket over HTTP/2: until it is dropped the connection is at work, as with a
    /// request that is not answered yet, and does not end as an idle one.
    pub fn busy(&self) -> Busy {
        Work::begin(&self.0.work)
    }
}

/// Serves one connection until its client goes, it idles too long, or the server stops.
pub(super) async fn attend(house: Arc<House>, stream: TcpStream, peer: SocketAddr, place: Place) {
    let Ok((stream, secure)) = house.welcome(stream).await else { return };
    let (work, shared) = (Arc::new(Work::default()), Arc::new(Shared::default()));
    let held = Held { secure, stopped: house.stopped.clone(), work: Arc::clone(&work), _place: place };
    let connection = Connection(Arc::new(held));
    let wire = Wire::new(stream, house.bounds, Arc::clone(&shared), Arc::clone(&work));
    let service = service_fn(|request| answer(&house, &connection, &shared, peer, request));
    let io = TokioIo::new(wire);
    let mut served = pin!(house.builder.serve_connection_with_upgrades(io, service));
    let pressed = async {
        house.full().await;
        work.idle_for(house.bounds.idle_when_full).await;
    };
    let ends = async {
        tokio::select! {
            () = connection.stopping() => {}
            () = work.idle_for(house.bounds.idle) => {}
            // That never ends by itself.
            () = work.cut_stalled(house.bounds.idle) => {}
            () = pressed => {}
        }
    };
    // Looked at when one of them has something to say: a connection moves several times with each request, and would ask three timers
    // and two channels each time.
    let mut ends: FuturesUnordered<_> = [ends].into_iter().collect();
    tokio::select! {
        // A client that goes away is no news.
        _ = served.as_mut() => return,
        _ = ends.next() => {}
    }
    served.as_mut().graceful_shutdown();
    tokio::select! {
        _ = served => {}
        // Whoever does not take the hint, or never sent a whole request, is cut off.
        () = work.idle_for(GOODBYE) => {}
    }
}

/// Hands a request to the router, with what is known of its connection.
fn answer(
    house: &House,
    connection: &Connection,
    shared: &Arc<Shared>,
    peer: SocketAddr,
    mut request: Request<Incoming>,
) -> impl Future<Output = Result<Response, Infallible>> + Send + use<> {
    let running = connection.busy();
    let (work, shared) = (Arc::clone(&connection.0.work), Arc::clone(shared));
    let (is_1_1, is_2) = (request.version() == Version::HTTP_11, request.version() == Version::HTTP_2);
    let upgrade = is_1_1 && asks_for_upgrade(request.headers());
    let malformed = if is_2 { large(&request, house.bounds.head_bytes) } else { shared.next() };
    if let Some(malformed) = malformed {
        request.extensions_mut().insert(malformed);
    }
    request.extensions_mut().insert(ConnectInfo(peer));
    request.extensions_mut().insert(connection.clone());
    let response = house.router.clone().call(declared(paced(request.map(Body::new), house.bounds.body)));
    async move {
        let response = response.await;
        drop(running);
        response.map(|mut response| {
            if upgrade {
                shared.decide(response.status() == StatusCode::SWITCHING_PROTOCOLS);
            }
            let holds = response.extensions_mut().remove();
            response.map(|body| watched(body, work, is_2, holds))
        })
    }
}

/// Over HTTP/2 nobody has measured the head yet: h2 takes longer ones, for its own refusal would be without our headers and our log. A
/// field counts as there (RFC 9113 §6.5.2).
fn large(request: &Request<Incoming>, most: usize) -> Option<Malformed> {
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 32);
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    (fields.sum::<usize>() + path > most).then_some(Malformed::Large)
}

/// As [`super::scan`] sees it: a body comes before the other protocol.
fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    let bodiless =
        headers.get(header::CONTENT_LENGTH).is_none_or(|length| length.as_bytes().iter().all(|b| *b == b'0'));
    headers.contains_key(header::UPGRADE) && bodiless && !headers.contains_key(header::TRANSFER_ENCODING)
}
