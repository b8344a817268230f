//! Signs and verifies without a server.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, anyhow, bail};
use chancery_crypto::{Ed25519SigningKey, Secret};
use chancery_domain::{
    Clock as _, Timestamp,
    webhooks::{self, Layout, Material, Message, Provider, Rules, SecretKind, Signer},
};
use clap::Args;
use data_encoding::BASE64;

use super::{SecretArgs, body};
use crate::{clock::SystemClock, commands::say};

/// How a provider signs.
#[derive(Debug, Args)]
struct ProviderArgs {
    /// oura, whoop, whoop_partner, fitbit, strava, suunto, standard, generic; to verify also google_health, garmin, apple_health
    #[arg(long)]
    provider: String,
    /// A JSON file that says how a generic sender signs
    #[arg(long, value_name = "FILE")]
    layout: Option<PathBuf>,
    /// What Garmin calls the application
    #[arg(long)]
    client_id: Option<String>,
    /// Whose devices may send: TEAMID.bundle.id; may be given several times
    #[arg(long = "app-id", value_name = "ID")]
    app_ids: Vec<String>,
    #[command(flatten)]
    secret: SecretArgs,
    /// When it is sent or judged, in seconds since 1970; now if absent
    #[arg(long, value_name = "SECONDS")]
    timestamp: Option<i64>,
    /// The file with the body; standard input if absent
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
}

/// `chancery webhook sign`.
#[derive(Debug, Args)]
pub(super) struct SignArgs {
    #[command(flatten)]
    provider: ProviderArgs,
    /// The message's id, where messages have one
    #[arg(long, default_value = "msg_1")]
    id: String,
}

/// `chancery webhook verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    provider: ProviderArgs,
    /// What the secret is: shared, public_key or token
    #[arg(long, default_value = "shared")]
    kind: String,
    /// A header, as `name: value`; may be given several times
    #[arg(long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// What stands in the path behind the source's id
    #[arg(long)]
    path_token: Option<String>,
}

impl ProviderArgs {
    fn rules(&self) -> Result<Rules> {
        let provider: Provider = self.provider.parse().map_err(|_| anyhow!("unknown provider `{}`", self.provider))?;
        let layout = match &self.layout {
            Some(path) => {
                let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
                let layout: Layout =
                    serde_json::from_slice(&text).with_context(|| format!("{} is no layout", path.display()))?;
                layout.check("").map_err(|faults| anyhow!("{}: {faults}", path.display()))?;
                Some(layout)
            }
            None => None,
        };
        Ok(Rules { provider, layout, client_id: self.client_id.clone(), app_ids: self.app_ids.clone() })
    }

    fn moment(&self) -> Timestamp {
        self.timestamp.map_or_else(|| SystemClock.now(), Timestamp::from_seconds)
    }
}

fn material(rules: &Rules, kind: SecretKind, secret: &Secret<String>) -> Result<Material> {
    let layout = rules.layout.clone().or_else(|| rules.provider.layout());
    let form = layout.map(|layout| layout.key).unwrap_or_default();
    Material::read(rules.provider, &form, kind, secret).map_err(|why| anyhow!("the secret is not taken: {why}"))
}

/// Prints the headers, one on a line.
pub(super) fn sign(args: &SignArgs) -> Result<ExitCode> {
    let rules = args.provider.rules()?;
    let secret = args.provider.secret.read()?;
    let (body, now) = (body(args.provider.body.as_deref())?, args.provider.moment());
    let signed = match secret.expose().strip_prefix("whsk_") {
        Some(seed) => {
            let seed = BASE64.decode(seed.as_bytes()).ok().map(Secret::new).context("whsk_ and base64 of a seed")?;
            let seed = seed.expose().first_chunk::<32>().context("a key of 32 bytes or more")?;
            let key = Ed25519SigningKey::from_seed(seed).context("not a key")?;
            webhooks::sign(&rules, Signer::Ed25519(&key), &args.id, &body, now)
        }
        None => match material(&rules, SecretKind::Shared, &secret)? {
            Material::Mac(key) => webhooks::sign(&rules, Signer::Mac(key.expose()), &args.id, &body, now),
            _ => bail!("the provider does not sign with a shared secret"),
        },
    };
    for (name, value) in signed? {
        say(format_args!("{name}: {value}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Says whether the body is from whom it says.
pub(super) fn verify(args: &VerifyArgs) -> Result<ExitCode> {
    let rules = args.provider.rules()?;
    let kind = args.kind.parse().map_err(|_| anyhow!("--kind is shared, public_key or token"))?;
    let secret = material(&rules, kind, &args.provider.secret.read()?)?;
    if matches!(secret, Material::KeySetAt(_)) {
        bail!("nothing is fetched here: give the key set itself");
    }
    let body = body(args.provider.body.as_deref())?;
    let mut headers = Vec::new();
    for header in &args.headers {
        let (name, value) = header.split_once(':').context("--header is `name: value`")?;
        headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
    let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let message = Message { headers: &headers, path_token: args.path_token.as_deref(), body: &body };
    match webhooks::verify(&rules, &[secret], &message, args.provider.moment()) {
        Ok(verified) => {
            let sent =
                verified.sent_at.map_or_else(|| "at a moment that it does not say".to_owned(), |at| at.to_string());
            say(format_args!("verified: sent {sent}"));
            Ok(ExitCode::SUCCESS)
        }
        Err(rejection) => {
            say(format_args!("refused: {rejection}"));
            Ok(ExitCode::from(3))
        }
    }
}
