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
use chancery_middleware::Unique;
use clap::Args;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use reqwest::Method;
use serde_json::{Value, json, value::RawValue};

use crate::commands::{
    client::{Api, Output, explain, list, text},
    printable, say,
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

/// A bundle as it stands in the file.
struct Bundle {
    /// Which line, or which element of the array, from 1.
    position: usize,
    raw: Vec<u8>,
}

/// What came of a bundle.
struct Line {
    position: usize,
    id: Option<String>,
    verdict: &'static str,
    /// What is stated of it, if it verified.
    claim: Option<Value>,
    attested_by: Option<String>,
}

pub(super) async fn run(api: &Api, output: Output, args: CertificatesArgs) -> Result<ExitCode> {
    let keys = keys(&fs::read(&args.jwks).with_context(|| format!("cannot read {}", args.jwks.display()))?)?;
    let bytes = fs::read(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    let mut lines: Vec<Line> = bundles(&bytes)?.iter().map(|bundle| examine(bundle, &keys)).collect();
    // What was attested before something failed is told all the same.
    let attested = if args.dry_run { Ok(()) } else { attest_all(api, &mut lines).await };
    let failed = lines.iter().filter(|line| line.claim.is_none()).count();
    if output.is_json() {
        let items: Vec<Value> = lines.iter().map(as_json).collect();
        say(format_args!("{:#}", json!({ "items": items, "failed": failed })));
    } else {
        for Line { position, id, verdict, attested_by, .. } in &lines {
            let (id, by) = (id.as_deref().unwrap_or("-"), attested_by.as_deref().unwrap_or("-"));
            say(format_args!("{position}  {}  {verdict}  {by}", printable(id)));
        }
        say(format_args!("{} valid, {failed} not", lines.len() - failed));
    }
    attested?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(SOME_FAILED) })
}

fn as_json(line: &Line) -> Value {
    let Line { position, id, verdict, attested_by, .. } = line;
    json!({ "position": position, "id": id, "verdict": verdict, "attested_by": attested_by })
}

fn examine(bundle: &Bundle, keys: &[(String, Jwk)]) -> Line {
    let position = bundle.position;
    // A member that is there twice is read in one way by one program and in another by the next.
    let Ok(read) = serde_json::from_slice::<Unique>(&bundle.raw) else {
        return Line { position, id: None, verdict: "malformed", claim: None, attested_by: None };
    };
    let read = read.expose();
    let id = bundle_id(read).map(str::to_owned);
    let (verdict, claim) = match verify_bundle(read, keys) {
        BundleVerdict::Valid { algorithm, rebuilt, key } => {
            let params = json!({
                "algorithm": algorithm.name().to_ascii_uppercase(), "key_thumbprint": thumbprint(key), "rebuilt": rebuilt,
            });
            let claim = claim(id.as_deref().unwrap_or_default(), &bundle.raw, &params);
            (if rebuilt { "valid, rebuilt" } else { "valid" }, Some(claim))
        }
        BundleVerdict::Inconsistent => ("inconsistent", None),
        BundleVerdict::Invalid => ("invalid", None),
        BundleVerdict::UnknownKey => ("unknown key", None),
        BundleVerdict::Unsupported => ("unsupported", None),
    };
    Line { position, id, verdict, claim, attested_by: None }
}

/// The thumbprint of a key (RFC 7638) in hex: parameters of certificates have no small letters but those of digests.
fn thumbprint(key: &Jwk) -> String {
    let bytes = BASE64URL_NOPAD.decode(key.thumbprint().as_bytes()).unwrap_or_default();
    HEXLOWER.encode(&bytes)
}

/// What is attested of a bundle: that these bytes verified under a key of then.
fn claim(id: &str, raw: &[u8], params: &Value) -> Value {
    json!({
        "kind": "app.imported-certificate",
        "subject": { "kind": "certificate", "ref": id },
        "statement": { "code": "app.verified-on-import", "params": params },
        "evidence": [{
            "name": "bundle", "media_type": "application/json", "sha256": sha256_hex(raw), "size": raw.len(),
        }],
    })
}

