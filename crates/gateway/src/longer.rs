//! Bodies that go by where nothing is refused: whether one is longer than its route will let it be is noted.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::{Body, Bytes, HttpBody};
use chancery_middleware::Code;
use http_body::{Frame, SizeHint};

use crate::{Route, observed::Watch};

/// A body, of which its watch is told if it is too long. One that says its length was judged by that.
pub(crate) fn noted(body: Body, route: &Route, watch: Option<Watch>) -> Body {
    let is_known = route.body_bytes == 0 || body.size_hint().exact().is_some();
    match watch.filter(|_| !is_known) {
        Some(watch) => Body::new(Noted { body, left: route.body_bytes, watch: Some(watch) }),
        None => body,
    }
}

struct Noted {
    body: Body,
    left: u64,
    /// Until it was told.
    watch: Option<Watch>,
}

impl HttpBody for Noted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        match self.left.checked_sub(data.map_or(0, |data| data.len() as u64)) {
            Some(left) => self.left = left,
            None => {
                if let Some(watch) = self.watch.take() {
                    watch.would_refuse(Code::TooLarge);
                }
            }
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
