//! What runs on a connection, so that one on which nothing does can be ended.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::body::{Body, HttpBody};

/// What runs on one connection, and since when that is so.
pub(super) struct Work(Mutex<(usize, Instant)>);

impl Default for Work {
    fn default() -> Self {
        Self(Mutex::new((0, Instant::now())))
    }
}

/// A request at work; done when dropped.
pub(super) struct Busy(Arc<Work>);

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

    fn change(&self, to: impl FnOnce(usize) -> usize) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = (to(state.0), Instant::now());
    }

    /// Ends when nothing has run for so long, counted from now at the earliest.
    pub(super) async fn idle_for(&self, patience: Duration) {
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

/// A stream is not idle while it moves or its client waits for more: each piece that is taken off it counts as work.
pub(super) fn watched(body: Body, work: Arc<Work>) -> Body {
    // What lies in memory goes out at once.
    let short = HttpBody::size_hint(&body).exact().is_some_and(|length| length <= 1024 * 1024);
    if short { body } else { Body::new(Watched { body, work, source: None }) }
}

struct Watched {
    body: Body,
    work: Arc<Work>,
    /// While the client waits for us.
    source: Option<Busy>,
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
            self.source = None;
            self.work.change(|running| running);
        } else if self.source.is_none() {
            // A client that has taken all there is does not idle: we do.
            self.source = Some(Work::begin(&self.work));
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
