//! The HTTP shapes that the crash test and the load run rely on, and nothing else: what to send, and what comes back.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::{Request, Response};

/// How a request ended.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A 2xx status arrived: the server said that it is done. The body may be cut off if the server died at that moment.
    Acknowledged { request_id: String, body: Option<Value> },
    /// Any other status.
    Refused { status: u16, body: String },
    /// No answer.
    Lost,
}

/// A server under test, seen by one caller.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: Agent,
    base: String,
    key: String,
}

impl Client {
    pub(crate) fn new(base: &str, key: &str) -> Self {
        let config = Agent::config_builder().timeout_global(Some(Duration::from_secs(30))).http_status_as_error(false);
        Self { agent: config.build().into(), base: base.to_owned(), key: key.to_owned() }
    }

    /// The same server, seen by the owner of another API key.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// A call, however it ends.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let Ok(mut response) = self.send(method, path, body) else {
            return Answer::Lost;
        };
        let status = response.status();
        let text = response.body_mut().with_config().limit(256 << 20).read_to_string();
        if status.is_success() {
            let body = text.ok().map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text)));
            Answer::Acknowledged { request_id: request_id(&response), body }
        } else {
            text.map_or(Answer::Lost, |body| Answer::Refused { status: status.as_u16(), body })
        }
    }

    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Response<ureq::Body>, ureq::Error> {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        let request = match self.key.as_str() {
            "" => request,
            key => request.header("authorization", format!("Bearer {key}")),
        };
        match body {
            Some(body) => {
                let request = request.header("content-type", "application/json").body(body.to_string());
                request.map_err(ureq::Error::from).and_then(|request| self.agent.run(request))
            }
            None => request.body(()).map_err(ureq::Error::from).and_then(|request| self.agent.run(request)),
        }
    }

    /// The bytes of an answer that must be a success.
    pub(crate) fn bytes(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Vec<u8>> {
        let mut response = self.send(method, path, body)?;
        let bytes = response.body_mut().with_config().limit(512 << 20).read_to_vec()?;
        if !response.status().is_success() {
            bail!("{method} {path}: {} {}", response.status(), String::from_utf8_lossy(&bytes));
        }
        Ok(bytes)
    }

    /// A call that must succeed.
    pub(crate) fn expect(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        match self.call(method, path, body) {
            Answer::Acknowledged { body: Some(body), .. } => Ok(body),
            other => bail!("{method} {path}: {other:?}"),
        }
    }

    /// Whether the server takes requests.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.call("GET", "/readyz", None), Answer::Acknowledged { .. })
    }

    pub(crate) fn make_tenant(&self, slug: &str) -> Result<String> {
        let tenant = self.expect("POST", "/v1/tenants", Some(&json!({ "name": slug, "slug": slug })))?;
        text(&tenant, "id")
    }

    pub(crate) fn make_api_key(&self, tenant: &str, role: &str) -> Result<String> {
        let body = json!({ "description": format!("crash test, {role}"), "roles": [role] });
        text(&self.expect("POST", &format!("/v1/tenants/{tenant}/api-keys"), Some(&body))?, "key")
    }

    pub(crate) fn make_user(&self, tenant: &str, username: &str, password: &str) -> Result<()> {
        let email = format!("{username}@example.test");
        let body = json!({ "username": username, "email": email, "password": password, "roles": ["clinician"] });
        self.expect("POST", &format!("/v1/tenants/{tenant}/users"), Some(&body)).map(drop)
    }

    pub(crate) fn register_field(&self) -> Result<()> {
        let body = json!({ "class": "restricted", "type": "text", "index": { "normalizer": "digits" } });
        self.expect("PUT", "/v1/fields/patients/ssn", Some(&body)).map(drop)
    }

    pub(crate) fn seal(&self, number: u64) -> Answer {
        let item = json!({ "table": "patients", "column": "ssn", "row": format!("row-{number}"), "value": format!("999-{number:06}") });
        self.call("POST", "/v1/seal", Some(&json!({ "items": [item] })))
    }

    pub(crate) fn issue(&self, number: u64) -> Answer {
        let body = json!({
            "kind": "app.crash-test",
            "subject": { "kind": "patient", "ref": format!("row-{number}") },
            "statement": { "code": "app.round", "params": { "number": number } },
            "evidence": [],
        });
        self.call("POST", "/v1/certificates", Some(&body))
    }

    /// So many events of an application in one call: all or none.
    pub(crate) fn append(&self, number: u64, events: u64) -> Answer {
        let event = |n: u64| json!({ "type": "app.crash-test", "action": "E", "details": { "call": number, "n": n } });
        let items: Vec<Value> = (0..events).map(event).collect();
        self.call("POST", "/v1/audit/events/batch", Some(&json!({ "items": items })))
    }

    pub(crate) fn login(&self, slug: &str, username: &str, password: &str) -> Answer {
        let body = json!({ "tenant": slug, "username": username, "password": password });
        self.with_key("").call("POST", "/v1/auth/login", Some(&body))
    }

    pub(crate) fn certificate(&self, id: &str) -> Result<Value> {
        self.expect("GET", &format!("/v1/certificates/{id}"), None)
    }

    /// The verdict on a certificate.
    pub(crate) fn verify(&self, id: &str) -> Result<String> {
        text(&self.expect("GET", &format!("/v1/certificates/{id}/verify"), None)?, "verdict")
    }

    /// The text of the log's signed head.
    pub(crate) fn checkpoint(&self) -> Result<String> {
        let checkpoint = self.expect("GET", "/v1/audit/checkpoint", None)?;
        checkpoint.as_str().map(str::to_owned).context("the checkpoint is not text")
    }

    /// One page of the log and the cursor of the next.
    pub(crate) fn events(&self, from: &str, to: &str, cursor: Option<&str>) -> Result<(Vec<Event>, Option<String>)> {
        let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let page = self.expect("GET", &format!("/v1/audit/events?from={from}&to={to}&limit=1000{cursor}"), None)?;
        let events = page.get("items").and_then(Value::as_array).context("no `items`")?;
        let next = page.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
        Ok((events.iter().map(Event::parse).collect::<Result<_>>()?, next))
    }
}

