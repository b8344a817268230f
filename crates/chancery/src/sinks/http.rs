//! Requests to receivers over HTTPS.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use chancery_crypto::Secret;
use chancery_domain::audit::sinks::SendError;
use chancery_kms::private_file;
use reqwest::{Certificate, StatusCode, header::HeaderValue, redirect};
use serde_json::Value;

use crate::config::HttpPlace;

/// For a whole request.
const PATIENCE: Duration = Duration::from_secs(20);
/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(5);
/// How much of an answer is read.
const MAX_ANSWER: usize = 4 << 20;
/// The longest token.
const MAX_TOKEN: usize = 8_192;

/// A receiver's address, and how it is asked.
pub(super) struct Http {
    client: reqwest::Client,
    url: String,
    token_file: Option<PathBuf>,
}

impl Http {
    pub(super) fn new(place: &HttpPlace) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .referer(false)
            .timeout(PATIENCE)
            .connect_timeout(CONNECT)
            .user_agent(concat!("chancery/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &place.ca_file {
            let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let authorities = Certificate::from_pem_bundle(&pem)
                .ok()
                .filter(|found| !found.is_empty())
                .with_context(|| format!("{} holds no certificates in PEM", path.display()))?;
            builder = builder.tls_certs_only(authorities);
        }
        // What is on this machine is asked straight.
        if place
            .url
            .parse::<reqwest::Url>()
            .is_ok_and(|url| matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")))
        {
            builder = builder.no_proxy();
        }
        let client = builder.build().context("cannot make an HTTP client")?;
        let url = place.url.trim_end_matches('/').to_owned();
        Ok(Self { client, url, token_file: place.token_file.clone() })
    }

    /// Posts to the address and `tail`; `scheme` is how the token is shown, such as `Bearer`. The answer's status and JSON, if it is
    /// one that tells of this batch.
    pub(super) async fn post(
        &self,
        tail: &str,
        scheme: &str,
        media_type: &'static str,
        extra: Option<(&'static str, &str)>,
        body: String,
    ) -> Result<(StatusCode, Value), SendError> {
        let mut request = self.client.post(format!("{}{tail}", self.url)).header("content-type", media_type).body(body);
        if let Some(authorization) = self.authorization(scheme)? {
            request = request.header("authorization", authorization);
        }
        if let Some((name, value)) = extra {
            request = request.header(name, value);
        }
        let mut response = request.send().await.map_err(|error| away(&error))?;
        let status = response.status();
        if let Some(error) = not_ready(status) {
            return Err(error);
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| away(&error))? {
            if bytes.len() + chunk.len() > MAX_ANSWER {
                return Err(SendError::Away("http.answer_too_long".to_owned()));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    /// Read for each request: a new token counts from the next one on.
    fn authorization(&self, scheme: &str) -> Result<Option<HeaderValue>, SendError> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let unreadable = || SendError::Away("token_file".to_owned());
        let bytes = private_file::read(path, MAX_TOKEN).map_err(|_| unreadable())?;
        let text = std::str::from_utf8(&bytes).map_err(|_| unreadable())?;
        let shown = Secret::new(format!("{scheme} {}", text.trim()));
        let mut value = HeaderValue::from_str(shown.expose()).map_err(|_| unreadable())?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

fn away(error: &reqwest::Error) -> SendError {
    let code = if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "connect"
    } else {
        "http"
    };
    SendError::Away(code.to_owned())
}

/// What is said by whoever is not ready, or does not let us in: it tells nothing of this batch.
fn not_ready(status: StatusCode) -> Option<SendError> {
    let code = status.as_u16();
    let away = status.is_server_error() || status.is_redirection() || matches!(code, 401 | 403 | 404 | 408 | 425 | 429);
    away.then(|| SendError::Away(format!("http.{code}")))
}

/// `Ok` for a success; whatever else tells of this batch is a refusal.
pub(super) fn accepted(status: StatusCode) -> Result<(), SendError> {
    if status.is_success() { Ok(()) } else { Err(SendError::Refused(format!("http.{}", status.as_u16()))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_ready_is_asked_again_and_who_refuses_a_batch_is_not() {
        for code in [500, 502, 503, 429, 401, 403, 404, 302] {
            let status = StatusCode::from_u16(code).unwrap();
            assert_eq!(not_ready(status), Some(SendError::Away(format!("http.{code}"))), "{code}");
        }
        for code in [400, 409, 413, 422] {
            let status = StatusCode::from_u16(code).unwrap();
            assert_eq!(not_ready(status), None, "{code}");
            assert_eq!(accepted(status), Err(SendError::Refused(format!("http.{code}"))), "{code}");
        }
        assert_eq!(accepted(StatusCode::CREATED), Ok(()));
    }
}
