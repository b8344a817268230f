//! A client as any program would write it: nothing here knows how the server works inside.

use anyhow::{Context as _, Result, bail};
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// Speaks to the server with one API key.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    key: String,
}

/// An answer, whatever its status.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) bytes: Vec<u8>,
}

impl Reply {
    /// The body as JSON; null if it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    /// The stable code of a problem.
    pub(super) fn code(&self) -> String {
        self.json().get("code").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Status and code, for a message; never the body.
    pub(super) fn brief(&self) -> String {
        format!("{} {}", self.status.as_u16(), self.code()).trim_end().to_owned()
    }
}

impl Client {
    pub(super) fn new(base: &str, key: &str) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), key: key.to_owned() })
    }

    /// The same server, somebody else.
    pub(super) fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// The same caller, another server.
    pub(super) fn at(&self, base: &str) -> Self {
        Self { base: base.trim_end_matches('/').to_owned(), ..self.clone() }
    }

    /// Sends anything and gives whatever comes back.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<Reply> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).header("x-api-key", &self.key);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.context("the server did not answer")?;
        let status = response.status();
        Ok(Reply { status, bytes: response.bytes().await?.to_vec() })
    }

    pub(super) async fn try_get(&self, path: &str) -> Result<Reply> {
        self.send(Method::GET, path, None, &[]).await
    }

    pub(super) async fn try_post(&self, path: &str, body: &Value) -> Result<Reply> {
        self.send(Method::POST, path, Some(body), &[]).await
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value> {
        good(self.try_get(path).await?, path).map(|reply| reply.json())
    }

    pub(super) async fn get_bytes(&self, path: &str) -> Result<Vec<u8>> {
        good(self.try_get(path).await?, path).map(|reply| reply.bytes)
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        good(self.try_post(path, body).await?, path).map(|reply| reply.json())
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        good(self.send(Method::PUT, path, Some(body), &[]).await?, path).map(|reply| reply.json())
    }
}

fn good(reply: Reply, path: &str) -> Result<Reply> {
    if !reply.status.is_success() {
        bail!("{path} answered {}", reply.brief());
    }
    Ok(reply)
}

/// The text at `name`.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value.get(name).and_then(Value::as_str).with_context(|| format!("the answer has no text `{name}`"))
}

/// The list at `name`.
pub(super) fn list<'a>(value: &'a Value, name: &str) -> Result<&'a [Value]> {
    value
        .get(name)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .with_context(|| format!("the answer has no list `{name}`"))
}
