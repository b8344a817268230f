//! What strangers make the server read: each operation of `openapi.json` × a body that goes on and on.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use axum::{body::Body, extract::ConnectInfo};
use bytes::Bytes;
use http_body::Frame;

use crate::app::{TestApp, request};

/// The longest body that a stranger is read: what an authenticator says of a passkey.
const LONGEST: usize = 128 * 1024;
const PIECE: usize = 16 * 1024;

/// A body of two megabytes of white space, and how much of it was taken.
struct Long(Arc<AtomicUsize>);

impl http_body::Body for Long {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let taken = self.0.fetch_add(PIECE, Ordering::Relaxed);
        Poll::Ready((taken < 2 << 20).then(|| Ok(Frame::data(Bytes::from_static(&[b' '; PIECE])))))
    }
}

/// `POST /v1/auth/logout` kept eight megabytes of each of a stranger's requests.
#[tokio::test]
async fn nobody_without_a_credential_is_read_further_than_it_must_be() {
    let app = TestApp::new().await;
    let document = app.anonymous("GET", "/openapi.json", None).await.ok();
    let (mut seen, mut read) = (0_u8, 0);
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            let kind = operation["requestBody"]["content"].as_object().and_then(|content| content.keys().next());
            let kind = kind.map_or("application/json", String::as_str);
            let taken = Arc::new(AtomicUsize::default());
            let mut sent = request(&method.to_uppercase(), &path.replace(['{', '}'], ""), None);
            sent.headers_mut().insert("content-type", kind.parse().unwrap());
            *sent.body_mut() = Body::new(Long(taken.clone()));
            // Each from elsewhere, so that no limit comes before.
            seen = seen.wrapping_add(1);
            sent.extensions_mut().insert(ConnectInfo(SocketAddr::from(([198, 51, 100, seen], 4711))));
            app.send(sent).await;
            let taken = taken.load(Ordering::Relaxed);
            assert!(taken <= LONGEST + PIECE, "{id} ({method} {path}) took {taken} bytes");
            read += usize::from(taken > 0);
        }
    }
    assert!(read > 10, "only {read} operations read what a stranger sends");
}
