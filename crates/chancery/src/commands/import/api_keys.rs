//! Brings API keys of another system: the SHA-256 of each, with what it is for.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Value, json};

use crate::commands::{
    api_key::rows,
    client::{Api, Output, list},
    say,
};

const COLUMNS: [&str; 6] = ["sha256", "description", "roles", "user_id", "expires_at", "allowed_cidrs"];
/// How many keys one call brings.
const CHUNK: usize = 1_000;

#[derive(Debug, Args)]
pub(super) struct ApiKeysArgs {
    /// The keys: CSV with a header (sha256, description, roles, user_id, expires_at, allowed_cidrs), or a JSON object on each line
    file: PathBuf,
    /// Read and check the file, and bring nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(api: &Api, output: Output, args: ApiKeysArgs) -> Result<ExitCode> {
    let keys = rows::read(&args.file, &COLUMNS)?;
    if args.dry_run {
        say(format_args!("would import {} API keys; nothing was changed", keys.len()));
        return Ok(ExitCode::SUCCESS);
    }
    let mut report = Vec::with_capacity(keys.len());
    for chunk in keys.chunks(CHUNK) {
        let mut body = json!({ "items": chunk });
        body.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten().for_each(rows::today);
        let before = report.len();
        let answer = api.post("/v1/api-keys/import", &body).await.with_context(|| {
            format!("keys {} to {} were not imported; those before were", before + 1, before + chunk.len())
        })?;
        for (key, imported) in chunk.iter().zip(list(&answer, "items")?) {
            report.push(json!({"description": key.get("description"), "id": imported.get("id"),
                "was_there": imported.get("was_there")}));
        }
    }
    output.table(&report, &["description", "id", "was_there"]);
    Ok(ExitCode::SUCCESS)
}
