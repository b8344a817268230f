//! A pack: everything that proves a certificate offline, in one canonical zip.
//!
//! | file | what |
//! | --- | --- |
//! | `MANIFEST.json`, `MANIFEST.dsse` | every other file with its digest; signed with the tenant's certificate key |
//! | `certs/<id>.dsse.json`, `certs/<id>.tlog-proof` | the certificate; that its event is in the log |
//! | `log/checkpoint`, `log/entries/<index>.json` | the signed head of the log; the events, byte for byte |
//! | `trust/keys.dsse` | the tenant's public keys and their time in the log; signed with the platform's trust key |
//! | `README.txt` | how to check it without us |

use chancery_crypto::{canonical, checkpoint::SignedCheckpoint, dsse, sha256_hex};
use serde_json::{Value, json};

use super::{
    CertificateError,
    zip::{self, Files},
};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Event, EventKind, StoredCheckpoint, receipt::note, sequence},
    ids::{CertificateId, TenantId},
    instance::Failure,
    keyring::{
        DeclaredKey, Managed,
        declared::{as_of, declared},
    },
};

/// The DSSE payload type of a manifest.
pub(super) const MANIFEST_TYPE: &str = "application/vnd.chancery.manifest.v1+json";
/// The DSSE payload type of a tenant's key statement.
pub(super) const KEYS_TYPE: &str = "application/vnd.chancery.tenant-keys.v1+json";

const README: &str = "This is an audit pack of Chancery.\n\
\n\
  chancery verify PACK --trust chancery-trust.json\n\
\n\
checks it without a network. By hand:\n\
1. MANIFEST.dsse signs MANIFEST.json (DSSE v1, Ed25519); every other file has the SHA-256 that stands there.\n\
2. trust/keys.dsse is signed by a key of chancery-trust.json, which you got from the instance beforehand.\n\
   It lists the tenant's public keys (JWK) and their range of log indexes.\n\
3. certs/<id>.dsse.json is signed by one of those keys; its payload is the exact canonical message.\n\
4. certs/<id>.tlog-proof (C2SP tlog-proof) leads from SHA-256(0x00 || log/entries/<index>.json) to the root\n\
   in log/checkpoint, which the tenant's log key signs (C2SP signed note).\n\
5. That entry is the event certificate.issued with the SHA-256 of the envelope, inside the range of the key.\n";

/// The pack of a certificate of `tenant`. Sequences the log first.
///
/// # Errors
///
/// [`CertificateError`].
pub async fn pack(
    instance: &Instance,
    call: &Call,
    tenant: TenantId,
    id: CertificateId,
) -> Result<Vec<u8>, CertificateError> {
    instance.enter(call, tenant, Permission::CertificatesRead, Permission::CrossTenantRead).await??;
    let certificate = instance.store().view(tenant).await?.certificate(id).await?.ok_or(CertificateError::NotFound)?;
    note(instance, call, tenant, Event::new(EventKind::CertificateExported).on("certificate", id)).await?;

    let checkpoint = sequence::checkpoint(instance, tenant).await?;
    let ring = instance.keyring(tenant).await?;
    // One view for all the rest, cut to the checkpoint: a rotation meanwhile is not half in the pack.
    let mut view = instance.store().view(tenant).await?;
    let logged = view.logged_event(certificate.event).await?.filter(|logged| logged.index < checkpoint.size);
    let logged = logged.ok_or(CertificateError::NotYetSequenced)?;
    let origin = view.log_origin().await?.ok_or(Failure::Internal("log without an origin"))?;
    let proof = sequence::prove(&mut *view, tenant, logged.index, &checkpoint).await?;
    let certificate_keys = as_of(declared(&mut *view, &ring, Managed::Certificate).await?, checkpoint.size);
    let log_keys = as_of(declared(&mut *view, &ring, Managed::Log).await?, checkpoint.size);
    drop(view);

    let scope = Scope { instance, tenant, origin: &origin, checkpoint: &checkpoint };
    let mut files = Files::new();
    files.insert(format!("certs/{id}.dsse.json"), certificate.envelope);
    files.insert(format!("certs/{id}.tlog-proof"), proof.to_text().into_bytes());
    files.insert("log/checkpoint".into(), checkpoint.note.clone().into_bytes());
    files.insert(format!("log/entries/{}.json", logged.index), logged.event.core.into_bytes());
    files.insert("trust/keys.dsse".into(), scope.keys_statement(&certificate_keys, &log_keys).await?);
    files.insert("README.txt".into(), README.as_bytes().to_vec());
    let (manifest, signed) = scope.manifest(id, &certificate_keys, &files).await?;
    files.insert("MANIFEST.json".into(), manifest);
    files.insert("MANIFEST.dsse".into(), signed);
    Ok(zip::write(&files).map_err(|_| Failure::Internal("a pack that is too large"))?)
}

