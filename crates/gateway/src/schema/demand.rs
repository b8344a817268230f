//! Requests of routes that name a document, held to it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use async_trait::async_trait;
use axum::body::HttpBody as _;
use chancery_domain::Faults;
use chancery_middleware::{Code, Problem};
use http::{HeaderMap, header};

use super::Contract;
use crate::{Asked, Demand, body::whole, media};

/// Holds requests to the documents that their routes name. They are put here when they are known: an application may start after us.
#[derive(Debug, Default)]
pub struct Schemas {
    contracts: RwLock<HashMap<String, Arc<Contract>>>,
    undocumented: Mutex<BTreeMap<&'static str, u64>>,
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

    /// How many requests came that the document of their route does not name, by the template of its path.
    pub fn undocumented(&self) -> BTreeMap<&'static str, u64> {
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
        // Some applications read `post` as `POST`; no client writes it.
        if !request.method().as_str().bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
            return Err(Code::MethodNotAllowed.into());
        }
        let uri = request.uri().clone();
        let operation = contract.operation(request.method(), uri.path());
        let operation = operation.map_err(|why| Problem::new(Code::PathAmbiguous).detail(why.to_string()))?;
        let Some(operation) = operation else {
            let mut seen = self.undocumented.lock().unwrap_or_else(PoisonError::into_inner);
            *seen.entry(asked.route.template.as_str()).or_default() += 1;
            return if contract.rules().refuse_undocumented { Err(Code::NotFound.into()) } else { Ok(()) };
        };
        let mut found = Faults::default();
        operation.check_target(uri.path(), uri.query().unwrap_or_default(), &mut found);
        if operation.has_body() {
            match read_as(request.headers()) {
                Kind::Json => {
                    let client = asked.exchange.info().address;
                    let body = whole(request.body_mut(), contract.rules().body_bytes, client).await?;
                    operation.check_body(&body, &mut found);
                }
                _ if request.body().is_end_stream() => {}
                Kind::Unclear => return Err(Code::MediaType.into()),
                Kind::Other if operation.takes_only_json() => return Err(Code::MediaType.into()),
                Kind::Other => {}
            }
        }
        if found.0.is_empty() { Ok(()) } else { Err(Problem::invalid(found)) }
    }
}

/// As what an application reads a body.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// As JSON. Many do so where nothing is said.
    Json,
    Other,
    /// Packed, in another alphabet, or of a kind that is more than ASCII: one application reads it as JSON, another as something else or
    /// as other JSON.
    Unclear,
}

fn read_as(headers: &HeaderMap) -> Kind {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Kind::Unclear;
    }
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return Kind::Json };
    let Ok(kind) = kind.to_str() else { return Kind::Unclear };
    let (kind, parameters) = kind.split_once(';').unwrap_or((kind, ""));
    if !media::is_json(kind) {
        Kind::Other
    } else if media::is_in_utf_8(parameters) {
        Kind::Json
    } else {
        Kind::Unclear
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_may_be_read_as_json_is_looked_at() {
        let of = |pairs: &[(header::HeaderName, &'static str)]| {
            let valued = |text: &str| HeaderValue::from_bytes(text.as_bytes()).unwrap();
            read_as(&pairs.iter().map(|(name, text)| (name.clone(), valued(text))).collect())
        };
        assert_eq!(of(&[]), Kind::Json);
        for kind in ["application/json", "Application/JSON; charset=utf-8", "application/geo+json"] {
            assert_eq!(of(&[(header::CONTENT_TYPE, kind)]), Kind::Json, "{kind}");
        }
        // ASP.NET and Rails read these as JSON.
        for kind in ["text/json", "Text/JSON; charset=utf-8", "text/x-json", "application/x-json"] {
            assert_eq!(of(&[(header::CONTENT_TYPE, kind)]), Kind::Json, "{kind}");
        }
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
            assert_eq!(of(&[(header::CONTENT_TYPE, kind)]), Kind::Other, "{kind}");
        }
        // To Express, `{"a": "+ACI-"}` in UTF-7 is other JSON than ours.
        for kind in ["application/json; charset=utf-7", "text/json;Charset=\"UTF-7-IMAP\"", "a/b+json; charset=latin1"]
        {
            assert_eq!(of(&[(header::CONTENT_TYPE, kind)]), Kind::Unclear, "{kind}");
        }
        assert_eq!(of(&[(header::CONTENT_TYPE, "application/json; profile=\"http://a,b\"")]), Kind::Json);
        assert_eq!(of(&[(header::CONTENT_TYPE, "text/plain; charset=latin1")]), Kind::Other);
        // Latin-1 to frameworks of Python.
        assert_eq!(of(&[(header::CONTENT_TYPE, "application/json; x=\u{ff}")]), Kind::Unclear);
        for packed in ["gzip", "identity", ""] {
            let kind = of(&[(header::CONTENT_ENCODING, packed), (header::CONTENT_TYPE, "application/json")]);
            assert_eq!(kind, Kind::Unclear, "{packed}");
        }
    }
}
