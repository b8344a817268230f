//! `chancery tenant …`: a thin client of the tenants' API, and of the settings that a tenant chooses for itself.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::{Api, ClientArgs, Output, list};

/// What a tenant shows.
const MEMBERS: [&str; 5] = ["id", "slug", "name", "state", "created_at"];
/// What one shows with what is sealed of it.
const WHOLE: [&str; 7] = ["id", "slug", "name", "state", "created_at", "email", "metadata"];

/// `chancery tenant`.
#[derive(Debug, Args)]
pub struct TenantArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

/// What is done. ID is a tenant's id (`ten_…`).
#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a tenant with keys and a log of its own
    Create(CreateArgs),
    /// List tenants
    List,
    /// Show one, with its e-mail and metadata
    Get(IdArg),
    /// Change the name, e-mail or metadata of one
    Update(UpdateArgs),
    /// Stop serving one: none of its credentials is accepted
    Suspend(IdArg),
    /// Serve a suspended one again
    Resume(IdArg),
    /// Show or change what the caller's own tenant has chosen
    Settings(SettingsArgs),
}

#[derive(Debug, Args)]
struct IdArg {
    /// Its id
    id: String,
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Its short name: 2 to 63 of a-z, 0-9 and -
    slug: String,
    /// Its name
    #[arg(long)]
    name: String,
    /// Its contact e-mail
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// A JSON object of your own
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
}

#[derive(Debug, Args)]
struct UpdateArgs {
    #[command(flatten)]
    tenant: IdArg,
    /// Another name
    #[arg(long)]
    name: Option<String>,
    /// Another contact e-mail; none if empty
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Another JSON object, as a whole; none if empty
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
}

#[derive(Debug, Args)]
struct SettingsArgs {
    /// How people become its users: closed, invited or open
    #[arg(long, value_name = "WAY")]
    registration: Option<String>,
}

/// Runs it.
///
/// # Errors
///
/// With what the server said.
pub async fn run(args: TenantArgs) -> Result<ExitCode> {
    let (api, output) = (args.client.api()?, args.client.output());
    match args.verb {
        Verb::Create(args) => output.thing(&api.post("/v1/tenants", &body_of_new(args)?).await?, &MEMBERS),
        Verb::List => output.table(&all(&api).await?, &MEMBERS),
        Verb::Get(arg) => output.thing(&api.get(&path(&arg.id, "")?).await?, &WHOLE),
        Verb::Update(args) => update(&api, output, args).await?,
        Verb::Suspend(arg) => output.thing(&api.post(&path(&arg.id, "/suspend")?, &json!({})).await?, &MEMBERS),
        Verb::Resume(arg) => output.thing(&api.post(&path(&arg.id, "/resume")?, &json!({})).await?, &MEMBERS),
        Verb::Settings(args) => settings(&api, output, args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A path within this tenant.
pub(super) fn path(id: &str, tail: &str) -> Result<String> {
    if !id.starts_with("ten_") || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        bail!("`{id}` is no id of a tenant (ten_…); `chancery tenant list` shows them");
    }
    Ok(format!("/v1/tenants/{id}{tail}"))
}

fn object(text: &str) -> Result<Value> {
    serde_json::from_str(text).context("--metadata is not JSON")
}

fn body_of_new(args: CreateArgs) -> Result<Value> {
    let mut body = Map::new();
    body.insert("slug".to_owned(), json!(args.slug));
    body.insert("name".to_owned(), json!(args.name));
    if let Some(email) = args.email {
        body.insert("email".to_owned(), json!(email));
    }
    if let Some(metadata) = args.metadata {
        body.insert("metadata".to_owned(), object(&metadata)?);
    }
    Ok(Value::Object(body))
}

async fn all(api: &Api) -> Result<Vec<Value>> {
    let (mut tenants, mut path) = (Vec::new(), "/v1/tenants?limit=200".to_owned());
    loop {
        let page = api.get(&path).await?;
        tenants.extend(list(&page, "items")?.iter().cloned());
        match page.get("next_cursor").and_then(Value::as_str) {
            Some(cursor) => path = format!("/v1/tenants?limit=200&cursor={cursor}"),
            None => return Ok(tenants),
        }
    }
}

async fn update(api: &Api, output: Output, args: UpdateArgs) -> Result<()> {
    let mut body = Map::new();
    if let Some(name) = args.name {
        body.insert("name".to_owned(), json!(name));
    }
    if let Some(email) = args.email {
        body.insert("email".to_owned(), if email.is_empty() { Value::Null } else { json!(email) });
    }
    if let Some(metadata) = args.metadata {
        body.insert("metadata".to_owned(), if metadata.is_empty() { Value::Null } else { object(&metadata)? });
    }
    if body.is_empty() {
        bail!("nothing to change; give --name, --email or --metadata");
    }
    output.thing(&api.patch(&path(&args.tenant.id, "")?, &Value::Object(body)).await?, &MEMBERS);
    Ok(())
}

async fn settings(api: &Api, output: Output, args: SettingsArgs) -> Result<()> {
    let found = match args.registration {
        Some(registration) => api.patch("/v1/settings", &json!({ "registration": registration })).await?,
        None => api.get("/v1/settings").await?,
    };
    output.thing(&found, &["registration"]);
    Ok(())
}
