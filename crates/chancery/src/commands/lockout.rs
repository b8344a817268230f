//! `chancery lockout …`: who is kept out for now, and letting them in again.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use super::{
    client::{ClientArgs, explain, list},
    say,
};

/// `chancery lockout`.
#[derive(Debug, Args)]
pub struct LockoutArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

/// What is done.
#[derive(Debug, Subcommand)]
enum Verb {
    /// List users whose logins pause, suspended API keys and stopped sessions
    List,
    /// Let one of them in again
    Lift {
        /// The lockout's id
        id: String,
    },
}

/// Runs it.
///
/// # Errors
///
/// With what the server said.
pub async fn run(args: LockoutArgs) -> Result<ExitCode> {
    let (api, output) = (args.client.api()?, args.client.output());
    match args.verb {
        Verb::List => {
            let (mut rows, mut next) = (Vec::new(), "/v1/lockouts?limit=200".to_owned());
            loop {
                let page = api.get(&next).await?;
                rows.extend(list(&page, "items")?.iter().cloned());
                match page.get("next_cursor").and_then(Value::as_str) {
                    Some(cursor) => next = format!("/v1/lockouts?limit=200&cursor={cursor}"),
                    None => break,
                }
            }
            output.table(&rows, &["id", "kind", "subject", "user_id", "policy", "created_at", "expires_at"]);
        }
        Verb::Lift { id } => {
            let (status, bytes) = api.exchange(Method::DELETE, &format!("/v1/lockouts/{id}"), None).await?;
            if !status.is_success() {
                let problem: Value = serde_json::from_slice(&bytes).unwrap_or_default();
                anyhow::bail!("{}", explain(status.as_u16(), &problem));
            }
            say("let in");
        }
    }
    Ok(ExitCode::SUCCESS)
}
