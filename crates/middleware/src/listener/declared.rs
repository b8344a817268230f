//! An HTTP/2 body is as long as its `content-length` says (RFC 9113 §8.1.1). Over HTTP/1 the length is what delimits it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::{Body, Bytes, HttpBody};
use http::{Request, Version, header};
use hyper::body::{Frame, SizeHint};

/// Holds the request to what it says of its length.
pub(super) fn declared(request: Request<Body>) -> Request<Body> {
    if request.version() != Version::HTTP_2 {
        return request;
    }
    let said = request.headers().get(header::CONTENT_LENGTH);
    match said.and_then(|length| length.to_str().ok()?.parse().ok()) {
        Some(left) => request.map(|body| Body::new(Declared { body, left })),
        None => request,
    }
}

struct Declared {
    body: Body,
    left: u64,
}

impl HttpBody for Declared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        let length = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(_)) => 0,
            None if self.left == 0 => 0,
            None => u64::MAX,
        };
        Poll::Ready(match self.left.checked_sub(length) {
            Some(left) => {
                self.left = left;
                frame
            }
            None => Some(Err(axum::Error::new(io::Error::from(io::ErrorKind::InvalidData)))),
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 && self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn read(said: u64, body: &'static str) -> Option<Bytes> {
        let request = Request::builder().version(Version::HTTP_2).header("content-length", said);
        let request = declared(request.body(Body::from(body)).unwrap());
        request.into_body().collect().await.ok().map(|body| body.to_bytes())
    }

    #[tokio::test]
    async fn a_body_of_another_length_than_it_said_is_an_error() {
        assert_eq!(read(3, "abc").await.unwrap(), "abc");
        assert_eq!(read(0, "").await.unwrap(), "");
        assert!(read(4, "abc").await.is_none());
        assert!(read(2, "abc").await.is_none());
    }
}
