//! `chancery root list|add|replace|remove|prove`.

use std::{process::ExitCode, sync::Arc};

use anyhow::{Context as _, Result, bail};
use chancery_domain::{
    ids::RecipientId,
    keyring::{KeyProvider, RootRecipient, root},
};
use chancery_kms::Recovery;
use clap::Args;
use serde_json::json;

use super::unlock::{self, Brought, Opened};
use crate::{cli::ConfigArgs, commands::say, wiring::providers::Absent};

/// `chancery root list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten, next_help_heading = "Configuration")]
    config: ConfigArgs,
}

/// To whom the root goes.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct To {
    /// A key provider of the configuration, by its name
    provider: Option<String>,
    /// A new recovery key, printed once
    #[arg(long)]
    recovery_key: bool,
}

/// `chancery root add`.
#[derive(Debug, Args)]
pub(super) struct AddArgs {
    #[command(flatten)]
    to: To,
    /// Make the provider's key if it is not there: a local key file, or a key in an HSM's token
    #[arg(long)]
    create_key: bool,
    #[command(flatten)]
    brought: Brought,
    #[command(flatten, next_help_heading = "Configuration")]
    config: ConfigArgs,
}

/// `chancery root replace`.
#[derive(Debug, Args)]
pub(super) struct ReplaceArgs {
    /// The recipient that goes, by its id from `chancery root list`
    #[arg(long, value_name = "ID")]
    old: RecipientId,
    #[command(flatten)]
    to: To,
    /// Make the provider's key if it is not there
    #[arg(long)]
    create_key: bool,
    #[command(flatten)]
    brought: Brought,
    #[command(flatten, next_help_heading = "Configuration")]
    config: ConfigArgs,
}

/// `chancery root remove`.
#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// The recipient, by its id from `chancery root list`
    id: RecipientId,
    #[command(flatten)]
    brought: Brought,
    #[command(flatten, next_help_heading = "Configuration")]
    config: ConfigArgs,
}

/// `chancery root prove`.
#[derive(Debug, Args)]
pub(super) struct ProveArgs {
    #[command(flatten)]
    brought: Brought,
    #[command(flatten, next_help_heading = "Configuration")]
    config: ConfigArgs,
}

pub(super) async fn list(args: ListArgs) -> Result<ExitCode> {
    let (config, stores) = unlock::store(args.config).await?;
    let recipients = stores.recipients().await?;
    let live = root::live(&recipients);
    if args.json {
        let items: Vec<_> =
            recipients.iter().map(|one| to_json(one, live.iter().any(|live| live.id == one.id))).collect();
        let needed = root::needed(&crate::wiring::settings(&config));
        say(format_args!("{:#}", json!({ "recipients": items, "live": live.len(), "needed": needed })));
        return Ok(ExitCode::SUCCESS);
    }
    for one in &recipients {
        let standing = match (&one.failed_at, live.iter().any(|live| live.id == one.id)) {
            (Some(since), _) => format!("FAILS since {since}"),
            (None, true) => "live".to_owned(),
            (None, false) => "older version".to_owned(),
        };
        say(format_args!("{}  {:14}  {}", one.id, one.provider.as_str(), one.label));
        say(format_args!("{:30}  root version {}, {standing}, proven {}", "", one.root_version, one.proven_at));
    }
    Ok(ExitCode::SUCCESS)
}

fn to_json(one: &RootRecipient, live: bool) -> serde_json::Value {
    json!({
        "id": one.id.to_string(),
        "provider": one.provider.as_str(),
        "label": one.label,
        "root_version": one.root_version,
        "live": live,
        "created_at": one.created_at.to_string(),
        "proven_at": one.proven_at.to_string(),
        "failed_at": one.failed_at.map(|at| at.to_string()),
    })
}

/// A provider, and the text of a recovery key that was made for it.
type Made = (Arc<dyn KeyProvider>, Option<chancery_crypto::Secret<String>>);

fn recipient(to: &To, opened: &Opened) -> Result<Made> {
    if let Some(name) = &to.provider {
        return Ok((opened.providers.named(name)?, None));
    }
    let (recovery, text) = Recovery::make()?;
    Ok((Arc::new(recovery), Some(text)))
}

const fn absent(create_key: bool) -> Absent {
    if create_key { Absent::Make } else { Absent::Refuse }
}

fn told(added: &RootRecipient, text: Option<&chancery_crypto::Secret<String>>) {
    say(format_args!("Added           {}  {} {}", added.id, added.provider, added.label));
    if let Some(text) = text {
        say(format_args!("Recovery key    {}", text.expose()));
        say(format_args!("                shown once. Keep it on paper or in a vault, apart from this machine"));
    }
}

pub(super) async fn add(args: AddArgs) -> Result<ExitCode> {
    let opened = unlock::open(args.config, &args.brought, absent(args.create_key)).await?;
    let (provider, text) = recipient(&args.to, &opened)?;
    let added = root::add(&opened.instance, &*provider).await.context("the root was not wrapped for it")?;
    told(&added, text.as_ref());
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn replace(args: ReplaceArgs) -> Result<ExitCode> {
    let opened = unlock::open(args.config, &args.brought, absent(args.create_key)).await?;
    let (provider, text) = recipient(&args.to, &opened)?;
    let added = root::replace(&opened.instance, args.old, &*provider).await;
    told(&added.context("nothing was replaced")?, text.as_ref());
    say(format_args!("Removed         {}", args.old));
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn remove(args: RemoveArgs) -> Result<ExitCode> {
    let opened = unlock::open(args.config, &args.brought, Absent::Refuse).await?;
    let removed = root::remove(&opened.instance, args.id).await;
    removed.context("nothing was removed; add another recipient first (`chancery root add`)")?;
    say(format_args!("Removed         {}", args.id));
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn prove(args: ProveArgs) -> Result<ExitCode> {
    let opened = unlock::open(args.config, &args.brought, Absent::Refuse).await?;
    let proofs = root::prove(&opened.instance).await?;
    let mut failed = false;
    for proof in &proofs {
        let recipient = &proof.recipient;
        let what = match &proof.outcome {
            Some(Ok(())) => "gives the root".to_owned(),
            Some(Err(error)) => {
                failed = true;
                format!("FAILS: {:#}", anyhow::Error::msg(chain(error)))
            }
            None => format!("is not at hand; last proven {}", recipient.proven_at),
        };
        say(format_args!("{}  {:14}  {what}", recipient.id, recipient.provider.as_str()));
    }
    if proofs.iter().all(|proof| proof.outcome.is_none()) {
        bail!("no recipient was asked");
    }
    // Whoever brings a key wants to know of this one.
    for brought in args.brought.providers()? {
        let (kind, label) = (brought.kind(), brought.label());
        if !proofs.iter().any(|proof| proof.recipient.provider == kind && proof.recipient.label == label) {
            failed = true;
            say(format_args!("{:30}  {:14}  FAILS: what was brought is no recipient: {label}", "-", kind.as_str()));
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// An error with everything beneath it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
