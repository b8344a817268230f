//! `chancery webhook …`: sources of webhooks of a running server, their secrets, what is on its way; and, without a server, signing and
//! verifying as each provider does.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use chancery_crypto::Secret;
use chancery_kms::private_file;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    client::{Api, ClientArgs, explain, list},
    say,
};

mod devices;
mod offline;

const SOURCES: &str = "/v1/webhook-sources";
const DELIVERIES: &str = "/v1/webhook-deliveries";
/// What is shown of a source.
const SHOWN: [&str; 8] = ["id", "name", "provider", "upstream", "enabled", "path", "client_id", "app_ids"];
/// What is shown of a secret.
const SECRET: [&str; 5] = ["id", "kind", "created_at", "due_at", "ends_at"];
/// The longest file with a secret: a key set has several keys in it.
const SECRET_MAX: usize = 16 * 1024;
/// The longest body.
const BODY_MAX: u64 = 16 * 1024 * 1024;

/// `chancery webhook`.
#[derive(Debug, Args)]
pub struct WebhookArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

/// What is done. ID is a source's id, whs_…
#[derive(Debug, Subcommand)]
enum Verb {
    /// List the tenant's sources of webhooks
    List,
    /// Show one, and its secrets without what they are
    Get {
        /// Which
        id: String,
    },
    /// Set one up; with a secret it takes messages at once
    Create(Box<CreateArgs>),
    /// Take no more of its messages, until it is enabled again
    Disable {
        /// Which
        id: String,
    },
    /// Take its messages again
    Enable {
        /// Which
        id: String,
    },
    /// Take it away
    Delete {
        /// Which
        id: String,
    },
    /// Give it a further secret, from a file or a variable of this command's environment
    AddSecret(AddSecretArgs),
    /// End one of its secrets at once
    EndSecret {
        /// Of which source
        id: String,
        /// Which, wse_…
        secret: String,
    },
    /// List and revoke the devices that were enrolled with a source
    #[command(subcommand)]
    Devices(devices::Verb),
    /// List webhooks on their way
    Deliveries {
        /// Those that stand so: queued, delivered, quarantined
        #[arg(long)]
        state: Option<String>,
    },
    /// Let one that was tried in vain be tried again, now
    Redrive {
        /// Which, whd_…
        id: String,
    },
    /// Discard one that waits, with its message
    Discard {
        /// Which, whd_…
        id: String,
    },
    /// Sign a body as a provider does, without a server; prints the headers
    Sign(offline::SignArgs),
    /// Verify a body as the server does, without a server; exits 3 if it is refused
    Verify(offline::VerifyArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// What it is called here
    name: String,
    /// oura, whoop, whoop_partner, fitbit, google_health, garmin, apple_health, strava, suunto, standard or generic
    #[arg(long)]
    provider: String,
    /// Where messages are handed on: a URL, or gateway:/PATH of the application behind the gateway
    #[arg(long, value_name = "URL")]
    upstream: String,
    /// A JSON file that says how a generic sender signs
    #[arg(long, value_name = "FILE")]
    layout: Option<PathBuf>,
    /// What Garmin calls the application
    #[arg(long)]
    client_id: Option<String>,
    /// Whose devices may send: TEAMID.bundle.id; may be given several times
    #[arg(long = "app-id", value_name = "ID")]
    app_ids: Vec<String>,
    /// Variables of this command's environment with a secret that the provider signs with, each
    #[arg(long, value_name = "NAME")]
    secret_env: Vec<String>,
    /// A variable with the token that the provider shows
    #[arg(long, value_name = "NAME")]
    token_env: Option<String>,
    /// A variable with a public key or a key set
    #[arg(long, value_name = "NAME")]
    public_key_env: Option<String>,
}

#[derive(Debug, Args)]
struct AddSecretArgs {
    /// Of which source
    id: String,
    /// shared, public_key or token
    #[arg(long, default_value = "shared")]
    kind: String,
    #[command(flatten)]
    from: SecretArgs,
    /// Those of its kind that are there end after 72 hours
    #[arg(long)]
    replaces: bool,
}

/// Where a secret is. Never on the command line, which others see.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct SecretArgs {
    /// A file of mode 600 with the secret
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// A variable of this command's environment with the secret
    #[arg(long, value_name = "NAME")]
    secret_env: Option<String>,
}

impl SecretArgs {
    fn read(&self) -> Result<Secret<String>> {
        match (&self.secret_file, &self.secret_env) {
            (Some(path), _) => {
                let bytes = private_file::read(path, SECRET_MAX)?;
                let text =
                    std::str::from_utf8(&bytes).ok().with_context(|| format!("{} is no text", path.display()))?;
                Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
            }
            (None, Some(name)) => variable(name),
            (None, None) => bail!("name a secret with --secret-file or --secret-env"),
        }
    }
}

