//! Brings keys of another system into the caller's tenant: read here, wrapped there, compared, and only then taken away from the source.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use chancery_crypto::{Jwk, Secret};
use chancery_kms::private_file;
use clap::Args;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value, json};

use super::{
    rows::{self, Keys},
    source::{PemRow, Source},
};
use crate::commands::{
    client::{Api, Output, list, text},
    say,
};

/// The longest file with an old secret, in bytes.
const SECRET_MAX: usize = 4_096;

#[derive(Debug, Args)]
pub(super) struct KeysArgs {
    /// The database with the table `tenant_keys`: a file of mode 600 with its URL (postgres://… or sqlite:…)
    #[arg(long, value_name = "FILE", requires = "source_tenant", conflicts_with = "rows")]
    database_url_file: Option<PathBuf>,
    /// The tenant_id in that table whose keys are brought into the caller's tenant
    #[arg(long, value_name = "ID")]
    source_tenant: Option<String>,
    /// Leave the private keys in the source; otherwise the column is emptied once the server has them
    #[arg(long)]
    keep_source: bool,
    /// A JSON file with rows of wrapped keys (four-part PBKDF2 rows, or Fernet tokens)
    #[arg(long, value_name = "FILE", required_unless_present = "database_url_file")]
    rows: Option<PathBuf>,
    /// A file of mode 600 with an old SECRET_KEY; may be given several times, the newest first
    #[arg(long = "secret-key-file", value_name = "FILE")]
    secret_keys: Vec<PathBuf>,
    /// A file of mode 600 with a Fernet key-encryption key; may be given several times, the newest first
    #[arg(long = "fernet-key-file", value_name = "FILE")]
    fernet_keys: Vec<PathBuf>,
    /// What the keys are called; the source's own names if absent
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What the keys are for
    #[arg(long, value_name = "PURPOSE")]
    purpose: Option<String>,
    /// Who may use them
    #[arg(long, value_name = "POLICY", default_value = "admin_only")]
    access_policy: String,
    /// Read and check everything, and bring nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(api: &Api, output: Output, args: KeysArgs) -> Result<ExitCode> {
    match (&args.database_url_file, &args.source_tenant, &args.rows) {
        (Some(file), Some(tenant), _) => from_table(api, output, &args, file, tenant).await,
        (_, _, Some(file)) => from_rows(api, output, &args, file).await,
        _ => bail!("name a source: --database-url-file with --source-tenant, or --rows"),
    }
}

/// PEM rows of one tenant of the source become the versions of one key.
async fn from_table(api: &Api, output: Output, args: &KeysArgs, file: &Path, tenant: &str) -> Result<ExitCode> {
    let url = secret(file)?;
    let mut source = Source::open(url.expose()).await?;
    let rows = source.rows(tenant).await?;
    if rows.is_empty() {
        bail!("tenant_keys has no private keys of the tenant `{tenant}`");
    }
    let versions: Vec<Value> = rows.iter().map(PemRow::version).collect();
    let name = args.name.clone().unwrap_or_else(|| format!("tenant_keys/{tenant}"));
    let purpose = args.purpose.as_deref().unwrap_or("signing");
    let body = json!({"name": name, "purpose": purpose, "access_policy": args.access_policy, "versions": versions});
    if args.dry_run {
        say(format_args!("would import {} versions as `{name}`; nothing was changed", rows.len()));
        return Ok(ExitCode::SUCCESS);
    }
    let key = api.post("/v1/keys/import", &body).await?;
    let id = text(&key, "id")?;
    // Read back: what the server has now, not what it answered.
    let stored = api.get(&format!("/v1/keys/{id}")).await?;
    let there = list(&stored, "versions")?;
    let mut report = Vec::with_capacity(rows.len());
    for (row, version) in rows.iter().zip(there) {
        same_public_half(row, version).with_context(|| {
            format!("the key is imported as {id}, but `{}` differs from its public_jwk_json; the source keeps its private keys", row.key_id)
        })?;
        report
            .push(json!({"source_key_id": row.key_id, "key_id": version.get("key_id"), "state": version.get("state")}));
    }
    if there.len() != rows.len() {
        bail!("the server has {} of {} versions as {id}; the source keeps its private keys", there.len(), rows.len());
    }
    let emptied = if args.keep_source { 0 } else { source.forget_private_keys(tenant, &rows).await? };
    if output.is_json() {
        output.thing(&json!({"id": id, "versions": report, "private_keys_removed_from_source": emptied}), &[]);
    } else {
        output.table(&report, &["source_key_id", "key_id", "state"]);
        say(format_args!("imported as {id}; {emptied} private keys removed from the source, public_jwk_json stays"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Each row of wrapped material becomes a key; rows of one name become its versions, in their order.
async fn from_rows(api: &Api, output: Output, args: &KeysArgs, file: &Path) -> Result<ExitCode> {
    let secret_keys = args.secret_keys.iter().map(|path| secret(path)).collect::<Result<Vec<_>>>()?;
    let fernet_keys = args.fernet_keys.iter().map(|path| secret(path)).collect::<Result<Vec<_>>>()?;
    let content = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let found = rows::read(&content, &Keys::new(secret_keys, &fernet_keys)?)?;
    let mut report = Vec::new();
    for key in found {
        let name = args.name.clone().unwrap_or_else(|| key.name.clone());
        let purpose = args.purpose.clone().or_else(|| key.purpose.clone());
        let versions: Vec<Value> = key.versions.iter().map(rows::Version::body).collect();
        let count = versions.len();
        let mut body = Map::new();
        body.insert("name".to_owned(), json!(name));
        // Without one the server takes what the type of the key is for.
        if let Some(purpose) = purpose {
            body.insert("purpose".to_owned(), json!(purpose));
        }
        body.insert("access_policy".to_owned(), json!(args.access_policy));
        body.insert("versions".to_owned(), json!(versions));
        if let Some(backup) = &key.backup {
            body.insert("backup".to_owned(), backup.clone());
        }
        if args.dry_run {
            report.push(json!({"name": name, "versions": count, "id": null}));
            continue;
        }
        let made = api
            .post("/v1/keys/import", &Value::Object(body))
            .await
            .with_context(|| format!("`{name}` was not imported; {} keys before it were", report.len()))?;
        report.push(json!({"name": name, "versions": count, "id": made.get("id"), "key_id": made.get("key_id")}));
    }
    output.table(&report, &["name", "versions", "id", "key_id"]);
    Ok(ExitCode::SUCCESS)
}

/// Whether the server's public half is that of the source's private key, and the one that the source published if it did.
fn same_public_half(row: &PemRow, version: &Value) -> Result<()> {
    let published = match &row.public_jwk {
        Some(jwk) => {
            let jwk: Jwk =
                serde_json::from_value(jwk.clone()).context("public_jwk_json is no JWK of a type that we know")?;
            Some(jwk.thumbprint())
        }
        None => None,
    };
    let derived = row.thumbprint()?;
    let stored = version.get("key_id").and_then(Value::as_str);
    if stored == Some(derived.as_str()) && published.is_none_or(|published| published == derived) {
        Ok(())
    } else {
        bail!("the private key gives another public half")
    }
}

fn secret(path: &Path) -> Result<Secret<String>> {
    let bytes = private_file::read(path, SECRET_MAX)?;
    let text = std::str::from_utf8(&bytes).ok().with_context(|| format!("{} is no text", path.display()))?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Bytes as the API takes them.
pub(super) fn encoded(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}
