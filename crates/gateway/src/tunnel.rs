//! A WebSocket: bytes both ways, until one side goes, the caller's credential ends, or the server stops.

use std::io;

use chancery_middleware::{Standing, listener::Connection};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

/// Joins both sides once they are upgraded; in a task of its own.
pub(crate) fn join(
    client: OnUpgrade,
    application: OnUpgrade,
    standing: Option<Standing>,
    connection: Option<Connection>,
) {
    // From before its answer is out: over HTTP/2 nothing else says that the connection is in use.
    let busy = connection.as_ref().map(Connection::busy);
    tokio::spawn(async move {
        let _busy = busy;
        let Ok((client, application)) = both(client, application).await else { return };
        let (mut client, mut application) = (TokioIo::new(client), TokioIo::new(application));
        let ended = async {
            match &standing {
                Some(standing) => standing.ended().await,
                None => std::future::pending().await,
            }
        };
        let stopping = async {
            match &connection {
                Some(connection) => connection.stopping().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Who goes first, and how, is no news.
            _ = copy_bidirectional(&mut client, &mut application) => {}
            () = ended => tracing::info!("A WebSocket was closed: its credential ended"),
            () = stopping => {}
        }
    });
}

async fn both(client: OnUpgrade, application: OnUpgrade) -> io::Result<(Upgraded, Upgraded)> {
    tokio::try_join!(client, application).map_err(io::Error::other)
}
