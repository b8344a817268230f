//! Checks a pack with nothing but the pack and a trust file: no network, no store.

use chancery_crypto::{
    Ed25519PublicKey, Jwk, canonical,
    checkpoint::{Checkpoint, SignedCheckpoint, VerifierKey},
    dsse::Envelope,
    merkle,
    proof::LogProof,
    sha256_hex,
};
use serde_json::{Value, json};

use super::{
    pack::{KEYS_TYPE, MANIFEST_TYPE},
    trust::{self, Trust},
    verify::{Check, Checks, Verdict, check_envelope, check_logged},
    zip::{self, Files},
};
use crate::{
    keyring::{DeclaredKey, declared::key_at},
    time::Timestamp,
};

codes! {
    /// What checking a pack comes to.
    pub enum PackVerdict {
        /// Everything holds.
        Verified = "verified",
        /// Everything holds, but a newer checkpoint of the log was given: there may be later events.
        VerifiedAsOf = "verified_as_of",
        /// The trust file asks for witnesses, and their quorum is missing.
        Unwitnessed = "unwitnessed",
        /// A check did not hold.
        Failed = "failed",
        /// The pack or the trust file is of a kind or version that this verifier does not know.
        Unsupported = "unsupported",
    }
}

impl PackVerdict {
    /// The exit code of `chancery verify`.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Verified => 0,
            Self::VerifiedAsOf => 10,
            Self::Unwitnessed => 20,
            Self::Failed => 30,
            Self::Unsupported => 40,
        }
    }
}

/// What was checked, and what it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackReport {
    /// The verdict.
    pub verdict: PackVerdict,
    /// Every check that ran, in order.
    pub checks: Vec<Check>,
    /// The ids of the certificates that were verified.
    pub certificates: Vec<String>,
}

/// Checks a pack against a trust file, and against a newer checkpoint of the same log if one is at hand.
pub fn verify_pack(pack: &[u8], trust: &[u8], newer_checkpoint: Option<&str>) -> PackReport {
    let mut checks = Checks::new();
    let (verdict, certificates) = match check_pack(pack, trust, newer_checkpoint, &mut checks) {
        Ok((verdict, certificates)) => (verdict, certificates),
        Err(verdict) => (verdict, Vec::new()),
    };
    PackReport { verdict, checks: checks.0, certificates }
}

type Outcome<T> = Result<T, PackVerdict>;

/// Notes a check that makes the pack fail if it does not hold.
fn hold(checks: &mut Checks, name: &'static str, held: bool, good: impl Into<String>, bad: &str) -> Outcome<()> {
    let outcome = if held { Ok(good.into()) } else { Err(bad.to_owned()) };
    checks.note(name, outcome, Verdict::Invalid).map_err(|_| PackVerdict::Failed)
}

fn check_pack(
    pack: &[u8],
    trust: &[u8],
    newer: Option<&str>,
    checks: &mut Checks,
) -> Outcome<(PackVerdict, Vec<String>)> {
    let trust = trust::read(trust).map_err(|error| {
        checks.0.push(Check { name: "trust", ok: false, detail: error.to_string() });
        PackVerdict::Unsupported
    })?;
    let files = zip::read(pack);
    hold(checks, "archive", files.is_ok(), "canonical zip", "not a canonical zip: bytes were added, lost or changed")?;
    let files = files.map_err(|_| PackVerdict::Failed)?;

    let manifest = check_manifest_form(&files, checks)?;
    check_files(&files, &manifest, checks)?;
    let statement = check_keys_statement(&files, &trust, checks)?;
    let agree = ["tenant_id", "log_origin", "instance"].iter().all(|name| manifest.get(*name) == statement.get(*name));
    hold(
        checks,
        "scope",
        agree,
        "manifest and keys speak of one tenant and log",
        "manifest and keys speak of different tenants",
    )?;

    let named = text(&statement, "/instance")? == trust.instance;
    hold(checks, "instance", named, trust.instance.clone(), "the pack is of another instance than the trust file")?;
    let (certificate_keys, log_keys) = (declared(&statement, "certificate")?, declared(&statement, "log")?);
    check_manifest_signature(&files, &manifest, &certificate_keys, checks)?;
    let origin = text(&manifest, "/log_origin")?;
    let head = check_head(&files, &manifest, origin, &log_keys, checks)?;
    let as_of = statement.get("as_of_size").and_then(Value::as_u64) == Some(head.size);
    hold(checks, "keys_as_of", as_of, "stated at the checkpoint", "the keys were stated at another size of the log")?;

    let mut certificates = Vec::new();
    for id in manifest.pointer("/scope/certificates").and_then(Value::as_array).ok_or(PackVerdict::Failed)? {
        let id = id.as_str().ok_or(PackVerdict::Failed)?;
        check_certificate(&files, &manifest, id, &head, &certificate_keys, checks)?;
        certificates.push(id.to_owned());
    }
    hold(
        checks,
        "certificates",
        !certificates.is_empty(),
        format!("{} verified", certificates.len()),
        "the pack holds none",
    )?;
    if trust.quorum > 0 {
        checks.0.push(Check { name: "witnesses", ok: false, detail: format!("0 of {} cosignatures", trust.quorum) });
        return Ok((PackVerdict::Unwitnessed, certificates));
    }
    let verdict = match newer {
        None => PackVerdict::Verified,
        Some(note) => check_newer(note, origin, &head, &log_keys, checks)?,
    };
    Ok((verdict, certificates))
}