async fn attest_all(api: &Api, lines: &mut [Line]) -> Result<()> {
    let mut verified: Vec<&mut Line> = lines.iter_mut().filter(|line| line.claim.is_some()).collect();
    for batch in verified.chunks_mut(BATCH) {
        let place = |line: Option<&&mut Line>| line.map_or(0, |line| line.position);
        let (first, last) = (place(batch.first()), place(batch.last()));
        let issued = attest(api, batch).await;
        let issued =
            issued.with_context(|| format!("bundles {first} to {last} were not attested; those before were"))?;
        for (line, by) in batch.iter_mut().zip(issued) {
            line.attested_by = Some(by);
        }
    }
    Ok(())
}

/// Has the server attest some bundles, all or none; gives the ids of the certificates.
async fn attest(api: &Api, batch: &[&mut Line]) -> Result<Vec<String>> {
    let items: Vec<&Value> = batch.iter().filter_map(|line| line.claim.as_ref()).collect();
    let request = api.request(Method::POST, "/v1/certificates/batch")?.json(&json!({ "items": items }));
    let answer = request.send().await.context("no answer; is the server running, and is --url right?")?;
    let status = answer.status();
    let mut said: Value =
        serde_json::from_slice(&answer.bytes().await.context("the answer broke off")?).unwrap_or_default();
    if !status.is_success() {
        for fault in said.get_mut("errors").and_then(Value::as_array_mut).into_iter().flatten() {
            let placed = fault.get("pointer").and_then(Value::as_str).and_then(|pointer| placed(pointer, batch));
            if let (Some(placed), Some(fault)) = (placed, fault.as_object_mut()) {
                fault.insert("pointer".to_owned(), json!(placed));
            }
        }
        bail!("{}", explain(status.as_u16(), &said));
    }
    let issued = list(&said, "items")?;
    ensure!(issued.len() == batch.len(), "the server attested another number of certificates");
    issued.iter().map(|one| text(one, "id").map(str::to_owned)).collect()
}

/// Where a fault of a batch is in the file: `/items/3/subject/ref` is `bundle 17: /subject/ref`.
fn placed(pointer: &str, batch: &[&mut Line]) -> Option<String> {
    let rest = pointer.strip_prefix("/items/")?;
    let (number, inner) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let line = batch.get(number.parse::<usize>().ok()?)?;
    Some(format!("bundle {}: {inner}", line.position))
}

/// The keys of a JWK set by their `kid`.
fn keys(bytes: &[u8]) -> Result<Vec<(String, Jwk)>> {
    let set: Unique = serde_json::from_slice(bytes).context("the JWK set is not JSON, or has a member twice")?;
    let mut keys: Vec<(String, Jwk)> = Vec::new();
    for (position, key) in list(set.expose(), "keys").context("the JWK set has no `keys`")?.iter().enumerate() {
        let place = || format!("key {} of the set", position + 1);
        let kid = key.get("kid").and_then(Value::as_str).with_context(|| format!("{} has no `kid`", place()))?;
        let jwk = serde_json::from_value(key.clone()).with_context(|| format!("{} is not supported", place()))?;
        ensure!(keys.iter().all(|(other, _)| other != kid), "{} has the `kid` of another", place());
        keys.push((kid.to_owned(), jwk));
    }
    Ok(keys)
}

/// Each bundle with its bytes: of an array the elements as they stand there, of lines the lines.
fn bundles(bytes: &[u8]) -> Result<Vec<Bundle>> {
    let found: Vec<Bundle> = if bytes.trim_ascii_start().starts_with(b"[") {
        let all: Vec<Box<RawValue>> = serde_json::from_slice(bytes).context("the bundles are not JSON")?;
        let each = all.into_iter().enumerate();
        each.map(|(place, raw)| Bundle { position: place + 1, raw: raw.get().as_bytes().to_vec() }).collect()
    } else {
        let lines = bytes.split(|byte| *byte == b'\n').enumerate();
        let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
        let whole = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).to_vec();
        lines.map(|(place, line)| Bundle { position: place + 1, raw: whole(line) }).collect()
    };
    if found.is_empty() {
        bail!("there is no bundle in the file");
    }
    Ok(found)
}
