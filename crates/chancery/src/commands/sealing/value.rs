//! One value through the server.

use std::io::{Read as _, Write as _};

use anyhow::{Context as _, Result};
use serde_json::{Value, json, value::RawValue};
use zeroize::Zeroizing;

use super::{OpenArgs, Place, good};

/// The longest value, in bytes: what a field takes, and its text form.
const LONGEST: u64 = 2 * 1024 * 1024;

pub(super) async fn seal(place: &Place, subject: Option<&str>) -> Result<()> {
    let text = read(place)?;
    let value: Box<RawValue> = match place.json {
        true => RawValue::from_string(text.trim().to_owned()).context("the input is not JSON")?,
        false => serde_json::value::to_raw_value(text.as_str())?,
    };
    let (table, column) = place.names()?;
    let body = Zeroizing::new(serde_json::to_vec(&Items {
        items: [Item { table, column, row: place.row.as_deref(), subject, value: &value }],
    })?);
    let answer = post(place, "/v1/seal", body.to_vec()).await?;
    let sealed = answer.pointer("/items/0/sealed").context("the answer has no sealed value")?;
    say(sealed.as_str().unwrap_or("null"))
}

pub(super) async fn open(args: &OpenArgs) -> Result<()> {
    let place = &args.place;
    let text = read(place)?;
    let (table, column) = place.names()?;
    let sealed = match text.trim() {
        "null" => Value::Null,
        sealed => sealed.into(),
    };
    let item = json!({"table": table, "column": column, "row": place.row, "sealed": sealed});
    let body = json!({"reason": args.reason, "purpose": args.purpose, "items": [item]});
    let bytes = Zeroizing::new(send(place, "/v1/open", body.to_string().into_bytes()).await?);
    let opened: Opened<'_> = serde_json::from_slice(&bytes).context("the answer has no value")?;
    let [item] = opened.items;
    match (place.json, serde_json::from_str::<Value>(item.value.get())?) {
        (false, Value::String(text)) => Ok(std::io::stdout().lock().write_all(Zeroizing::new(text).as_bytes())?),
        _ => say(item.value.get()),
    }
}

#[derive(serde::Serialize)]
struct Items<'a> {
    items: [Item<'a>; 1],
}

#[derive(serde::Serialize)]
struct Item<'a> {
    table: &'a str,
    column: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    value: &'a RawValue,
}

#[derive(serde::Deserialize)]
struct Opened<'a> {
    #[serde(borrow)]
    items: [OpenedItem<'a>; 1],
}

#[derive(serde::Deserialize)]
struct OpenedItem<'a> {
    #[serde(borrow)]
    value: &'a RawValue,
}

fn read(place: &Place) -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let read = match place.file()? {
        Some(file) => file.take(LONGEST + 1).read_to_string(&mut text),
        None => std::io::stdin().lock().take(LONGEST + 1).read_to_string(&mut text),
    };
    read.context("the input is not text in UTF-8; bytes go with --blob")?;
    anyhow::ensure!(text.len() as u64 <= LONGEST, "the input is too long for one value; streams go with --blob");
    Ok(text)
}

async fn post(place: &Place, path: &str, body: Vec<u8>) -> Result<Value> {
    Ok(serde_json::from_slice(&send(place, path, body).await?)?)
}

async fn send(place: &Place, path: &str, body: Vec<u8>) -> Result<Vec<u8>> {
    let request = place.post(path)?;
    let request = request.header("content-type", "application/json").body(body);
    let response = request.send().await.context("the server did not answer")?;
    Ok(good(response).await?.bytes().await?.to_vec())
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}
