//! The server, as any application sees it.
#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null; nothing panics")]

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::commands::client::Api;

/// How long a server that does not answer is asked again.
const PATIENCE: Duration = Duration::from_secs(60);

/// A registered field, as far as it matters here.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) table: String,
    pub(super) column: String,
    pub(super) kind: String,
    pub(super) indexed: bool,
    pub(super) row_bound: bool,
}

/// A sealed value and its term.
pub(super) struct SealedValue {
    pub(super) sealed: String,
    pub(super) term: Option<String>,
}

/// Which values of a batch the server does not take, by position.
pub(super) struct Refused(pub(super) Vec<usize>);

/// The server refuses to open values: one of them at least.
#[derive(Debug)]
pub(super) struct NotOpened(String);

impl std::fmt::Display for NotOpened {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "/v1/open answers {}", self.0)
    }
}

impl std::error::Error for NotOpened {}

pub(super) struct Server(Api);

impl Server {
    pub(super) const fn new(api: Api) -> Self {
        Self(api)
    }

    /// Sends a request until it is answered by a server that works.
    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(StatusCode, Value)> {
        let began = Instant::now();
        loop {
            match self.0.exchange(method.clone(), path, body).await {
                Ok((status, body)) if !matches!(status.as_u16(), 429 | 503) => {
                    return Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)));
                }
                Ok((status, _)) if began.elapsed() > PATIENCE => bail!("{path} answers {status}"),
                Err(error) if began.elapsed() > PATIENCE => return Err(error),
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
    }

    /// The registered field.
    pub(super) async fn field(&self, table: &str, column: &str) -> Result<Field> {
        let (status, fields) = self.send(Method::GET, "/v1/fields", None).await?;
        if !status.is_success() {
            bail!("/v1/fields answers {}", brief(status, &fields));
        }
        let found = fields["items"].as_array().into_iter().flatten();
        let found = found.filter(|field| field["table"] == table && field["column"] == column).collect::<Vec<_>>();
        let Some(field) = found.first() else {
            bail!(
                "{table}.{column} is not a registered field. A security officer registers it first: \
                 PUT /v1/fields/{table}/{column}, for example with {{\"type\": \"text\", \"index\": {{\"normalizer\": \"exact\"}}}}"
            );
        };
        if field["encrypt"] == false {
            bail!("{table}.{column} is registered as kept in clear");
        }
        let indexed = field["index"].is_object() || field["indexes"].as_array().is_some_and(|all| !all.is_empty());
        Ok(Field {
            table: table.to_owned(),
            column: column.to_owned(),
            kind: field["type"].as_str().unwrap_or("text").to_owned(),
            indexed,
            row_bound: field["bind"] != "column",
        })
    }

    /// Seals values of rows; or says which of them the server does not take.
    pub(super) async fn seal(
        &self,
        field: &Field,
        values: &[(&str, Value)],
    ) -> Result<Result<Vec<SealedValue>, Refused>> {
        let item = |(row, value): &(&str, Value)| {
            let mut item = json!({"table": field.table, "column": field.column, "value": value});
            if field.row_bound {
                item["row"] = json!(row);
            }
            item
        };
        let body = json!({"items": values.iter().map(item).collect::<Vec<_>>()});
        let (status, answer) = self.send(Method::POST, "/v1/seal", Some(&body)).await?;
        if status == StatusCode::UNPROCESSABLE_ENTITY {
            let faults = answer["errors"].as_array().into_iter().flatten();
            let mut at: Vec<usize> = faults.filter_map(|fault| position(fault["pointer"].as_str()?)).collect();
            at.sort_unstable();
            at.dedup();
            if !at.is_empty() {
                return Ok(Err(Refused(at)));
            }
        }
        if !status.is_success() {
            bail!("/v1/seal answers {}", brief(status, &answer));
        }
        let items = answer["items"].as_array().filter(|items| items.len() == values.len());
        let sealed = items.context("/v1/seal gave another number of values")?.iter().map(|item| {
            let sealed = item["sealed"].as_str().context("/v1/seal gave no value")?.to_owned();
            Ok(SealedValue { sealed, term: item["terms"][0].as_str().map(str::to_owned) })
        });
        Ok(Ok(sealed.collect::<Result<_>>()?))
    }

    /// Opens values of rows, all of them.
    pub(super) async fn open(&self, field: &Field, values: &[(&str, String)]) -> Result<Vec<Value>> {
        let item = |(row, sealed): &(&str, String)| {
            let mut item = json!({"table": field.table, "column": field.column, "sealed": sealed});
            if field.row_bound {
                item["row"] = json!(row);
            }
            item
        };
        let reason = format!("migrate-column {}.{}", field.table, field.column);
        let items = values.iter().map(item).collect::<Vec<_>>();
        let body = json!({"purpose": "SYSADMIN", "reason": reason, "items": items});
        let (status, mut answer) = self.send(Method::POST, "/v1/open", Some(&body)).await?;
        if !status.is_success() {
            let said = NotOpened(brief(status, &answer));
            // The key's owner, not a value, is what a 401 refuses; and 5xx is the server's own trouble.
            let of_a_value = status.is_client_error() && status != StatusCode::UNAUTHORIZED;
            return if of_a_value { Err(said.into()) } else { bail!("{said}") };
        }
        let items = answer["items"].as_array_mut().filter(|items| items.len() == values.len());
        let items = items.context("/v1/open gave another number of values")?;
        Ok(items.iter_mut().map(|item| item["value"].take()).collect())
    }
}

/// Status and code; never what the body says of values.
fn brief(status: StatusCode, body: &Value) -> String {
    format!("{} {}", status.as_u16(), body["code"].as_str().unwrap_or_default()).trim_end().to_owned()
}

/// `/items/12/value`.
fn position(pointer: &str) -> Option<usize> {
    pointer.strip_prefix("/items/")?.split('/').next()?.parse().ok()
}
