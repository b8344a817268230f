//! The file of an archive: a part of a log, sealed, with the proof of every leaf of it (ADR 0026).
//!
//! | file | what |
//! | --- | --- |
//! | `MANIFEST.json`, `MANIFEST.dsse` | which part of which log, and every other file with its digest; signed with the tenant's certificate key |
//! | `log/checkpoint` | the signed head of the log |
//! | `log/leaves`, `log/proof.json` | the leaf hashes, 32 bytes each; where they lie, and the hashes beside them |
//! | `trust/keys.dsse` | the tenant's public keys and their time in the log; signed with the platform's trust key |
//! | `content.sealed` | the events with their personal parts, sealed under the tenant's audit root |

use chancery_crypto::{checkpoint::SignedCheckpoint, runs::Run, sha256_hex};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::{
    PackScope,
    events::Disclosed,
    files::{Pack, written},
    gather::Held,
};
use crate::{
    Instance,
    audit::{StoredCheckpoint, retention::Month, sequence},
    certificates::{CertificateError, zip, zip::Files},
    ids::TenantId,
    instance::Failure,
    keyring::{
        Managed,
        declared::{as_of, declared},
        statement,
    },
};

/// The `type` and `v` of an archive's manifest.
pub(in crate::certificates) const ARCHIVE_TYPE: &str = "audit-archive/v1";
/// As above.
pub(in crate::certificates) const ARCHIVE_VERSION: u64 = 1;
/// The DSSE payload type of an archive's manifest: a pack's stands for nothing here.
pub(in crate::certificates) const ARCHIVE_MANIFEST_TYPE: &str = "application/vnd.chancery.archive.v1+json";

/// What an archive is made of.
pub(crate) struct ArchiveFile {
    /// In which month its events were recorded.
    pub(crate) month: Month,
    /// Their places.
    pub(crate) run: Run,
    /// Their leaf hashes, one after the other.
    pub(crate) leaves: Vec<u8>,
    /// SHA-256 and length of what is sealed.
    pub(crate) content: ([u8; 32], u64),
    /// The events, sealed.
    pub(crate) sealed: Vec<u8>,
}

/// What an archive holds.
pub(crate) struct ArchiveParts {
    /// The places of its events.
    pub(crate) run: Run,
    /// Their leaf hashes, one after the other.
    pub(crate) leaves: Vec<u8>,
    /// The events, sealed.
    pub(crate) sealed: Vec<u8>,
}

/// The file of an archive under a signed head.
///
/// # Errors
///
/// [`CertificateError`].
pub(crate) async fn archive(
    instance: &Instance,
    tenant: TenantId,
    checkpoint: &StoredCheckpoint,
    parts: &ArchiveFile,
) -> Result<Vec<u8>, CertificateError> {
    let ring = instance.keyring(tenant).await?;
    let mut view = instance.store().fresh_view(tenant).await?;
    let origin = view.log_origin().await?.ok_or(Failure::Internal("log without an origin"))?;
    let runs = [parts.run];
    let between = sequence::prove_runs(&mut *view, tenant, &runs, checkpoint.size).await?;
    let certificate_keys = as_of(declared(&mut *view, &ring, Managed::Certificate).await?, checkpoint.size);
    let log_keys = as_of(declared(&mut *view, &ring, Managed::Log).await?, checkpoint.size);
    drop(view);

    let (scope, held) = (PackScope::Certificates(Vec::new()), Held::of(tenant, ""));
    let (origin, disclosed) = (origin.as_str(), &Disclosed::new());
    let pack = Pack { instance, tenant, origin, checkpoint, scope: &scope, held: &held, anchor: None, disclosed };
    let hashes: Vec<String> = between.iter().map(|hash| HEXLOWER.encode(hash)).collect();
    let mut files = Files::new();
    files.insert("content.sealed".into(), parts.sealed.clone());
    files.insert("log/checkpoint".into(), checkpoint.note.clone().into_bytes());
    files.insert("log/leaves".into(), parts.leaves.clone());
    files.insert("log/proof.json".into(), written(&json!({"v": 1, "runs": runs, "hashes": hashes}))?);
    files.insert("trust/keys.dsse".into(), pack.keys_statement(&certificate_keys, &log_keys).await?);
    let manifest = manifest(instance, tenant, origin, checkpoint, parts, &files)?;
    let newest = certificate_keys.last().ok_or(Failure::Internal("a log without a certificate key"))?;
    let ring = instance.keyring_with(tenant, &newest.key_id).await?;
    let signer = ring.version(Managed::Certificate, &newest.key_id)?;
    let signed = statement(instance, signer, ARCHIVE_MANIFEST_TYPE, manifest.clone()).await?;
    files.insert("MANIFEST.dsse".into(), signed.to_json());
    files.insert("MANIFEST.json".into(), manifest);
    Ok(zip::write(&files).map_err(|_| Failure::Internal("an archive that is too large"))?)
}

fn manifest(
    instance: &Instance,
    tenant: TenantId,
    origin: &str,
    checkpoint: &StoredCheckpoint,
    parts: &ArchiveFile,
    files: &Files,
) -> Result<Vec<u8>, Failure> {
    let damaged = |_| Failure::Internal("a stored checkpoint is damaged");
    let head = SignedCheckpoint::parse(&checkpoint.note).map_err(damaged)?.checkpoint().clone();
    let role = |path: &str| match path {
        "content.sealed" => "content",
        "log/checkpoint" => "checkpoint",
        "log/leaves" => "leaves",
        "log/proof.json" => "proof",
        _ => "keys",
    };
    let entries: Vec<Value> = files
        .iter()
        .map(|(path, data)| json!({"path": path, "role": role(path), "sha256": sha256_hex(data), "size": data.len()}))
        .collect();
    let (digest, length) = parts.content;
    written(&json!({
        "v": ARCHIVE_VERSION,
        "type": ARCHIVE_TYPE,
        "instance": instance.settings().name,
        "tenant_id": tenant.to_string(),
        "log_origin": origin,
        "as_of": {
            "size": head.size,
            "root": HEXLOWER.encode(&head.root),
            "signed_at": checkpoint.signed_at.to_string(),
        },
        "month": parts.month.to_string(),
        "indexes": [parts.run.0, parts.run.1],
        "content": {"sha256": HEXLOWER.encode(&digest), "size": length},
        "files": entries,
    }))
}
