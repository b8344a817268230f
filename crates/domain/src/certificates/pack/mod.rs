//! A pack: everything that proves certificates and events offline, in one canonical zip (ADR 0024).
//!
//! | file | what |
//! | --- | --- |
//! | `MANIFEST.json`, `MANIFEST.dsse` | what it is about, and every other file with its digest; signed with the tenant's certificate key |
//! | `certs/<id>.dsse.json` | the certificates |
//! | `disclosures/<id>.json` | what chosen events say in confidence, with the salts of their commitments |
//! | `log/checkpoint` | the signed head of the log |
//! | `log/entries.jsonl`, `log/proof.json` | the events, byte for byte, a line each; where they lie, and the hashes between them |
//! | `platform/checkpoint`, `platform/entries.jsonl`, `platform/proof.json` | the event of the platform's log that tells of this head, and the head of that log with the lines of witnesses |
//! | `platform/keys.dsse` | the keys of the platform's log; signed with the platform's trust key |
//! | `trust/keys.dsse` | the tenant's public keys and their time in the log; signed with the platform's trust key |
//! | `report.html`, `README.txt` | for people; nothing rests on them |
//!
//! It depends on its scope and its checkpoint alone: made again, it is the same bytes, once the platform's log told of that and witnesses
//! have signed it.

use chancery_crypto::runs;

use super::{CertificateError, zip};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Detail, Event, EventKind, StoredCheckpoint, guard, receipt::note, sequence},
    ids::{CertificateId, TenantId},
    instance::Failure,
    keyring::{
        Managed,
        declared::{as_of, declared},
    },
};

pub(super) mod archive;
mod events;
mod files;
mod gather;
mod report;
mod scope;

pub use events::undisclosed;
pub use scope::PackScope;

/// The `type` and `v` of a manifest.
pub(super) const PACK_TYPE: &str = "audit-pack/v2";
/// As above.
pub(super) const PACK_VERSION: u64 = 2;
/// The DSSE payload type of a manifest.
pub(super) const MANIFEST_TYPE: &str = "application/vnd.chancery.manifest.v1+json";
/// The DSSE payload type of a tenant's key statement.
pub(super) const KEYS_TYPE: &str = "application/vnd.chancery.tenant-keys.v1+json";
/// The DSSE payload type of the statement of the platform's log.
pub(super) const PLATFORM_TYPE: &str = "application/vnd.chancery.platform-log.v1+json";
/// The files of an anchor: all of them or none.
pub(super) const PLATFORM: [&str; 4] =
    ["platform/checkpoint", "platform/entries.jsonl", "platform/keys.dsse", "platform/proof.json"];

/// The pack of a certificate of `tenant`.
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
    export(instance, call, tenant, &PackScope::Certificates(vec![id])).await
}

/// A pack of `tenant`. Sequences the log first.
///
/// # Errors
///
/// [`CertificateError`]; a foreign certificate is as missing as one that never was.
pub async fn export(
    instance: &Instance,
    call: &Call,
    tenant: TenantId,
    scope: &PackScope,
) -> Result<Vec<u8>, CertificateError> {
    instance.enter(call, tenant, Permission::CertificatesRead, Permission::CrossTenantRead).await??;
    if scope.shows_events() {
        instance.enter(call, tenant, Permission::AuditRead, Permission::CrossTenantRead).await??;
    }
    if scope.discloses() {
        call.require(Permission::AuditReadSealed)?;
    }
    scope.check()?;
    let chosen = events::chosen(instance, tenant, scope).await?;
    let told = Event::new(EventKind::CertificateExported).with("scope", Detail::Code(scope.kind()));
    let told = match scope {
        PackScope::Certificates(ids) => {
            let mut view = instance.store().view(tenant).await?;
            for id in ids {
                view.certificate(*id).await?.ok_or(CertificateError::NotFound)?;
            }
            match ids.as_slice() {
                [only] => told.on("certificate", only),
                several => told.with("certificates", Detail::Names(several.iter().map(ToString::to_string).collect())),
            }
        }
        PackScope::Events { ids, .. } => {
            told.with("events", Detail::Names(ids.iter().map(ToString::to_string).collect()))
        }
        PackScope::Range { from, to } => told.with("from", Detail::At(*from)).with("to", Detail::At(*to)),
        // Whose certificates left: a query for what the caller calls so finds it.
        PackScope::Subject { kind, reference } => {
            let ring = instance.keyring(tenant).await?;
            told.references(vec![ring.reference(kind, reference.expose()).map_err(Failure::Keyring)?])
        }
    };
    note(instance, call, tenant, told).await?;
    let checkpoint = guard::newest_anchored(instance, tenant).await?;
    let disclosed = events::disclose(instance, call, tenant, scope, chosen).await?;
    assemble_with(instance, tenant, scope, &checkpoint, &disclosed).await
}

/// The pack of a scope under a signed head: the same bytes each time, as long as no key of it changes its state.
///
/// # Errors
///
/// [`CertificateError`].
pub async fn assemble(
    instance: &Instance,
    tenant: TenantId,
    scope: &PackScope,
    checkpoint: &StoredCheckpoint,
) -> Result<Vec<u8>, CertificateError> {
    assemble_with(instance, tenant, scope, checkpoint, &events::Disclosed::new()).await
}

async fn assemble_with(
    instance: &Instance,
    tenant: TenantId,
    scope: &PackScope,
    checkpoint: &StoredCheckpoint,
    disclosed: &events::Disclosed,
) -> Result<Vec<u8>, CertificateError> {
    let ring = instance.keyring(tenant).await?;
    // One view for all of it, cut to the checkpoint: a rotation meanwhile is not half in the pack.
    let mut view = instance.store().view(tenant).await?;
    let origin = view.log_origin().await?.ok_or(Failure::Internal("log without an origin"))?;
    let held = gather::gather(&mut *view, tenant, &ring, scope, checkpoint.size).await?;
    let runs = runs::runs_of(held.events.keys().copied());
    let between = sequence::prove_runs(&mut *view, tenant, &runs, checkpoint.size).await?;
    let certificate_keys = as_of(declared(&mut *view, &ring, Managed::Certificate).await?, checkpoint.size);
    let log_keys = as_of(declared(&mut *view, &ring, Managed::Log).await?, checkpoint.size);
    drop(view);
    // Without it the pack proves what it did before there were anchors; whoever asks for witnesses is told that they are missing.
    let anchor = if tenant.is_platform() { Ok(None) } else { guard::anchored(instance, tenant, checkpoint).await };
    let anchor = anchor.unwrap_or_else(|error| {
        tracing::warn!(%tenant, %error, "A pack is without its anchor");
        None
    });

    let anchor = anchor.as_ref();
    let pack = files::Pack { instance, tenant, origin: &origin, checkpoint, scope, held: &held, anchor, disclosed };
    let files = pack.files(&runs, &between, &certificate_keys, &log_keys).await?;
    // The events stand in the files by now: of a large pack there are two copies at once, and no more.
    drop(held);
    Ok(zip::write(&files).map_err(|_| Failure::Internal("a pack that is too large"))?)
}
