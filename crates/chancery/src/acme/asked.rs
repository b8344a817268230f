//! The authority is asked by the one guarded client.

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

use crate::guarded::Guarded;

/// The longest answer: a chain of certificates is a few kilobytes.
const MAX_BYTES: usize = 256 * 1024;

/// The client, as the library wants it.
pub(super) struct Asked(pub(super) Arc<Guarded>);

impl HttpClient for Asked {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = Arc::clone(&self.0);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let Ok(body) = body.collect().await;
            let url = parts.uri.to_string();
            let asked = client.ask(parts.method, &url, parts.headers, body.to_bytes().to_vec(), MAX_BYTES);
            let answer = asked.await.map_err(|fault| Error::Other(fault.into()))?;
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::from_u16(answer.status).map_err(|_| Error::Str("status"))?;
            *response.headers_mut() = answer.headers;
            let (parts, ()) = response.into_parts();
            Ok(BytesResponse { parts, body: Box::new(Bytes::from(answer.body)) })
        })
    }
}
