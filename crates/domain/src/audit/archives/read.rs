//! Shows archives and opens them. Reads of an archive are events, as every read of the log.

use chancery_crypto::sha256;

use super::{Archive, ArchiveError, ArchiveFault, ArchiveStore, content, due::covers};
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

/// The events of an archive that begins at `first`, each checked against the leaf that the archive proves; personal parts for
/// those who may see them. From the place of this name, or from any; of several the newest that is as it was noted.
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
    let mut found = Err(ArchiveError::NotFound);
    for archive in archives.iter().filter(wanted).rev() {
        found = match place_of(instance, archive) {
            Some(store) => fetch(store, tenant, archive).await.map(|file| (archive, file)),
            None => continue,
        };
        if found.is_ok() {
            break;
        }
    }
    let (archive, file) = found?;
    let parts = certificates::archive_parts(&file).ok_or(ArchiveError::Damaged)?;
    drop(file);
    let event = Event::new(EventKind::AuditExported)
        .with("archive", Detail::Id(archive.event.to_string()))
        .with("first", Detail::Count(archive.first))
        .with("end", Detail::Count(archive.end));
    let intent = OpenIntent::new(system::AUDIT, 1, event);
    let (receipt, fence) = append(instance, call, tenant, vec![intent]).await?.single()?;
    let lease = fence.lease(instance).await?;
    let opened = content::unseal(&lease.keyring, receipt, &archive.name(tenant), &parts.sealed).and_then(|lines| {
        content::events(tenant, archive.first, lines.expose(), &parts.leaves).ok_or(ArchiveError::Damaged)
    });
    let events = match opened {
        Ok(events) => fence.release(instance, &lease, events).await?,
        Err(error) => {
            fence.refuse();
            return Err(error);
        }
    };
    Ok(release(instance, call, tenant, events, read("archive")).await?)
}

/// Reads archives again: in every place that is configured, what is to go from the store is there, byte for byte. A row can be written
/// by whoever writes to the store: it is the files that count.
///
/// # Errors
///
/// [`ArchiveError`]: of the first file that is not there, or not what was written, where no other one holds what it was to.
pub async fn again(instance: &Instance, tenant: TenantId, spans: &[(u64, u64)]) -> Result<(), ArchiveError> {
    let archives = instance.store().fresh_view(tenant).await?.archives().await?;
    let meets = |archive: &&Archive| spans.iter().any(|(first, end)| archive.first < *end && *first < archive.end);
    for store in instance.archives() {
        let (mut there, mut missed) = (Vec::new(), None);
        for archive in archives.iter().filter(|archive| archive.place == store.name()).filter(meets) {
            match fetch_proven(instance, tenant, &**store, archive).await {
                Ok(_) => there.push(archive.clone()),
                Err(error @ (ArchiveError::Damaged | ArchiveError::Place(_))) => missed = missed.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        if !spans.iter().all(|span| covers(&there, store.name(), *span)) {
            return Err(missed.unwrap_or(ArchiveError::Place(ArchiveFault::Missing)));
        }
    }
    Ok(())
}

/// The parts of an archive's file, if it is as it was noted and proves what it holds.
pub(super) async fn fetch_proven(
    instance: &Instance,
    tenant: TenantId,
    store: &dyn ArchiveStore,
    archive: &Archive,
) -> Result<ArchiveParts, ArchiveError> {
    let file = fetch(store, tenant, archive).await?;
    proven(instance, tenant, (archive.first, archive.end), &file).await
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

fn place_of<'a>(instance: &'a Instance, archive: &Archive) -> Option<&'a dyn ArchiveStore> {
    instance.archives().iter().find(|store| store.name() == archive.place).map(|store| &**store)
}

/// The file of an archive, as it was when it was noted.
async fn fetch(store: &dyn ArchiveStore, tenant: TenantId, archive: &Archive) -> Result<Vec<u8>, ArchiveError> {
    let file = store.get(&archive.name(tenant)).await?;
    if sha256(&file) == archive.digest { Ok(file) } else { Err(ArchiveError::Damaged) }
}
