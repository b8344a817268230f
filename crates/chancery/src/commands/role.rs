//! `chancery role …`: the tenant's roles, and why somebody may do something.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{
    client::{Api, ClientArgs, Output, explain, list},
    say,
};

/// `chancery role`.
#[derive(Debug, Args)]
pub struct RoleArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

/// What is done. NAME is a role's name, HOLDER a user's or an API key's id.
#[derive(Debug, Subcommand)]
enum Verb {
    /// List the roles that the tenant can give: built-in ones and its own
    List,
    /// List every permission, with the built-in roles that have it
    Permissions,
    /// Show one of the tenant's own roles, and who holds it
    Get {
        /// The role
        name: String,
    },
    /// Define a role of the tenant: some permissions of a built-in one
    Define(DefineArgs),
    /// Give up a role that nobody holds
    Delete {
        /// The role
        name: String,
    },
    /// Give one of the tenant's own roles to a user or an API key
    Give(HolderArgs),
    /// Take it away
    Take(HolderArgs),
    /// Explain why somebody may do something, or why not, and which role would change that
    Explain(ExplainArgs),
}

#[derive(Debug, Args)]
struct DefineArgs {
    /// Its name: 2 to 63 of a-z, 0-9, _ and -
    name: String,
    /// The built-in role of which it is a part
    #[arg(long, value_name = "ROLE")]
    base: String,
    /// A permission of that role; may be given several times
    #[arg(long = "permission", value_name = "PERMISSION", required = true)]
    permissions: Vec<String>,
    /// What it is for
    #[arg(long, default_value = "")]
    description: String,
}

#[derive(Debug, Args)]
struct HolderArgs {
    /// The role
    name: String,
    /// Who
    holder: String,
}

#[derive(Debug, Args)]
struct ExplainArgs {
    /// May do what, such as data.open.restricted
    permission: String,
    /// Who, by id; the caller if absent
    holder: Option<String>,
}

/// Runs it.
///
/// # Errors
///
/// With what the server said.
pub async fn run(args: RoleArgs) -> Result<ExitCode> {
    let (api, output) = (args.client.api()?, args.client.output());
    match args.verb {
        Verb::List => {
            let roles = api.get("/v1/roles").await?;
            output.table(list(&roles, "items")?, &["name", "base", "description", "permissions"]);
        }
        Verb::Permissions => {
            let permissions = api.get("/v1/permissions").await?;
            output.table(list(&permissions, "items")?, &["name", "roles"]);
        }
        Verb::Get { name } => {
            let role = api.get(&format!("/v1/roles/{name}")).await?;
            output.thing(&role, &["name", "base", "description", "permissions", "changed_at", "holders"]);
        }
        Verb::Define(args) => {
            let body = json!({"base": args.base, "permissions": args.permissions, "description": args.description});
            let role = api.send(Method::PUT, &format!("/v1/roles/{}", args.name), Some(&body)).await?;
            output.thing(&role, &["name", "base", "description", "permissions", "changed_at"]);
        }
        Verb::Delete { name } => done(&api, Method::DELETE, &format!("/v1/roles/{name}"), "deleted").await?,
        Verb::Give(args) => done(&api, Method::PUT, &held(&args), "given").await?,
        Verb::Take(args) => done(&api, Method::DELETE, &held(&args), "taken").await?,
        Verb::Explain(args) => return explained(&api, output, &args).await,
    }
    Ok(ExitCode::SUCCESS)
}

fn held(args: &HolderArgs) -> String {
    format!("/v1/roles/{}/holders/{}", args.name, args.holder)
}

/// A call whose success says nothing.
async fn done(api: &Api, method: Method, path: &str, what: &str) -> Result<()> {
    let (status, bytes) = api.exchange(method, path, None).await?;
    if !status.is_success() {
        let problem: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        anyhow::bail!("{}", explain(status.as_u16(), &problem));
    }
    say(what);
    Ok(())
}

/// Exits 3 if they may not.
async fn explained(api: &Api, output: Output, args: &ExplainArgs) -> Result<ExitCode> {
    let mut body = Map::new();
    body.insert("permission".to_owned(), json!(args.permission));
    if let Some(holder) = &args.holder {
        let name = if holder.starts_with("apk_") { "api_key_id" } else { "user_id" };
        body.insert(name.to_owned(), json!(holder));
    }
    let answer = api.post("/v1/authz/explain", &Value::Object(body)).await?;
    output.thing(&answer, &["subject", "permission", "allowed", "reason", "holds", "through", "would"]);
    let allowed = answer.get("allowed").and_then(Value::as_bool) == Some(true);
    Ok(if allowed { ExitCode::SUCCESS } else { ExitCode::from(3) })
}
