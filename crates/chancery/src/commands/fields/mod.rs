//! `chancery fields …`: a thin client of the field API, and the planner, which needs no server.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::client::ClientArgs;

mod define;
mod plan;

/// `chancery fields`.
#[derive(Debug, Args)]
pub struct FieldsArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List registered fields
    List,
    /// Register a field, or change its class and index
    Define(define::DefineArgs),
    /// Register a ready set of fields: staff-pii, duty-roster; again it changes nothing
    Apply(define::ApplyArgs),
    /// Judge an index over a column by the column's own values, offline
    Plan(plan::PlanArgs),
}

/// Runs it.
///
/// # Errors
///
/// With what the server said, or what file cannot be read.
pub async fn run(args: FieldsArgs) -> Result<ExitCode> {
    let (client, output) = (&args.client, args.client.output());
    match args.verb {
        Verb::List => define::list(&client.api()?, output).await,
        Verb::Define(args) => define::define(&client.api()?, output, args).await,
        Verb::Apply(args) => define::apply(&client.api()?, output, args).await,
        Verb::Plan(args) => plan::run(&args, output.is_json()),
    }
}
