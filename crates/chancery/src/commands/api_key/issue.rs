//! Issues API keys: one, or one for every client of a roll-out.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Map, Value, json};

use super::rows;
use crate::commands::{
    client::{Api, Output, text},
    say, tenant,
};

const COLUMNS: [&str; 6] = ["description", "roles", "user_id", "expires_in_days", "allowed_cidrs", "rate_limit"];

#[derive(Debug, Args)]
pub(super) struct IssueArgs {
    /// What it is for
    #[arg(required_unless_present = "from", conflicts_with = "from")]
    description: Option<String>,
    /// A role, built-in or the tenant's own; may be given several times
    #[arg(long = "role", value_name = "ROLE", required_unless_present = "from", conflicts_with = "from")]
    roles: Vec<String>,
    /// The user it acts as
    #[arg(long, value_name = "USER_ID", conflicts_with = "from")]
    user: Option<String>,
    /// Its life in days, 1 to 3650
    #[arg(long, value_name = "DAYS", conflicts_with = "from")]
    expires_in_days: Option<u32>,
    /// A network from which it may be used, such as 10.0.0.0/8; may be given several times
    #[arg(long = "cidr", value_name = "CIDR", conflicts_with = "from")]
    cidrs: Vec<String>,
    /// How often it may be used in a minute
    #[arg(long, value_name = "PER_MINUTE", conflicts_with = "from")]
    rate_limit: Option<u32>,
    /// A key for each row of this file: CSV with a header, or a JSON object on each line
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Write the keys into this new file of mode 600 instead of showing them
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Inside this tenant, as the platform's administrator
    #[arg(long, value_name = "TENANT_ID")]
    tenant: Option<String>,
}

pub(super) async fn run(api: &Api, output: Output, args: IssueArgs) -> Result<ExitCode> {
    let bodies = match &args.from {
        Some(path) => rows::read(path, &COLUMNS)?,
        None => vec![one(&args)],
    };
    let path = match &args.tenant {
        Some(id) => tenant::path(id, "/api-keys")?,
        None => "/v1/api-keys".to_owned(),
    };
    // Before the first key is made: a key that cannot be written down is lost.
    let mut out = args.out.as_deref().map(new_file).transpose()?;
    let count = bodies.len();
    for (position, mut body) in bodies.into_iter().enumerate() {
        rows::today(&mut body);
        let made = api.post(&path, &body).await.with_context(|| {
            format!("row {} of {count} was not issued; the {position} before it were and work", position + 1)
        })?;
        let id = text(&made, "id")?;
        let issued = json!({"id": id, "description": text(&made, "description")?,
            "roles": made.get("roles"), "expires_at": made.get("expires_at"), "key": text(&made, "key")?});
        match &mut out {
            Some((file, path)) => write(file, &issued)
                .with_context(|| format!("{id} was issued, but {} cannot be written; revoke it", path.display()))?,
            None if count == 1 => output.thing(&issued, &["id", "description", "roles", "expires_at", "key"]),
            None => say(&issued),
        }
    }
    if let Some((_, path)) = &out {
        say(format_args!("issued {count}; their texts are in {} and nowhere else", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn one(args: &IssueArgs) -> Value {
    let mut body = Map::new();
    body.insert("description".to_owned(), json!(args.description));
    body.insert("roles".to_owned(), json!(args.roles));
    if let Some(user) = &args.user {
        body.insert("user_id".to_owned(), json!(user));
    }
    if let Some(days) = args.expires_in_days {
        body.insert("expires_in_days".to_owned(), json!(days));
    }
    if let Some(rate_limit) = args.rate_limit {
        body.insert("rate_limit".to_owned(), json!(rate_limit));
    }
    if !args.cidrs.is_empty() {
        body.insert("allowed_cidrs".to_owned(), json!(args.cidrs));
    }
    Value::Object(body)
}

/// A new file that only its owner reads.
fn new_file(path: &Path) -> Result<(File, PathBuf)> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    Ok((file.with_context(|| format!("cannot make {}", path.display()))?, path.to_owned()))
}

/// One line, on the disk before the next key is made.
fn write(file: &mut File, issued: &Value) -> Result<()> {
    writeln!(file, "{issued}")?;
    Ok(file.sync_data()?)
}
