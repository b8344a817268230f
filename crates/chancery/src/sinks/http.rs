//! Requests to receivers over HTTPS.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use chancery_crypto::Secret;
use chancery_domain::audit::sinks::SendError;
use chancery_kms::private_file;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::Value;

use crate::{
    config::HttpPlace,
    guarded::{Fault, Guarded, Reach},
};

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
    client: Guarded,
    url: String,
    token_file: Option<PathBuf>,
}

impl Http {
    pub(super) fn new(place: &HttpPlace) -> Result<Self> {
        let reach = Reach::of_operator(&place.url, place.ca_file.clone(), place.pins.clone());
        let client = Guarded::new(&reach, CONNECT, PATIENCE)?;
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
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        if let Some(authorization) = self.authorization(scheme)? {
            headers.insert(header::AUTHORIZATION, authorization);
        }
        if let Some((name, value)) = extra {
            let value = HeaderValue::from_str(value).map_err(|_| SendError::Away("header".to_owned()))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        let url = format!("{}{tail}", self.url);
        let asked = self.client.ask(Method::POST, &url, headers, body.into_bytes(), MAX_ANSWER).await;
        let answer = asked.map_err(away)?;
        let status = StatusCode::from_u16(answer.status).map_err(|_| SendError::Away("http".to_owned()))?;
        match not_ready(status) {
            Some(error) => Err(error),
            None => Ok((status, serde_json::from_slice(&answer.body).unwrap_or_default())),
        }
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

fn away(fault: Fault) -> SendError {
    let code = match fault {
        Fault::Refused(_) => "address_refused",
        Fault::Unreachable => "connect",
        Fault::Timeout => "timeout",
        Fault::TooLong(_) => "http.answer_too_long",
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
