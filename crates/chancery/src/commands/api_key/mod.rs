//! `chancery api-key …`: a thin client of the API keys' API.

mod issue;
pub(crate) mod rows;
mod verbs;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::client::ClientArgs;

/// `chancery api-key`.
#[derive(Debug, Args)]
pub struct ApiKeyArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

/// What is done. ID is an API key's id (`apk_…`).
#[derive(Debug, Subcommand)]
enum Verb {
    /// Issue an API key, or with --from one for every client of a roll-out
    Issue(issue::IssueArgs),
    /// List API keys, never their texts
    List,
    /// Show one
    Get(verbs::IdArg),
    /// Change what one is for, from where and until when it works
    Update(verbs::UpdateArgs),
    /// Replace one by a new one; the old one works on for a while
    Rotate(verbs::RotateArgs),
    /// Revoke one, at once and for good
    Revoke(verbs::IdArg),
    /// List what was done with one
    Usage(verbs::UsageArgs),
}

/// Runs it.
///
/// # Errors
///
/// With what the server said, or what file cannot be read.
pub async fn run(args: ApiKeyArgs) -> Result<ExitCode> {
    let (api, output) = (args.client.api()?, args.client.output());
    match args.verb {
        Verb::Issue(args) => issue::run(&api, output, args).await,
        Verb::List => verbs::list_keys(&api, output).await,
        Verb::Get(arg) => verbs::get(&api, output, &arg.id).await,
        Verb::Update(args) => verbs::update(&api, output, args).await,
        Verb::Rotate(args) => verbs::rotate(&api, output, args).await,
        Verb::Revoke(arg) => verbs::revoke(&api, output, &arg.id).await,
        Verb::Usage(args) => verbs::usage(&api, output, args).await,
    }
}
