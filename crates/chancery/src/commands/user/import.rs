//! Brings users of another system, so many lines at a time. What was made stays made; the lines that were refused are told, so that
//! they can be mended and sent again: users that are there already are refused as taken.

use std::{io::BufRead as _, path::Path, process::ExitCode};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::commands::{
    client::{Api, Output, list},
    say,
};

/// Lines of one request.
const BATCH: usize = 200;

pub(super) async fn run(api: &Api, output: Output, file: &Path) -> Result<ExitCode> {
    let opened = std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let (mut first, mut batch, mut made, mut refused) = (1, Vec::new(), 0, Vec::new());
    let mut lines = std::io::BufReader::new(opened).lines();
    loop {
        let line = lines.next().transpose().with_context(|| format!("{} is not UTF-8", file.display()))?;
        let over = line.is_none();
        batch.extend(line);
        if over || batch.len() == BATCH {
            if batch.iter().any(|line| !line.trim().is_empty()) {
                let answer = api
                    .send_lines("/v1/users/import", &batch)
                    .await
                    .with_context(|| format!("lines {first} and after were not sent"))?;
                for item in list(&answer, "items")? {
                    match item.get("id").and_then(Value::as_str) {
                        Some(_) => made += 1,
                        None => refused.push(placed(item, first)),
                    }
                }
            }
            first += batch.len();
            batch.clear();
        }
        if over {
            break;
        }
    }
    if output.is_json() {
        say(format_args!("{:#}", json!({"made": made, "refused": refused})));
    } else {
        for item in &refused {
            say(explained(item));
        }
        say(format_args!("{made} users made, {} lines refused", refused.len()));
    }
    Ok(if refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A refused line with its number in the file.
fn placed(item: &Value, first: usize) -> Value {
    let line = item.get("line").and_then(Value::as_u64).unwrap_or_default();
    let mut item = item.clone();
    if let Some(members) = item.as_object_mut() {
        members.insert("line".to_owned(), json!(line + first as u64 - 1));
    }
    item
}

fn explained(item: &Value) -> String {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let line = item.get("line").and_then(Value::as_u64).unwrap_or_default();
    let mut told = format!("line {line}: {}", text(item, "code"));
    for fault in item.get("errors").and_then(Value::as_array).into_iter().flatten() {
        told.push_str(&format!("\n  {}  {}", text(fault, "pointer"), text(fault, "message")));
    }
    told
}
