//! `chancery identity-provider …`: issuers outside whose tokens the tenant takes, and why one of them is refused.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{
    client::{Api, ClientArgs, Output, explain, list},
    say,
};

const PATH: &str = "/v1/identity-providers";
/// What is shown of one.
const SHOWN: [&str; 15] = [
    "id",
    "name",
    "profile",
    "issuer",
    "jwks_uri",
    "audiences",
    "audience_claim",
    "algorithms",
    "token_type",
    "tenant_claim",
    "role_claim",
    "role_map",
    "second_factor",
    "enabled",
    "ends_at",
];
/// What the server says of one and is not told.
const SAID: [&str; 3] = ["id", "created_at", "changed_at"];
/// The longest file with a token, in bytes.
const TOKEN_MAX: u64 = 64 * 1024;

/// `chancery identity-provider`.
#[derive(Debug, Args)]
pub struct IdentityProviderArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

/// What is done. ID is a provider's id, idp_…
#[derive(Debug, Subcommand)]
enum Verb {
    /// List the tenant's identity providers
    List,
    /// Show one
    Get {
        /// Which
        id: String,
    },
    /// Set one up; what is not said comes from the profile
    Create(Box<CreateArgs>),
    /// Take no more of its tokens, until it is enabled again
    Disable {
        /// Which
        id: String,
    },
    /// Take its tokens again
    Enable {
        /// Which
        id: String,
    },
    /// Take it away
    Delete {
        /// Which
        id: String,
    },
    /// Explain what comes of a token, check by check; exits 3 if it is refused
    Test(TestArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// What it is called here
    name: String,
    /// auth0, okta, entra, cognito, keycloak or oidc
    #[arg(long)]
    profile: String,
    /// The `iss` of its tokens, to the letter
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// For whom its tokens must be; may be given several times
    #[arg(long = "audience", value_name = "AUDIENCE", required = true)]
    audiences: Vec<String>,
    /// Where a token says so: aud, client_id or azp
    #[arg(long, value_name = "CLAIM")]
    audience_claim: Option<String>,
    /// Where its keys are; asked of the issuer if absent
    #[arg(long, value_name = "URL")]
    jwks_uri: Option<String>,
    /// How its tokens may be signed; may be given several times
    #[arg(long = "algorithm", value_name = "ALG")]
    algorithms: Vec<String>,
    /// at+jwt, or any for issuers that do not say what a token is
    #[arg(long)]
    token_type: Option<String>,
    /// A claim that must have this value, such as org_id=org_AbC123
    #[arg(long, value_name = "CLAIM=VALUE")]
    tenant_claim: Option<String>,
    /// The claim with groups or roles: a name, or a pointer such as /realm_access/roles
    #[arg(long, value_name = "CLAIM")]
    role_claim: Option<String>,
    /// A group or role of the issuer and the role it gives here, such as doctors=clinician; may be given several times
    #[arg(long = "role", value_name = "VALUE=ROLE")]
    roles: Vec<String>,
    /// What proves a second factor: claim or provider
    #[arg(long, value_name = "PROOF")]
    second_factor: Option<String>,
    /// When its tokens are not taken any more, such as 2027-01-31T00:00:00Z
    #[arg(long, value_name = "TIME")]
    ends_at: Option<String>,
}

#[derive(Debug, Args)]
struct TestArgs {
    /// Which provider
    id: String,
    /// A file with the token; standard input if absent. Never an argument: others see those
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Runs it.
///
/// # Errors
///
/// With what the server said.
pub async fn run(args: IdentityProviderArgs) -> Result<ExitCode> {
    let (api, output) = (args.client.api()?, args.client.output());
    match args.verb {
        Verb::List => {
            let found = api.get(PATH).await?;
            output.table(list(&found, "items")?, &["id", "name", "profile", "issuer", "audiences", "enabled"]);
        }
        Verb::Get { id } => output.thing(&api.get(&of(&id)).await?, &SHOWN),
        Verb::Create(args) => output.thing(&api.post(PATH, &described(*args)?).await?, &SHOWN),
        Verb::Disable { id } => output.thing(&switched(&api, &id, false).await?, &SHOWN),
        Verb::Enable { id } => output.thing(&switched(&api, &id, true).await?, &SHOWN),
        Verb::Delete { id } => {
            let (status, bytes) = api.exchange(Method::DELETE, &of(&id), None).await?;
            if !status.is_success() {
                let problem: Value = serde_json::from_slice(&bytes).unwrap_or_default();
                bail!("{}", explain(status.as_u16(), &problem));
            }
            say("deleted");
        }
        Verb::Test(args) => return tested(&api, output, &args).await,
    }
    Ok(ExitCode::SUCCESS)
}

fn of(id: &str) -> String {
    format!("{PATH}/{id}")
}

fn described(args: CreateArgs) -> Result<Value> {
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
    put("name", json!(args.name));
    put("profile", json!(args.profile));
    put("issuer", json!(args.issuer));
    put("audiences", json!(args.audiences));
    for (name, value) in [
        ("audience_claim", args.audience_claim),
        ("jwks_uri", args.jwks_uri),
        ("token_type", args.token_type),
        ("role_claim", args.role_claim),
        ("second_factor", args.second_factor),
        ("ends_at", args.ends_at),
    ] {
        if let Some(value) = value {
            put(name, json!(value));
        }
    }
    if !args.algorithms.is_empty() {
        put("algorithms", json!(args.algorithms));
    }
    if let Some(pair) = &args.tenant_claim {
        let (claim, value) = pair.split_once('=').context("--tenant-claim is CLAIM=VALUE")?;
        put("tenant_claim", json!({"claim": claim, "value": value}));
    }
    // What a group is called may have an equals sign in it; a role has none.
    let mapped =
        args.roles.iter().map(|pair| pair.rsplit_once('=').map(|(value, role)| json!({"value": value, "role": role})));
    put("role_map", mapped.collect::<Option<Value>>().context("--role is VALUE=ROLE")?);
    Ok(Value::Object(body))
}

/// The same provider, enabled or not.
async fn switched(api: &Api, id: &str, enabled: bool) -> Result<Value> {
    let mut body = api.get(&of(id)).await?;
    let members = body.as_object_mut().context("the answer is no identity provider")?;
    SAID.iter().for_each(|name| drop(members.remove(*name)));
    members.retain(|_, value| !value.is_null());
    members.insert("enabled".to_owned(), json!(enabled));
    api.send(Method::PUT, &of(id), Some(&body)).await
}

async fn tested(api: &Api, output: Output, args: &TestArgs) -> Result<ExitCode> {
    let token = read(args.token_file.as_deref())?;
    let verdict = api.post(&format!("{}/test", of(&args.id)), &json!({"token": token.trim()})).await?;
    if output.is_json() {
        say(format_args!("{verdict:#}"));
    } else {
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        for step in list(&verdict, "steps")? {
            let right = step.get("ok").and_then(Value::as_bool) == Some(true);
            say(format_args!(
                "{} {:9}  {}",
                if right { "ok  " } else { "FAIL" },
                text(step, "check"),
                text(step, "detail")
            ));
        }
        say("");
        for claim in list(&verdict, "claims")? {
            let (name, value) = (text(claim, "name"), text(claim, "value"));
            let shown = claim.get("shown").and_then(Value::as_bool) == Some(true);
            say(format_args!("{name}: {}", if shown { value } else { format!("({value})") })
                .to_string()
                .replace(char::is_control, ""));
        }
    }
    let accepted = verdict.get("accepted").and_then(Value::as_bool) == Some(true);
    Ok(if accepted { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

/// The token, from a file or from standard input.
fn read(file: Option<&Path>) -> Result<zeroize::Zeroizing<String>> {
    let mut token = zeroize::Zeroizing::new(String::new());
    match file {
        Some(path) => {
            let opened = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
            opened
                .take(TOKEN_MAX)
                .read_to_string(&mut token)
                .with_context(|| format!("{} is no text", path.display()))?;
        }
        None => drop(std::io::stdin().take(TOKEN_MAX).read_to_string(&mut token).context("standard input is no text")?),
    }
    Ok(token)
}
