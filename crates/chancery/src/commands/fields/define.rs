//! Registers fields of a running server.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::commands::{
    client::{Api, Output, list as items},
    say,
};

/// A field and how it shall be. What is not said is the server's default.
#[derive(Debug, Args)]
pub(super) struct DefineArgs {
    /// The column
    #[arg(value_name = "TABLE.COLUMN")]
    field: String,
    /// public, internal, confidential, restricted
    #[arg(long)]
    class: Option<String>,
    /// text, integer, decimal, boolean, bytes, date, json
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// row, column
    #[arg(long)]
    bind: Option<String>,
    /// Make it searchable: exact, casefold, text, name, email, phone, digits, date
    #[arg(long)]
    normalizer: Option<String>,
    /// For phone: the country of national numbers, two letters
    #[arg(long, requires = "normalizer")]
    country: Option<String>,
    /// Length of a term
    #[arg(long, requires = "normalizer")]
    bits: Option<u16>,
    /// Terms for beginnings of so many characters
    #[arg(long, value_name = "MIN-MAX", requires = "normalizer")]
    prefix: Option<String>,
    /// Terms for ranges, such as 10:one, 1:month, 5:year
    #[arg(long, value_name = "WIDTH:UNIT")]
    bucket: Option<String>,
    /// The column stays in clear
    #[arg(long)]
    clear: bool,
    /// The table has no rows yet
    #[arg(long)]
    empty: bool,
    /// What may become less safe: weaker_class, encryption_off
    #[arg(long)]
    allow: Vec<String>,
}

/// A ready set of fields.
#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    /// staff-pii, duty-roster
    set: String,
    /// Another name for one of its tables
    #[arg(long = "table", value_name = "USUAL=YOURS")]
    tables: Vec<String>,
}

const COLUMNS: [&str; 6] = ["table", "column", "class", "type", "bind", "encrypt"];

pub(super) async fn list(api: &Api, output: Output) -> Result<ExitCode> {
    output.table(items(&api.get("/v1/fields").await?, "items")?, &COLUMNS);
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn define(api: &Api, output: Output, args: DefineArgs) -> Result<ExitCode> {
    let (table, column) = args.field.split_once('.').context("name the field as TABLE.COLUMN")?;
    let field = api.send(Method::PUT, &format!("/v1/fields/{table}/{column}"), Some(&body(&args)?)).await?;
    output.thing(&field, &["id", "table", "column", "class", "type", "bind", "encrypt", "index"]);
    if !output.is_json() {
        for warning in field.get("warnings").and_then(Value::as_array).into_iter().flatten() {
            say(format_args!("warning: {}", warning.as_str().unwrap_or_default()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn apply(api: &Api, output: Output, args: ApplyArgs) -> Result<ExitCode> {
    let mut tables = Map::new();
    for pair in &args.tables {
        let (usual, yours) = pair.split_once('=').context("--table takes USUAL=YOURS, such as people=staff")?;
        tables.insert(usual.to_owned(), yours.into());
    }
    let done = api.post(&format!("/v1/field-sets/{}", args.set), &json!({ "tables": tables })).await?;
    output.table(items(&done, "items")?, &["table", "column", "class", "applied"]);
    Ok(ExitCode::SUCCESS)
}

fn body(args: &DefineArgs) -> Result<Value> {
    let mut index = Map::new();
    let mut put = |name: &str, value: Option<Value>| value.map(|value| index.insert(name.to_owned(), value));
    put("normalizer", args.normalizer.as_deref().map(Value::from));
    put("country", args.country.as_deref().map(Value::from));
    put("bits", args.bits.map(Value::from));
    if let Some(lengths) = &args.prefix {
        let ends =
            lengths.split_once('-').and_then(|(min, max)| Some((min.parse::<u8>().ok()?, max.parse::<u8>().ok()?)));
        let (min, max) = ends.context("--prefix takes MIN-MAX, such as 2-6")?;
        put("prefix", Some(json!({ "min": min, "max": max })));
    }
    if let Some(bucket) = &args.bucket {
        let parts = bucket.split_once(':').and_then(|(width, unit)| Some((width.parse::<u32>().ok()?, unit)));
        let (width, unit) = parts.context("--bucket takes WIDTH:UNIT, such as 10:one or 1:month")?;
        put("bucket", Some(json!({ "width": width, "unit": unit })));
    }
    let mut body = Map::new();
    for (name, value) in [("class", &args.class), ("type", &args.kind), ("bind", &args.bind)] {
        if let Some(value) = value {
            body.insert(name.to_owned(), value.as_str().into());
        }
    }
    if !index.is_empty() {
        body.insert("index".to_owned(), index.into());
    }
    for (name, value) in [("encrypt", args.clear.then_some(false)), ("empty", args.empty.then_some(true))] {
        if let Some(value) = value {
            body.insert(name.to_owned(), value.into());
        }
    }
    if !args.allow.is_empty() {
        body.insert("allow".to_owned(), args.allow.clone().into());
    }
    Ok(body.into())
}
