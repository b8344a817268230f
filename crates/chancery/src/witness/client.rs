//! Asks a witness over HTTP.

use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use chancery_domain::audit::guard::{Answered, WitnessError, WitnessPort};
use reqwest::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderMap},
    redirect,
};

/// From the first packet to the last: a witness that is slow holds up the others.
const PATIENCE: Duration = Duration::from_secs(5);
/// Signature lines are a few hundred bytes.
const ANSWER_MAX: usize = 16 * 1024;

/// The way to one witness.
#[derive(Debug)]
pub struct HttpWitness {
    client: reqwest::Client,
    url: String,
}

impl HttpWitness {
    /// `prefix` is what comes before `/add-checkpoint`.
    ///
    /// # Errors
    ///
    /// If there can be no HTTP client.
    pub fn new(prefix: &str) -> Result<Self> {
        let client = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .referer(false)
            .timeout(PATIENCE)
            .user_agent(concat!("chancery/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("cannot make an HTTP client for witnesses")?;
        Ok(Self { client, url: format!("{prefix}/add-checkpoint") })
    }
}

#[async_trait]
impl WitnessPort for HttpWitness {
    async fn add_checkpoint(&self, body: &str) -> Result<Answered, WitnessError> {
        let asked = self.client.post(&self.url).header(CONTENT_TYPE, "text/plain; charset=utf-8").body(body.to_owned());
        let mut response = asked.send().await.map_err(|_| WitnessError::Unreachable)?;
        let status = response.status();
        let is_size = says_a_size(response.headers());
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| WitnessError::Unreachable)? {
            if answer.len() + chunk.len() > ANSWER_MAX {
                return Err(WitnessError::Unusable);
            }
            answer.extend_from_slice(&chunk);
        }
        let text = String::from_utf8(answer).map_err(|_| WitnessError::Unusable)?;
        match status {
            StatusCode::OK => Ok(Answered::Cosigned(text)),
            StatusCode::CONFLICT if is_size => {
                text.trim_end().parse().map(Answered::SawLast).map_err(|_| WitnessError::Unusable)
            }
            status => Err(WitnessError::Refused(status.as_u16())),
        }
    }
}

fn says_a_size(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/x.tlog.size"))
}