fn file<'a>(files: &'a Files, path: &str) -> Outcome<&'a [u8]> {
    files.get(path).map(Vec::as_slice).ok_or(PackVerdict::Failed)
}

fn text<'a>(value: &'a Value, pointer: &str) -> Outcome<&'a str> {
    value.pointer(pointer).and_then(Value::as_str).ok_or(PackVerdict::Failed)
}

fn check_manifest_form(files: &Files, checks: &mut Checks) -> Outcome<Value> {
    let manifest = files.get("MANIFEST.json").and_then(|bytes| canonical::parse(bytes).ok());
    hold(checks, "manifest", manifest.is_some(), "canonical JSON", "the manifest is missing or not canonical JSON")?;
    let manifest = manifest.ok_or(PackVerdict::Failed)?;
    if manifest.get("v") != Some(&json!(1)) || manifest.get("type") != Some(&json!("audit-pack/v1")) {
        checks.0.push(Check { name: "manifest_version", ok: false, detail: "unknown kind or version".into() });
        return Err(PackVerdict::Unsupported);
    }
    Ok(manifest)
}

/// Every file is listed with its digest, and every listed file is here.
fn check_files(files: &Files, manifest: &Value, checks: &mut Checks) -> Outcome<()> {
    let listed = manifest.get("files").and_then(Value::as_array).ok_or(PackVerdict::Failed)?;
    let expected: Vec<Value> = files
        .iter()
        .filter(|(path, _)| !matches!(path.as_str(), "MANIFEST.json" | "MANIFEST.dsse"))
        .map(|(path, data)| json!({"path": path, "sha256": sha256_hex(data), "size": data.len()}))
        .collect();
    hold(
        checks,
        "files",
        *listed == expected,
        format!("{} files with their SHA-256", expected.len()),
        "files and manifest differ",
    )
}

/// The tenant's keys, stated by a key that the trust file names.
fn check_keys_statement(files: &Files, trust: &Trust, checks: &mut Checks) -> Outcome<Value> {
    let envelope = Envelope::from_json(file(files, "trust/keys.dsse")?).map_err(|_| PackVerdict::Failed);
    hold(checks, "keys", envelope.is_ok(), "DSSE v1, canonical", "the key statement is not a canonical DSSE envelope")?;
    let envelope = envelope?;
    let signed = trust.keys.iter().any(|(key_id, jwk)| verifies(&envelope, KEYS_TYPE, jwk, key_id));
    hold(
        checks,
        "keys_signature",
        signed,
        "signed by a key of the trust file",
        "no key of the trust file signed the key statement",
    )?;
    let statement = canonical::parse(&envelope.payload).map_err(|_| PackVerdict::Failed)?;
    if statement.get("v") != Some(&json!(1)) || statement.get("type") != Some(&json!("tenant-keys/v1")) {
        checks.0.push(Check { name: "keys_version", ok: false, detail: "unknown kind or version".into() });
        return Err(PackVerdict::Unsupported);
    }
    Ok(statement)
}

fn verifies(envelope: &Envelope, payload_type: &str, jwk: &Jwk, key_id: &str) -> bool {
    let public = Ed25519PublicKey::try_from(jwk);
    envelope.payload_type == payload_type && public.is_ok_and(|public| envelope.verify_ed25519(&public, key_id).is_ok())
}

fn check_manifest_signature(files: &Files, manifest: &Value, keys: &[DeclaredKey], checks: &mut Checks) -> Outcome<()> {
    let envelope = Envelope::from_json(file(files, "MANIFEST.dsse")?).map_err(|_| PackVerdict::Failed);
    let signed = envelope.is_ok_and(|envelope| {
        files.get("MANIFEST.json") == Some(&envelope.payload)
            && keys
                .iter()
                .filter(|key| key.state.opens())
                .any(|key| verifies(&envelope, MANIFEST_TYPE, &key.jwk, &key.key_id))
    });
    let created = text(manifest, "/created_at")?.to_owned();
    hold(
        checks,
        "manifest_signature",
        signed,
        format!("signed by the tenant, {created}"),
        "the manifest is not signed by the tenant",
    )
}

/// The keys of one use in a key statement.
fn declared(statement: &Value, wanted: &str) -> Outcome<Vec<DeclaredKey>> {
    let entries = statement.get("keys").and_then(Value::as_array).ok_or(PackVerdict::Failed)?;
    entries
        .iter()
        .filter(|entry| entry.get("use") == Some(&json!(wanted)))
        .map(|entry| declared_key(entry).ok_or(PackVerdict::Failed))
        .collect()
}