/// What every statement of a pack is about.
struct Scope<'a> {
    instance: &'a Instance,
    tenant: TenantId,
    origin: &'a str,
    checkpoint: &'a StoredCheckpoint,
}

impl Scope<'_> {
    /// The tenant's public keys, signed with the platform's trust key, which signs only such statements.
    async fn keys_statement(&self, certificate: &[DeclaredKey], log: &[DeclaredKey]) -> Result<Vec<u8>, Failure> {
        let certificate = certificate.iter().map(|key| key_entry(Managed::Certificate, key));
        let keys: Vec<Value> = certificate.chain(log.iter().map(|key| key_entry(Managed::Log, key))).collect();
        let statement = json!({
            "v": 1,
            "type": "tenant-keys/v1",
            "instance": self.instance.settings().name,
            "tenant_id": self.tenant.to_string(),
            "log_origin": self.origin,
            "as_of_size": self.checkpoint.size,
            "keys": keys,
        });
        let statement =
            canonical::to_vec(&statement).map_err(|_| Failure::Internal("a key statement is not canonical"))?;
        let platform = self.instance.keyring(TenantId::PLATFORM).await?;
        let signer = platform.active(Managed::Certificate)?;
        Ok(dsse::sign_ed25519(KEYS_TYPE, statement, signer.ed25519()?, &signer.key_id).to_json())
    }

    /// The manifest, signed with the newest key that the key statement lists.
    async fn manifest(
        &self,
        id: CertificateId,
        keys: &[DeclaredKey],
        files: &Files,
    ) -> Result<(Vec<u8>, Vec<u8>), Failure> {
        let damaged = |_| Failure::Internal("a stored checkpoint is damaged");
        let head = SignedCheckpoint::parse(&self.checkpoint.note).map_err(damaged)?.checkpoint().clone();
        let entries: Vec<Value> = files
            .iter()
            .map(|(path, data)| json!({"path": path, "sha256": sha256_hex(data), "size": data.len()}))
            .collect();
        let manifest = json!({
            "v": 1,
            "type": "audit-pack/v1",
            "instance": self.instance.settings().name,
            "tenant_id": self.tenant.to_string(),
            "log_origin": self.origin,
            "created_at": self.instance.now().to_string(),
            "as_of": {"size": head.size, "root": data_encoding::HEXLOWER.encode(&head.root)},
            "scope": {"certificates": [id.to_string()]},
            "files": entries,
        });
        let manifest = canonical::to_vec(&manifest).map_err(|_| Failure::Internal("a manifest is not canonical"))?;
        let newest = keys.last().ok_or(Failure::Internal("a log without a certificate key"))?;
        let ring = self.instance.keyring_with(self.tenant, &newest.key_id).await?;
        let signer = ring.version(Managed::Certificate, &newest.key_id)?;
        let signed = dsse::sign_ed25519(MANIFEST_TYPE, manifest.clone(), signer.ed25519()?, &signer.key_id).to_json();
        Ok((manifest, signed))
    }
}

fn key_entry(managed: Managed, key: &DeclaredKey) -> Value {
    let mut entry = json!({
        "key_id": key.key_id,
        "use": managed.as_str(),
        "alg": "Ed25519",
        "jwk": key.jwk,
        "state": key.state.as_str(),
        "activated_at": key.activated_at.to_string(),
        "first_index": key.first_index,
        "last_index": key.last_index,
    });
    // Only where there is one: packs of keys that nobody revoked stay as they were.
    if let (Some(index), Some(members)) = (key.last_valid_index, entry.as_object_mut()) {
        members.insert("last_valid_index".to_owned(), index.into());
    }
    entry
}
