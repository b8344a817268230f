//! Shows events as they come.

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use chancery_domain::Clock as _;
use clap::Args;
use serde_json::Value;

use super::{PAGE, Wanted, page};
use crate::{
    clock::SystemClock,
    commands::{
        client::{Api, Output},
        say,
    },
};

/// `chancery audit tail`.
#[derive(Debug, Args)]
pub(super) struct TailArgs {
    #[command(flatten)]
    wanted: Wanted,
    /// How many seconds lie between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    every: u64,
    /// End after so many looks
    #[arg(long, value_name = "LOOKS")]
    looks: Option<u64>,
    /// Also show that the log was read: each look of this command is such an event
    #[arg(long)]
    reads: bool,
}

pub(super) async fn run(api: &Api, output: Output, mut args: TailArgs) -> Result<ExitCode> {
    // From now on, unless asked otherwise; whatever comes until long after.
    args.wanted.from.get_or_insert_with(|| SystemClock.now());
    let (from, _) = args.wanted.span();
    args.wanted.to.get_or_insert_with(|| from.plus_seconds(365 * 24 * 3_600));
    let body = args.wanted.body()?;
    let mut cursor: Option<String> = None;
    let mut looks = 0;
    while args.looks.is_none_or(|most| looks < most) {
        if looks > 0 {
            tokio::time::sleep(Duration::from_secs(args.every)).await;
        }
        looks += 1;
        loop {
            let (items, next) = page(api, &body, PAGE, cursor.as_deref()).await?;
            for event in
                items.iter().filter(|event| args.reads || event.get("type") != Some(&Value::from("audit.read")))
            {
                show(output, event);
            }
            // A page that is not full has no cursor; the next look goes on after its last event all the same.
            if let Some(index) = items.last().and_then(|event| event.get("index")).and_then(Value::as_u64) {
                cursor = Some(index.to_string());
            }
            if next.is_none() {
                break;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(output: Output, event: &Value) {
    if output.is_json() {
        return say(event);
    }
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
    let outcome = event.get("outcome").and_then(Value::as_i64).unwrap_or_default();
    say(format_args!(
        "{}  {outcome:>2}  {:7}  {:28}  {:30}  {}",
        text("recorded_at"),
        text("phase"),
        text("type"),
        text("actor"),
        text("resource")
    ));
}
