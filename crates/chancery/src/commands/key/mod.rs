//! `chancery key …`: a thin client of the key API.

mod uses;
mod verbs;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::{Api, ClientArgs, list, text};

/// Keys that one page lists.
const PAGE: usize = 200;

/// `chancery key`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

/// What is done. KEY is a key's id (`key_…`) or its name.
#[derive(Debug, Subcommand)]
enum Verb {
    /// List keys
    List(verbs::ListArgs),
    /// Make a key
    Create(verbs::CreateArgs),
    /// Show a key and its versions
    Get(KeyArg),
    /// Change who may use a key, how long its versions live, and when it rotates
    Update(verbs::UpdateArgs),
    /// Add a version; old ones open and verify on
    Rotate(verbs::RotateArgs),
    /// Count what each version still holds: how far a re-seal or a move of keys is
    Census(KeyArg),
    /// Stop versions for now
    Suspend(verbs::VersionArgs),
    /// Let suspended versions go on
    Resume(verbs::VersionArgs),
    /// Revoke versions at once and for good
    Revoke(verbs::RevokeArgs),
    /// Sign a message
    Sign(uses::SignArgs),
    /// Verify a signature; exits 3 if it does not
    Verify(uses::VerifyArgs),
    /// Encrypt a message
    Encrypt(uses::EncryptArgs),
    /// Decrypt a ciphertext
    Decrypt(uses::DecryptArgs),
    /// Print the public half as PEM
    Public(verbs::PublicArgs),
    /// List who did what with a key
    Usage(verbs::UsageArgs),
    /// List the completed rotations of all keys, each with the certificate that states it; those of the platform with their event
    Rotations,
    /// List the known copies of a key outside the store
    Copies(KeyArg),
    /// Take a copy of a key away from a destination, for good
    RemoveCopy(verbs::RemoveCopyArgs),
}

/// A key.
#[derive(Debug, Args)]
struct KeyArg {
    /// Its id or its name
    key: String,
}

/// Where bytes come from.
#[derive(Debug, Args)]
struct InputArg {
    /// The file to read; standard input if absent or `-`
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Runs it.
///
/// # Errors
///
/// With what the server said.
pub async fn run(args: KeyArgs) -> Result<ExitCode> {
    let (api, output) = (args.client.api()?, args.client.output());
    match args.verb {
        Verb::List(args) => verbs::list_keys(&api, output, args).await,
        Verb::Create(args) => verbs::create(&api, output, args).await,
        Verb::Get(arg) => verbs::get(&api, output, &arg.key).await,
        Verb::Update(args) => verbs::update(&api, output, args).await,
        Verb::Rotate(args) => verbs::rotate(&api, output, args).await,
        Verb::Census(arg) => verbs::census(&api, output, &arg.key).await,
        Verb::Suspend(args) => verbs::shift(&api, output, args, "suspend").await,
        Verb::Resume(args) => verbs::shift(&api, output, args, "resume").await,
        Verb::Revoke(args) => verbs::revoke(&api, output, args).await,
        Verb::Sign(args) => uses::sign(&api, output, args).await,
        Verb::Verify(args) => uses::verify(&api, output, args).await,
        Verb::Encrypt(args) => uses::encrypt(&api, output, args).await,
        Verb::Decrypt(args) => uses::decrypt(&api, args).await,
        Verb::Public(args) => verbs::public(&api, output, args).await,
        Verb::Usage(args) => verbs::usage(&api, output, args).await,
        Verb::Rotations => verbs::rotations(&api, output).await,
        Verb::Copies(arg) => verbs::copies(&api, output, &arg.key).await,
        Verb::RemoveCopy(args) => verbs::remove_copy(&api, output, args).await,
    }
}

/// All keys.
async fn all_keys(api: &Api) -> Result<Vec<Value>> {
    all(api, &format!("/v1/keys?limit={PAGE}")).await
}

/// Every item of a list, page by page.
async fn all(api: &Api, first: &str) -> Result<Vec<Value>> {
    let (mut items, mut path) = (Vec::new(), first.to_owned());
    loop {
        let page = api.get(&path).await?;
        items.extend(list(&page, "items")?.iter().cloned());
        match page.get("next_cursor").and_then(Value::as_str) {
            Some(cursor) => path = format!("{first}&cursor={cursor}"),
            None => return Ok(items),
        }
    }
}

/// The id of a key by its id or its name.
async fn id_of(api: &Api, key: &str) -> Result<String> {
    if key.starts_with("key_") && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(key.to_owned());
    }
    let found = all_keys(api).await.context("cannot look a key up by its name; give its id (key_…) instead")?;
    let mut named = found.iter().filter(|found| found.get("name").and_then(Value::as_str) == Some(key));
    match (named.next(), named.next()) {
        (Some(one), None) => Ok(text(one, "id")?.to_owned()),
        (None, _) => bail!("no key is called `{key}`; `chancery key list` shows them"),
        (Some(_), Some(_)) => bail!("several keys are called `{key}`; give the id of one"),
    }
}

/// A path below a key.
async fn path(api: &Api, key: &str, verb: &str) -> Result<String> {
    let id = id_of(api, key).await?;
    Ok(if verb.is_empty() { format!("/v1/keys/{id}") } else { format!("/v1/keys/{id}/{verb}") })
}
