//! `chancery import …`: brings what other systems have.

mod api_keys;
mod certificates;
mod denylist;
mod keys;
mod rows;
mod source;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::client::ClientArgs;

/// `chancery import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Private keys of a table `tenant_keys`, or wrapped keys in a file of rows
    Keys(keys::KeysArgs),
    /// API keys that another system issued, by their SHA-256: their holders go on using them
    ApiKeys(api_keys::ApiKeysArgs),
    /// Tokens that another system had revoked, by their `jti`: they stay refused
    Denylist(denylist::DenylistArgs),
    /// Signed certificates of another system: verified here with its public keys, and attested by digest in the log
    Certificates(certificates::CertificatesArgs),
}

/// Runs it.
///
/// # Errors
///
/// With what the source or the server said.
pub async fn run(args: ImportArgs) -> Result<ExitCode> {
    let (api, output) = (args.client.api()?, args.client.output());
    match args.what {
        What::Keys(args) => keys::run(&api, output, args).await,
        What::ApiKeys(args) => api_keys::run(&api, output, args).await,
        What::Denylist(args) => denylist::run(&api, output, args).await,
        What::Certificates(args) => certificates::run(&api, output, args).await,
    }
}
