//! What is done with keys as such.

use std::{collections::BTreeMap, process::ExitCode};

use anyhow::{Context as _, Result};
use chancery_domain::{Clock as _, TenantId, Timestamp, audit::EventKind, keyring::PlatformRotation};
use clap::Args;
use serde_json::{Map, Value, json};

use super::{KeyArg, PAGE, all, all_keys, path};
use crate::{
    clock::SystemClock,
    commands::client::{Api, Output, list, text},
};

/// What one key shows.
const MEMBERS: [&str; 16] = [
    "id",
    "name",
    "type",
    "purpose",
    "managed",
    "state",
    "key_id",
    "version",
    "access_policy",
    "allowed_users",
    "expires_at",
    "auto_rotate",
    "rotation_interval_days",
    "last_rotated_at",
    "is_backed_up",
    "uses",
];
const VERSION_MEMBERS: [&str; 7] =
    ["version", "state", "material", "key_id", "activated_at", "retired_at", "expires_at"];

/// The kinds of key providers that keys may live in.
const RESIDENT: [&str; 2] = ["pkcs11", "aws_kms"];

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Also those that Chancery made for itself
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Its name
    name: String,
    /// aes_256, rsa_2048, rsa_4096, ec_p256, ec_p384 or ed25519
    #[arg(long = "type", value_name = "TYPE")]
    key_type: String,
    /// encryption, signing, jwt, api_key, database, backup or hsm_wrapping
    #[arg(long, value_name = "PURPOSE")]
    purpose: String,
    /// admin_only (if absent), service_account, application, user_specific or public_read
    #[arg(long, value_name = "POLICY")]
    access_policy: Option<String>,
    /// A user that user_specific means; may be given several times
    #[arg(long = "allow-user", value_name = "USER_ID")]
    allowed_users: Vec<String>,
    /// The kind of key provider where it shall live; wrapped in the store if absent
    #[arg(long, value_name = "PROVIDER", value_parser = RESIDENT)]
    provider: Option<String>,
    /// The life of each version in days, 1 to 3650
    #[arg(long, value_name = "DAYS")]
    expires_in_days: Option<u32>,
    /// Rotate it by itself every so many days, 30 to 365
    #[arg(long, value_name = "DAYS")]
    rotate_every: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct UpdateArgs {
    #[command(flatten)]
    key: KeyArg,
    /// Who may use it
    #[arg(long, value_name = "POLICY")]
    access_policy: Option<String>,
    /// A user that user_specific means; may be given several times
    #[arg(long = "allow-user", value_name = "USER_ID")]
    allowed_users: Vec<String>,
    /// The life of each new version in days
    #[arg(long, value_name = "DAYS")]
    expires_in_days: Option<u32>,
    /// Rotate it by itself every so many days
    #[arg(long, value_name = "DAYS", conflicts_with = "no_auto_rotate")]
    rotate_every: Option<u32>,
    /// Rotate it by hand only
    #[arg(long)]
    no_auto_rotate: bool,
}

