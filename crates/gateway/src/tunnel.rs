//! A WebSocket: bytes both ways, until one side goes or it is over.

use std::io;

use chancery_middleware::listener::Connection;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use crate::{
    lasting::{Lasting, Over},
    streams::Open,
};

/// Joins both sides once they are upgraded; in a task of its own, which holds the place.
pub(crate) fn join(client: OnUpgrade, application: OnUpgrade, lasting: Lasting, open: Open) {
    // From before its answer is out: over HTTP/2 nothing else says that the connection is in use.
    let busy = lasting.connection.as_ref().map(Connection::busy);
    tokio::spawn(async move {
        let _held = (busy, open);
        let Ok((client, application)) = both(client, application).await else { return };
        let (mut client, mut application) = (TokioIo::new(client), TokioIo::new(application));
        tokio::select! {
            // Who goes first, and how, is no news.
            _ = copy_bidirectional(&mut client, &mut application) => {}
            over = lasting.over() => {
                if over == Over::Credential {
                    tracing::info!("A WebSocket was closed: its credential ended");
                }
            }
        }
    });
}

async fn both(client: OnUpgrade, application: OnUpgrade) -> io::Result<(Upgraded, Upgraded)> {
    tokio::try_join!(client, application).map_err(io::Error::other)
}
