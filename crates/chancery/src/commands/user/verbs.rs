//! What is done with one user.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use chancery_crypto::Secret;
use chancery_kms::private_file;
use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{UserArg, path};
use crate::commands::{
    client::{Api, Output, explain, list, text},
    tenant,
};

/// The longest file with a password, in bytes.
const PASSWORD_MAX: usize = 1_024;
/// Users that one page lists.
const PAGE: usize = 100;
/// What one user shows.
const MEMBERS: [&str; 8] = ["id", "username", "email", "first_name", "last_name", "roles", "state", "created_at"];
/// What a change of a user shows: nothing of the person.
const CHANGED: [&str; 5] = ["id", "username", "roles", "state", "created_at"];
/// What a token shows.
pub(super) const TOKEN: [&str; 2] = ["token", "expires_at"];

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Its name at login
    username: String,
    /// Its e-mail
    #[arg(long, value_name = "ADDRESS")]
    email: String,
    /// A role; may be given several times
    #[arg(long = "role", value_name = "ROLE", required = true)]
    roles: Vec<String>,
    /// Its first name
    #[arg(long, value_name = "NAME")]
    first_name: Option<String>,
    /// Its last name
    #[arg(long, value_name = "NAME")]
    last_name: Option<String>,
    /// Print no token: it does not log in by password, or is invited later
    #[arg(long)]
    no_invite: bool,
    /// A file of mode 600 with its first password, instead of a token with which it sets one
    #[arg(long, value_name = "FILE", conflicts_with = "no_invite")]
    password_file: Option<PathBuf>,
    /// Inside this tenant, as the platform's administrator: its first `tenant_admin`, who makes the others
    #[arg(long, value_name = "TENANT_ID")]
    tenant: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct UpdateArgs {
    #[command(flatten)]
    user: UserArg,
    /// Another e-mail
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Another first name; none if empty
    #[arg(long, value_name = "NAME")]
    first_name: Option<String>,
    /// Another last name; none if empty
    #[arg(long, value_name = "NAME")]
    last_name: Option<String>,
    /// A role instead of those it has; may be given several times. Its sessions end
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
}

pub(super) async fn list_users(api: &Api, output: Output) -> Result<ExitCode> {
    let (mut users, mut path) = (Vec::new(), format!("/v1/users?limit={PAGE}"));
    loop {
        let page = api.get(&path).await?;
        users.extend(list(&page, "items")?.iter().cloned());
        match page.get("next_cursor").and_then(Value::as_str) {
            Some(cursor) => path = format!("/v1/users?limit={PAGE}&cursor={cursor}"),
            None => break,
        }
    }
    output.table(&users, &["id", "username", "email", "roles", "state"]);
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn get(api: &Api, output: Output, user: &str) -> Result<ExitCode> {
    output.thing(&api.get(&path(api, user, "").await?).await?, &MEMBERS);
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn create(api: &Api, output: Output, args: CreateArgs) -> Result<ExitCode> {
    let path = match &args.tenant {
        // The platform cannot invite inside a tenant, and makes the first administrator once: nobody could let it in afterwards.
        Some(_) if args.password_file.is_none() && !args.no_invite => {
            bail!("with --tenant no token can be made; give a first password with --password-file, or --no-invite")
        }
        Some(id) => tenant::path(id, "/users")?,
        None => "/v1/users".to_owned(),
    };
    let mut body = Map::new();
    body.insert("username".to_owned(), json!(args.username));
    body.insert("email".to_owned(), json!(args.email));
    body.insert("roles".to_owned(), json!(args.roles));
    for (name, value) in [("first_name", args.first_name), ("last_name", args.last_name)] {
        if let Some(value) = value {
            body.insert(name.to_owned(), json!(value));
        }
    }
    if let Some(file) = &args.password_file {
        body.insert("password".to_owned(), json!(password(file)?.expose()));
    }
    let mut made = api.post(&path, &Value::Object(body)).await?;
    let mut members = CHANGED.to_vec();
    if !args.no_invite && args.password_file.is_none() {
        let token = api.post(&format!("/v1/users/{}/invite", text(&made, "id")?), &json!({})).await?;
        if let (Value::Object(made), Value::Object(token)) = (&mut made, token) {
            made.extend(token);
        }
        members.extend(TOKEN);
    }
    output.thing(&made, &members);
    Ok(ExitCode::SUCCESS)
}

/// The line of a file. Spaces may be part of a password.
fn password(file: &Path) -> Result<Secret<String>> {
    let bytes = private_file::read(file, PASSWORD_MAX)?;
    let text = std::str::from_utf8(&bytes).ok().with_context(|| format!("{} is no text", file.display()))?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

pub(super) async fn update(api: &Api, output: Output, args: UpdateArgs) -> Result<ExitCode> {
    let mut body = Map::new();
    if let Some(email) = args.email {
        body.insert("email".to_owned(), json!(email));
    }
    for (name, value) in [("first_name", args.first_name), ("last_name", args.last_name)] {
        if let Some(value) = value {
            body.insert(name.to_owned(), if value.is_empty() { Value::Null } else { json!(value) });
        }
    }
    if !args.roles.is_empty() {
        body.insert("roles".to_owned(), json!(args.roles));
    }
    if body.is_empty() {
        bail!("nothing to change; give --email, --first-name, --last-name or --role");
    }
    let path = path(api, &args.user.user, "").await?;
    output.thing(&api.patch(&path, &Value::Object(body)).await?, &CHANGED);
    Ok(ExitCode::SUCCESS)
}

/// A verb whose answer is the user.
pub(super) async fn shift(api: &Api, output: Output, user: &str, verb: &str) -> Result<ExitCode> {
    told(api, output, user, verb, &CHANGED).await
}

/// A verb whose answer has these members.
pub(super) async fn told(api: &Api, output: Output, user: &str, verb: &str, members: &[&str]) -> Result<ExitCode> {
    let path = path(api, user, &format!("/{verb}")).await?;
    output.thing(&api.post(&path, &json!({})).await?, members);
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn sessions(api: &Api, output: Output, user: &str) -> Result<ExitCode> {
    let found = api.get(&path(api, user, "/sessions").await?).await?;
    output.table(list(&found, "items")?, &["id", "created_at", "refreshed_at", "expires_at", "amr"]);
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn end_session(api: &Api, user: &str, session: &str) -> Result<ExitCode> {
    if !session.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        bail!("`{session}` is no session; `chancery user sessions` shows them");
    }
    remove(api, &path(api, user, &format!("/sessions/{session}")).await?).await
}

pub(super) async fn delete(api: &Api, user: &str) -> Result<ExitCode> {
    remove(api, &path(api, user, "").await?).await
}

async fn remove(api: &Api, path: &str) -> Result<ExitCode> {
    let (status, bytes) = api.exchange(Method::DELETE, path, None).await?;
    if !status.is_success() {
        bail!("{}", explain(status.as_u16(), &serde_json::from_slice(&bytes).unwrap_or_default()));
    }
    Ok(ExitCode::SUCCESS)
}
