//! Asks a witness over HTTP.

use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use chancery_domain::audit::guard::{Answered, WitnessError, WitnessPort};
use http::{HeaderMap, HeaderValue, Method, header::CONTENT_TYPE};

use crate::guarded::{Answer, Fault, Guarded, Reach};

/// From the first packet to the last: a witness that is slow holds up the others.
const PATIENCE: Duration = Duration::from_secs(5);
/// Signature lines are a few hundred bytes.
const ANSWER_MAX: usize = 16 * 1024;

/// The way to one witness.
#[derive(Debug)]
pub struct HttpWitness {
    client: Guarded,
    url: String,
}

impl HttpWitness {
    /// `prefix` is what comes before `/add-checkpoint`.
    ///
    /// # Errors
    ///
    /// If there can be no HTTP client.
    pub fn new(prefix: &str) -> Result<Self> {
        let reach = Reach::of_operator(prefix, None, Vec::new());
        let client = Guarded::new(&reach, PATIENCE, PATIENCE).context("witnesses")?;
        Ok(Self { client, url: format!("{prefix}/add-checkpoint") })
    }
}

#[async_trait]
impl WitnessPort for HttpWitness {
    async fn add_checkpoint(&self, body: &str) -> Result<Answered, WitnessError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        let asked = self.client.ask(Method::POST, &self.url, headers, body.as_bytes().to_vec(), ANSWER_MAX);
        let Answer { status, headers, body } = asked.await.map_err(|fault| match fault {
            Fault::TooLong(_) => WitnessError::Unusable,
            Fault::Refused(_) | Fault::Unreachable | Fault::Timeout => WitnessError::Unreachable,
        })?;
        let text = String::from_utf8(body).map_err(|_| WitnessError::Unusable)?;
        match status {
            200 => Ok(Answered::Cosigned(text)),
            409 if says_a_size(&headers) => {
                text.trim_end().parse().map(Answered::SawLast).map_err(|_| WitnessError::Unusable)
            }
            status => Err(WitnessError::Refused(status)),
        }
    }
}

fn says_a_size(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/x.tlog.size"))
}
