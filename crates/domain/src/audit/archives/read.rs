//! Shows archives and opens them. Reads of an archive are events, as every read of the log.

use chancery_crypto::sha256;

use super::{Archive, ArchiveError, content};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{
        Detail, Event, EventKind, OpenIntent, append,
        query::{EventView, read, release},
        receipt::note,
    },
    certificates::{self, ArchiveParts, PackVerdict},
    fields::system,
    ids::TenantId,
};

/// Every archive of the caller's tenant.
///
/// # Errors
///
/// [`ArchiveError`].
pub async fn list(instance: &Instance, call: &Call) -> Result<Vec<Archive>, ArchiveError> {
    call.require(Permission::AuditRead)?;
    let archives = instance.store().view(call.tenant()).await?.archives().await?;
    note(instance, call, call.tenant(), read("archives")).await?;
    Ok(archives)
}

/// The events of the archive that begins at `first`, each checked against the leaf that the archive proves; personal parts for
/// those who may see them. From the place of this name, or from any.
///
/// # Errors
///
/// [`ArchiveError`].
pub async fn open(
    instance: &Instance,
    call: &Call,
    place: Option<&str>,
    first: u64,
) -> Result<Vec<EventView>, ArchiveError> {
    call.require(Permission::AuditRead)?;
    call.require(Permission::AuditExport)?;
    let tenant = call.tenant();
    let archives = instance.store().view(tenant).await?.archives().await?;
    let wanted = |archive: &&Archive| archive.first == first && place.is_none_or(|place| archive.place == place);
    let archive = archives.iter().find(wanted).ok_or(ArchiveError::NotFound)?;
    let file = fetch(instance, tenant, archive).await?;
    let parts = certificates::archive_parts(&file).ok_or(ArchiveError::Damaged)?;
    drop(file);
    let event = Event::new(EventKind::AuditExported)
        .with("archive", Detail::Id(archive.event.to_string()))
        .with("first", Detail::Count(archive.first))
        .with("end", Detail::Count(archive.end));
    let intent = OpenIntent::new(system::AUDIT, 1, event);
    let (receipt, fence) = append(instance, call, tenant, vec![intent]).await?.single()?;
    let lease = fence.lease(instance).await?;
    let lines = content::unseal(&lease.keyring, receipt, &archive.name(tenant), &parts.sealed)?;
    let lines = fence.release(instance, &lease, lines).await?;
    let events = content::events(tenant, archive.first, lines.expose(), &parts.leaves).ok_or(ArchiveError::Damaged)?;
    drop(lines);
    Ok(release(instance, call, tenant, events, read("archive")).await?)
}

/// Reads archives again, all that lie between these places: what is to go from the store is there, byte for byte.
///
/// # Errors
///
/// [`ArchiveError`].
pub async fn again(instance: &Instance, tenant: TenantId, spans: &[(u64, u64)]) -> Result<(), ArchiveError> {
    let archives = instance.store().fresh_view(tenant).await?.archives().await?;
    let meets = |archive: &&Archive| spans.iter().any(|(first, end)| archive.first < *end && *first < archive.end);
    for archive in archives.iter().filter(meets) {
        // Of a place that is not configured any more nothing can be said; that every one that is has all is asked elsewhere.
        if instance.archives().iter().any(|store| store.name() == archive.place) {
            let file = fetch(instance, tenant, archive).await?;
            // A row can be written by whoever writes to the store, and tell of any file: it is the file that counts.
            proven(instance, tenant, (archive.first, archive.end), &file).await?;
        }
    }
    Ok(())
}

/// The parts of a file that proves what it holds: these places of this tenant's log.
pub(super) async fn proven(
    instance: &Instance,
    tenant: TenantId,
    run: (u64, u64),
    file: &[u8],
) -> Result<ArchiveParts, ArchiveError> {
    let trust = certificates::trust_file(instance).await?;
    let report = certificates::verify_archive(file, &trust, None);
    let held = !matches!(report.verdict, PackVerdict::Failed | PackVerdict::Unsupported);
    let ours = report.tenant.as_deref() == Some(tenant.to_string().as_str());
    let parts = certificates::archive_parts(file).filter(|parts| held && ours && parts.run == run);
    parts.ok_or(ArchiveError::Damaged)
}

/// The file of an archive, as it was when it was noted.
async fn fetch(instance: &Instance, tenant: TenantId, archive: &Archive) -> Result<Vec<u8>, ArchiveError> {
    let store = instance.archives().iter().find(|store| store.name() == archive.place).ok_or(ArchiveError::NotFound)?;
    let file = store.get(&archive.name(tenant)).await?;
    if sha256(&file) == archive.digest { Ok(file) } else { Err(ArchiveError::Damaged) }
}
