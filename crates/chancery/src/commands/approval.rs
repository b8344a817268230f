//! `chancery approval …`: what takes two people.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::client::{Api, ClientArgs, Output, list};

/// What is shown of one, line by line.
const MEMBERS: [&str; 14] = [
    "id",
    "action",
    "resource",
    "details",
    "reason",
    "state",
    "requested_by",
    "requested_at",
    "expires_at",
    "decided_by",
    "decided_at",
    "uses",
    "wants_review",
    "reviewed_by",
];

/// `chancery approval`.
#[derive(Debug, Args)]
pub struct ApprovalArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

/// What is done. APPROVAL is its id (`apv_…`), as the call that waits for it answered.
#[derive(Debug, Subcommand)]
enum Verb {
    /// List approvals, those that wait if nothing else is asked for
    List(ListArgs),
    /// Show one, with what is to be done and why
    #[command(visible_alias = "get")]
    Show(ApprovalArg),
    /// Approve what somebody else asked for; that person then repeats the call
    Approve(ApprovalArg),
    /// Refuse it; also after somebody approved, until it is used
    #[command(visible_alias = "reject")]
    Deny(ApprovalArg),
    /// Take your own request back
    Cancel(ApprovalArg),
    /// Note that you looked at what somebody opened in an emergency
    Review(ReviewArgs),
}

/// Where an approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    Pending,
    Approved,
    Denied,
    Cancelled,
    Used,
    Expired,
    /// Used in an emergency, and nobody has looked at it
    Unreviewed,
    All,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Where they stand
    #[arg(long, value_enum, default_value_t = State::Pending)]
    state: State,
}

#[derive(Debug, Args)]
struct ApprovalArg {
    /// Its id
    approval: String,
}

#[derive(Debug, Args)]
struct ReviewArgs {
    /// Its id
    approval: String,
    /// What you found; sealed in the log
    #[arg(long)]
    note: String,
}

/// Runs it.
///
/// # Errors
///
/// With what the server said.
pub async fn run(args: ApprovalArgs) -> Result<ExitCode> {
    let (api, output) = (args.client.api()?, args.client.output());
    match args.verb {
        Verb::List(args) => list_all(&api, output, args.state).await?,
        Verb::Show(arg) => output.thing(&api.get(&path(&arg.approval, "")?).await?, &MEMBERS),
        Verb::Approve(arg) => decide(&api, output, &arg, "/approve").await?,
        Verb::Deny(arg) => decide(&api, output, &arg, "/deny").await?,
        Verb::Cancel(arg) => decide(&api, output, &arg, "/cancel").await?,
        Verb::Review(args) => {
            let reviewed = api.post(&path(&args.approval, "/review")?, &json!({"note": args.note})).await?;
            output.thing(&reviewed, &MEMBERS);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn path(id: &str, tail: &str) -> Result<String> {
    if id.starts_with("apv_") && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(format!("/v1/approvals/{id}{tail}"));
    }
    bail!("`{id}` is no id of an approval (apv_…); `chancery approval list` shows those that wait")
}

async fn decide(api: &Api, output: Output, arg: &ApprovalArg, tail: &str) -> Result<()> {
    let decided = api.post(&path(&arg.approval, tail)?, &json!({})).await?;
    output.thing(&decided, &MEMBERS);
    Ok(())
}

/// Every page.
async fn list_all(api: &Api, output: Output, state: State) -> Result<()> {
    let filter = match state {
        State::All => String::new(),
        State::Unreviewed => "&unreviewed=true".to_owned(),
        state => {
            format!("&state={}", state.to_possible_value().map(|word| word.get_name().to_owned()).unwrap_or_default())
        }
    };
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/v1/approvals?limit=200{filter}{cursor}")).await?;
        rows.extend(list(&page, "items")?.iter().cloned());
        match page.get("next_cursor").and_then(serde_json::Value::as_str) {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    output.table(&rows, &["id", "action", "resource", "state", "requested_by", "expires_at"]);
    Ok(())
}