/// What an issued certificate is known by.
pub(crate) fn certificate_id(body: &Value) -> Result<String> {
    text(body, "id")
}

/// The signed part of a certificate, as issued or as fetched.
pub(crate) fn envelope(certificate: &Value) -> Option<&Value> {
    certificate.get("envelope")
}

fn request_id<T>(response: &Response<T>) -> String {
    let id = response.headers().get("x-request-id").and_then(|id| id.to_str().ok());
    id.unwrap_or_default().to_owned()
}

pub(crate) fn text(value: &Value, name: &str) -> Result<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned).with_context(|| format!("no `{name}` in {value}"))
}

/// One entry of a tenant's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) index: u64,
    pub(crate) id: String,
    /// The exact bytes that were hashed.
    pub(crate) core: String,
    /// The leaf's hash as the server states it.
    pub(crate) leaf_hash: String,
    pub(crate) kind: String,
    pub(crate) request_id: String,
}

impl Event {
    fn parse(value: &Value) -> Result<Self> {
        let core = text(value, "core")?;
        let inside: Value = serde_json::from_str(&core).context("`core` is not JSON")?;
        Ok(Self {
            index: value.get("index").and_then(Value::as_u64).with_context(|| format!("no `index` in {value}"))?,
            id: text(value, "id")?,
            leaf_hash: text(value, "leaf_hash")?,
            kind: text(&inside, "type")?,
            // Events of jobs have none.
            request_id: inside.get("request_id").and_then(Value::as_str).unwrap_or_default().to_owned(),
            core,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_with_what_is_inside_its_core() {
        let core = r#"{"request_id":"01A","type":"seal"}"#;
        let event =
            Event::parse(&json!({ "index": 7, "id": "evt_1", "core": core, "leaf_hash": "00", "more": true })).unwrap();
        assert_eq!((event.index, event.kind.as_str(), event.request_id.as_str()), (7, "seal", "01A"));
        assert_eq!(event.core, core);
        assert!(Event::parse(&json!({ "id": "evt_1" })).is_err());
    }
}
