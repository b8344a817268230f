//! What the providers over REST share: one careful client.

use std::{path::PathBuf, time::Duration};

use chancery_domain::keyring::ProviderError;
use reqwest::{Certificate, Method, Url, redirect};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::envelope::unavailable;

#[cfg(any(feature = "azure", feature = "google"))]
mod metadata;
mod token;

#[cfg(any(feature = "azure", feature = "google"))]
pub use metadata::MetadataServer;
#[cfg(any(feature = "azure", feature = "google"))]
pub(crate) use metadata::Tokens;
pub use token::{Token, TokenFile, TokenSource};

/// No answer that we ask for is longer.
const ANSWER_MAX: usize = 64 * 1024;

/// How a provider over REST is reached.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// For the whole call, from the first packet to the last.
    pub timeout: Duration,
    /// A PEM file with the only authorities to trust; the system's when it is not set.
    pub ca_file: Option<PathBuf>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5), ca_file: None }
    }
}

/// A client that follows no redirect, waits no longer than told and reads no more than [`ANSWER_MAX`].
pub(crate) struct Client(reqwest::Client);

/// An answer, whatever its status.
pub(crate) struct Answer {
    pub(crate) status: u16,
    body: Zeroizing<Vec<u8>>,
}

impl Client {
    pub(crate) fn new(settings: &HttpSettings) -> Result<Self, ProviderError> {
        Self::build(settings, reqwest::Client::builder())
    }

    /// As [`Self::new`], past any proxy.
    #[cfg(any(feature = "azure", feature = "google", feature = "s3"))]
    pub(crate) fn direct(settings: &HttpSettings) -> Result<Self, ProviderError> {
        Self::build(settings, reqwest::Client::builder().no_proxy())
    }

    /// For bodies that are no JSON; whoever asks bounds the answer.
    #[cfg(feature = "s3")]
    pub(crate) fn raw(&self) -> &reqwest::Client {
        &self.0
    }

    fn build(settings: &HttpSettings, builder: reqwest::ClientBuilder) -> Result<Self, ProviderError> {
        let mut builder = builder
            .redirect(redirect::Policy::none())
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout)
            .user_agent(concat!("chancery/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &settings.ca_file {
            let wrong = |why: String| ProviderError::Misconfigured(format!("cannot use {}: {why}", path.display()));
            let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
            let authorities = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))?;
            if authorities.is_empty() {
                return Err(wrong("it holds no certificate".to_owned()));
            }
            builder = builder.tls_certs_only(authorities);
        }
        builder.build().map(Self).map_err(|error| ProviderError::Misconfigured(error.to_string()))
    }

    /// Sends a request with these headers, `body` as JSON, and reads the answer.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: Url,
        headers: &[(&'static str, &str)],
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Answer, ProviderError> {
        let mut request = self.0.request(method, url);
        for (name, value) in headers {
            let mut value = reqwest::header::HeaderValue::from_str(value)
                .map_err(|_| ProviderError::Misconfigured(format!("the value of {name} is no header value")))?;
            value.set_sensitive(true);
            request = request.header(*name, value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        // An address may hold a name that is nobody's business in a log.
        let mut response = request.send().await.map_err(|error| unavailable(error.without_url()))?;
        let status = response.status().as_u16();
        let mut body = Zeroizing::new(Vec::with_capacity(ANSWER_MAX));
        while let Some(chunk) = response.chunk().await.map_err(|error| unavailable(error.without_url()))? {
            if body.len() + chunk.len() > ANSWER_MAX {
                return Err(unavailable("the key provider's answer is too long"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body })
    }
}

impl Answer {
    /// The body of an answer that says it worked.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ProviderError> {
        // What serde says of a wrong body can repeat it.
        serde_json::from_slice(&self.body).map_err(|_| unavailable("the key provider's answer is not as documented"))
    }

    /// The body as text.
    #[cfg(feature = "vault")]
    pub(crate) fn text(&self) -> Result<chancery_crypto::Secret<String>, ProviderError> {
        let text = std::str::from_utf8(&self.body).map_err(|_| unavailable("the answer is no text"))?;
        Ok(chancery_crypto::Secret::new(text.to_owned()))
    }

    /// The body of an answer that says why not; providers in front of providers answer in other ways.
    pub(crate) fn fault<T: DeserializeOwned + Default>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// What every provider means by these: `None` leaves the status to it.
    pub(crate) fn common_fault(&self, who: &str) -> Option<ProviderError> {
        match self.status {
            200..=299 => None,
            408 | 425 | 429 | 500..=599 => Some(unavailable(format!("{who} answered {}", self.status))),
            300..=399 => Some(ProviderError::Misconfigured(format!(
                "{who} answered {} and no redirect is followed; set the address that it redirects to",
                self.status
            ))),
            _ => None,
        }
    }
}

/// An address that may carry keys: HTTPS, or plain HTTP on this machine.
pub(crate) fn address(text: &str) -> Result<Url, ProviderError> {
    let wrong = |why: &str| ProviderError::Misconfigured(format!("`{text}` is no address of a key provider: {why}"));
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it has more than scheme, host, port and path"));
    }
    let here = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    match url.scheme() {
        "https" => Ok(url),
        "http" if here => Ok(url),
        _ => Err(wrong("it must begin with https://")),
    }
}

/// `base` and these path segments; each is percent-encoded, so no name can reach another path.
pub(crate) fn path(base: &Url, segments: &[&str]) -> Result<Url, ProviderError> {
    let mut url = base.clone();
    url.path_segments_mut()
        .map_err(|()| ProviderError::Misconfigured(format!("`{base}` has no path")))?
        .pop_if_empty()
        .extend(segments);
    Ok(url)
}

/// A name that is one path segment and nothing else.
pub(crate) fn name(what: &str, text: &str) -> Result<(), ProviderError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if (1..=255).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('.') {
        return Ok(());
    }
    Err(ProviderError::Misconfigured(format!(
        "{what} `{text}` has other characters than letters, digits, `-`, `_`, `.`"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_travel_encrypted_or_stay_on_this_machine() {
        for good in
            ["https://vault.example:8200", "http://127.0.0.1:8200/base/", "http://[::1]:1", "http://localhost:1"]
        {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in [
            "http://vault.example",
            "http://127.0.0.1.example",
            "ftp://127.0.0.1",
            "https://user:pw@vault.example",
            "https://vault.example/?a=b",
            "vault.example",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_reaches_no_other_path() {
        let base = address("https://vault.example/base/").unwrap();
        assert_eq!(path(&base, &["v1", "a/../b"]).unwrap().as_str(), "https://vault.example/base/v1/a%2F..%2Fb");
        for bad in ["", "..", "a/b", "a b", "ä", &"x".repeat(256)] {
            assert!(name("key", bad).is_err(), "{bad}");
        }
        assert!(name("key", "chancery-root_1.a").is_ok());
    }
}
