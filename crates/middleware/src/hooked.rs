//! A message of a stranger, as it came: every header, the query in order, the body to the byte.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::HeaderMap;

use crate::{Exchange, Problem, body::collected};

/// A request whose sender signs the bytes that it sends, with a body of at most `MAX`.
pub struct Hooked<const MAX: usize> {
    /// The request.
    pub exchange: Arc<Exchange>,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its query, in order; a name may come twice.
    pub query: Vec<(String, String)>,
    /// Its body.
    pub body: Bytes,
}

impl<const MAX: usize> Hooked<MAX> {
    /// The headers as a verifier reads them.
    pub fn pairs(&self) -> Vec<(&str, &[u8])> {
        pairs(&self.headers)
    }
}

/// Names, in lower case, and values in order.
pub(crate) fn pairs(headers: &HeaderMap) -> Vec<(&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}

impl<S: Send + Sync, const MAX: usize> FromRequest<S> for Hooked<MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let query = request.uri().query().unwrap_or_default().as_bytes();
        let query = form_urlencoded::parse(query).into_owned().collect();
        let (exchange, headers, body) = collected(request, MAX).await?;
        Ok(Self { exchange, headers, query, body })
    }
}
