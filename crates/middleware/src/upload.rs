//! Bodies that are taken piece by piece, however long they are.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{FromRequest, Request},
};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::BodyExt;

use crate::{Code, Exchange, Problem, body::lost};

/// A body of bytes on its way in. Routes that take it are named in [`crate::Limits::own_bounds`].
pub struct Upload {
    /// The request that it came with.
    pub exchange: Arc<Exchange>,
    /// Its headers.
    pub headers: HeaderMap,
    body: Body,
    patience: Duration,
    announced: Option<u64>,
    left: Option<u64>,
}

impl Upload {
    /// Its length, if the client said it.
    pub const fn announced(&self) -> Option<u64> {
        self.announced
    }

    /// The next piece; `None` at the end. Waits for each piece as long as for a whole response.
    ///
    /// # Errors
    ///
    /// [`Problem`] if the client stops sending, or sends another length than it said.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let frame = tokio::time::timeout(self.patience, self.body.frame());
            let Some(frame) = frame.await.map_err(|_| Problem::new(Code::Timeout))? else {
                return if self.left.is_none_or(|left| left == 0) { Ok(None) } else { Err(lost()) };
            };
            // Trailers say nothing to us.
            let Ok(bytes) = frame.map_err(|_| lost())?.into_data() else { continue };
            if let Some(left) = &mut self.left {
                *left = left.checked_sub(bytes.len() as u64).ok_or_else(lost)?;
            }
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let exchange = Exchange::of(&parts)?;
        let patience = exchange.body_limit().time;
        check_media_type(&parts.headers)?;
        let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        Ok(Self { exchange, headers: parts.headers, body, patience, announced, left: announced })
    }
}

/// Bytes, or nothing said.
fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let plain = types.next().is_none_or(|value| value.as_bytes().eq_ignore_ascii_case(b"application/octet-stream"));
    if plain && types.next().is_none() && !headers.contains_key(header::CONTENT_ENCODING) {
        return Ok(());
    }
    Err(Problem::new(Code::MediaType).detail("the body must be application/octet-stream, not compressed"))
}
