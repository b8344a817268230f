//! An HTTP/2 body in time. Over HTTP/1 the reader of the connection looks at the clock (`wire`); here a connection has many bodies, and
//! one for which nobody pays would hold an application's connection for as long as its client likes.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use axum::body::{Body, Bytes, HttpBody};
use http::{Request, Version};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::wire::BYTES_A_SECOND;

/// Ends the request's body with an error if all waiting for it takes longer than `patience`, and a second more for every 500 bytes.
pub(super) fn paced(request: Request<Body>, patience: Duration) -> Request<Body> {
    if request.version() != Version::HTTP_2 || request.body().is_end_stream() {
        return request;
    }
    let paced = |body| Paced { body, patience, waited: Duration::ZERO, waiting: None, came: 0, deadline: None };
    request.map(|body| Body::new(paced(body)))
}

struct Paced {
    body: Body,
    patience: Duration,
    waited: Duration,
    waiting: Option<Instant>,
    came: u64,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
            this.came = this.came.saturating_add(data.map_or(0, |data| data.len() as u64));
            // At most so much of one wait counts: whoever reads may have been busy meanwhile.
            let waited = this.waiting.take().map_or(Duration::ZERO, |since| since.elapsed());
            this.waited += waited.min(this.patience / 6);
            this.deadline = None;
            return Poll::Ready(frame);
        }
        let since = *this.waiting.get_or_insert_with(Instant::now);
        let allowed = this.patience + Duration::from_secs(this.came / BYTES_A_SECOND);
        let left = allowed.saturating_sub(this.waited + since.elapsed());
        let deadline = this.deadline.get_or_insert_with(|| Box::pin(sleep(left)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Some(Err(axum::Error::new(io::Error::from(io::ErrorKind::TimedOut)))))
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    /// So many bytes, each after a while.
    struct Dripping(usize, Option<Pin<Box<Sleep>>>);

    impl HttpBody for Dripping {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            if self.0 == 0 {
                return Poll::Ready(None);
            }
            ready!(self.1.get_or_insert_with(|| Box::pin(sleep(Duration::from_millis(60)))).as_mut().poll(cx));
            (self.0, self.1) = (self.0 - 1, None);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
        }
    }

    async fn arrives(version: Version, bytes: usize, patience: u64) -> bool {
        let request = Request::builder().version(version).body(Body::new(Dripping(bytes, None))).unwrap();
        paced(request, Duration::from_millis(patience)).into_body().collect().await.is_ok()
    }

    #[tokio::test]
    async fn a_body_that_drips_over_http_2_ends() {
        assert!(arrives(Version::HTTP_2, 3, 5_000).await);
        assert!(!arrives(Version::HTTP_2, 3, 30).await, "nothing came in time");
        assert!(!arrives(Version::HTTP_2, 20, 120).await, "every byte came in time, and all of them too late");
        assert!(arrives(Version::HTTP_11, 3, 30).await, "there the connection's reader looks at the clock");
    }
}
