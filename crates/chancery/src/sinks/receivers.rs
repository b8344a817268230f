//! Receivers over HTTPS: any that takes OCSF, Elasticsearch, Splunk.

use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use chancery_crypto::random::{self, SystemRandom};
use chancery_domain::audit::{
    formats,
    sinks::{Outgoing, SendError},
};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::{
    Receiver,
    http::{Http, accepted},
};

/// How often Splunk is asked whether its indexers have what was sent, and how long it is waited between.
const ASKED: u32 = 40;
const BETWEEN: Duration = Duration::from_millis(500);

/// Takes a JSON array of OCSF events, and says 2xx when it has them.
pub(super) struct Ocsf(pub(super) Http);

#[async_trait]
impl Receiver for Ocsf {
    async fn take(&self, events: &[Outgoing]) -> Result<(), SendError> {
        let body = Value::Array(events.iter().map(formats::ocsf).collect()).to_string();
        let (status, _) = self.0.post("", "Bearer", "application/json", None, body).await?;
        accepted(status)
    }
}

/// Takes lines at `/_bulk`.
pub(super) struct Elasticsearch {
    pub(super) http: Http,
    pub(super) index: String,
}

#[async_trait]
impl Receiver for Elasticsearch {
    async fn take(&self, events: &[Outgoing]) -> Result<(), SendError> {
        let body = formats::ecs_bulk(events, &self.index);
        let (status, answer) = self.http.post("/_bulk", "ApiKey", "application/x-ndjson", None, body).await?;
        accepted(status)?;
        bulk_answer(&answer, events.len())
    }
}

/// Whether every document is there: made now, or found to be there (409).
fn bulk_answer(answer: &Value, expected: usize) -> Result<(), SendError> {
    let items = answer.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if items.len() != expected {
        return Err(SendError::Away("bulk.answer".to_owned()));
    }
    let mut refused = None;
    for item in items {
        match item.pointer("/create/status").and_then(Value::as_u64) {
            Some(200 | 201 | 409) => {}
            Some(code @ (429 | 500..)) => return Err(SendError::Away(format!("bulk.{code}"))),
            code => refused = Some(SendError::Refused(format!("bulk.{}", code.unwrap_or_default()))),
        }
    }
    refused.map_or(Ok(()), Err)
}

/// Takes events at `/services/collector/event`.
pub(super) struct Splunk {
    http: Http,
    index: Option<String>,
    /// The channel whose acknowledgements are asked for, if they are.
    channel: Option<String>,
}

impl Splunk {
    pub(super) fn new(http: Http, index: Option<String>, acks: bool) -> Result<Self> {
        let channel = if acks { Some(channel()?) } else { None };
        Ok(Self { http, index, channel })
    }

    /// Asks until the indexers have what was sent.
    async fn wait(&self, channel: &str, id: u64) -> Result<(), SendError> {
        let tail = format!("/services/collector/ack?channel={channel}");
        for _ in 0..ASKED {
            let body = json!({"acks": [id]}).to_string();
            let (status, answer) = self.http.post(&tail, "Splunk", "application/json", None, body).await?;
            accepted(status)?;
            let done = answer.get("acks").and_then(|acks| acks.get(id.to_string())).and_then(Value::as_bool);
            if done == Some(true) {
                return Ok(());
            }
            tokio::time::sleep(BETWEEN).await;
        }
        Err(SendError::Away("ack.timeout".to_owned()))
    }
}

/// A channel of our own: a random UUID (version 4).
fn channel() -> Result<String> {
    let mut bytes: [u8; 16] = random::array(&SystemRandom).context("no randomness")?;
    let [_, _, _, _, _, _, seventh, _, ninth, ..] = &mut bytes;
    *seventh = (*seventh & 0x0f) | 0x40;
    *ninth = (*ninth & 0x3f) | 0x80;
    let hex = HEXLOWER.encode(&bytes);
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    Ok([part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-"))
}

#[async_trait]
impl Receiver for Splunk {
    async fn take(&self, events: &[Outgoing]) -> Result<(), SendError> {
        let body: String = events.iter().map(|event| formats::splunk(event, self.index.as_deref())).collect();
        let extra = self.channel.as_deref().map(|channel| ("x-splunk-request-channel", channel));
        let tail = "/services/collector/event";
        let (status, answer) = self.http.post(tail, "Splunk", "application/json", extra, body).await?;
        accepted(status)?;
        let Some(channel) = &self.channel else { return Ok(()) };
        let id = answer.get("ackId").and_then(Value::as_u64);
        let id = id.ok_or_else(|| SendError::Away("ack.off".to_owned()))?;
        self.wait(channel, id).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bulk_is_done_when_every_document_is_there() {
        let answer = |codes: &[u64]| {
            let items: Vec<Value> = codes.iter().map(|code| json!({"create": {"status": code}})).collect();
            bulk_answer(&json!({"errors": true, "items": items}), 3)
        };
        assert_eq!(answer(&[201, 409, 201]), Ok(()));
        assert_eq!(answer(&[201, 400, 201]), Err(SendError::Refused("bulk.400".to_owned())));
        assert_eq!(answer(&[400, 429, 201]), Err(SendError::Away("bulk.429".to_owned())), "the rest may go later");
        assert_eq!(answer(&[201, 503, 201]), Err(SendError::Away("bulk.503".to_owned())));
        assert_eq!(answer(&[201, 201]), Err(SendError::Away("bulk.answer".to_owned())));
        assert_eq!(bulk_answer(&Value::Null, 1), Err(SendError::Away("bulk.answer".to_owned())));
    }

    #[test]
    fn a_channel_is_a_uuid() {
        let one = channel().unwrap();
        assert_eq!(one.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!(matches!(one.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{one}");
        assert_ne!(one, channel().unwrap());
    }
}