#[derive(Debug, Args)]
pub(super) struct VersionArgs {
    #[command(flatten)]
    key: KeyArg,
    /// One version; all that can be if absent
    #[arg(long, value_name = "N")]
    key_version: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct RotateArgs {
    #[command(flatten)]
    key: KeyArg,
    /// For the key that signs certificates: go on as ed25519 or ec_p256; with --provider as ec_p256, rsa_2048 or rsa_4096
    #[arg(long = "type", value_name = "TYPE")]
    key_type: Option<String>,
    /// For the key that signs certificates: its new version is made in a key provider of this kind and never leaves it
    #[arg(long, value_name = "PROVIDER", value_parser = RESIDENT)]
    provider: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    #[command(flatten)]
    versions: VersionArgs,
    /// unspecified, key_compromise, superseded, cessation_of_operation or privilege_withdrawn
    #[arg(long, value_name = "REASON", default_value = "unspecified")]
    reason: String,
    /// For certificate keys: certificates logged up to this index stay valid
    #[arg(long, value_name = "INDEX")]
    last_valid_index: Option<u64>,
    /// Also a version of the subject root that still wraps the keys of persons; takes two people
    #[arg(long)]
    force: bool,
    /// Another officer's approval, with --force
    #[arg(long, value_name = "ID", requires = "force")]
    approval: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct PublicArgs {
    #[command(flatten)]
    key: KeyArg,
    /// The key_id of a version; the newest if absent
    #[arg(long, value_name = "KEY_ID")]
    key_id: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct UsageArgs {
    #[command(flatten)]
    key: KeyArg,
    /// From this moment (RFC 3339); 30 days ago if absent
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Until this moment; now if absent
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct RemoveCopyArgs {
    #[command(flatten)]
    key: KeyArg,
    /// The destination's name, as `chancery key copies` shows it
    #[arg(value_name = "LOCATION")]
    location: String,
    /// Another officer's approval, for a copy that no other verified one stands in for
    #[arg(long, value_name = "ID")]
    approval: Option<String>,
}

/// A body of those members that are there.
fn body(members: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let there = members.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(there.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

fn users(ids: &[String]) -> Value {
    if ids.is_empty() { Value::Null } else { json!(ids) }
}

fn show(output: Output, key: &Value) -> Result<ExitCode> {
    output.thing(key, &MEMBERS);
    if !output.is_json() {
        crate::commands::say("");
        output.table(list(key, "versions")?, &VERSION_MEMBERS);
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn list_keys(api: &Api, output: Output, args: ListArgs) -> Result<ExitCode> {
    let mut keys = all_keys(api).await?;
    keys.retain(|key| args.all || key.get("managed").is_none_or(Value::is_null));
    output.table(&keys, &["id", "name", "type", "purpose", "access_policy", "state", "version", "expires_at"]);
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn create(api: &Api, output: Output, args: CreateArgs) -> Result<ExitCode> {
    let body = body([
        ("name", json!(args.name)),
        ("type", json!(args.key_type)),
        ("purpose", json!(args.purpose)),
        ("access_policy", json!(args.access_policy)),
        ("allowed_users", users(&args.allowed_users)),
        ("provider", json!(args.provider)),
        ("expires_in_days", json!(args.expires_in_days)),
        ("auto_rotate", json!(args.rotate_every.map(|_| true))),
        ("rotation_interval_days", json!(args.rotate_every)),
    ]);
    show(output, &api.post("/v1/keys", &body).await?)
}

pub(super) async fn get(api: &Api, output: Output, key: &str) -> Result<ExitCode> {
    show(output, &api.get(&path(api, key, "").await?).await?)
}

pub(super) async fn update(api: &Api, output: Output, args: UpdateArgs) -> Result<ExitCode> {
    let auto_rotate = args.rotate_every.map(|_| true).or(args.no_auto_rotate.then_some(false));
    let body = body([
        ("access_policy", json!(args.access_policy)),
        ("allowed_users", users(&args.allowed_users)),
        ("expires_in_days", json!(args.expires_in_days)),
        ("auto_rotate", json!(auto_rotate)),
        ("rotation_interval_days", json!(args.rotate_every)),
    ]);
    show(output, &api.patch(&path(api, &args.key.key, "").await?, &body).await?)
}

pub(super) async fn census(api: &Api, output: Output, key: &str) -> Result<ExitCode> {
    let found = api.get(&path(api, key, "census").await?).await?;
    output.table(list(&found, "items")?, &["version", "state", "census", "count", "key_id"]);
    Ok(ExitCode::SUCCESS)
}

/// A verb whose answer is the key.
pub(super) async fn post(api: &Api, output: Output, key: &str, verb: &str, body: Value) -> Result<ExitCode> {
    show(output, &api.post(&path(api, key, verb).await?, &body).await?)
}

/// A verb that may take two people: its answer is the key, or the approval that was asked for.
async fn asked(api: &Api, output: Output, key: &str, verb: &str, body: Value) -> Result<ExitCode> {
    let answer = api.post(&path(api, key, verb).await?, &body).await?;
    if answer.get("approval_id").is_none() {
        return show(output, &answer);
    }
    output.thing(&answer, &["approval_id", "action", "expires_at"]);
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn rotate(api: &Api, output: Output, args: RotateArgs) -> Result<ExitCode> {
    post(
        api,
        output,
        &args.key.key,
        "rotate",
        body([("type", json!(args.key_type)), ("provider", json!(args.provider))]),
    )
    .await
}

pub(super) async fn shift(api: &Api, output: Output, args: VersionArgs, verb: &str) -> Result<ExitCode> {
    post(api, output, &args.key.key, verb, body([("version", json!(args.key_version))])).await
}

pub(super) async fn revoke(api: &Api, output: Output, args: RevokeArgs) -> Result<ExitCode> {
    let body = body([
        ("version", json!(args.versions.key_version)),
        ("reason", json!(args.reason)),
        ("last_valid_index", json!(args.last_valid_index)),
        ("force", args.force.then_some(true).into()),
        ("approval_id", json!(args.approval)),
    ]);
    asked(api, output, &args.versions.key.key, "revoke", body).await
}

pub(super) async fn public(api: &Api, output: Output, args: PublicArgs) -> Result<ExitCode> {
    let mut path = path(api, &args.key.key, "public").await?;
    if let Some(key_id) = &args.key_id {
        path.push_str(&format!("?key_id={key_id}"));
    }
    let mut answer = api.get(&path).await?;
    if let Some(Value::String(pem)) = answer.get_mut("pem") {
        pem.truncate(pem.trim_end().len());
    }
    output.text(&answer, "pem");
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn copies(api: &Api, output: Output, key: &str) -> Result<ExitCode> {
    let found = api.get(&path(api, key, "copies").await?).await?;
    output.table(list(&found, "items")?, &["location", "state", "version", "at", "by"]);
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn remove_copy(api: &Api, output: Output, args: RemoveCopyArgs) -> Result<ExitCode> {
    let body = body([("location", json!(args.location)), ("approval_id", json!(args.approval))]);
    asked(api, output, &args.key.key, "remove-copy", body).await
}

pub(super) async fn usage(api: &Api, output: Output, args: UsageArgs) -> Result<ExitCode> {
    let now = SystemClock.now();
    let moment = |text: Option<&String>, otherwise: Timestamp| match text {
        Some(text) => text.parse().with_context(|| format!("`{text}` is no moment; use a form such as {now}")),
        None => Ok(otherwise),
    };
    let from = moment(args.from.as_ref(), now.plus_seconds(-30 * 24 * 60 * 60))?;
    let to = moment(args.to.as_ref(), now.plus_seconds(1))?;
    let first = format!("{}?from={from}&to={to}&limit=1000", path(api, &args.key.key, "usage").await?);
    let rows = all(api, &first).await?;
    output.table(&rows, &["used_at", "used_by", "operation", "success", "error_code", "key_id", "request_id"]);
    Ok(ExitCode::SUCCESS)
}

/// The lines of a compliance report (MO-10).
pub(super) async fn rotations(api: &Api, output: Output) -> Result<ExitCode> {
    let session = api.get("/v1/auth/session").await?;
    if text(&session, "tenant_id")? == TenantId::PLATFORM.to_string() {
        return rotations_of_platform(api, output).await;
    }
    let stated = all(api, &format!("/v1/certificates?kind=key-rotation&limit={PAGE}")).await?;
    let line = |one: &Value| {
        let of = |pointer: &str| one.pointer(pointer).cloned().unwrap_or_default();
        json!({
            "key": of("/statement/params/key"),
            "key_type": of("/statement/params/key_type"),
            "managed": of("/statement/params/managed"),
            "retired_version": of("/statement/params/retired_version"),
            "stated_at": of("/issued_at"),
            "certificate": of("/id"),
            "ended": of("/ends/0/state"),
        })
    };
    let lines: Vec<Value> = stated.iter().map(line).collect();
    let members = ["key", "key_type", "managed", "retired_version", "stated_at", "certificate", "ended"];
    output.table(&lines, &members);
    Ok(ExitCode::SUCCESS)
}

/// Those of the platform's own keys, of a year, as its log tells of them: it has no certificates.
async fn rotations_of_platform(api: &Api, output: Output) -> Result<ExitCode> {
    let now = SystemClock.now();
    let (from, to) = (now.plus_days(-365), now.plus_seconds(1));
    let kinds = [EventKind::RootRetired, EventKind::TenantKeyDestroyed, EventKind::KeyRetired, EventKind::KeyDrained];
    let mut lines = BTreeMap::new();
    for kind in kinds {
        for event in all(api, &format!("/v1/audit/events?from={from}&to={to}&type={kind}&limit={PAGE}")).await? {
            let core: Value =
                serde_json::from_str(text(&event, "core")?).context("the server's answer is not as expected")?;
            let Some(PlatformRotation { key, managed, retired_version }) = PlatformRotation::told_by(&core) else {
                continue;
            };
            let index = event.get("index").and_then(Value::as_u64);
            let line = json!({
                "key": key,
                "managed": managed,
                "retired_version": retired_version,
                "recorded_at": event.get("recorded_at"),
                "event": event.get("id"),
            });
            lines.insert(index, line);
        }
    }
    let lines: Vec<Value> = lines.into_values().collect();
    output.table(&lines, &["key", "managed", "retired_version", "recorded_at", "event"]);
    Ok(ExitCode::SUCCESS)
}
