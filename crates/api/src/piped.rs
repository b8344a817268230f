//! Bodies that are made while they go out.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tracing::Instrument as _;

/// Pieces between who reads and who writes.
const PIECES: usize = 4;

/// The stream cannot go on. The body ends in an error, which cuts the connection.
#[derive(Debug, thiserror::Error)]
#[error("the stream broke off")]
pub(crate) struct Broken;

type Piece = Result<Bytes, Broken>;

/// The end of a pipe that takes pieces of a body.
#[derive(Clone)]
pub(crate) struct Pieces(mpsc::Sender<Piece>);

impl Pieces {
    /// Waits until there is room.
    pub(crate) async fn send(&self, bytes: Vec<u8>) -> Result<(), Broken> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.0.send(Ok(bytes.into())).await.map_err(|_| Broken)
    }
}

/// A body that begins with `held` and goes on with what `rest` sends, in a task of its own that keeps `permit`.
pub(crate) fn piped<F>(permit: OwnedSemaphorePermit, held: Vec<u8>, rest: impl FnOnce(Pieces) -> F) -> Body
where
    F: Future<Output = Result<(), Broken>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(PIECES);
    let pieces = Pieces(sender);
    let rest = rest(pieces.clone());
    let run = async move {
        let outcome = match pieces.send(held).await {
            Ok(()) => rest.await,
            Err(broken) => Err(broken),
        };
        // The end is said, not fallen silent: a writer that panics must not look like one that finished. A client that
        // went away does not want to know.
        let _ = pieces.0.send(outcome.map(|()| Bytes::new())).await;
        drop(permit);
    };
    tokio::spawn(run.in_current_span());
    Body::new(Pipe { pieces: receiver, ended: false })
}

/// What comes out of a pipe; an empty piece is its end, and a silent one is broken.
struct Pipe {
    pieces: mpsc::Receiver<Piece>,
    ended: bool,
}

impl http_body::Body for Pipe {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.pieces.poll_recv(cx).map(|piece| {
            let piece = piece.unwrap_or(Err(Broken));
            self.ended = piece.as_ref().map_or(true, Bytes::is_empty);
            (!matches!(&piece, Ok(end) if end.is_empty())).then(|| piece.map(Frame::data))
        })
    }
}
