//! What is done with single API keys.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use chancery_domain::{Clock as _, Timestamp};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::{
    clock::SystemClock,
    commands::client::{Api, Output, list},
};

const MEMBERS: [&str; 13] = [
    "id",
    "description",
    "roles",
    "user_id",
    "allowed_cidrs",
    "rate_limit",
    "created_at",
    "expires_at",
    "revoked_at",
    "suspended_until",
    "last_used_at",
    "replaced_by",
    "key",
];

/// An API key.
#[derive(Debug, Args)]
pub(super) struct IdArg {
    /// Its id
    pub(super) id: String,
}

#[derive(Debug, Args)]
pub(super) struct UpdateArgs {
    #[command(flatten)]
    key: IdArg,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// Its life in days from now, 1 to 3650
    #[arg(long, value_name = "DAYS")]
    expires_in_days: Option<u32>,
    /// A network from which it may be used; may be given several times, and replaces those it has
    #[arg(long = "cidr", value_name = "CIDR", conflicts_with = "anywhere")]
    cidrs: Vec<String>,
    /// It may be used from anywhere
    #[arg(long)]
    anywhere: bool,
    /// How often it may be used in a minute; 0 takes its own limit away
    #[arg(long, value_name = "PER_MINUTE")]
    rate_limit: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct RotateArgs {
    #[command(flatten)]
    key: IdArg,
    /// For how many seconds the old one works on: 0 to 2592000
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    overlap_seconds: u32,
}

#[derive(Debug, Args)]
pub(super) struct UsageArgs {
    #[command(flatten)]
    key: IdArg,
    /// From this moment (RFC 3339); 30 days ago if absent
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Until this moment; now if absent
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

/// The members that are there: all of a key's but the text, except where it was just made.
fn show(output: Output, key: &Value) -> ExitCode {
    let members: Vec<&str> = MEMBERS.into_iter().filter(|name| key.get(*name).is_some()).collect();
    output.thing(key, &members);
    ExitCode::SUCCESS
}

async fn pages(api: &Api, first: &str) -> Result<Vec<Value>> {
    let (mut rows, mut next) = (Vec::new(), first.to_owned());
    loop {
        let page = api.get(&next).await?;
        rows.extend(list(&page, "items")?.iter().cloned());
        match page.get("next_cursor").and_then(Value::as_str) {
            Some(cursor) => next = format!("{first}&cursor={cursor}"),
            None => return Ok(rows),
        }
    }
}

pub(super) async fn list_keys(api: &Api, output: Output) -> Result<ExitCode> {
    let keys = pages(api, "/v1/api-keys?limit=200").await?;
    output.table(&keys, &["id", "description", "roles", "user_id", "expires_at", "revoked_at", "last_used_at"]);
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn get(api: &Api, output: Output, id: &str) -> Result<ExitCode> {
    Ok(show(output, &api.get(&format!("/v1/api-keys/{id}")).await?))
}

pub(super) async fn update(api: &Api, output: Output, args: UpdateArgs) -> Result<ExitCode> {
    let mut body = Map::new();
    if let Some(description) = &args.description {
        body.insert("description".to_owned(), json!(description));
    }
    if let Some(days) = args.expires_in_days {
        body.insert("expires_in_days".to_owned(), json!(days));
    }
    if args.anywhere || !args.cidrs.is_empty() {
        body.insert("allowed_cidrs".to_owned(), json!(args.cidrs));
    }
    if let Some(rate_limit) = args.rate_limit {
        body.insert("rate_limit".to_owned(), json!(Some(rate_limit).filter(|rate| *rate > 0)));
    }
    Ok(show(output, &api.patch(&format!("/v1/api-keys/{}", args.key.id), &Value::Object(body)).await?))
}

pub(super) async fn rotate(api: &Api, output: Output, args: RotateArgs) -> Result<ExitCode> {
    let body = json!({"overlap_seconds": args.overlap_seconds});
    Ok(show(output, &api.post(&format!("/v1/api-keys/{}/rotate", args.key.id), &body).await?))
}

pub(super) async fn revoke(api: &Api, output: Output, id: &str) -> Result<ExitCode> {
    Ok(show(output, &api.post(&format!("/v1/api-keys/{id}/revoke"), &json!({})).await?))
}

pub(super) async fn usage(api: &Api, output: Output, args: UsageArgs) -> Result<ExitCode> {
    let now = SystemClock.now();
    let moment = |text: Option<&String>, otherwise: Timestamp| match text {
        Some(text) => text.parse().with_context(|| format!("`{text}` is no moment; use a form such as {now}")),
        None => Ok(otherwise),
    };
    let from = moment(args.from.as_ref(), now.plus_seconds(-30 * 24 * 60 * 60))?;
    let to = moment(args.to.as_ref(), now.plus_seconds(1))?;
    let first = format!("/v1/api-keys/{}/usage?from={from}&to={to}&limit=1000", args.key.id);
    let rows = pages(api, &first).await?;
    output.table(&rows, &["used_at", "operation", "resource", "success", "error_code", "request_id"]);
    Ok(ExitCode::SUCCESS)
}
