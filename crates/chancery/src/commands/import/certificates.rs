//! Certificates of another system: checked here against the keys it had, and attested in the log.
//!
//! The bundles stay where they are: they may name people. What goes to the server is a digest of each, with what was found.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail, ensure};
use chancery_crypto::{
    Jwk,
    legacy::{BundleVerdict, bundle_id, verify_bundle},
    sha256_hex,
};
use clap::Args;
use serde_json::{Value, json};

use crate::commands::{
    client::{Api, Output, list, text},
    say,
};

/// How many are attested in one commit.
const BATCH: usize = 500;
/// Exit code: some did not verify.
const SOME_FAILED: u8 = 3;

/// `chancery import certificates`. Exit codes: 0 all verified; 3 some did not, and were not attested; 1 something failed here or there.
#[derive(Debug, Args)]
pub(super) struct CertificatesArgs {
    /// The bundles: a JSON array, or one JSON object a line
    file: PathBuf,
    /// The other system's public keys: a JWK set, each key with its `kid`
    #[arg(long, value_name = "FILE")]
    jwks: PathBuf,
    /// Check only; nothing is attested
    #[arg(long)]
    dry_run: bool,
}

/// A bundle that verified.
struct Verified {
    id: String,
    claim: Value,
}

pub(super) async fn run(api: &Api, output: Output, args: CertificatesArgs) -> Result<ExitCode> {
    let keys = keys(&fs::read(&args.jwks).with_context(|| format!("cannot read {}", args.jwks.display()))?)?;
    let bytes = fs::read(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    let (mut verified, mut lines, mut failed) = (Vec::new(), Vec::new(), 0);
    for (number, (raw, bundle)) in bundles(&bytes)?.into_iter().enumerate() {
        // The id is the other system's: if it has none, its place says which one it is.
        let id = bundle_id(&bundle).map_or_else(|| format!("number {}", number + 1), str::to_owned);
        let verdict = verify_bundle(&bundle, &keys);
        let word = match verdict {
            BundleVerdict::Valid { algorithm, rebuilt } => {
                verified.push(Verified {
                    claim: claim(&id, &raw, &algorithm.name().to_ascii_uppercase(), rebuilt),
                    id: id.clone(),
                });
                if rebuilt { "valid, rebuilt" } else { "valid" }
            }
            BundleVerdict::Invalid => "invalid",
            BundleVerdict::UnknownKey => "unknown key",
            BundleVerdict::Unsupported => "unsupported",
        };
        failed += usize::from(!word.starts_with("valid"));
        lines.push(json!({ "id": id, "verdict": word, "attested_by": null }));
    }
    if !args.dry_run {
        for batch in verified.chunks(BATCH) {
            let items: Vec<&Value> = batch.iter().map(|one| &one.claim).collect();
            let issued = api.post("/v1/certificates/batch", &json!({ "items": items })).await?;
            let issued = list(&issued, "items")?;
            ensure!(issued.len() == batch.len(), "the server attested another number of certificates");
            for (one, issued) in batch.iter().zip(issued) {
                let by = text(issued, "id")?;
                for line in lines.iter_mut().filter(|line| line.get("id").and_then(Value::as_str) == Some(&one.id)) {
                    if let Some(place) = line.get_mut("attested_by") {
                        *place = json!(by);
                    }
                }
            }
        }
    }
    if output.is_json() {
        say(format_args!("{:#}", json!({ "items": lines, "failed": failed })));
    } else {
        for line in &lines {
            let part = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
            say(format_args!("{}  {}  {}", part("id"), part("verdict"), part("attested_by")));
        }
        say(format_args!("{} valid, {failed} not", lines.len() - failed));
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(SOME_FAILED) })
}

/// What is attested of a bundle: that these bytes verified under a key of then.
fn claim(id: &str, raw: &[u8], algorithm: &str, rebuilt: bool) -> Value {
    json!({
        "kind": "app.imported-certificate",
        "subject": { "kind": "certificate", "ref": id },
        "statement": { "code": "app.verified-on-import", "params": { "algorithm": algorithm, "rebuilt": rebuilt } },
        "evidence": [{
            "name": "bundle", "media_type": "application/json", "sha256": sha256_hex(raw), "size": raw.len(),
        }],
    })
}

/// The keys of a JWK set by their `kid`.
fn keys(bytes: &[u8]) -> Result<Vec<(String, Jwk)>> {
    let set: Value = serde_json::from_slice(bytes).context("the JWK set is not JSON")?;
    let mut keys = Vec::new();
    for key in list(&set, "keys").context("the JWK set has no `keys`")? {
        let kid = key.get("kid").and_then(Value::as_str).context("a key of the set has no `kid`")?;
        let jwk = serde_json::from_value(key.clone()).with_context(|| format!("the key `{kid}` is not supported"))?;
        keys.push((kid.to_owned(), jwk));
    }
    Ok(keys)
}

/// Each bundle with its bytes: of an array the compact form of each, of lines the lines.
fn bundles(bytes: &[u8]) -> Result<Vec<(Vec<u8>, Value)>> {
    let text = std::str::from_utf8(bytes).context("the bundles are no text")?;
    if text.trim_start().starts_with('[') {
        let all: Vec<Value> = serde_json::from_str(text).context("the bundles are not JSON")?;
        return Ok(all.into_iter().map(|bundle| (bundle.to_string().into_bytes(), bundle)).collect());
    }
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let bundle = serde_json::from_str(line).with_context(|| format!("line {} is not JSON", number + 1))?;
        found.push((line.as_bytes().to_vec(), bundle));
    }
    if found.is_empty() {
        bail!("there is no bundle in the file");
    }
    Ok(found)
}
