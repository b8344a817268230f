//! What runs on a connection, so that one on which nothing does can be ended; and the streams that its client has ceased to take.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::body::{Body, HttpBody};
use hyper::body::{Frame, SizeHint};

use crate::Holds;

/// So many streams are noted before those that are over are forgotten.
const NOTED: usize = 256;

/// What runs on one connection, and since when that is so.
pub(super) struct Work {
    state: Mutex<(usize, Instant)>,
    streams: Mutex<Vec<Weak<Mutex<Flow>>>>,
}

impl Default for Work {
    fn default() -> Self {
        Self { state: Mutex::new((0, Instant::now())), streams: Mutex::default() }
    }
}

/// Something at work on a connection: a request, or what goes on behind its answer. Done when dropped.
#[must_use]
pub struct Busy(Arc<Work>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.change(|running| running.saturating_sub(1));
    }
}

impl Work {
    pub(super) fn begin(work: &Arc<Self>) -> Busy {
        work.change(|running| running.saturating_add(1));
        Busy(Arc::clone(work))
    }

    pub(super) fn is_running(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 > 0
    }

    fn change(&self, to: impl FnOnce(usize) -> usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = (to(state.0), Instant::now());
    }

    /// Takes the source from each stream of which nothing was taken for so long, again and again. Over HTTP/2 others on the same connection
    /// keep it busy, and each such stream would hold a connection to an application for as long as its client likes.
    pub(super) async fn cut_stalled(&self, patience: Duration) {
        loop {
            tokio::time::sleep(patience / 4).await;
            let mut cut = Vec::new();
            self.streams.lock().unwrap_or_else(PoisonError::into_inner).retain(|stream| {
                let Some(stream) = stream.upgrade() else { return false };
                let mut flow = locked(&stream);
                if !flow.waits_for_us && flow.moved.elapsed() >= patience {
                    cut.extend(flow.body.take());
                }
                flow.body.is_some()
            });
            // What ends with them is nobody's to wait for.
            drop(cut);
        }
    }

    fn note(&self, stream: &Arc<Mutex<Flow>>) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if streams.len() >= NOTED {
            streams.retain(|stream| stream.strong_count() > 0);
        }
        streams.push(Arc::downgrade(stream));
    }

    /// Ends when nothing has run for so long, counted from now at the earliest.
    pub(super) async fn idle_for(&self, patience: Duration) {
        let asked = Instant::now();
        loop {
            let (running, since) = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let idle = since.max(asked).elapsed();
            if running == 0 && idle >= patience {
                return;
            }
            let rest = if running == 0 { patience.saturating_sub(idle) } else { patience };
            tokio::time::sleep(rest).await;
        }
    }
}

/// A stream is not idle while it moves or its client waits for more: each piece that is taken off it counts as work. What it holds is let
/// go with it.
pub(super) fn watched(body: Body, work: Arc<Work>, is_2: bool, holds: Option<Holds>) -> Body {
    // What lies in memory goes out at once over a connection of its own; over one that is shared it may never.
    let short = HttpBody::size_hint(&body).exact().is_some_and(|length| length <= 1024 * 1024);
    if body.is_end_stream() || (short && !is_2 && holds.is_none()) {
        return body;
    }
    let flow = Arc::new(Mutex::new(Flow { body: Some(body), waits_for_us: false, moved: Instant::now() }));
    if is_2 {
        work.note(&flow);
    }
    Body::new(Watched { flow, work, source: None, _holds: holds })
}

struct Watched {
    flow: Arc<Mutex<Flow>>,
    work: Arc<Work>,
    /// While the client waits for us.
    source: Option<Busy>,
    _holds: Option<Holds>,
}

/// Where a stream comes from, and when its client took of it.
struct Flow {
    /// Nothing if its client took nothing for too long.
    body: Option<Body>,
    waits_for_us: bool,
    moved: Instant,
}

fn locked(flow: &Mutex<Flow>) -> MutexGuard<'_, Flow> {
    flow.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HttpBody for Watched {
    type Data = <Body as HttpBody>::Data;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        let frame = {
            let mut flow = locked(&this.flow);
            let Some(body) = &mut flow.body else {
                return Poll::Ready(Some(Err(axum::Error::new(io::Error::from(io::ErrorKind::TimedOut)))));
            };
            let frame = Pin::new(body).poll_frame(cx);
            (flow.waits_for_us, flow.moved) = (frame.is_pending(), Instant::now());
            frame
        };
        if frame.is_ready() {
            this.source = None;
            this.work.change(|running| running);
        } else if this.source.is_none() {
            // A client that has taken all there is does not idle: we do.
            this.source = Some(Work::begin(&this.work));
        }
        frame
    }

    fn size_hint(&self) -> SizeHint {
        locked(&self.flow).body.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }

    fn is_end_stream(&self) -> bool {
        locked(&self.flow).body.as_ref().is_some_and(HttpBody::is_end_stream)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(200);

    async fn taken_after(pause: Duration, is_2: bool) -> bool {
        let work = Arc::new(Work::default());
        let mut body = watched(Body::from("abc"), Arc::clone(&work), is_2, None);
        tokio::select! {
            () = work.cut_stalled(PATIENCE) => {}
            () = tokio::time::sleep(pause) => {}
        }
        body.frame().await.unwrap().is_ok()
    }

    /// Streams that nobody read held two hundred connections to an application.
    #[tokio::test]
    async fn a_stream_that_nobody_takes_loses_its_source() {
        assert!(taken_after(PATIENCE / 4, true).await);
        assert!(!taken_after(PATIENCE * 3, true).await);
        assert!(taken_after(PATIENCE * 3, false).await, "over HTTP/1 the whole connection idles");
    }

    /// A piece of each stream that was cut lay in memory for as long as its client kept the connection, and nobody counted.
    #[tokio::test]
    async fn a_stream_holds_its_place_until_its_client_has_done_with_it() {
        let (held, work) = (Arc::new(()), Arc::new(Work::default()));
        let body = watched(Body::from("abc"), Arc::clone(&work), true, Some(Holds::new(Arc::clone(&held))));
        let _ = tokio::time::timeout(PATIENCE * 3, work.cut_stalled(PATIENCE)).await;
        assert_eq!(Arc::strong_count(&held), 2, "although its source is gone");
        drop(body);
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[tokio::test]
    async fn a_stream_that_waits_for_us_keeps_its_source() {
        struct Silent(Pin<Box<tokio::time::Sleep>>);
        impl HttpBody for Silent {
            type Data = axum::body::Bytes;
            type Error = io::Error;

            fn poll_frame(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Self::Data>, io::Error>>> {
                self.0.as_mut().poll(cx).map(|()| None)
            }
        }
        let work = Arc::new(Work::default());
        let silent = Silent(Box::pin(tokio::time::sleep(PATIENCE * 4)));
        let body = watched(Body::new(silent), Arc::clone(&work), true, None);
        tokio::select! {
            () = work.cut_stalled(PATIENCE) => panic!("it goes on and on"),
            whole = body.collect() => assert!(whole.is_ok()),
        }
    }
}
