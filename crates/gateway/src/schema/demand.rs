//! Requests of routes that name a document, held to it.

use std::{
    collections::{BTreeMap, HashMap},
    mem,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, RwLock},
    task::{Context, Poll},
};

use async_trait::async_trait;
use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use chancery_domain::Faults;
use chancery_middleware::{Code, Problem};
use http::{HeaderMap, header};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;

use super::Contract;
use crate::{Asked, Demand};

/// Holds requests to the documents that their routes name. They are put here when they are known: an application may start after us.
#[derive(Debug, Default)]
pub struct Schemas {
    contracts: RwLock<HashMap<String, Arc<Contract>>>,
    undocumented: Mutex<BTreeMap<String, u64>>,
}

impl Schemas {
    /// Puts a document to work, in the place of the one of the same name.
    pub fn put(&self, name: &str, contract: Contract) {
        let mut contracts = self.contracts.write().unwrap_or_else(PoisonError::into_inner);
        contracts.insert(name.to_owned(), Arc::new(contract));
    }

    /// The document of this name.
    pub fn contract(&self, name: &str) -> Option<Arc<Contract>> {
        self.contracts.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// How many requests no document names, by route.
    pub fn undocumented(&self) -> BTreeMap<String, u64> {
        self.undocumented.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Demand for Schemas {
    async fn asked(&self, asked: &mut Asked<'_>) -> Result<(), Problem> {
        let Some(name) = &asked.route.schema else { return Ok(()) };
        // It is not known what the application takes: nothing goes on unseen.
        let Some(contract) = self.contract(name) else { return Err(Code::DependencyUnavailable.into()) };
        let request = &mut *asked.request;
        let uri = request.uri().clone();
        let Some(operation) = contract.operation(request.method(), uri.path()) else {
            let mut seen = self.undocumented.lock().unwrap_or_else(PoisonError::into_inner);
            *seen.entry(asked.route.pattern.to_string()).or_default() += 1;
            return if contract.rules().refuse_undocumented { Err(Code::NotFound.into()) } else { Ok(()) };
        };
        let mut found = Faults::default();
        operation.check_target(uri.path(), uri.query().unwrap_or_default(), &mut found);
        if operation.has_body() {
            match may_be_json(request.headers()) {
                true => {
                    let body = whole(request.body_mut(), contract.rules().body_bytes).await?;
                    operation.check_body(&body, &mut found);
                }
                false if operation.takes_only_json() && !request.body().is_end_stream() => {
                    return Err(Code::MediaType.into());
                }
                false => {}
            }
        }
        if found.0.is_empty() { Ok(()) } else { Err(Problem::invalid(found)) }
    }
}

/// Whether the application would read the body as JSON. Many do so where nothing is said.
fn may_be_json(headers: &HeaderMap) -> bool {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return false;
    }
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return true };
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.ends_with("+json")
}

/// Reads a body and puts it back, as much of it as was read if it is longer than `most`.
async fn whole(body: &mut Body, most: usize) -> Result<Bytes, Problem> {
    let mut read = BytesMut::new();
    loop {
        match body.frame().await {
            None => break,
            Some(Ok(frame)) => {
                let Ok(piece) = frame.into_data() else { continue };
                read.extend_from_slice(&piece);
            }
            Some(Err(_)) => return Err(Problem::new(Code::RequestMalformed).detail("the body did not arrive")),
        }
        if read.len() > most {
            let rest = mem::take(body);
            *body = Body::new(Prefixed { first: Some(read.freeze()), rest });
            return Err(Code::TooLarge.into());
        }
    }
    let read = read.freeze();
    *body = Body::from(read.clone());
    Ok(read)
}

/// What was read of a body, and the rest.
struct Prefixed {
    first: Option<Bytes>,
    rest: Body,
}

impl HttpBody for Prefixed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().map_or(0, |first| first.len() as u64);
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(first));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(first));
        }
        hint
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_read_as_json_is_looked_at() {
        let of = |pairs: &[(header::HeaderName, &'static str)]| {
            may_be_json(&pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect())
        };
        assert!(of(&[]));
        for kind in ["application/json", "Application/JSON; charset=utf-8", "application/geo+json"] {
            assert!(of(&[(header::CONTENT_TYPE, kind)]), "{kind}");
        }
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
            assert!(!of(&[(header::CONTENT_TYPE, kind)]), "{kind}");
        }
        assert!(!of(&[(header::CONTENT_ENCODING, "gzip"), (header::CONTENT_TYPE, "application/json")]));
    }

    #[tokio::test]
    async fn a_body_is_whole_again_after_it_was_looked_at() {
        let mut body = Body::from("12345678");
        assert_eq!(whole(&mut body, 8).await.unwrap(), "12345678");
        assert_eq!(body.size_hint().exact(), Some(8));
        assert!(whole(&mut body, 7).await.is_err_and(|problem| problem.code() == Code::TooLarge));
        assert_eq!(body.size_hint().exact(), Some(8));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "12345678");
    }
}
