//! Fetches documents of identity providers: a tenant names the address, so the guarded client asks.

use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use chancery_domain::identity_providers::{Document, DocumentFetcher, FetchError, MAX_DOCUMENT_BYTES};
use reqwest::{
    Method, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue},
};

use crate::{
    config::Issuers,
    guarded::{Fault, Guarded},
};

/// From the first packet to the last.
const PATIENCE: Duration = Duration::from_secs(5);
/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(3);

/// Asks over HTTPS for JSON.
#[derive(Debug)]
pub struct IssuerDocuments(Guarded);

impl IssuerDocuments {
    /// As configured.
    ///
    /// # Errors
    ///
    /// If the file with authorities cannot be used.
    pub fn new(settings: &Issuers) -> Result<Self> {
        Guarded::new(settings, CONNECT, PATIENCE).map(Self).context("issuers")
    }
}

#[async_trait]
impl DocumentFetcher for IssuerDocuments {
    async fn fetch(&self, url: &str) -> Result<Document, FetchError> {
        let accept = HeaderValue::from_static("application/json, application/jwk-set+json");
        let headers = HeaderMap::from_iter([(ACCEPT, accept)]);
        let answer = self.0.ask(Method::GET, url, headers, Vec::new(), MAX_DOCUMENT_BYTES).await;
        let answer = answer.map_err(|fault| match fault {
            Fault::Refused(why) => FetchError::Refused(why),
            Fault::TooLong(_) => FetchError::TooLong,
            Fault::Unreachable | Fault::Timeout => FetchError::Unreachable,
        })?;
        if answer.status != StatusCode::OK.as_u16() {
            return Err(FetchError::Status(answer.status));
        }
        if !is_json(&answer.headers) {
            return Err(FetchError::MediaType);
        }
        Ok(Document { max_age: max_age(&answer.headers), body: answer.body })
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// For how long the document may be kept (RFC 9111 §5.2.2.1); nothing if it may not be.
fn max_age(headers: &HeaderMap) -> Option<u32> {
    let directives: Vec<String> = headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|directive| directive.trim().to_ascii_lowercase())
        .collect();
    if directives.iter().any(|directive| directive == "no-store" || directive == "no-cache") {
        return Some(0);
    }
    directives.iter().find_map(|directive| directive.strip_prefix("max-age=")?.trim_matches('"').parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_and_lifetimes_are_read() {
        let headers = |name, value: &'static str| HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/jwk-set+json"] {
            assert!(is_json(&headers(CONTENT_TYPE, good)), "{good}");
        }
        for bad in ["text/html", "text/json", "application/octet-stream", "application/jsonp", ""] {
            assert!(!is_json(&headers(CONTENT_TYPE, bad)), "{bad}");
        }
        assert!(!is_json(&HeaderMap::new()));
        for (value, age) in [
            ("public, max-age=300", Some(300)),
            ("Max-Age=\"60\"", Some(60)),
            ("no-store", Some(0)),
            ("max-age=600, no-cache", Some(0)),
            ("max-age=-1", None),
            ("max-age=99999999999", None),
            ("s-maxage=5", None),
        ] {
            assert_eq!(max_age(&headers(CACHE_CONTROL, value)), age, "{value}");
        }
    }
}
