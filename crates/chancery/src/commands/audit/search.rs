//! Finds events.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{PAGE, Wanted, page};
use crate::commands::client::{Api, Output};

/// What a table shows of an event.
pub(super) const COLUMNS: [&str; 7] = ["index", "recorded_at", "type", "phase", "actor", "resource", "outcome"];

/// `chancery audit search`.
#[derive(Debug, Args)]
pub(super) struct SearchArgs {
    #[command(flatten)]
    wanted: Wanted,
    /// At most so many
    #[arg(long, default_value_t = 1_000)]
    limit: usize,
}

pub(super) async fn run(api: &Api, output: Output, args: SearchArgs) -> Result<ExitCode> {
    let body = args.wanted.body()?;
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let left = u32::try_from(args.limit - found.len()).unwrap_or(PAGE).min(PAGE);
        if left == 0 {
            break;
        }
        let (items, next) = page(api, &body, left, cursor.as_deref()).await?;
        found.extend(items);
        match next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    output.table(&found, &COLUMNS);
    Ok(ExitCode::SUCCESS)
}