fn variable(name: &str) -> Result<Secret<String>> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    value.map(Secret::new).with_context(|| format!("the variable {name} is not set"))
}

/// Does what was typed.
///
/// # Errors
///
/// With why not.
pub async fn run(args: WebhookArgs) -> Result<ExitCode> {
    let output = args.client.output();
    let api = || args.client.api();
    match args.verb {
        Verb::Sign(args) => return offline::sign(&args),
        Verb::Verify(args) => return offline::verify(&args),
        Verb::List => {
            let found = api()?.get(SOURCES).await?;
            output.table(list(&found, "items")?, &["id", "name", "provider", "upstream", "enabled"]);
        }
        Verb::Get { id } => {
            let found = api()?.get(&of(&id)).await?;
            output.thing(&found, &SHOWN);
            if !output.is_json() {
                output.table(list(&found, "secrets")?, &SECRET);
            }
        }
        Verb::Create(create) => output.thing(&api()?.post(SOURCES, &described(*create)?).await?, &SHOWN),
        Verb::Disable { id } => output.thing(&switched(&api()?, &id, false).await?, &SHOWN),
        Verb::Enable { id } => output.thing(&switched(&api()?, &id, true).await?, &SHOWN),
        Verb::Delete { id } => delete(&api()?, &of(&id), "deleted").await?,
        Verb::AddSecret(add) => {
            let secret = add.from.read()?;
            let body = json!({"kind": add.kind, "value": secret.expose(), "replaces": add.replaces});
            output.thing(&api()?.post(&format!("{}/secrets", of(&add.id)), &body).await?, &SECRET);
        }
        Verb::EndSecret { id, secret } => {
            delete(&api()?, &format!("{}/secrets/{secret}", of(&id)), "deleted").await?;
        }
        Verb::Devices(verb) => devices::run(&api()?, output, verb).await?,
        Verb::Deliveries { state } => {
            let query = state.map(|state| format!("?state={state}")).unwrap_or_default();
            let found = api()?.get(&format!("{DELIVERIES}{query}")).await?;
            output
                .table(list(&found, "items")?, &["id", "of", "state", "attempts", "reason", "next_at", "received_at"]);
        }
        Verb::Redrive { id } => {
            let found = api()?.post(&format!("{DELIVERIES}/{id}/redrive"), &json!({})).await?;
            output.thing(&found, &["id", "state", "attempts", "next_at"]);
        }
        Verb::Discard { id } => delete(&api()?, &format!("{DELIVERIES}/{id}"), "deleted").await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn of(id: &str) -> String {
    format!("{SOURCES}/{id}")
}

fn described(args: CreateArgs) -> Result<Value> {
    let mut secrets = Vec::new();
    let kinds = [("token", args.token_env.iter()), ("public_key", args.public_key_env.iter())];
    let shared = args.secret_env.iter().map(|name| ("shared", name));
    for (kind, name) in shared.chain(kinds.into_iter().flat_map(|(kind, names)| names.map(move |name| (kind, name)))) {
        secrets.push(json!({"kind": kind, "value": variable(name)?.expose()}));
    }
    let mut body = json!({
        "name": args.name, "provider": args.provider, "upstream": args.upstream, "app_ids": args.app_ids,
        // Phones bring their own keys.
        "enabled": !secrets.is_empty() || args.provider == "apple_health", "secrets": secrets,
    });
    if let (Some(path), Some(members)) = (&args.layout, body.as_object_mut()) {
        let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let layout: Value = serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", path.display()))?;
        members.insert("layout".to_owned(), layout);
    }
    if let (Some(id), Some(members)) = (args.client_id, body.as_object_mut()) {
        members.insert("client_id".to_owned(), json!(id));
    }
    Ok(body)
}

async fn switched(api: &Api, id: &str, enabled: bool) -> Result<Value> {
    api.send(Method::PATCH, &of(id), Some(&json!({"enabled": enabled}))).await
}

async fn delete(api: &Api, path: &str, done: &str) -> Result<()> {
    let (status, bytes) = api.exchange(Method::DELETE, path, None).await?;
    if !status.is_success() {
        let problem: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        bail!("{}", explain(status.as_u16(), &problem));
    }
    say(done);
    Ok(())
}

/// A body, from a file or from standard input.
fn body(file: Option<&Path>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match file {
        Some(path) => {
            let opened = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
            opened.take(BODY_MAX).read_to_end(&mut bytes)
        }
        None => std::io::stdin().take(BODY_MAX).read_to_end(&mut bytes),
    }
    .context("cannot read the body")?;
    Ok(bytes)
}