fn declared_key(entry: &Value) -> Option<DeclaredKey> {
    let jwk: Jwk = serde_json::from_value(entry.get("jwk")?.clone()).ok()?;
    let key_id = entry.get("key_id")?.as_str()?.to_owned();
    let activated_at: Timestamp = entry.get("activated_at")?.as_str()?.parse().ok()?;
    (jwk.thumbprint() == key_id).then_some(())?;
    Some(DeclaredKey {
        key_id,
        jwk,
        state: entry.get("state")?.as_str()?.parse().ok()?,
        activated_at,
        first_index: entry.get("first_index")?.as_u64(),
        last_index: entry.get("last_index")?.as_u64(),
        last_valid_index: entry.get("last_valid_index").and_then(Value::as_u64),
    })
}

/// A checkpoint of this log, if the tenant's log key of that time signed it.
fn signed_head(note: &str, origin: &str, log_keys: &[DeclaredKey]) -> Option<Checkpoint> {
    let signed = SignedCheckpoint::parse(note).ok()?;
    let key = key_at(log_keys, signed.checkpoint().size).filter(|key| key.state.opens())?;
    let verifier = VerifierKey::new(origin, Ed25519PublicKey::try_from(&key.jwk).ok()?).ok()?;
    let head = signed.verify(&verifier).ok()?.clone();
    (head.origin == origin).then_some(head)
}

fn check_head(
    files: &Files,
    manifest: &Value,
    origin: &str,
    log_keys: &[DeclaredKey],
    checks: &mut Checks,
) -> Outcome<Checkpoint> {
    let note = std::str::from_utf8(file(files, "log/checkpoint")?).map_err(|_| PackVerdict::Failed)?;
    let head = signed_head(note, origin, log_keys);
    hold(
        checks,
        "checkpoint",
        head.is_some(),
        "signed by the tenant's log key",
        "the checkpoint is not signed by the tenant's log key",
    )?;
    let head = head.ok_or(PackVerdict::Failed)?;
    let named = manifest.pointer("/as_of/size").and_then(Value::as_u64) == Some(head.size)
        && text(manifest, "/as_of/root")? == data_encoding::HEXLOWER.encode(&head.root);
    hold(checks, "as_of", named, format!("{} events", head.size), "manifest and checkpoint name different heads")?;
    Ok(head)
}

fn check_certificate(
    files: &Files,
    manifest: &Value,
    id: &str,
    head: &Checkpoint,
    keys: &[DeclaredKey],
    checks: &mut Checks,
) -> Outcome<()> {
    let envelope = file(files, &format!("certs/{id}.dsse.json"))?;
    let said = check_envelope(envelope, keys, checks).map_err(|_| PackVerdict::Failed)?;
    let here = said.id.to_string() == id
        && said.tenant.to_string() == text(manifest, "/tenant_id")?
        && said.log_origin == text(manifest, "/log_origin")?;
    hold(checks, "identity", here, id, "the certificate is of another tenant, log or name")?;

    let proof =
        std::str::from_utf8(file(files, &format!("certs/{id}.tlog-proof"))?).map_err(|_| PackVerdict::Failed)?;
    let proof = LogProof::parse(proof).map_err(|_| PackVerdict::Failed)?;
    let entry = file(files, &format!("log/entries/{}.json", proof.index))?;
    let same_head = files.get("log/checkpoint").is_some_and(|note| note == proof.checkpoint.text().as_bytes());
    let leaf = merkle::leaf_hash(entry);
    let included =
        same_head && merkle::verify_inclusion(proof.index, head.size, &leaf, &proof.hashes, &head.root).is_ok();
    hold(
        checks,
        "inclusion",
        included,
        format!("entry {} of {}", proof.index, head.size),
        "the entry is not under the checkpoint",
    )?;
    let core = std::str::from_utf8(entry).map_err(|_| PackVerdict::Failed)?;
    check_logged(core, proof.index, envelope, &said, keys, checks).map_err(|_| PackVerdict::Failed)
}

/// A newer head of the same log makes the pack «as of»; one that contradicts it makes it fail.
fn check_newer(
    note: &str,
    origin: &str,
    head: &Checkpoint,
    log_keys: &[DeclaredKey],
    checks: &mut Checks,
) -> Outcome<PackVerdict> {
    let newer = signed_head(note, origin, log_keys);
    hold(checks, "newer_checkpoint", newer.is_some(), "of the same log", "the given checkpoint is not of this log")?;
    let newer = newer.ok_or(PackVerdict::Failed)?;
    let same = newer.size != head.size || newer.root == head.root;
    hold(
        checks,
        "newer_head",
        same,
        format!("{} events", newer.size),
        "two heads of one size differ: the log was forked",
    )?;
    // A pack proves what it holds under its own head; that an older head is a beginning of it, it cannot show.
    let not_older = newer.size >= head.size;
    hold(
        checks,
        "not_older",
        not_older,
        "not before the pack's",
        "it is older than the pack, which does not show that the log only grew",
    )?;
    Ok(if newer.size > head.size { PackVerdict::VerifiedAsOf } else { PackVerdict::Verified })
}
