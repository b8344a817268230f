//! The port to an issuer's documents: its discovery document and its keys.

use async_trait::async_trait;
use serde::Deserialize;

use super::{Profile, key_sets::Source};
use crate::text::is_url;

/// The longest document that is read, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 256 * 1024;

/// A JSON document as it came.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its bytes: at most [`MAX_DOCUMENT_BYTES`].
    pub body: Vec<u8>,
    /// The `max-age` of its `Cache-Control`, in seconds.
    pub max_age: Option<u32>,
}

/// Why an issuer's document was not had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// It may not be asked for: not HTTPS, or a private address.
    #[error("may not be fetched: {0}")]
    Refused(&'static str),
    /// Nobody answered in time, or not over a connection to be trusted.
    #[error("no answer")]
    Unreachable,
    /// Another status than 200. Redirects are not followed.
    #[error("answered {0}")]
    Status(u16),
    /// Longer than 256 KiB.
    #[error("longer than 256 KiB")]
    TooLong,
    /// Not JSON by its media type.
    #[error("is not JSON by its media type")]
    MediaType,
    /// JSON that is not what it should be.
    #[error("is not as documented: {0}")]
    Malformed(&'static str),
    /// It is being asked, and too many wait for its answer.
    #[error("is being asked, and too many wait for its answer")]
    Busy,
}

/// Fetches documents of issuers. An adapter asks over HTTPS alone (HTTP in development), follows no redirect, connects to no
/// private address that was not allowed, reads at most [`MAX_DOCUMENT_BYTES`] and takes only JSON.
#[async_trait]
pub trait DocumentFetcher: Send + Sync {
    /// The document at `url`.
    async fn fetch(&self, url: &str) -> Result<Document, FetchError>;
}

/// Fetches nothing: for commands that authenticate nobody.
#[derive(Debug, Clone, Copy)]
pub struct NoDocuments;

#[async_trait]
impl DocumentFetcher for NoDocuments {
    async fn fetch(&self, _url: &str) -> Result<Document, FetchError> {
        Err(FetchError::Refused("this process fetches nothing"))
    }
}

/// What we read of a discovery document (OpenID Connect Discovery 1.0 §3). It says more.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// Where the keys of an issuer are, by its own discovery document.
pub(super) async fn discover(fetcher: &dyn DocumentFetcher, source: &Source) -> Result<String, FetchError> {
    // §4: the path is appended, whatever path the issuer has.
    let base = source.issuer.trim_end_matches('/');
    let document = fetcher.fetch(&format!("{base}/.well-known/openid-configuration")).await?;
    let metadata: Metadata = serde_json::from_slice(&document.body)
        .map_err(|_| FetchError::Malformed("a discovery document has issuer and jwks_uri"))?;
    // §4.3: or somebody else's document would name the keys.
    if metadata.issuer != source.issuer {
        return Err(FetchError::Malformed("the discovery document is another issuer's"));
    }
    if !is_url(&metadata.jwks_uri) {
        return Err(FetchError::Malformed("jwks_uri is no URL"));
    }
    if !may_hold_keys(source.profile, &source.issuer, &metadata.jwks_uri) {
        return Err(FetchError::Refused("jwks_uri is on another host than the issuer; set jwks_uri if it is right"));
    }
    Ok(metadata.jwks_uri)
}

/// Hosts of Microsoft's clouds, which keep each other's keys.
const ENTRA_HOSTS: [&str; 5] = [
    "https://login.microsoftonline.com",
    "https://login.microsoftonline.us",
    "https://login.partner.microsoftonline.cn",
    "https://login.windows.net",
    "https://sts.windows.net",
];

/// Whether keys named by discovery may be there: beside the issuer.
fn may_hold_keys(profile: Profile, issuer: &str, jwks_uri: &str) -> bool {
    let place = origin(jwks_uri);
    place == origin(issuer) || (profile == Profile::Entra && ENTRA_HOSTS.contains(&place.as_str()))
}

/// Scheme, host and port of a URL, in lower case.
pub(crate) fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    format!("{scheme}://{authority}").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_beside_their_issuer() {
        let good = |profile, issuer, uri| may_hold_keys(profile, issuer, uri);
        assert!(good(Profile::Oidc, "https://id.example/realms/a", "https://ID.example/keys"));
        assert!(good(Profile::Entra, "https://sts.windows.net/x/", "https://login.microsoftonline.com/x/keys"));
        for uri in [
            "https://evil.test/keys",
            "http://id.example/keys",
            "https://id.example:8443/keys",
            "https://id.example.evil.test/keys",
            "https://id.example@evil.test/keys",
            "https://evil.test/https://id.example",
            "https://login.microsoftonline.com/keys",
        ] {
            assert!(!good(Profile::Oidc, "https://id.example/realms/a", uri), "{uri}");
        }
    }
}
