//! Requests and answers of the API, with errors that say what to do.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, bail};
use chancery_crypto::Secret;
use reqwest::{
    Certificate, Method, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderValue},
    redirect,
};
use serde_json::Value;

/// For a whole request; drawing an RSA key takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// For a request with many lines, each of which is a thing to make.
const PATIENCE_WITH_LINES: Duration = Duration::from_secs(120);
/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(10);

/// A server, and the credential of the caller. Never prints the credential.
pub(crate) struct Api {
    http: reqwest::Client,
    base: Url,
    key: HeaderValue,
}

impl Api {
    /// Speaks to `url` with this API key or access token.
    pub(super) fn new(url: &str, key: &Secret<String>, ca_file: Option<&Path>) -> Result<Self> {
        let base: Url =
            url.parse().with_context(|| format!("`{url}` is no URL; use one such as https://chancery.example"))?;
        match (base.scheme(), is_here(&base)) {
            ("https", _) | ("http", true) => {}
            ("http", false) => {
                bail!("{base} is another machine and not https: the credential would travel in the clear")
            }
            _ => bail!("`{url}` is no http or https URL"),
        }
        // Nobody between takes or redirects a credential.
        let mut builder = reqwest::Client::builder().connect_timeout(CONNECT).redirect(redirect::Policy::none());
        if is_here(&base) {
            builder = builder.no_proxy();
        }
        if let Some(path) = ca_file {
            let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let authorities = Certificate::from_pem_bundle(&pem)
                .ok()
                .filter(|found| !found.is_empty())
                .with_context(|| format!("{} holds no certificates in PEM", path.display()))?;
            builder = builder.tls_certs_only(authorities);
        }
        let mut key = HeaderValue::from_str(&format!("Bearer {}", key.expose()))
            .ok()
            .context("the credential has characters that no credential has")?;
        key.set_sensitive(true);
        Ok(Self { http: builder.build().context("cannot make an HTTP client")?, base, key })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(Method::PATCH, path, Some(body)).await
    }

    /// A request with the credential, for bodies of any length that take as long as they take.
    ///
    /// # Errors
    ///
    /// If `path` is none.
    pub(crate) fn request(&self, method: Method, path: &str) -> Result<reqwest::RequestBuilder> {
        let url = self.base.join(path).with_context(|| format!("cannot make a URL of {path}"))?;
        Ok(self.http.request(method, url).header("authorization", self.key.clone()))
    }

    /// Sends a request; an answer that is no success is an error with the server's own words.
    ///
    /// # Errors
    ///
    /// With what the server said, or that it did not answer.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let (status, bytes) = self.exchange(method, path, body).await?;
        if status.is_success() {
            return serde_json::from_slice(&bytes).context("the answer is not JSON; is --url a Chancery?");
        }
        let problem: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        bail!("{}", explain(status.as_u16(), &problem))
    }

    /// Posts JSON objects, one on each line; otherwise as [`Self::send`].
    ///
    /// # Errors
    ///
    /// As [`Self::send`].
    pub(crate) async fn send_lines(&self, path: &str, lines: &[String]) -> Result<Value> {
        let request = self.request(Method::POST, path)?.timeout(PATIENCE_WITH_LINES);
        let request = request.header(CONTENT_TYPE, "application/x-ndjson").body(lines.join("\n"));
        let response = request.send().await.context("no answer; is the server running, and is --url right?")?;
        let (status, bytes) = (response.status(), response.bytes().await.context("the answer broke off")?);
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() { Ok(answer) } else { bail!("{}", explain(status.as_u16(), &answer)) }
    }

    /// Sends a request; whatever the server answers, for callers that go on after a refusal.
    ///
    /// # Errors
    ///
    /// If it did not answer.
    pub(crate) async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Vec<u8>)> {
        let mut request = self.request(method, path)?.timeout(PATIENCE);
        if let Some(body) = body {
            request = request.json(body);
        }
        let unreachable = || format!("no answer from {}; is the server running, and is --url right?", self.base);
        let response = request.send().await.with_context(unreachable)?;
        let status = response.status();
        let bytes = response.bytes().await.with_context(unreachable)?;
        Ok((status, bytes.to_vec()))
    }
}

/// Whether the address is this machine.
fn is_here(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

/// A refusal for people: title, detail, a line per bad field, and what to do where that is known.
pub(crate) fn explain(status: u16, problem: &Value) -> String {
    let part = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or_default();
    let (title, detail, code) = (part("title"), part("detail"), part("code"));
    if title.is_empty() {
        return format!("the server answered {status} without a reason; is --url a Chancery?");
    }
    let mut text = if detail.is_empty() || detail == title { title.to_owned() } else { format!("{title}: {detail}") };
    text.push_str(&format!(" ({status} {code})"));
    for fault in problem.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let of = |name: &str| fault.get(name).and_then(Value::as_str).unwrap_or_default();
        text.push_str(&format!("\n  {}  {}", of("pointer"), of("message")));
    }
    if status == 401 {
        text.push_str("\n  check the credential in --api-key-file or CHANCERY_API_KEY");
    }
    text
}

/// The text at `name`.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value.get(name).and_then(Value::as_str).with_context(|| format!("the answer has no text `{name}`"))
}

/// The list at `name`.
pub(crate) fn list<'a>(value: &'a Value, name: &str) -> Result<&'a [Value]> {
    let list = value.get(name).and_then(Value::as_array).map(Vec::as_slice);
    list.with_context(|| format!("the answer has no list `{name}`"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_credential_travels_over_https_or_stays_here() {
        let open = |url: &str| Api::new(url, &Secret::new("chy_x".to_owned()), None).is_ok();
        for good in ["https://chancery.example", "http://127.0.0.1:8700", "http://localhost:1/", "http://[::1]:8700"] {
            assert!(open(good), "{good}");
        }
        for bad in ["http://10.0.0.1", "http://localhost.evil.example", "ftp://127.0.0.1", "chancery", ""] {
            assert!(!open(bad), "{bad}");
        }
        assert!(Api::new("https://x.example", &Secret::new("a\nb".to_owned()), None).is_err());
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let problem = json!({"title": "The request is not valid", "detail": "The request is not valid",
            "code": "request.invalid", "errors": [{"pointer": "/name", "code": "length", "message": "use 1 to 255"}]});
        assert_eq!(explain(422, &problem), "The request is not valid (422 request.invalid)\n  /name  use 1 to 255");
        assert!(explain(502, &Value::Null).contains("--url"));
        let problem = json!({"title": "The credential is not valid", "code": "auth.credential_invalid"});
        assert!(explain(401, &problem).contains("--api-key-file"));
    }
}
